//! Loading aggregates from their streams, and storing what was decided.

use std::{marker::PhantomData, sync::Arc};

use super::{
    aggregate::{Aggregate, AggregateRoot},
    error::ModelError,
};
use crate::{
    event_store::{Appended, EventStore, ReadStream},
    version::Version,
};

/// How often [`Repository::change`] decides at most. Each conflict means that another writer got through, so that a
/// writer meets this bound only on a stream that many write to at once.
const DECISIONS: usize = 100;

/// The aggregates of one kind in a store. Cheap to clone.
pub struct Repository<A> {
    store: Arc<dyn EventStore>,
    aggregate: PhantomData<fn() -> A>,
}

impl<A> Clone for Repository<A> {
    fn clone(&self) -> Self {
        Repository { store: Arc::clone(&self.store), aggregate: PhantomData }
    }
}

impl<A: Aggregate> Repository<A> {
    /// The aggregates in this store.
    pub fn new(store: Arc<dyn EventStore>) -> Repository<A> {
        Repository { store, aggregate: PhantomData }
    }

    /// Loads an aggregate by folding its stream.
    ///
    /// # Errors
    ///
    /// [`ModelError::AggregateNotFound`] when its stream has no events; [`ModelError::UnreadableEvent`] when one is not
    /// of the aggregate's own; or the store's error.
    pub async fn load(&self, id: &str) -> Result<AggregateRoot<A>, ModelError> {
        let mut root = AggregateRoot::new(id)?;
        loop {
            let read = ReadStream::new(root.stream()).from(root.version().next());
            let page = self.store.read_stream(read).await?;
            if page.is_empty() {
                break;
            }
            for event in &page {
                root.replay(event)?;
            }
        }
        match root.version() {
            Version::NONE => Err(ModelError::AggregateNotFound { id: id.to_owned() }),
            _ => Ok(root),
        }
    }

    /// Stores what was recorded on an aggregate, as one atomic append, if its stream is still at the version that it was
    /// loaded at; for a new aggregate, if it has no stream. `None` when nothing was recorded.
    ///
    /// # Errors
    ///
    /// [`ModelError::Concurrency`] when the stream has moved on, or the store's error. The aggregate keeps its
    /// uncommitted events.
    pub async fn save(&self, root: &mut AggregateRoot<A>) -> Result<Option<Appended>, ModelError> {
        if root.uncommitted().is_empty() {
            return Ok(None);
        }
        let events = root.uncommitted().to_vec();
        let appended = self.store.append(root.stream(), root.expected_version(), events).await?;
        root.mark_committed(appended.version);
        Ok(Some(appended))
    }

    /// Loads an existing aggregate, lets `decide` record events on it, and saves it; when another writer was faster,
    /// loads and decides again, a bounded number of times.
    ///
    /// # Errors
    ///
    /// As for [`Repository::load`] and [`Repository::save`], and what `decide` returns.
    pub async fn change(
        &self,
        id: &str,
        decide: impl Fn(&mut AggregateRoot<A>) -> Result<(), ModelError>,
    ) -> Result<Option<Appended>, ModelError> {
        let mut decisions = 1;
        loop {
            let mut root = self.load(id).await?;
            decide(&mut root)?;
            match self.save(&mut root).await {
                Err(ModelError::Concurrency(_)) if decisions < DECISIONS => decisions += 1,
                saved => return saved,
            }
        }
    }
}
