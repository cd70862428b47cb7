//! Appends that have their places and are not yet acknowledged.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use crate::{
    error::Result,
    event_store::{Appended, leave_to_this_thread},
    log::{Goal, Log, Waiter},
    version::Position,
};

/// An append that has been accepted and has its versions and positions, but is not yet acknowledged: see
/// [`crate::Store::submit`].
///
/// Whoever needs to know that it is durable waits: a thread with [`Pending::wait`], a task by awaiting it. When it is
/// acknowledged, so is everything that was submitted before it: one who submits many waits for the last.
///
/// Dropping it does not take the append back; it is then committed as if somebody waited for it. As long as it is
/// neither waited for nor dropped, the append may stay in memory, until others make the store write.
///
/// Until it is acknowledged, a crash can take the append back. If a write or sync fails, waiting ends with
/// [`crate::Error::OutcomeUnknown`].
#[derive(Debug)]
#[must_use = "the append is not durable before this has been waited for"]
pub struct Pending {
    log: Arc<Log>,
    appended: Appended,
    waiter: Option<Arc<Waiter>>,
    awaited: bool,
}

impl Pending {
    pub(super) fn new(log: &Arc<Log>, appended: Appended) -> Pending {
        Pending { log: log.clone(), appended, waiter: None, awaited: false }
    }

    /// The places that the append has: its events are there once it is acknowledged, and nothing else ever is unless a crash
    /// takes them back first.
    pub fn appended(&self) -> Appended {
        self.appended
    }

    /// Waits until the append is acknowledged. This thread writes and syncs for others as well, if nobody does.
    ///
    /// # Errors
    ///
    /// [`crate::Error::OutcomeUnknown`]: a write or sync failed; open the store again to see what it holds.
    pub fn wait(mut self) -> Result<Appended> {
        self.awaited = true;
        self.log.wait(self.appended.position, Goal::Visible)?;
        Ok(self.appended)
    }
}

/// Never blocks: the store's own thread writes and syncs, unless another that waits for an append does. In
/// [`crate::block_on`] that is the thread which would else sleep.
impl Future for Pending {
    type Output = Result<Appended>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Appended>> {
        let this = &mut *self;
        let decided = await_log(&this.log, this.appended.position, Goal::Visible, &mut this.waiter, context);
        // From the first poll on the store sees to it, whether this is polled again or not.
        this.awaited = true;
        decided.map_ok(|()| this.appended)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.awaited {
            self.log.push(self.appended.position, || false);
        }
    }
}

/// Has this thread see to the commit of everything up to `target` before it sleeps, if it drives a future; whether it does.
pub(super) fn lead_here(log: &Arc<Log>, target: Position) -> bool {
    let log = log.clone();
    leave_to_this_thread(move || log.lead_up_to(target)).is_ok()
}

/// Waits for the log as a task.
pub(super) fn await_log(
    log: &Arc<Log>,
    target: Position,
    goal: Goal,
    waiter: &mut Option<Arc<Waiter>>,
    context: &mut Context<'_>,
) -> Poll<Result<()>> {
    match log.start_committer() {
        Ok(()) => log.poll(target, goal, waiter, context.waker(), || lead_here(log, target)),
        // Without the thread it is done here: better late than an answer that is wrong.
        Err(_) => Poll::Ready(log.wait(target, goal)),
    }
}
