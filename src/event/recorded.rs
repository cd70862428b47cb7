//! Events as a store holds them.

use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{EventId, EventType, InvalidInput, StreamName, Timestamp};
use crate::version::{Position, Version};

/// An event as the store holds it: durable, with its places in its stream and in the log. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordedEvent {
    position: Position,
    version: Version,
    id: EventId,
    timestamp: Timestamp,
    /// Stream name, event type, metadata, payload.
    body: Bytes,
    stream_end: usize,
    type_end: usize,
    metadata_end: usize,
}

/// What a store knows of an event apart from the parts of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Place in the log.
    pub position: Position,
    /// Place in the stream.
    pub version: Version,
    /// Identity.
    pub id: EventId,
    /// Time of the append, or the one given.
    pub timestamp: Timestamp,
}

impl RecordedEvent {
    /// Puts an event together from its parts, for implementations of [`crate::EventStore`].
    pub fn new(
        recorded: Recorded,
        stream: &StreamName,
        event_type: &EventType,
        metadata: &[u8],
        payload: &[u8],
    ) -> RecordedEvent {
        let parts = [stream.as_str().as_bytes(), event_type.as_str().as_bytes(), metadata, payload];
        let stream_end = parts[0].len();
        let type_end = stream_end + parts[1].len();
        RecordedEvent::over(recorded, parts.concat().into(), stream_end, type_end, type_end + metadata.len())
    }

    /// An event over a body that is already in one piece.
    ///
    /// # Errors
    ///
    /// When the lengths do not fit the body, or stream name or type break their rules: the bytes are no event.
    pub(crate) fn from_body(
        recorded: Recorded,
        body: Bytes,
        stream_len: usize,
        type_len: usize,
        metadata_len: usize,
    ) -> Result<RecordedEvent, InvalidInput> {
        let type_end = stream_len.saturating_add(type_len);
        let metadata_end = type_end.saturating_add(metadata_len);
        if metadata_end > body.len() {
            let (what, unit) = ("sum of the lengths in an event", "bytes");
            return Err(InvalidInput::TooLarge { what, unit, found: metadata_end, limit: body.len() });
        }
        StreamName::from_bytes(body.slice(..stream_len))?;
        EventType::from_bytes(body.slice(stream_len..type_end))?;
        Ok(RecordedEvent::over(recorded, body, stream_len, type_end, metadata_end))
    }

    fn over(recorded: Recorded, body: Bytes, stream_end: usize, type_end: usize, metadata_end: usize) -> RecordedEvent {
        let Recorded { position, version, id, timestamp } = recorded;
        RecordedEvent { position, version, id, timestamp, body, stream_end, type_end, metadata_end }
    }

    /// Its place in the whole log.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Its place in its stream.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Its identity.
    pub fn id(&self) -> EventId {
        self.id
    }

    /// When it was appended, or the time that it was given.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// The stream that it belongs to.
    pub fn stream(&self) -> StreamName {
        StreamName::checked(self.body.slice(..self.stream_end))
    }

    /// Its type.
    pub fn event_type(&self) -> EventType {
        EventType::checked(self.body.slice(self.stream_end..self.type_end))
    }

    /// Its metadata; empty for none. A slice of the buffer that holds the event: nothing is copied.
    pub fn metadata(&self) -> Bytes {
        self.body.slice(self.type_end..self.metadata_end)
    }

    /// Its payload. A slice of the buffer that holds the event: nothing is copied.
    pub fn payload(&self) -> Bytes {
        self.body.slice(self.metadata_end..)
    }

    /// Its payload read as JSON.
    ///
    /// # Errors
    ///
    /// When the payload is no JSON or does not fit `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body[self.metadata_end..])
    }

    /// Its metadata read as JSON; `None` when it has none.
    ///
    /// # Errors
    ///
    /// When the metadata is no JSON or does not fit `T`.
    pub fn json_metadata<T: DeserializeOwned>(&self) -> Result<Option<T>, serde_json::Error> {
        match &self.body[self.type_end..self.metadata_end] {
            [] => Ok(None),
            metadata => serde_json::from_slice(metadata).map(Some),
        }
    }
}

impl fmt::Debug for RecordedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedEvent")
            .field("position", &self.position.get())
            .field("stream", &self.stream())
            .field("version", &self.version.get())
            .field("event_type", &self.event_type())
            .field("id", &self.id.as_uuid())
            .field("timestamp", &format_args!("{}", self.timestamp))
            .field("metadata_bytes", &(self.metadata_end - self.type_end))
            .field("payload_bytes", &(self.body.len() - self.metadata_end))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_debug_form_of_an_event_shows_no_payload() {
        let recorded = Recorded {
            position: Position::new(7),
            version: Version::new(2),
            id: EventId::generate(),
            timestamp: Timestamp::from_micros(0),
        };
        let stream = StreamName::new("user-1").unwrap();
        let event = RecordedEvent::new(recorded, &stream, &EventType::new("Named").unwrap(), b"", b"secret");
        assert!(!format!("{event:?}").contains("secret"));
        assert_eq!(event.payload(), &b"secret"[..]);
        assert_eq!((event.stream(), event.event_type().as_str()), (stream, "Named"));
    }
}
