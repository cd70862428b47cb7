//! Driving a future from a thread that has no runtime.
//!
//! While its future waits, such a thread has nothing else to do. So what the future waits for may be left to it: the thread
//! does it where it would have gone to sleep, when everything that the future is made of has been polled.

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::Future,
    panic::{self, AssertUnwindSafe},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use crate::sync::{
    thread::{self, Thread},
    thread_local,
};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

type Work = Box<dyn FnOnce()>;

thread_local! {
    /// What the future that this thread drives has left to it; `None` when it drives none.
    static LEFT: RefCell<Option<VecDeque<Work>>> = const { RefCell::new(None) };
}

/// Leaves work to the thread that polls, if it is in [`block_on`]: it is done before the thread sleeps, and at the latest
/// when [`block_on`] ends, however it ends. Given back if the thread drives nothing.
pub(crate) fn leave_to_this_thread<W: FnOnce() + 'static>(work: W) -> Result<(), W> {
    let mut work = Some(work);
    let leave = |left: &RefCell<Option<VecDeque<Work>>>| {
        if let Some(left) = &mut *left.borrow_mut() {
            left.extend(work.take().map(|work| Box::new(work) as Work));
        }
    };
    // A thread that is about to end drives nothing.
    let _ = LEFT.try_with(leave);
    work.map_or(Ok(()), Err)
}

/// The time in which this thread drives a future. It may lie within another such time.
struct Driving {
    outer: Option<VecDeque<Work>>,
}

impl Driving {
    fn begin() -> Driving {
        Driving { outer: LEFT.with(|left| left.replace(Some(VecDeque::new()))) }
    }

    /// Does what was left, and tells whether there was any.
    fn work(&self) -> bool {
        let mut any = false;
        // One by one: what is left behind one that panics is done when the unwinding comes to the end of the driving.
        while let Some(work) = LEFT.with(|left| left.borrow_mut().as_mut().and_then(VecDeque::pop_front)) {
            any = true;
            work();
        }
        any
    }
}

impl Drop for Driving {
    fn drop(&mut self) {
        // Others may wait for it, so it is done also while this thread unwinds, where a second panic would end the process.
        while panic::catch_unwind(AssertUnwindSafe(|| self.work())).is_err() {}
        LEFT.with(|left| left.replace(self.outer.take()));
    }
}

/// Runs a future to its end on this thread, which sleeps while the future waits.
///
/// It is no runtime: a future that needs one, such as a network client's, must be driven by that runtime.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let driving = Driving::begin();
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending if driving.work() => {}
            Poll::Pending => thread::park(),
        }
    }
}

/// As [`block_on`], but gives up after this time: then the future is dropped, and the answer is `None`.
pub fn block_on_for<F: Future>(future: F, time: Duration) -> Option<F::Output> {
    let end = Instant::now().checked_add(time);
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        match end.map(|end| end.saturating_duration_since(Instant::now())) {
            Some(Duration::ZERO) => return None,
            Some(left) => thread::park_timeout(left),
            None => thread::park(),
        }
    }
}

/// What a future gives at once, if it does.
pub(crate) fn at_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_to_the_thread_is_done_before_it_sleeps_and_when_the_future_ends_in_whatever_way() {
        assert!(leave_to_this_thread(|| {}).is_err(), "nobody drives a future here");
        let done = std::rc::Rc::new(RefCell::new(Vec::new()));
        let leave = |name: &'static str| {
            let done = done.clone();
            assert!(leave_to_this_thread(move || done.borrow_mut().push(name)).is_ok());
        };
        let mut polls = 0;
        block_on(std::future::poll_fn(|_| {
            polls += 1;
            if polls == 1 {
                leave("first");
                block_on(async { leave("inner") });
                assert_eq!(*done.borrow(), ["inner"]);
                // Nobody ever wakes this thread: it polls again because it has worked.
                return Poll::Pending;
            }
            assert_eq!(*done.borrow(), ["inner", "first"]);
            leave("last");
            Poll::Ready(())
        }));
        assert_eq!(*done.borrow(), ["inner", "first", "last"]);
        let panicking = std::panic::AssertUnwindSafe(|| {
            block_on(async {
                leave("panic");
                panic!("in a future")
            })
        });
        assert!(std::panic::catch_unwind(panicking).is_err());
        assert_eq!(done.borrow().last(), Some(&"panic"));
        let panicking = std::panic::AssertUnwindSafe(|| {
            block_on(std::future::poll_fn(|_| -> Poll<()> {
                assert!(leave_to_this_thread(|| panic!("in what was left")).is_ok());
                leave("behind a panic");
                Poll::Pending
            }));
        });
        assert!(std::panic::catch_unwind(panicking).is_err());
        assert_eq!(done.borrow().last(), Some(&"behind a panic"));
        assert!(leave_to_this_thread(|| {}).is_err());
    }

    #[test]
    fn a_future_woken_from_another_thread_is_driven_to_its_end() {
        let (sender, receiver) = std::sync::mpsc::channel::<Waker>();
        let waking = thread::spawn(move || receiver.recv().unwrap().wake());
        let mut polls = 0;
        let polled = block_on(std::future::poll_fn(|context| {
            polls += 1;
            if polls == 1 {
                sender.send(context.waker().clone()).unwrap();
                return Poll::Pending;
            }
            Poll::Ready(polls)
        }));
        waking.join().unwrap();
        assert!(polled >= 2);
    }
}
