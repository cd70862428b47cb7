//! Waiting for a commit: threads sleep and may lead, tasks are suspended and never do.

use std::{
    sync::Arc,
    task::{Poll, Waker},
};

use super::{
    commit::{Commit, Sequencer},
    waiter::{Waiter, Waiting},
};
use crate::{
    disk::planted,
    error::Result,
    sync::{MutexGuard, atomic::Ordering, thread},
    version::Position,
};

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// That the append is acknowledged, by the standard of the log.
    Visible,
    /// That it is on the disk.
    Durable,
}

impl Commit {
    fn has_reached(&self, target: Position, goal: Goal) -> bool {
        let reached = match goal {
            Goal::Visible => self.visible(),
            Goal::Durable => self.durable(),
        };
        reached >= target
    }

    /// Waits until the log has come to `target`, leading a commit if nobody does. `own`: the caller waits for an append
    /// of its own, and will likely come back with another.
    pub(super) fn wait<'a>(
        &'a self,
        mut sequencer: MutexGuard<'a, Sequencer>,
        target: Position,
        goal: Goal,
        own: bool,
    ) -> Result<()> {
        let mut counted = !own;
        while !self.has_reached(target, goal) {
            sequencer.check()?;
            if self.has_reached(target, Goal::Visible) {
                // Written, and in a relaxed log that is not enough.
                sequencer = self.sync_or_wait(sequencer);
                continue;
            }
            if !counted {
                sequencer.count(target);
                counted = true;
            }
            if let Err(mut refused) = self.advance(sequencer) {
                let waiter = Waiter::of_this_thread();
                refused.register(target, waiter.clone(), own);
                drop(refused);
                waiter.sleep();
                if self.has_reached(target, goal) {
                    return Ok(());
                }
            }
            sequencer = self.look();
        }
        Ok(())
    }

    /// Brings the buffer closer to the disk, if it is this thread's turn: leads, or waits a moment until those who
    /// are expected are there. Gives the lock back if all there is to do is to sleep.
    fn advance<'a>(&'a self, mut sequencer: MutexGuard<'a, Sequencer>) -> Result<(), MutexGuard<'a, Sequencer>> {
        if sequencer.flying.is_some() || !sequencer.filling.begun {
            return Err(sequencer);
        }
        if sequencer.gather.is_complete(sequencer.filling.writers, || self.disk.monotonic()) {
            self.lead(sequencer);
            return Ok(());
        }
        if sequencer.gather.watched {
            return Err(sequencer);
        }
        sequencer.gather.watched = true;
        let deadline = sequencer.gather.deadline();
        let batches = self.batches.load(Ordering::Acquire);
        drop(sequencer);
        // Whoever completes the batch leads it. A sleep this short would oversleep, so the processor is offered to them.
        while self.batches.load(Ordering::Acquire) == batches && self.disk.monotonic() < deadline {
            thread::yield_now();
        }
        let mut sequencer = self.look();
        if self.batches.load(Ordering::Acquire) == batches {
            sequencer.gather.watched = false;
        }
        Ok(())
    }

    /// Syncs a relaxed log, in which everything that is waited for has been written, or waits for the sync that runs.
    fn sync_or_wait<'a>(&'a self, mut sequencer: MutexGuard<'a, Sequencer>) -> MutexGuard<'a, Sequencer> {
        if sequencer.syncing {
            self.changed.wait(&mut sequencer);
            return sequencer;
        }
        let Some(active) = &sequencer.active else { return sequencer };
        let segment = active.segment.clone();
        // What lies in the segments before was synced when they ended.
        let written = self.visible();
        sequencer.syncing = true;
        sequencer.unsynced_bytes = 0;
        drop(sequencer);
        let synced = self.or_fail(|| segment.file.sync().map_err(|error| segment.io("sync", error)));
        let mut sequencer = self.look();
        sequencer.syncing = false;
        let mut decided = Waiting { own: std::mem::take(&mut sequencer.unsynced), ..Waiting::default() };
        match synced {
            Ok(()) => self.is_durable(written),
            Err(error) => decided.append(sequencer.fail(&error)),
        }
        drop(sequencer);
        self.changed.notify_all();
        decided.wake();
        self.look()
    }

    /// Makes everything durable that has been sequenced.
    pub(super) fn sync(&self) -> Result<()> {
        let sequencer = self.look();
        sequencer.check()?;
        let target = sequencer.next.previous();
        self.wait(sequencer, target, Goal::Durable, false)
    }

    /// Sees to the commit of a buffer that no thread waits for. Only the committer calls this.
    pub(super) fn lead_for_others(&self) {
        loop {
            let sequencer = self.look();
            if !sequencer.filling.wanted || sequencer.check().is_err() || self.advance(sequencer).is_err() {
                return;
            }
        }
    }

    /// Sees to the commit of everything up to `target`, if nobody does. A thread calls this that has taken the committer's
    /// place.
    pub(super) fn lead_up_to(&self, target: Position) {
        loop {
            let sequencer = self.look();
            // Asked under the lock, as whoever watches a batch has to lead it: this thread leaves when its own is decided.
            if self.has_reached(target, Goal::Visible) || !sequencer.filling.wanted || sequencer.check().is_err() {
                return;
            }
            if self.advance(sequencer).is_err() {
                return;
            }
        }
    }

    /// Whether one append is to be committed that nobody waits for yet, nothing is on its way, and nobody else is expected.
    #[cfg(feature = "server")]
    pub(super) fn is_alone(&self) -> bool {
        self.look().is_alone()
    }

    /// Commits the append of a lone writer, who is about to wait for it, if it is still alone.
    #[cfg(feature = "server")]
    pub(super) fn lead_alone(&self) {
        let mut sequencer = self.look();
        if sequencer.is_alone() {
            sequencer.filling.writers = 1;
            self.lead(sequencer);
        }
    }

    /// Has everything up to `target` seen to, which nobody may be waiting for: by whom `lead` finds, else by the committer.
    pub(super) fn push(&self, target: Position, lead: impl FnOnce() -> bool) {
        let mut sequencer = self.look();
        // Asked under the lock: once it has been written, what the buffer holds is others', and `lead` would do nothing for them.
        if !self.has_reached(target, Goal::Visible) {
            sequencer.want(target, || self.lead_or_ask(lead));
        }
    }

    fn lead_or_ask(&self, lead: impl FnOnce() -> bool) {
        if !lead() {
            self.signal.lead();
        }
    }

    /// Whether the log has come to `target`; if not, has the task woken when that is decided. If somebody has to lead for
    /// that, `lead` may take it over; else the committer does, which must run.
    pub(super) fn poll(
        &self,
        target: Position,
        goal: Goal,
        waiter: &mut Option<Arc<Waiter>>,
        waker: &Waker,
        lead: impl FnOnce() -> bool,
    ) -> Poll<Result<()>> {
        let registered = waiter.as_ref().is_some_and(|waiter| waiter.renew(waker));
        if self.has_reached(target, goal) {
            return Poll::Ready(Ok(()));
        }
        if registered || planted!(SleepWithoutLooking) && waiter.is_some() {
            return Poll::Pending;
        }
        let mut sequencer = self.look();
        if self.has_reached(target, goal) {
            return Poll::Ready(Ok(()));
        }
        if let Err(error) = sequencer.check() {
            return Poll::Ready(Err(error));
        }
        let own = waiter.insert(Waiter::of_task(waker)).clone();
        if goal == Goal::Durable && self.relaxed {
            sequencer.unsynced.push(own);
            self.signal.sync();
        } else {
            sequencer.count(target);
            sequencer.register(target, own, true);
            sequencer.want(target, || self.lead_or_ask(lead));
        }
        Poll::Pending
    }
}

