//! Aggregates: state folded from typed events.
//!
//! Invariants:
//!
//! - the state of an [`AggregateRoot`] is the fold of the events of its stream up to its version, and of what was
//!   recorded on it since;
//! - an event keeps its id from the moment it is recorded, so that storing it again can be recognised.

use super::{error::ModelError, event::DomainEvent, metadata::Metadata, snapshots::Snapshots};
use crate::{
    event::{EventId, InvalidInput, NewEvent, RecordedEvent, StreamName, Timestamp},
    version::{ExpectedVersion, Version},
};

/// A state that is folded from events; its default is the state before the first.
///
/// Decisions are methods of the state: they take what a command brings and return events or a refusal, and change
/// nothing. Only [`Aggregate::apply`] changes the state, and it cannot refuse: what has happened has happened.
///
/// ```
/// use factlog::model::{Aggregate, DomainEvent, Snapshots};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum CounterEvent {
///     Counted { by: u64 },
/// }
///
/// impl DomainEvent for CounterEvent {}
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct Counter {
///     sum: u64,
/// }
///
/// impl Aggregate for Counter {
///     type Event = CounterEvent;
///
///     const CATEGORY: &'static str = "counter";
///
///     fn apply(&mut self, event: &CounterEvent) {
///         match event {
///             CounterEvent::Counted { by } => self.sum += by,
///         }
///     }
///
///     // Only for a state that serde can write, and only if loading should not always begin with the first event.
///     fn snapshots() -> Option<Snapshots<Counter>> {
///         Some(Snapshots::of_version(1))
///     }
/// }
/// ```
pub trait Aggregate: Default + Send + Sync + 'static {
    /// What can happen to it.
    type Event: DomainEvent;

    /// The first part of its streams' names: the stream of the aggregate `17` is `<CATEGORY>-17`. It has no `-`.
    const CATEGORY: &'static str;

    /// Changes the state as the event says.
    fn apply(&mut self, event: &Self::Event);

    /// How snapshots of it are kept; by default there are none.
    fn snapshots() -> Option<Snapshots<Self>> {
        None
    }

    /// The name of the stream that holds the aggregate with this id.
    ///
    /// # Errors
    ///
    /// When the id is empty, or the name breaks a rule of [`StreamName`].
    fn stream(id: &str) -> Result<StreamName, InvalidInput> {
        if id.is_empty() {
            return Err(InvalidInput::Empty { what: "aggregate's id" });
        }
        StreamName::new(format!("{}-{id}", Self::CATEGORY))
    }

    /// The id of the aggregate that an event belongs to, and what happened; `None` when it is of another category, or of a type
    /// that this one never knew. For whoever reads the whole log: projections, and handlers of events.
    ///
    /// # Errors
    ///
    /// As for [`DomainEvent::from_recorded`].
    fn event_of(event: &RecordedEvent) -> Result<Option<(&str, Self::Event)>, ModelError> {
        match event.stream_str().split_once('-') {
            Some((category, id)) if category == Self::CATEGORY => {
                Ok(Self::Event::from_recorded(event)?.map(|happened| (id, happened)))
            }
            _ => Ok(None),
        }
    }
}

/// An aggregate with its identity, the version that it was loaded at, and what was decided on it since.
#[derive(Debug)]
pub struct AggregateRoot<A: Aggregate> {
    id: String,
    stream: StreamName,
    version: Version,
    snapshot: Version,
    state: A,
    /// An event of a type that it does not know was passed over.
    incomplete: bool,
    uncommitted: Vec<NewEvent>,
}

