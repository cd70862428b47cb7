//! Bytes in flight: how many of them one connection may have, and all together.
//!
//! What is held is given back when it is dropped. Requests and responses have budgets of their own, so that clients that do
//! not read their answers keep nobody from appending. Nor do those who have taken all that there is stop others for good: a connection
//! that has nothing else in flight asks nobody for something small.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

/// A number of bytes that may be in flight.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<Semaphore>, usize);

impl Budget {
    pub(super) fn new(bytes: usize) -> Budget {
        // A permit counts in 32 bits.
        let bytes = bytes.min(u32::MAX as usize);
        Budget(Arc::new(Semaphore::new(bytes)), bytes)
    }

    /// So many bytes of it, or all of it for more, as soon as others have given them back.
    async fn hold(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = bytes.min(self.1) as u32;
        self.0.clone().acquire_many_owned(bytes).await.ok()
    }

    /// The same if nobody has to be waited for.
    fn hold_now(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = bytes.min(self.1) as u32;
        self.0.clone().try_acquire_many_owned(bytes).ok()
    }

    /// How many bytes are held.
    pub(super) fn held(&self) -> usize {
        self.1 - self.0.available_permits()
    }
}

/// A connection's own budget, and the one that it shares with all others.
#[derive(Clone, Debug)]
pub(super) struct Budgets {
    own: Budget,
    total: Budget,
    /// So much is free to a connection that has nothing else in flight.
    free: usize,
    /// Of one connection only one waits for the total, so that all others are in flight and come to an end.
    turn: Arc<Mutex<()>>,
}

/// Bytes that are in flight.
#[allow(dead_code, reason = "they are given back by being dropped")]
#[derive(Debug, Default)]
pub(super) struct Held {
    own: Option<OwnedSemaphorePermit>,
    total: Option<OwnedSemaphorePermit>,
}

impl Budgets {
    pub(super) fn new(own: usize, total: &Budget, free: usize) -> Budgets {
        Budgets { own: Budget::new(own), total: total.clone(), free, turn: Arc::default() }
    }

    /// Waits for so many bytes. The connection's own come first: who has used those up waits for nobody but itself.
    pub(super) async fn hold(&self, bytes: usize) -> Held {
        match self.hold_now(bytes) {
            Some(held) => held,
            None => self.wait_for(bytes).await,
        }
    }

    /// As [`Budgets::hold`], if nobody has to be waited for.
    fn hold_now(&self, bytes: usize) -> Option<Held> {
        let _turn = self.turn.try_lock().ok()?;
        let own = Some(self.own.hold_now(bytes)?);
        Some(Held { own, total: Some(self.total.hold_now(bytes)?) })
    }

    async fn wait_for(&self, bytes: usize) -> Held {
        let _turn = self.turn.lock().await;
        let own = self.own.hold(bytes).await;
        if bytes > self.free {
            return Held { own, total: self.total.hold(bytes).await };
        }
        tokio::select! {
            biased;
            total = self.total.hold(bytes) => Held { own, total },
            // All that the connection has beside it: nothing else is in flight.
            _rest = self.own.hold(self.own.1.saturating_sub(bytes)) => Held { own, total: None },
        }
    }
}
