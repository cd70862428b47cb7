//! Threads of the simulation: their steps are taken one at a time, by the one thread that runs it all, when chance says so.
//!
//! A step of the index's or the preparer's thread is taken in the middle of an operation of the disk, as if it had come in between.
//! The others may wait for locks that are held there; theirs are taken when whoever drives the simulation lets them.

use std::{
    fmt,
    sync::{
        Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    super::{DiskThread, Step},
    Shared,
};

pub(super) struct SimThread {
    pub(super) disk: Weak<Shared>,
    pub(super) name: String,
    /// Away while it is being taken; gone when the thread has ended.
    pub(super) step: Mutex<Option<Step>>,
    pub(super) asked: AtomicBool,
    /// How many operations it still lets go by.
    pub(super) patience: AtomicU64,
    /// When the step before wants to be followed by another.
    pub(super) due: Mutex<Option<Duration>>,
}

impl SimThread {
    /// Whether its steps may come between the parts of other work.
    pub(super) fn comes_between(&self) -> bool {
        matches!(&*self.name, "factlog-index" | "factlog-prepare")
    }

    pub(super) fn is_due(&self, now: Duration) -> bool {
        let due = self.due.lock().is_some_and(|due| due <= now);
        (due || self.asked.load(Ordering::Relaxed)) && self.step.lock().is_some()
    }

    pub(super) fn take_step(&self, now: impl FnOnce() -> Duration) {
        let step = self.step.lock().take();
        self.asked.store(false, Ordering::Relaxed);
        if let Some(mut step) = step {
            let again = step();
            *self.due.lock() = again.map(|after| now() + after);
            *self.step.lock() = Some(step);
        }
    }
}

impl DiskThread for SimThread {
    fn ask(&self) {
        if !self.asked.swap(true, Ordering::Relaxed)
            && let Some(disk) = self.disk.upgrade()
        {
            self.patience.store(disk.inner.lock().chance.below(8), Ordering::Relaxed);
        }
    }

    fn join(&self) -> bool {
        if let Some(disk) = self.disk.upgrade() {
            while self.asked.load(Ordering::Relaxed) && self.step.lock().is_some() {
                disk.step(self);
            }
        }
        let step = self.step.lock().take();
        drop(step);
        true
    }
}

impl fmt::Debug for SimThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