impl<A: Aggregate> AggregateRoot<A> {
    /// An aggregate that nothing has happened to yet.
    ///
    /// # Errors
    ///
    /// When the id does not make a stream name: see [`Aggregate::stream`].
    pub fn new(id: impl Into<String>) -> Result<AggregateRoot<A>, ModelError> {
        let id = id.into();
        let stream = A::stream(&id)?;
        let (version, snapshot) = (Version::NONE, Version::NONE);
        Ok(AggregateRoot {
            id,
            stream,
            version,
            snapshot,
            state: A::default(),
            incomplete: false,
            uncommitted: Vec::new(),
        })
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its stream.
    pub fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// The version of its newest stored event; [`Version::NONE`] when nothing of it is stored.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The version of the snapshot that it was loaded from, or that was taken of it since; [`Version::NONE`] for none.
    pub fn snapshot_version(&self) -> Version {
        self.snapshot
    }

    /// Its state, uncommitted events included.
    pub fn state(&self) -> &A {
        &self.state
    }

    /// What was recorded and not stored yet.
    pub fn uncommitted(&self) -> &[NewEvent] {
        &self.uncommitted
    }

    /// Applies a decided event, to be stored by [`super::Repository::save`].
    ///
    /// # Errors
    ///
    /// When the event cannot be written as JSON; nothing is recorded then.
    pub fn record(&mut self, event: &A::Event) -> Result<(), ModelError> {
        let new_event = event.to_new_event()?;
        self.push(event, new_event);
        Ok(())
    }

    /// Applies an event that happened elsewhere, under the id and at the time that it has there.
    ///
    /// # Errors
    ///
    /// As for [`AggregateRoot::record`].
    pub fn record_as(&mut self, event: &A::Event, id: EventId, timestamp: Timestamp) -> Result<(), ModelError> {
        let new_event = event.to_new_event()?.with_id(id).with_timestamp(timestamp);
        self.push(event, new_event);
        Ok(())
    }

    fn push(&mut self, event: &A::Event, new_event: NewEvent) {
        self.state.apply(event);
        self.uncommitted.push(new_event);
    }

    /// Takes the state of a snapshot.
    pub(super) fn restore(&mut self, version: Version, state: A) {
        (self.version, self.snapshot, self.state) = (version, version, state);
    }

    /// Applies the next stored event of the stream. One of a type that the aggregate does not know is an error, or passed over.
    pub(super) fn replay(&mut self, event: &RecordedEvent, skip_unknown: bool) -> Result<(), ModelError> {
        match A::Event::from_recorded(event)? {
            Some(decoded) => self.state.apply(&decoded),
            None if skip_unknown => self.incomplete = true,
            None => {
                let reason = format!("the type is none of {:?}", A::Event::types());
                return Err(ModelError::unreadable(event, reason));
            }
        }
        self.version = event.version();
        Ok(())
    }

    /// The condition under which what was recorded may be stored.
    pub(super) fn expected_version(&self) -> ExpectedVersion {
        match self.version {
            Version::NONE => ExpectedVersion::NoStream,
            version => ExpectedVersion::Exact(version),
        }
    }

    /// What was recorded, with this metadata beside each event.
    pub(super) fn to_be_stored(&self, metadata: &Metadata) -> Result<Vec<NewEvent>, InvalidInput> {
        let mut written: Vec<(u32, bytes::Bytes)> = Vec::new();
        let stamped = self.uncommitted.iter().map(|event| {
            let version = A::Event::schema_version(event.event_type.as_str());
            let known = written.iter().find(|(of, _)| *of == version).map(|(_, bytes)| bytes.clone());
            let bytes = match known {
                Some(bytes) => bytes,
                None => metadata.to_bytes(version).inspect(|bytes| written.push((version, bytes.clone())))?,
            };
            Ok(event.clone().with_metadata(bytes))
        });
        stamped.collect()
    }

    pub(super) fn mark_committed(&mut self, version: Version) {
        self.version = version;
        self.uncommitted.clear();
    }

    /// Whether its state is all that its events tell: only then may others go on from a snapshot of it.
    pub(super) fn is_complete(&self) -> bool {
        !self.incomplete
    }

    pub(super) fn mark_snapshot(&mut self) {
        self.snapshot = self.version;
    }
}
