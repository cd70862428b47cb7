//! Loading aggregates from their streams, and storing what was decided.
//!
//! ```text
//!   load     newest usable snapshot, then the events behind it, one after the other
//!   decide   the aggregate says which events a command leads to
//!   save     append them, if the stream is still at the version that was loaded: then they are durable
//!            snapshot, if the last one is long enough ago
//! ```
//!
//! Invariants:
//!
//! - what is appended was decided on the state at exactly the version that it was appended behind;
//! - no snapshot is ahead of its stream, and none that fails makes a command fail.

use std::{fmt, iter, sync::Arc, time::Duration};

use super::{
    aggregate::{Aggregate, AggregateRoot},
    command::{AggregateCommand, Committed},
    error::ModelError,
    metadata::Metadata,
    retry::RetryPolicy,
    snapshots::Snapshots,
    timer::{Sleep, Timer},
};
use crate::{
    event::Timestamp,
    event_store::{EventStore, ReadStream},
    version::Version,
};

/// How often a change is decided at most. Each conflict means that another writer got through, so that a writer meets this
/// bound only on a stream that many write to at once.
const DECISIONS: u32 = 100;

/// The aggregates of one kind in a store. Cheap to clone.
///
/// ```
/// # use factlog::model::{Aggregate, DomainEvent};
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # enum CounterEvent { Counted { by: u64 } }
/// # impl DomainEvent for CounterEvent {}
/// # #[derive(Default)]
/// # struct Counter { sum: u64 }
/// # impl Aggregate for Counter {
/// #     type Event = CounterEvent;
/// #     const CATEGORY: &'static str = "counter";
/// #     fn apply(&mut self, event: &CounterEvent) {
/// #         let CounterEvent::Counted { by } = event;
/// #         self.sum += by;
/// #     }
/// # }
/// use std::{convert::Infallible, sync::Arc};
/// use factlog::{MemoryStore, Version, block_on, model::{AggregateCommand, Metadata, Repository}};
///
/// struct Count {
///     counter: String,
///     by: u64,
/// }
///
/// impl AggregateCommand for Count {
///     type Aggregate = Counter;
///     type Refusal = Infallible;
///
///     fn aggregate_id(&self) -> &str {
///         &self.counter
///     }
///
///     fn creates(&self) -> bool {
///         true
///     }
///
///     fn decide(&self, _: &Counter) -> Result<Vec<CounterEvent>, Infallible> {
///         Ok(vec![CounterEvent::Counted { by: self.by }])
///     }
/// }
///
/// let counters = Repository::<Counter>::new(Arc::new(MemoryStore::new()));
/// let count = Count { counter: "visits".into(), by: 2 };
/// let committed = block_on(counters.execute(&count, &Metadata::begin()))?;
/// assert_eq!(committed.version, Version::FIRST);
/// assert_eq!(block_on(counters.load("visits"))?.state().sum, 2);
/// # Ok::<(), factlog::model::ModelError>(())
/// ```
pub struct Repository<A> {
    store: Arc<dyn EventStore>,
    snapshots: Option<Snapshots<A>>,
    skip_unknown: bool,
    sleep: Arc<dyn Sleep>,
}

impl<A> Clone for Repository<A> {
    fn clone(&self) -> Self {
        Repository {
            store: Arc::clone(&self.store),
            snapshots: self.snapshots.clone(),
            skip_unknown: self.skip_unknown,
            sleep: Arc::clone(&self.sleep),
        }
    }
}

impl<A> fmt::Debug for Repository<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Repository { snapshots, skip_unknown, .. } = self;
        f.debug_struct("Repository")
            .field("snapshots", snapshots)
            .field("skip_unknown", skip_unknown)
            .finish_non_exhaustive()
    }
}

impl<A: Aggregate> Repository<A> {
    /// The aggregates in this store.
    pub fn new(store: Arc<dyn EventStore>) -> Repository<A> {
        Repository { store, snapshots: A::snapshots(), skip_unknown: false, sleep: Arc::new(Timer) }
    }

