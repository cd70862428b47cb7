//! Events as a store holds them.

use std::{fmt, ops::Range};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{
    EventId, EventType, InvalidInput, StreamName, Timestamp,
    name::{checked_text, is_printable_ascii},
};
use crate::limits;
use crate::version::{Position, Version};

/// An event as the store holds it: durable, with its places in its stream and in the log. Cheap to clone.
#[derive(Clone)]
pub struct RecordedEvent {
    recorded: Recorded,
    /// Holds the body among other things: that of the next event may lie in the same buffer.
    buffer: Bytes,
    /// Where the body begins in the buffer: stream name, event type, metadata, payload.
    start: usize,
    /// Where each of these ends, counted from there. An event has at most [`limits::EVENT_BYTES`].
    ends: [u32; 4],
}

/// The parts of a body.
const STREAM: usize = 0;
const TYPE: usize = 1;
const METADATA: usize = 2;
const PAYLOAD: usize = 3;

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
        let mut end = 0;
        let ends = parts.map(|part| {
            end += part.len();
            end as u32
        });
        RecordedEvent { recorded, buffer: parts.concat().into(), start: 0, ends }
    }

    /// What a reader that lends events begins with.
    pub(crate) fn none() -> RecordedEvent {
        let (position, version) = (Position::START, Version::NONE);
        let recorded =
            Recorded { position, version, id: EventId::from(Uuid::nil()), timestamp: Timestamp::from_micros(0) };
        RecordedEvent { recorded, buffer: Bytes::new(), start: 0, ends: [0; 4] }
    }

    /// Becomes the event whose body, of these lengths but for the payload's, is this part of `buffer`. Takes a reference to
    /// the buffer only if it is another one than before.
    ///
    /// # Errors
    ///
    /// When the lengths do not fit the body, or stream name or type break their rules: the bytes are no event.
    #[inline]
    pub(crate) fn become_body(
        &mut self,
        recorded: Recorded,
        buffer: &Bytes,
        within: Range<usize>,
        [stream_len, type_len, metadata_len]: [usize; 3],
    ) -> Result<(), InvalidInput> {
        let body = &buffer[within.clone()];
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
        self.recorded = recorded;
        self.start = within.start;
        self.ends = [stream_len, type_end, metadata_end, body.len()].map(|end| end as u32);
        if self.buffer.as_ptr() != buffer.as_ptr() || self.buffer.len() != buffer.len() {
            self.buffer = buffer.clone();
        }
        Ok(())
    }

    /// Where a part of the body lies in the buffer.
    #[inline]
    fn range(&self, part: usize) -> Range<usize> {
        let begin = part.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.start + begin as usize..self.start + self.ends[part] as usize
    }

    /// Stream name, event type, metadata and payload behind each other, and how many bytes the first three have.
    #[cfg(any(feature = "server", feature = "client"))]
    pub(crate) fn body(&self) -> (Bytes, [u32; 3]) {
        let [stream, event_type, metadata, payload] = self.ends;
        let body = self.buffer.slice(self.start..self.start + payload as usize);
        (body, [stream, event_type - stream, metadata - event_type])
    }

    /// Its place in the whole log.
    pub fn position(&self) -> Position {
        self.recorded.position
    }

    /// Its place in its stream.
    pub fn version(&self) -> Version {
        self.recorded.version
    }

    /// Its identity.
    pub fn id(&self) -> EventId {
        self.recorded.id
    }

    /// When it was appended, or the time that it was given.
    pub fn timestamp(&self) -> Timestamp {
        self.recorded.timestamp
    }

    /// The stream that it belongs to.
    pub fn stream(&self) -> StreamName {
        StreamName::checked(self.buffer.slice(self.range(STREAM)))
    }

    /// The name of the stream that it belongs to.
    pub fn stream_str(&self) -> &str {
        checked_text(&self.buffer[self.range(STREAM)])
    }

    /// Its type.
    pub fn event_type(&self) -> EventType {
        EventType::checked(self.buffer.slice(self.range(TYPE)))
    }

    /// The name of its type.
    pub fn event_type_str(&self) -> &str {
        checked_text(&self.buffer[self.range(TYPE)])
    }

    /// Its metadata; empty for none. A slice of the buffer that holds the event: nothing is copied.
    pub fn metadata(&self) -> Bytes {
        self.buffer.slice(self.range(METADATA))
    }

    /// Its metadata, for as long as the event is there.
    pub fn metadata_slice(&self) -> &[u8] {
        &self.buffer[self.range(METADATA)]
    }

    /// Its payload. A slice of the buffer that holds the event: nothing is copied.
    pub fn payload(&self) -> Bytes {
        self.buffer.slice(self.range(PAYLOAD))
    }

    /// Its payload, for as long as the event is there.
    #[inline]
    pub fn payload_slice(&self) -> &[u8] {
        &self.buffer[self.range(PAYLOAD)]
    }

    /// Its payload read as JSON.
    ///
    /// # Errors
    ///
    /// When the payload is no JSON or does not fit `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.payload_slice())
    }

    /// Its metadata read as JSON; `None` when it has none.
    ///
    /// # Errors
    ///
    /// When the metadata is no JSON or does not fit `T`.
    pub fn json_metadata<T: DeserializeOwned>(&self) -> Result<Option<T>, serde_json::Error> {
        match self.metadata_slice() {
            [] => Ok(None),
            metadata => serde_json::from_slice(metadata).map(Some),
        }
    }

    /// Whether it belongs to the stream of another event.
    pub(crate) fn is_of_stream_of(&self, other: &RecordedEvent) -> bool {
        self.buffer[self.range(STREAM)] == other.buffer[other.range(STREAM)]
    }

    /// Whether it is of the type of another event.
    pub(crate) fn is_of_type_of(&self, other: &RecordedEvent) -> bool {
        self.buffer[self.range(TYPE)] == other.buffer[other.range(TYPE)]
    }

    /// Whether it belongs to this stream.
    pub(crate) fn is_of(&self, stream: &StreamName) -> bool {
        self.buffer[self.range(STREAM)] == *stream.as_bytes()
    }

    /// Whether it belongs to this category.
    pub(crate) fn is_of_category(&self, category: &str) -> bool {
        let rest = self.buffer[self.range(STREAM)].strip_prefix(category.as_bytes());
        !category.contains('-') && rest.is_some_and(|rest| rest.first().is_none_or(|next| *next == b'-'))
    }

    /// Whether it is of this type.
    pub(crate) fn is_a(&self, event_type: &EventType) -> bool {
        self.buffer[self.range(TYPE)] == *event_type.as_bytes()
    }
}

// Wherever the bytes lie.
impl PartialEq for RecordedEvent {
    fn eq(&self, other: &Self) -> bool {
        let body = |event: &Self| event.start..event.start + event.ends[PAYLOAD] as usize;
        (self.recorded, self.ends) == (other.recorded, other.ends)
            && self.buffer[body(self)] == other.buffer[body(other)]
    }
}

impl Eq for RecordedEvent {}

impl fmt::Debug for RecordedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedEvent")
            .field("position", &self.position().get())
            .field("stream", &self.stream())
            .field("version", &self.version().get())
            .field("event_type", &self.event_type())
            .field("id", &self.id().as_uuid())
            .field("timestamp", &format_args!("{}", self.timestamp()))
            .field("metadata_bytes", &self.metadata_slice().len())
            .field("payload_bytes", &self.payload_slice().len())
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
