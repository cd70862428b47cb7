//! Events as a store holds them.

use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{EventId, EventType, InvalidInput, StreamName, Timestamp, name::is_printable_ascii};
use crate::limits;
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
    /// Where each part ends. An event has at most [`limits::EVENT_BYTES`].
    stream_end: u32,
    type_end: u32,
    metadata_end: u32,
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
    #[inline]
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
        let (stream, event_type) = (&body[..stream_len], &body[stream_len..type_end]);
        let usual = (1..=limits::EVENT_TYPE_BYTES).contains(&stream_len.max(type_len))
            && stream_len.min(type_len) > 0
            && stream[0] != b'$'
            && is_printable_ascii(&body[..type_end]);
        if !usual {
            StreamName::check(stream)?;
            EventType::check(event_type)?;
        }
        Ok(RecordedEvent::over(recorded, body, stream_len, type_end, metadata_end))
    }

    #[inline]
    fn over(recorded: Recorded, body: Bytes, stream_end: usize, type_end: usize, metadata_end: usize) -> RecordedEvent {
        let Recorded { position, version, id, timestamp } = recorded;
        let (stream_end, type_end, metadata_end) = (stream_end as u32, type_end as u32, metadata_end as u32);
        RecordedEvent { position, version, id, timestamp, body, stream_end, type_end, metadata_end }
    }

    /// Stream name, event type, metadata and payload behind each other, and how many bytes the first three have.
    #[cfg(any(feature = "server", feature = "client"))]
    pub(crate) fn body(&self) -> (&Bytes, [u32; 3]) {
        (&self.body, [self.stream_end, self.type_end - self.stream_end, self.metadata_end - self.type_end])
    }

    /// Whether its stream's name begins with this.
    #[cfg(feature = "server")]
    pub(crate) fn is_of_prefix(&self, prefix: &str) -> bool {
        self.body[..self.stream_end as usize].starts_with(prefix.as_bytes())
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

    /// Whether it belongs to this stream.
    pub(crate) fn is_of(&self, stream: &StreamName) -> bool {
        self.body[..self.stream_end as usize] == *stream.as_bytes()
    }

    /// Whether it belongs to this category.
    pub(crate) fn is_of_category(&self, category: &str) -> bool {
        let rest = self.body[..self.stream_end as usize].strip_prefix(category.as_bytes());
        !category.contains('-') && rest.is_some_and(|rest| rest.first().is_none_or(|next| *next == b'-'))
    }

    /// Whether it is of this type.
    pub(crate) fn is_a(&self, event_type: &EventType) -> bool {
        self.body[self.stream_end as usize..self.type_end as usize] == *event_type.as_bytes()
    }

    /// The stream that it belongs to.
    pub fn stream(&self) -> StreamName {
        StreamName::checked(self.body.slice(..self.stream_end as usize))
    }

    /// Its type.
    pub fn event_type(&self) -> EventType {
        EventType::checked(self.body.slice(self.stream_end as usize..self.type_end as usize))
    }

    /// Its metadata; empty for none. A slice of the buffer that holds the event: nothing is copied.
    pub fn metadata(&self) -> Bytes {
        self.body.slice(self.type_end as usize..self.metadata_end as usize)
    }

    /// Its payload. A slice of the buffer that holds the event: nothing is copied.
    pub fn payload(&self) -> Bytes {
        self.body.slice(self.metadata_end as usize..)
    }

    /// Its payload read as JSON.
    ///
    /// # Errors
    ///
    /// When the payload is no JSON or does not fit `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body[self.metadata_end as usize..])
    }

    /// Its metadata read as JSON; `None` when it has none.
    ///
    /// # Errors
    ///
    /// When the metadata is no JSON or does not fit `T`.
    pub fn json_metadata<T: DeserializeOwned>(&self) -> Result<Option<T>, serde_json::Error> {
        match &self.body[self.type_end as usize..self.metadata_end as usize] {
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
            .field("payload_bytes", &(self.body.len() - self.metadata_end as usize))
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
