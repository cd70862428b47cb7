//! Waking those who wait for new events, and nobody else.
//!
//! A subscriber registers a [`Watcher`] under the topics that it is interested in, once, for as long as it lives. Whoever
//! publishes events names their topics. Between the two lies one flag:
//!
//! ```text
//!   subscriber: clear the flag -> look for events -> none: leave a waker, look at the flag again, sleep
//!   publisher:  events become visible -> set the flag of each watcher of their topics -> wake it if it left a waker
//! ```
//!
//! So an event that becomes visible after the look sets a flag that the subscriber sees before it sleeps.
//!
//! A topic is 64 bits of a hash. If two things share a topic, a subscriber is woken for nothing, and sleeps again.

use std::{
    collections::HashMap,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use crate::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering, fence},
};

/// What an event is about: its stream, its type, its category.
pub(crate) type Topic = u64;

/// All who wait for events of a store.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    /// So that publishing costs nothing when nobody waits.
    count: AtomicUsize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    by_topic: HashMap<Topic, Vec<Arc<Flag>>>,
    of_everything: Vec<Arc<Flag>>,
}

#[derive(Debug, Default)]
struct Flag {
    raised: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Flag {
    fn raise(&self) {
        if self.raised.swap(true, Ordering::SeqCst) {
            return;
        }
        let waker = self.waker.lock().take();
        if let Some(waker) = waker {
            // If it panics, that is not the concern of the publisher, nor of those who are woken behind it.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }
}

impl Watchers {
    /// Registers a watcher of these topics, or of everything when there are none.
    pub(crate) fn register(self: &Arc<Self>, topics: Vec<Topic>) -> Watcher {
        let flag = Arc::new(Flag::default());
        let mut table = self.table.lock();
        for topic in &topics {
            table.by_topic.entry(*topic).or_default().push(flag.clone());
        }
        if topics.is_empty() {
            table.of_everything.push(flag.clone());
        }
        self.count.fetch_add(1, Ordering::SeqCst);
        Watcher { flag, topics, watchers: self.clone() }
    }

    /// Events of these topics have become visible.
    pub(crate) fn publish(&self, topics: impl IntoIterator<Item = Topic>) {
        // Between making the events visible and asking who waits, as `clear` stands between registering and looking.
        fence(Ordering::SeqCst);
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let table = self.table.lock();
        table.of_everything.iter().for_each(|flag| flag.raise());
        if !table.by_topic.is_empty() {
            topics.into_iter().filter_map(|topic| table.by_topic.get(&topic)).flatten().for_each(|flag| flag.raise());
        }
    }

    /// Something happened that all must look at.
    pub(crate) fn wake_all(&self) {
        let table = self.table.lock();
        table.of_everything.iter().chain(table.by_topic.values().flatten()).for_each(|flag| flag.raise());
    }
}

/// One who waits.
#[derive(Debug)]
pub(crate) struct Watcher {
    flag: Arc<Flag>,
    topics: Vec<Topic>,
    watchers: Arc<Watchers>,
}

impl Watcher {
    /// To be called before looking for events.
    pub(crate) fn clear(&self) {
        self.flag.raised.store(false, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Ready when events of the topics have become visible since [`Watcher::clear`].
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<()> {
        if self.flag.raised.load(Ordering::SeqCst) {
            return Poll::Ready(());
        }
        *self.flag.waker.lock() = Some(context.waker().clone());
        // It may have been raised before the waker was there to be woken.
        if self.flag.raised.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut table = self.watchers.table.lock();
        let Table { by_topic, of_everything } = &mut *table;
        let others = |flags: &mut Vec<Arc<Flag>>| flags.retain(|flag| !Arc::ptr_eq(flag, &self.flag));
        for topic in &self.topics {
            if let Some(flags) = by_topic.get_mut(topic) {
                others(flags);
                if flags.is_empty() {
                    by_topic.remove(topic);
                }
            }
        }
        others(of_everything);
        self.watchers.count.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
#[cfg(feature = "loom")]
#[path = "watch_loom_tests.rs"]
mod loom_tests;

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, thread};

    use super::*;
    use crate::event_store::block_on;

    fn raised(watcher: &Watcher) -> bool {
        watcher.poll(&Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn only_those_are_woken_whose_topics_were_published() {
        let watchers = Arc::new(Watchers::default());
        let (one, two, all) = (watchers.register(vec![1, 7]), watchers.register(vec![2]), watchers.register(vec![]));
        watchers.publish([7, 9]);
        assert_eq!((raised(&one), raised(&two), raised(&all)), (true, false, true));
        one.clear();
        all.clear();
        assert!(!raised(&one));
        watchers.publish([9]);
        assert_eq!((raised(&one), raised(&all)), (false, true));
        watchers.wake_all();
        assert!(raised(&one) && raised(&two));
    }

    #[test]
    fn a_dropped_watcher_leaves_nothing_behind() {
        let watchers = Arc::new(Watchers::default());
        drop((watchers.register(vec![1, 2]), watchers.register(vec![])));
        let table = watchers.table.lock();
        assert!(table.by_topic.is_empty() && table.of_everything.is_empty());
        assert_eq!(watchers.count.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_sleeping_watcher_is_woken_from_another_thread_every_time() {
        let watchers = Arc::new(Watchers::default());
        let watcher = watchers.register(vec![5]);
        let counter = Arc::new(AtomicUsize::new(0));
        let publisher = {
            let (watchers, counter) = (watchers.clone(), counter.clone());
            thread::spawn(move || {
                for number in 1..=1000 {
                    counter.store(number, Ordering::SeqCst);
                    watchers.publish([5]);
                }
            })
        };
        let mut seen = 0;
        while seen < 1000 {
            watcher.clear();
            let now = counter.load(Ordering::SeqCst);
            if now == seen {
                block_on(poll_fn(|context| watcher.poll(context)));
            }
            seen = now;
        }
        publisher.join().unwrap();
    }
}
