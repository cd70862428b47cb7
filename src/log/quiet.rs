//! The log held still: nothing is sequenced, written or synced, and everything sequenced is on the disk.
//!
//! The lock is free meanwhile, so that tasks that come to append are not blocked, but told to wait.

use super::{
    commit::{Commit, Sequencer},
    wait::Goal,
    waiter::wake_all,
};
use crate::{disk::planted, error::Result, sync::MutexGuard};

/// The right to change what the log is written to. The log goes on when it is dropped.
pub(super) struct Quiet<'a> {
    commit: &'a Commit,
}

impl Commit {
    /// Holds the log still, as soon as nobody else does. Fails once the log is poisoned.
    pub(super) fn quiet(&self) -> Result<Quiet<'_>> {
        let mut sequencer = self.look();
        loop {
            sequencer.check()?;
            if !sequencer.held {
                break;
            }
            self.changed.wait(&mut sequencer);
        }
        sequencer.held = true;
        let quiet = Quiet { commit: self };
        let last = sequencer.next.previous();
        self.wait(sequencer, last, Goal::Durable, false)?;
        let mut sequencer = self.look();
        while sequencer.flying.is_some() || sequencer.syncing {
            self.changed.wait(&mut sequencer);
        }
        sequencer.check()?;
        Ok(quiet)
    }
}

impl<'a> Quiet<'a> {
    pub(super) fn sequencer(&self) -> MutexGuard<'a, Sequencer> {
        self.commit.look()
    }

    /// Lets the log go on, with this thread the first to sequence something.
    pub(super) fn into_lock(self) -> MutexGuard<'a, Sequencer> {
        let mut sequencer = self.sequencer();
        let commit = self.commit;
        std::mem::forget(self);
        sequencer.held = false;
        if !planted!(LeaveThemHeld) {
            commit.changed.notify_all();
        }
        sequencer
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        let mut sequencer = self.commit.look();
        sequencer.held = false;
        let queued = std::mem::take(&mut sequencer.queued);
        drop(sequencer);
        if !planted!(LeaveThemHeldStill) {
            self.commit.changed.notify_all();
        }
        wake_all(queued);
    }
}
