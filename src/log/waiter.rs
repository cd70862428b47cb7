//! How a thread sleeps, or a task is suspended, until its commit is decided.

use std::{
    mem,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    task::Waker,
};

use crate::sync::{
    Mutex,
    atomic::{AtomicU8, Ordering},
    thread::{self, Thread},
    thread_local,
};

/// What a waiter is woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Wake {
    /// What it waited for is decided: it looks how.
    Decided = 1,
    /// Nobody is writing: it leads the next commit. Only threads are woken for this.
    Lead = 2,
}

const ASLEEP: u8 = 0;

/// A sleeping thread or a suspended task. It is woken exactly once for each time that it was registered.
#[derive(Debug)]
pub(crate) struct Waiter {
    state: AtomicU8,
    sleeper: Sleeper,
}

#[derive(Debug)]
enum Sleeper {
    /// And whom it wakes when it has been woken.
    Thread(Thread, Mutex<Vec<Arc<Waiter>>>),
    Task(Mutex<Option<Waker>>),
}

thread_local! {
    static OWN: Arc<Waiter> = Waiter::of_thread();
}

impl Waiter {
    fn of_thread() -> Arc<Waiter> {
        Arc::new(Waiter { state: AtomicU8::new(ASLEEP), sleeper: Sleeper::Thread(thread::current(), Mutex::default()) })
    }

    /// The waiter of this thread, ready to be registered. A thread waits for one thing at a time.
    pub(super) fn of_this_thread() -> Arc<Waiter> {
        let waiter = OWN.try_with(Arc::clone).unwrap_or_else(|_| Waiter::of_thread());
        waiter.state.store(ASLEEP, Ordering::Relaxed);
        waiter
    }

    /// The waiter of a task.
    pub(super) fn of_task(waker: &Waker) -> Arc<Waiter> {
        Arc::new(Waiter { state: AtomicU8::new(ASLEEP), sleeper: Sleeper::Task(Mutex::new(Some(waker.clone()))) })
    }

    /// Makes sure that the task is woken through this waker, if the waiter is still registered; else it must be
    /// registered anew.
    pub(super) fn renew(&self, waker: &Waker) -> bool {
        if let Sleeper::Task(slot) = &self.sleeper {
            let mut slot = slot.lock();
            if !slot.as_ref().is_some_and(|known| known.will_wake(waker)) {
                *slot = Some(waker.clone());
            }
        }
        // Whoever wakes sets the state before it locks the slot: it finds this waker there, or it is seen here that it came before.
        self.state.load(Ordering::Acquire) == ASLEEP
    }

    /// Sleeps until woken. Only the thread that registered the waiter calls this.
    pub(super) fn sleep(&self) {
        while self.state.load(Ordering::Acquire) == ASLEEP {
            thread::park();
        }
        if let Sleeper::Thread(_, others) = &self.sleeper {
            wake_all(mem::take(&mut *others.lock()));
        }
    }

    /// Wakes a thread, and leaves it to wake the others. They are none if it is a task.
    fn wake_with(&self, those: Vec<Arc<Waiter>>) {
        if let Sleeper::Thread(_, others) = &self.sleeper {
            *others.lock() = those;
        }
        self.wake(Wake::Decided);
    }

    fn is_thread(&self) -> bool {
        matches!(self.sleeper, Sleeper::Thread(..))
    }

    /// Call it without holding a lock: a task's waker runs code of the application.
    pub(super) fn wake(&self, wake: Wake) {
        self.state.store(wake as u8, Ordering::Release);
        match &self.sleeper {
            Sleeper::Thread(thread, _) => thread.unpark(),
            Sleeper::Task(slot) => {
                let waker = slot.lock().take();
                waker.into_iter().for_each(wake_task);
            }
        }
    }
}

/// Wakes a task. If its waker panics, that is not the concern of whoever wakes it, an append of another task or thread, nor
/// of those who are woken behind it. The panic has been reported where it began.
pub(crate) fn wake_task(waker: Waker) {
    let _ = panic::catch_unwind(AssertUnwindSafe(|| waker.wake()));
}

/// Those who wait until a batch is decided.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// For an append of their own in it.
    pub(super) own: Vec<Arc<Waiter>>,
    /// For what refused theirs, or until the log stands still.
    pub(super) others: Vec<Arc<Waiter>>,
}

impl Waiting {
    /// Takes out a thread that can lead the next commit.
    pub(super) fn successor(&mut self) -> Option<Arc<Waiter>> {
        take_thread(&mut self.own).or_else(|| take_thread(&mut self.others))
    }

    pub(super) fn append(&mut self, mut more: Waiting) {
        self.own.append(&mut more.own);
        self.others.append(&mut more.others);
    }

    /// Wakes all of them: of those who wait for no append of their own the first wakes the others, as this thread has more
    /// pressing things to do.
    pub(super) fn wake(mut self) {
        wake_all(self.own);
        if let Some(first) = take_thread(&mut self.others) {
            first.wake_with(mem::take(&mut self.others));
        }
        wake_all(self.others);
    }
}

fn take_thread(waiters: &mut Vec<Arc<Waiter>>) -> Option<Arc<Waiter>> {
    let last = waiters.iter().rposition(|waiter| waiter.is_thread())?;
    Some(waiters.swap_remove(last))
}

/// How many parts of those who wait are left to the first of them who wake.
const PARTS: usize = 8;

/// Wakes all of them, most by themselves and each of these with a part of the others to wake: waking a thread costs microseconds, which one
/// thread alone would spend on all of them before it goes on, and in a long chain the last would wait for all before them.
pub(super) fn wake_all(mut waiters: Vec<Arc<Waiter>>) {
    while let Some(waiter) = waiters.pop() {
        let kept = if waiter.is_thread() { waiters.len() - waiters.len() / PARTS } else { waiters.len() };
        waiter.wake_with(waiters.split_off(kept));
    }
}
