//! How snapshots of an aggregate are kept.

use std::{fmt, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

use super::aggregate::{Aggregate, AggregateRoot};
use crate::{
    codec::{Codec, JsonCodec},
    error::Result,
    event::StreamName,
    event_store::{BoxFuture, EventStore, LoadedState, load_state, save_state},
    version::Version,
};

/// How many events come between two snapshots, unless said otherwise.
const EVERY: u64 = 100;

/// How snapshots of an aggregate are kept: how often one is taken, in which codec, and of which version its state's type is.
///
/// A snapshot holds no truth. One that cannot be used, for example because it holds another version of the state, is passed
/// over with a warning, and the events tell the same; one that cannot be saved is a warning, too. The warnings go to `tracing`.
pub struct Snapshots<A> {
    every: u64,
    version: u32,
    codec: Arc<dyn StateCodec<A>>,
}

impl<A> Clone for Snapshots<A> {
    fn clone(&self) -> Self {
        Snapshots { every: self.every, version: self.version, codec: Arc::clone(&self.codec) }
    }
}

impl<A> fmt::Debug for Snapshots<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshots").field("every", &self.every).field("version", &self.version).finish_non_exhaustive()
    }
}

impl<A: Aggregate + Serialize + DeserializeOwned> Snapshots<A> {
    /// A snapshot as JSON every 100 events, of a state whose type is of this version. Count it up when old snapshots must not
    /// be read as the new type, or when [`Aggregate::apply`] makes another state of the same events.
    pub fn of_version(version: u32) -> Snapshots<A> {
        Snapshots { every: EVERY, version, codec: Arc::new(Coded(JsonCodec)) }
    }

    /// In another codec.
    pub fn codec(mut self, codec: impl Codec + 'static) -> Snapshots<A> {
        self.codec = Arc::new(Coded(codec));
        self
    }
}

impl<A: Aggregate> Snapshots<A> {
    /// Every so many events.
    pub fn every(mut self, events: u64) -> Snapshots<A> {
        self.every = events.max(1);
        self
    }

    /// Goes on from the newest usable snapshot at or below a version. A stream with fewer events than lie between two
    /// snapshots has none to look for.
    pub(super) async fn restore(
        &self,
        store: &dyn EventStore,
        root: &mut AggregateRoot<A>,
        at_or_below: Version,
    ) -> Result<()> {
        if at_or_below.get() < self.every {
            return Ok(());
        }
        let loaded = self.codec.load(store, root.stream(), at_or_below, self.version).await?;
        for skipped in &loaded.skipped {
            tracing::warn!(stream = %skipped.stream, version = %skipped.version, reason = %skipped.reason, "skipped a snapshot");
        }
        if let Some((version, state)) = loaded.state {
            root.restore(version, state);
        }
        Ok(())
    }

    /// Takes a snapshot, if the last one is long enough ago. What was stored stays stored when that fails: it is tried again
    /// behind the next events. Of an aggregate that has passed over events that it does not know none is taken: a program that
    /// knows them would miss them for ever.
    pub(super) async fn take_if_due(&self, store: &dyn EventStore, root: &mut AggregateRoot<A>) {
        if !root.is_complete() || root.version().get().saturating_sub(root.snapshot_version().get()) < self.every {
            return;
        }
        match self.codec.save(store, root.stream(), root.version(), self.version, root.state()).await {
            Ok(()) => root.mark_snapshot(),
            Err(error) => {
                tracing::warn!(stream = %root.stream(), version = %root.version(), %error, "could not save a snapshot");
            }
        }
    }
}

/// A codec that is known to write and read a state.
trait StateCodec<A>: Send + Sync {
    fn load<'a>(
        &'a self,
        store: &'a dyn EventStore,
        stream: &'a StreamName,
        at_or_below: Version,
        state_version: u32,
    ) -> BoxFuture<'a, Result<LoadedState<A>>>;

    fn save<'a>(
        &'a self,
        store: &'a dyn EventStore,
        stream: &'a StreamName,
        version: Version,
        state_version: u32,
        state: &'a A,
    ) -> BoxFuture<'a, Result<()>>;
}

struct Coded<C>(C);

impl<A: Aggregate + Serialize + DeserializeOwned, C: Codec> StateCodec<A> for Coded<C> {
    fn load<'a>(
        &'a self,
        store: &'a dyn EventStore,
        stream: &'a StreamName,
        at_or_below: Version,
        state_version: u32,
    ) -> BoxFuture<'a, Result<LoadedState<A>>> {
        Box::pin(load_state(store, stream, at_or_below, &self.0, state_version))
    }

    fn save<'a>(
        &'a self,
        store: &'a dyn EventStore,
        stream: &'a StreamName,
        version: Version,
        state_version: u32,
        state: &'a A,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(save_state(store, stream, version, &self.0, state_version, state))
    }
}
