//! Bytes in flight: how many of them one connection may have, and all together.
//!
//! What is held is given back when it is dropped. Requests and responses have budgets of their own, so that clients that do
//! not read their answers keep nobody from appending.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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

    /// How many bytes are held.
    pub(super) fn held(&self) -> usize {
        self.1 - self.0.available_permits()
    }
}

/// A connection's own budget, and the one that it shares with all others.
#[derive(Clone, Debug)]
pub(super) struct Budgets {
    pub(super) own: Budget,
    pub(super) total: Budget,
}

/// Bytes that are in flight.
#[derive(Debug, Default)]
pub(super) struct Held {
    own: Option<OwnedSemaphorePermit>,
    total: Option<OwnedSemaphorePermit>,
}

impl Budgets {
    /// Waits for so many bytes. The connection's own come first: who has used those up waits for nobody but itself.
    pub(super) async fn hold(&self, bytes: usize) -> Held {
        let own = self.own.hold(bytes).await;
        Held { own, total: self.total.hold(bytes).await }
    }
}

impl Held {
    /// Both together.
    pub(super) fn add(&mut self, other: Held) {
        let merge =
            |to: &mut Option<OwnedSemaphorePermit>, from: Option<OwnedSemaphorePermit>| match (to.as_mut(), from) {
                (Some(to), Some(from)) => to.merge(from),
                (None, from) => *to = from,
                (Some(_), None) => {}
            };
        merge(&mut self.own, other.own);
        merge(&mut self.total, other.total);
    }
}