impl Sequencer {
    #[cfg(feature = "server")]
    fn is_alone(&self) -> bool {
        let filling = &self.filling;
        let waits = filling.begun && !filling.wanted && filling.writers == 0 && self.gather.expects_one();
        waits && self.flying.is_none() && self.check().is_ok()
    }

    fn flies(&self, target: Position) -> bool {
        self.flying.as_ref().is_some_and(|flight| flight.last >= target)
    }

    /// Notes that somebody waits for an append of its own.
    fn count(&mut self, target: Position) {
        match &mut self.flying {
            Some(flight) if flight.last >= target => flight.writers += 1,
            _ => self.filling.writers += 1,
        }
    }

    /// Has the waiter woken when it is decided what becomes of `target`. `own`: that is an append of its own.
    fn register(&mut self, target: Position, waiter: Arc<Waiter>, own: bool) {
        let waiting = match &mut self.flying {
            Some(flight) if flight.last >= target => &mut flight.waiting,
            _ => &mut self.filling.waiting,
        };
        if own { waiting.own.push(waiter) } else { waiting.others.push(waiter) }
    }

    /// Has somebody see to the buffer, if `target` is in it.
    pub(super) fn want(&mut self, target: Position, lead: impl FnOnce()) {
        if self.filling.begun && !self.flies(target) && !self.filling.wanted {
            self.filling.wanted = true;
            // What flies has a leader, who will find that the next batch is wanted.
            if self.flying.is_none() {
                lead();
            }
        }
    }
}
