//! How a thread sleeps until its commit is decided.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    thread::{self, Thread},
};

/// What a waiter is woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Wake {
    /// What it waited for is decided: it looks how.
    Decided = 1,
    /// Nobody is writing: it leads the next commit.
    Lead = 2,
}

const ASLEEP: u8 = 0;

/// A sleeping thread. It is woken exactly once for each time that it was registered.
#[derive(Debug)]
pub(super) struct Waiter {
    state: AtomicU8,
    thread: Thread,
}

thread_local! {
    static OWN: Arc<Waiter> = Arc::new(Waiter { state: AtomicU8::new(ASLEEP), thread: thread::current() });
}

impl Waiter {
    /// The waiter of this thread, ready to be registered. A thread waits for one thing at a time.
    pub(super) fn of_this_thread() -> Arc<Waiter> {
        let waiter = OWN
            .try_with(Arc::clone)
            .unwrap_or_else(|_| Arc::new(Waiter { state: AtomicU8::new(ASLEEP), thread: thread::current() }));
        waiter.state.store(ASLEEP, Ordering::Relaxed);
        waiter
    }

    /// Sleeps until woken. Only the thread that registered the waiter calls this.
    pub(super) fn sleep(&self) {
        while self.state.load(Ordering::Acquire) == ASLEEP {
            thread::park();
        }
    }

    pub(super) fn wake(&self, wake: Wake) {
        self.state.store(wake as u8, Ordering::Release);
        self.thread.unpark();
    }
}