    /// Takes a snapshot every so many events. An aggregate without [`Aggregate::snapshots`] has none all the same.
    pub fn snapshot_every(mut self, events: u64) -> Repository<A> {
        self.snapshots = self.snapshots.map(|snapshots| snapshots.every(events));
        self
    }

    /// Takes and uses no snapshots.
    pub fn without_snapshots(mut self) -> Repository<A> {
        self.snapshots = None;
        self
    }

    /// Passes over events of types that the aggregate does not know, which otherwise are errors. It then decides without
    /// knowing of them. No snapshot is taken of an aggregate that has such events.
    pub fn skip_unknown_events(mut self) -> Repository<A> {
        self.skip_unknown = true;
        self
    }

    /// Waits between decisions by this instead of the [`Timer`].
    pub fn sleep(mut self, sleep: Arc<dyn Sleep>) -> Repository<A> {
        self.sleep = sleep;
        self
    }

    pub(super) fn store(&self) -> &dyn EventStore {
        &*self.store
    }

    /// Loads an aggregate: its newest usable snapshot, and the events behind it.
    ///
    /// # Errors
    ///
    /// [`ModelError::AggregateNotFound`] when its stream has no events; [`ModelError::UnreadableEvent`] when one is not
    /// of the aggregate's own; or the store's error.
    pub async fn load(&self, id: &str) -> Result<AggregateRoot<A>, ModelError> {
        self.load_as_of(id, Version::MAX).await
    }

    /// Loads an aggregate as it was at a version; as it is, when it has not come that far. What is decided on an older version
    /// cannot be saved.
    ///
    /// # Errors
    ///
    /// As for [`Repository::load`].
    pub async fn load_as_of(&self, id: &str, version: Version) -> Result<AggregateRoot<A>, ModelError> {
        let mut root = AggregateRoot::new(id)?;
        let newest = self.store.stream_version(root.stream()).await?.min(version);
        if let Some(snapshots) = &self.snapshots {
            snapshots.restore(&*self.store, &mut root, newest).await?;
        }
        while root.version() < newest {
            let read = ReadStream::new(root.stream()).from(root.version().next()).to(newest);
            let page = self.store.read_stream(read).await?;
            if page.is_empty() {
                break;
            }
            for event in &page {
                root.replay(event, self.skip_unknown)?;
            }
        }
        found(root)
    }

    /// Loads an aggregate as it was at a time: by the events before the first that was recorded later. What is decided on an
    /// older version cannot be saved.
    ///
    /// # Errors
    ///
    /// As for [`Repository::load`]; [`ModelError::AggregateNotFound`] also when its first event is later.
    pub async fn load_at(&self, id: &str, time: Timestamp) -> Result<AggregateRoot<A>, ModelError> {
        let mut root = AggregateRoot::new(id)?;
        loop {
            let read = ReadStream::new(root.stream()).from(root.version().next());
            let page = self.store.read_stream(read).await?;
            if page.is_empty() {
                return found(root);
            }
            for event in &page {
                if event.timestamp() > time {
                    return found(root);
                }
                root.replay(event, self.skip_unknown)?;
            }
        }
    }

    /// Whether anything has happened to the aggregate with this id.
    ///
    /// # Errors
    ///
    /// When the id does not make a stream name, or the store's error.
    pub async fn exists(&self, id: &str) -> Result<bool, ModelError> {
        Ok(self.store.stream_version(&A::stream(id)?).await? != Version::NONE)
    }

    /// Stores what was recorded on an aggregate, as one atomic append, if its stream is still at the version that it was
    /// loaded at; for a new aggregate, if it has no stream. Each event gets the metadata.
    ///
    /// # Errors
    ///
    /// [`ModelError::Concurrency`] when the stream has moved on, or the store's error. The aggregate keeps its
    /// uncommitted events. Saving the same again, with the same metadata, stores nothing twice.
    pub async fn save(&self, root: &mut AggregateRoot<A>, metadata: &Metadata) -> Result<Committed, ModelError> {
        let events = root.uncommitted().len();
        if events == 0 {
            let position = self.store.last_position().await?;
            return Ok(Committed { stream: root.stream().clone(), version: root.version(), position, events });
        }
        let new_events = root.to_be_stored(metadata)?;
        let appended = self.store.append(root.stream(), root.expected_version(), new_events).await?;
        root.mark_committed(appended.version);
        if let Some(snapshots) = &self.snapshots {
            snapshots.take_if_due(&*self.store, root).await;
        }
        let (version, position) = (appended.version, appended.position);
        Ok(Committed { stream: root.stream().clone(), version, position, events })
    }

