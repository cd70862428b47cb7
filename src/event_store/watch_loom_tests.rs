//! The flag between those who publish and those who sleep, in every order that memory allows.
//!
//! shuttle takes each atomic operation for one that all threads see in the same order. Here that is the question: an event is made visible with
//! a release, and looked for with an acquire, and only the fences of [`Watcher::clear`] and [`Watchers::publish`] keep a subscriber from
//! seeing neither the event nor the flag. loom knows sequential consistency of fences alone, so it is they that it shows to be enough.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    task::Wake,
};

use super::*;
use crate::sync::{atomic::AtomicU64, thread};

/// Notes that it was called.
#[derive(Default)]
struct Noted(std::sync::atomic::AtomicBool);

impl Wake for Noted {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

const TOPIC: Topic = 5;

/// What a subscriber does between looking for events and sleeping, which a bug may leave out.
#[derive(Clone, Copy)]
enum Bug {
    None,
    NoFence,
    NoSecondLook,
}

fn clear(watcher: &Watcher, bug: Bug) {
    match bug {
        Bug::NoFence => watcher.flag.raised.store(false, Ordering::SeqCst),
        _ => watcher.clear(),
    }
}

fn poll(watcher: &Watcher, context: &Context<'_>, bug: Bug) -> Poll<()> {
    match bug {
        Bug::NoSecondLook => {
            if watcher.flag.raised.load(Ordering::SeqCst) {
                return Poll::Ready(());
            }
            *watcher.flag.waker.lock() = Some(context.waker().clone());
            Poll::Pending
        }
        _ => watcher.poll(context),
    }
}

/// A subscriber looks for what so many publishers make visible, and sleeps if that is not all: then it must be woken.
fn meet(publishers: u64, bug: Bug) {
    let mut model = loom::model::Builder::new();
    // All orders of one publisher; of more those in which nobody is interrupted more often than this.
    model.preemption_bound = (publishers > 1).then_some(2);
    model.check(move || {
        let (watchers, visible) = (Arc::new(Watchers::default()), Arc::new(AtomicU64::new(0)));
        let publish = |(watchers, visible): (Arc<Watchers>, Arc<AtomicU64>)| {
            thread::spawn(move || {
                visible.fetch_add(1, Ordering::Release);
                watchers.publish([TOPIC]);
            })
        };
        let publishing: Vec<_> = (0..publishers).map(|_| publish((watchers.clone(), visible.clone()))).collect();
        let watcher = watchers.register(vec![TOPIC]);
        let noted = Arc::new(Noted::default());
        clear(&watcher, bug);
        let seen = visible.load(Ordering::Acquire);
        let sleeps = seen < publishers && {
            let waker = Waker::from(noted.clone());
            poll(&watcher, &Context::from_waker(&waker), bug).is_pending()
        };
        publishing.into_iter().for_each(|publisher| publisher.join().unwrap());
        assert!(!sleeps || noted.0.load(Ordering::SeqCst), "it has seen {seen}, and sleeps for ever");
    });
}

#[test]
fn nothing_becomes_visible_unseen_by_a_subscriber_that_sleeps() {
    meet(1, Bug::None);
    meet(2, Bug::None);
}

fn is_found(bug: Bug) {
    let found = catch_unwind(AssertUnwindSafe(|| meet(1, bug))).expect_err("nobody sleeps for ever");
    let said = found.downcast_ref::<String>().map_or("", String::as_str);
    assert!(said.contains("sleeps for ever"), "{said}");
}

#[test]
fn without_the_fence_a_subscriber_may_sleep_for_ever_and_it_is_found() {
    is_found(Bug::NoFence);
}

#[test]
fn without_the_second_look_a_subscriber_may_sleep_for_ever_and_it_is_found() {
    is_found(Bug::NoSecondLook);
}
