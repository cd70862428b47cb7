//! Aggregates: state folded from typed events.
//!
//! Invariants:
//!
//! - the state of an [`AggregateRoot`] is the fold of the events of its stream up to its version, and of what was
//!   recorded on it since;
//! - an event keeps its id from the moment it is recorded, so that storing it again can be recognised.

use std::collections::BTreeMap;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::error::ModelError;
use crate::{
    event::{EventId, InvalidInput, NewEvent, RecordedEvent, StreamName, Timestamp},
    version::{ExpectedVersion, Version},
};

/// The events of a domain: an enum whose variants each are one event type, with the data as the variant's content.
///
/// The name that serde gives a variant is the event's type in the store, and the variant's content is the payload, as
/// JSON. So serde's default form of an enum must stay: no `tag`, no `untagged`.
///
/// ```
/// use factlog::model::DomainEvent;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// enum CounterEvent {
///     CountedEvent { by: u64 },
/// }
///
/// impl DomainEvent for CounterEvent {
///     const TYPES: &'static [&'static str] = &["CountedEvent"];
/// }
///
/// let event = CounterEvent::CountedEvent { by: 2 }.to_new_event()?;
/// assert_eq!(event.event_type, "CountedEvent");
/// assert_eq!(event.payload, r#"{"by":2}"#);
/// # Ok::<(), factlog::model::ModelError>(())
/// ```
pub trait DomainEvent: Serialize + DeserializeOwned + Send + Sync {
    /// The type of each variant, as serde names it.
    const TYPES: &'static [&'static str];

    /// This event as the store takes it, under a new id.
    ///
    /// # Errors
    ///
    /// When it cannot be written as JSON.
    fn to_new_event(&self) -> Result<NewEvent, ModelError> {
        let not_json = |reason: String| InvalidInput::Json { what: "event", reason };
        let tagged = serde_json::to_string(self).map_err(|error| not_json(error.to_string()))?;
        let parts: BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(&tagged).map_err(|error| not_json(error.to_string()))?;
        match parts.into_iter().next() {
            Some((event_type, data)) => Ok(NewEvent::json(event_type, &data)?),
            None => Err(not_json(format!("`{tagged}` has no event type")).into()),
        }
    }

    /// The event that the store holds; `None` when it is of none of [`DomainEvent::TYPES`].
    ///
    /// # Errors
    ///
    /// [`ModelError::UnreadableEvent`] when its payload does not fit its type.
    fn from_recorded(event: &RecordedEvent) -> Result<Option<Self>, ModelError> {
        let event_type = event.event_type();
        if !Self::TYPES.contains(&event_type.as_str()) {
            return Ok(None);
        }
        let payload = event.payload();
        let mut tagged = Vec::with_capacity(payload.len() + event_type.as_str().len() + 5);
        tagged.extend_from_slice(b"{\"");
        tagged.extend_from_slice(event_type.as_str().as_bytes());
        tagged.extend_from_slice(b"\":");
        tagged.extend_from_slice(&payload);
        tagged.push(b'}');
        serde_json::from_slice(&tagged).map(Some).map_err(|error| ModelError::unreadable(event, error.to_string()))
    }
}

/// A state that is folded from events; its default is the state before the first.
///
/// Decisions are methods of the state: they take what a command brings and return an event or a refusal, and change
/// nothing. Only [`Aggregate::apply`] changes the state, and it cannot refuse: what has happened has happened.
pub trait Aggregate: Default + Send + Sync {
    /// What can happen to it.
    type Event: DomainEvent;

    /// The first part of its streams' names: the stream of the aggregate `17` is `<CATEGORY>-17`. It has no `-`.
    const CATEGORY: &'static str;

    /// Changes the state as the event says.
    fn apply(&mut self, event: &Self::Event);

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
}

/// An aggregate with its identity, the version that it was loaded at, and what was decided on it since.
#[derive(Debug)]
pub struct AggregateRoot<A: Aggregate> {
    id: String,
    stream: StreamName,
    version: Version,
    state: A,
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
        Ok(AggregateRoot { id, stream, version: Version::NONE, state: A::default(), uncommitted: Vec::new() })
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

    /// Applies the next stored event of the stream.
    pub(super) fn replay(&mut self, event: &RecordedEvent) -> Result<(), ModelError> {
        let decoded = A::Event::from_recorded(event)?
            .ok_or_else(|| ModelError::unreadable(event, format!("the type is none of {:?}", A::Event::TYPES)))?;
        self.state.apply(&decoded);
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

    pub(super) fn mark_committed(&mut self, version: Version) {
        self.version = version;
        self.uncommitted.clear();
    }
}
