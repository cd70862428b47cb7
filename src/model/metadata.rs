//! What is known of an event beside its data: where it came from.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ModelError;
use crate::event::{EventId, InvalidInput, RecordedEvent};

/// What is known of an event beside its data. In the store it is a JSON object:
///
/// | key | meaning |
/// |---|---|
/// | `correlationId` | the same for everything that follows from one request |
/// | `causationId` | the event that led to this one; for the first, the command |
/// | `schemaVersion` | the version of the event's type, when it is not 1: see [`super::DomainEvent`] |
/// | any other | the application's own, such as who asked for it |
///
/// A command bus begins one for each command ([`Metadata::begin`]), unless it is given one, and hands it to the handler,
/// which hands it to the repository. Whoever reacts to an event goes on with [`Metadata::caused_by`].
///
/// ```
/// use factlog::{EventStore, ExpectedVersion, MemoryStore, NewEvent, ReadStream, StreamName, block_on, model::Metadata};
///
/// # let store = MemoryStore::new();
/// # let stream = StreamName::new("order-1")?;
/// let request = Metadata::correlated("request-17").with("userId", "u-1");
/// let paid = NewEvent::json("Paid", &())?.with_json_metadata(&request)?;
/// block_on(store.append(&stream, ExpectedVersion::Any, vec![paid]))?;
///
/// let event = &block_on(store.read_stream(ReadStream::new(&stream)))?[0];
/// let reaction = Metadata::caused_by(event);
/// assert_eq!(reaction.correlation_id.as_deref(), Some("request-17"));
/// assert_eq!(reaction.causation_id, Some(event.id().to_string()));
/// # Ok::<(), factlog::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The same for everything that follows from one request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The event that led to this one; for the first, the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// The application's own.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// The key of the version of an event's type.
const SCHEMA_VERSION: &str = "schemaVersion";

impl Metadata {
    /// None.
    pub fn none() -> Metadata {
        Metadata::default()
    }

    /// For a command that nothing led to: a new id, which is both.
    pub fn begin() -> Metadata {
        let id = EventId::generate().to_string();
        Metadata { correlation_id: Some(id.clone()), causation_id: Some(id), other: BTreeMap::new() }
    }

    /// For a command that came with an id of its own, such as that of a request.
    pub fn correlated(id: impl Into<String>) -> Metadata {
        let id = id.into();
        Metadata { correlation_id: Some(id.clone()), causation_id: Some(id), other: BTreeMap::new() }
    }

    /// For what follows from an event: its correlation goes on, or begins with the event when it has none, the event is the
    /// cause, and what the application has noted of its own, such as for whom all this happens, goes on as well.
    pub fn caused_by(event: &RecordedEvent) -> Metadata {
        let id = event.id().to_string();
        // Metadata of another kind has nothing to go on with.
        let Metadata { correlation_id, other, .. } = Metadata::of(event).unwrap_or_default();
        Metadata { correlation_id: Some(correlation_id.unwrap_or_else(|| id.clone())), causation_id: Some(id), other }
    }

    /// That of a stored event; none for an event that has none.
    ///
    /// # Errors
    ///
    /// [`ModelError::UnreadableEvent`] when it is no JSON object, or has something else than texts for ids.
    pub fn of(event: &RecordedEvent) -> Result<Metadata, ModelError> {
        let read = event.json_metadata::<Metadata>();
        let mut metadata =
            read.map_err(|error| ModelError::unreadable(event, format!("its metadata: {error}")))?.unwrap_or_default();
        metadata.other.remove(SCHEMA_VERSION);
        Ok(metadata)
    }

    /// The same with something of the application's own.
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Metadata {
        self.other.insert(key.into(), value.into());
        self
    }

    /// As it stands beside an event whose type is of this version; empty when there is nothing to say.
    pub(super) fn to_bytes(&self, schema_version: u32) -> Result<Bytes, InvalidInput> {
        if schema_version == 1 && *self == Metadata::default() {
            return Ok(Bytes::new());
        }
        let written = match schema_version {
            1 => serde_json::to_vec(self),
            version => serde_json::to_vec(&self.clone().with(SCHEMA_VERSION, version)),
        };
        let written = written.map_err(|error| InvalidInput::Json { what: "metadata", reason: error.to_string() })?;
        Ok(written.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventType, Recorded, StreamName, Timestamp};
    use crate::version::{Position, Version};

    fn event(metadata: &str) -> RecordedEvent {
        let recorded = Recorded {
            position: Position::FIRST,
            version: Version::FIRST,
            id: EventId::generate(),
            timestamp: Timestamp::from_micros(0),
        };
        let stream = StreamName::new("order-1").unwrap();
        RecordedEvent::new(recorded, &stream, &EventType::new("T").unwrap(), metadata.as_bytes(), b"{}")
    }

    #[test]
    fn metadata_is_read_back_as_it_was_written_whatever_the_version_of_the_type() {
        let metadata = Metadata::begin().with("userId", "u-1");
        for version in [1, 7] {
            let bytes = metadata.to_bytes(version).unwrap();
            let text = std::str::from_utf8(&bytes).unwrap();
            assert_eq!(text.contains(r#""schemaVersion":7"#), version == 7, "{text}");
            assert_eq!(Metadata::of(&event(text)).unwrap(), metadata);
        }
        assert_eq!(Metadata::none().to_bytes(1).unwrap(), "");
        assert_eq!(Metadata::none().to_bytes(2).unwrap(), r#"{"schemaVersion":2}"#);
    }

    #[test]
    fn what_follows_from_an_event_keeps_its_correlation_and_has_it_as_its_cause() {
        let first = event(r#"{"correlationId":"c","causationId":"x","userId":"u"}"#);
        let next = Metadata::caused_by(&first);
        let expected = Metadata { causation_id: Some(first.id().to_string()), ..Metadata::correlated("c") };
        assert_eq!(next, expected.with("userId", "u"), "the application's own goes on as well");
        for unrelated in ["", "no JSON", r#"{"correlationId":7}"#] {
            let first = event(unrelated);
            assert_eq!(Metadata::caused_by(&first), Metadata::correlated(first.id().to_string()), "{unrelated}");
        }
    }

    #[test]
    fn metadata_of_another_kind_is_an_error_that_names_the_event() {
        assert_eq!(Metadata::of(&event("")).unwrap(), Metadata::none());
        let error = Metadata::of(&event("[1]")).unwrap_err().to_string();
        assert!(error.contains("event 1 of stream `order-1`"), "{error}");
    }
}