    /// Loads an existing aggregate, lets `decide` record events on it, and saves it. When another writer was faster, it loads
    /// and decides again: at once, then after waits of 1 to 50 ms, a bounded number of times.
    ///
    /// # Errors
    ///
    /// As for [`Repository::load`] and [`Repository::save`], and what `decide` returns.
    pub async fn change(
        &self,
        id: &str,
        metadata: &Metadata,
        decide: impl Fn(&mut AggregateRoot<A>) -> Result<(), ModelError>,
    ) -> Result<Committed, ModelError> {
        let mut waits = waits_between_decisions();
        loop {
            let mut root = self.load(id).await?;
            decide(&mut root)?;
            match self.save(&mut root, metadata).await {
                Err(ModelError::Concurrency(conflict)) => match waits.next() {
                    Some(Duration::ZERO) => {}
                    Some(wait) => self.sleep.sleep(wait).await,
                    None => return Err(conflict.into()),
                },
                saved => return saved,
            }
        }
    }

    /// Lets a new aggregate be decided on and saves it, once: when it exists already, deciding again would not change that.
    ///
    /// # Errors
    ///
    /// [`ModelError::Concurrency`] when the aggregate exists; what `decide` returns; or the store's error.
    pub async fn create(
        &self,
        id: &str,
        metadata: &Metadata,
        decide: impl FnOnce(&mut AggregateRoot<A>) -> Result<(), ModelError>,
    ) -> Result<Committed, ModelError> {
        let mut root = AggregateRoot::new(id)?;
        decide(&mut root)?;
        self.save(&mut root, metadata).await
    }

    /// Carries out a command: [`Repository::create`] or [`Repository::change`] with the events that it decides on.
    ///
    /// # Errors
    ///
    /// [`ModelError::Refused`] with the command's [`AggregateCommand::Refusal`], and as for those two.
    pub async fn execute<C: AggregateCommand<Aggregate = A>>(
        &self,
        command: &C,
        metadata: &Metadata,
    ) -> Result<Committed, ModelError> {
        let decide = |root: &mut AggregateRoot<A>| {
            let events = command.decide(root.state()).map_err(ModelError::refused)?;
            events.iter().try_for_each(|event| root.record(event))
        };
        match command.creates() {
            true => self.create(command.aggregate_id(), metadata, decide).await,
            false => self.change(command.aggregate_id(), metadata, decide).await,
        }
    }
}

fn found<A: Aggregate>(root: AggregateRoot<A>) -> Result<AggregateRoot<A>, ModelError> {
    match root.version() {
        Version::NONE => Err(ModelError::AggregateNotFound { id: root.id().to_owned() }),
        _ => Ok(root),
    }
}

/// None before the second decision, then 1 to 50 ms each, longer as conflicts go on.
fn waits_between_decisions() -> impl Iterator<Item = Duration> {
    let (shortest, longest) = (Duration::from_millis(2), Duration::from_millis(50));
    // Chance takes up to a half of each.
    let policy = RetryPolicy::default().attempts(DECISIONS - 1).base_delay(shortest).max_delay(longest);
    iter::once(Duration::ZERO).chain(policy.delays())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_is_decided_again_at_once_and_then_after_1_to_50_ms_up_to_a_bound() {
        let waits: Vec<_> = waits_between_decisions().collect();
        assert_eq!(waits.len(), DECISIONS as usize - 1);
        assert_eq!(waits[0], Duration::ZERO);
        let bounds = Duration::from_millis(1)..=Duration::from_millis(50);
        assert!(waits[1..].iter().all(|wait| bounds.contains(wait)), "{waits:?}");
        assert!(waits[6..].iter().all(|wait| *wait >= Duration::from_millis(25)), "{waits:?}");
    }
}
