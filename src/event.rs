//! Events and their names: what goes in ([`NewEvent`]) and what comes out ([`RecordedEvent`]).
//!
//! Invariants:
//!
//! - a [`StreamName`] and an [`EventType`] are within the limits of [`crate::limits`]; there is no other way to make one;
//! - payload and metadata are bytes that the store never looks into; absent metadata is empty metadata;
//! - a [`RecordedEvent`] is durable: no function of the store gives out one that a power cut could take back.
//!
//! The four variable parts of a recorded event lie behind each other in one buffer, so that an event read from a
//! mapped segment is a view of the map and nothing is copied:
//!
//! ```text
//! body: | stream name | event type | metadata | payload |
//! ```

use std::{fmt, str::FromStr};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;
use uuid::Uuid;

use crate::{
    limits,
    version::{Position, Version},
};

/// Input that the store refuses, found before anything was written. The caller mends the input.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidInput {
    /// A stream name or event type of no characters.
    #[error("the {what} is empty")]
    Empty {
        /// What was empty.
        what: &'static str,
    },
    /// A text, event or append that is larger than its limit.
    #[error("the {what} has {found} {unit}; at most {limit} are allowed")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// What the two numbers count.
        unit: &'static str,
        /// Its size.
        found: usize,
        /// The limit, from [`crate::limits`].
        limit: usize,
    },
    /// A control character in a stream name or event type.
    #[error("the {what} has the control character U+{character:04X} at byte {at}")]
    ControlCharacter {
        /// What it was in.
        what: &'static str,
        /// The character's code point.
        character: u32,
        /// The byte offset in the text.
        at: usize,
    },
    /// Bytes that are no UTF-8 text.
    #[error("the {what} is no UTF-8 text")]
    NotUtf8 {
        /// What should have been text.
        what: &'static str,
    },
    /// A stream name that begins with `$`: those belong to the store itself.
    #[error("stream names that begin with `$` are reserved")]
    ReservedStreamName,
    /// An append of no events.
    #[error("an append needs at least one event")]
    NoEvents,
    /// A time that is no RFC 3339 time or out of range.
    #[error("`{text}` is no RFC 3339 time between the years -9999 and 9999")]
    Time {
        /// The text as given.
        text: String,
    },
    /// A value that could not be written as JSON.
    #[error("cannot write the {what} as JSON: {reason}")]
    Json {
        /// What could not be written.
        what: &'static str,
        /// The reason.
        reason: String,
    },
}

/// Shared checked text: UTF-8 within a limit, without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Name(Bytes);

impl Name {
    fn check(what: &'static str, limit: usize, bytes: Bytes) -> Result<Name, InvalidInput> {
        if bytes.is_empty() {
            return Err(InvalidInput::Empty { what });
        }
        if bytes.len() > limit {
            return Err(InvalidInput::TooLarge { what, unit: "bytes", found: bytes.len(), limit });
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| InvalidInput::NotUtf8 { what })?;
        if let Some((at, character)) = text.char_indices().find(|(_, c)| c.is_control()) {
            return Err(InvalidInput::ControlCharacter { what, character: character.into(), at });
        }
        Ok(Name(bytes))
    }

    fn as_str(&self) -> &str {
        // Checked when it was made; the second look is cheap and keeps this free of unsafe code.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The name of a stream: not empty, at most [`limits::STREAM_NAME_BYTES`] long, no control characters, and not beginning
/// with `$`. Cheap to clone.
///
/// The part before the first `-` is the stream's category: `order-17` is of the category `order`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Name);

impl StreamName {
    /// Checks a text and makes it a stream name.
    pub fn new(name: impl Into<String>) -> Result<StreamName, InvalidInput> {
        StreamName::from_bytes(Bytes::from(name.into()))
    }

    pub(crate) fn from_bytes(bytes: Bytes) -> Result<StreamName, InvalidInput> {
        if bytes.first() == Some(&b'$') {
            return Err(InvalidInput::ReservedStreamName);
        }
        Name::check("stream name", limits::STREAM_NAME_BYTES, bytes).map(StreamName)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The same name in bytes of its own, for whoever keeps it longer than the event that it came with.
    pub(crate) fn detached(&self) -> StreamName {
        StreamName(Name(Bytes::copy_from_slice(self.as_str().as_bytes())))
    }

    /// The part before the first `-`, or the whole name when it has none.
    pub fn category(&self) -> &str {
        let name = self.as_str();
        name.split_once('-').map_or(name, |(category, _)| category)
    }
}

/// The type of an event: not empty, at most [`limits::EVENT_TYPE_BYTES`] long, no control characters. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(Name);

impl EventType {
    /// Checks a text and makes it an event type.
    pub fn new(name: impl Into<String>) -> Result<EventType, InvalidInput> {
        EventType::from_bytes(Bytes::from(name.into()))
    }

    pub(crate) fn from_bytes(bytes: Bytes) -> Result<EventType, InvalidInput> {
        Name::check("event type", limits::EVENT_TYPE_BYTES, bytes).map(EventType)
    }

    /// The type as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

macro_rules! text_traits {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }
        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }
        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }
        impl FromStr for $name {
            type Err = InvalidInput;
            fn from_str(text: &str) -> Result<Self, InvalidInput> {
                $name::new(text)
            }
        }
        impl TryFrom<&str> for $name {
            type Error = InvalidInput;
            fn try_from(text: &str) -> Result<Self, InvalidInput> {
                $name::new(text)
            }
        }
        impl TryFrom<String> for $name {
            type Error = InvalidInput;
            fn try_from(text: String) -> Result<Self, InvalidInput> {
                $name::new(text)
            }
        }
    )*};
}
text_traits!(StreamName, EventType);

/// The identity of an event, a UUID. The one that the store makes is of version 7, so that ids sort by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Uuid);

impl EventId {
    /// A new id of version 7, of the present moment.
    pub fn generate() -> EventId {
        EventId(Uuid::now_v7())
    }

    /// The id as a UUID.
    pub fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for EventId {
    fn from(uuid: Uuid) -> Self {
        EventId(uuid)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A moment in UTC, to the microsecond. Its text form is RFC 3339: `2018-08-15T10:10:18.000000Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment so many microseconds after 1970-01-01T00:00:00Z, or before it when negative.
    pub const fn from_micros(micros: i64) -> Timestamp {
        Timestamp(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The present moment by the system's clock.
    pub fn now() -> Timestamp {
        Timestamp(jiff::Timestamp::now().as_microsecond())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => write!(f, "{time:.6}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = InvalidInput;

    /// Parses an RFC 3339 time; digits finer than a microsecond are cut off.
    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        let invalid = || InvalidInput::Time { text: text.to_owned() };
        let time: jiff::Timestamp = text.parse().map_err(|_| invalid())?;
        Ok(Timestamp(time.as_microsecond()))
    }
}

/// An event to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Its identity. Appending the same event again under the same id is recognised as a repetition.
    pub id: EventId,
    /// Its type.
    pub event_type: EventType,
    /// What happened, in a form of the application's choice.
    pub payload: Bytes,
    /// What else is known, such as who caused it; empty for nothing.
    pub metadata: Bytes,
    /// When it was recorded; `None` for the moment of the append. An import sets the time of the original.
    pub timestamp: Option<Timestamp>,
}

impl NewEvent {
    /// An event with a new id, no metadata and the time of its append.
    pub fn new(event_type: EventType, payload: impl Into<Bytes>) -> NewEvent {
        NewEvent {
            id: EventId::generate(),
            event_type,
            payload: payload.into(),
            metadata: Bytes::new(),
            timestamp: None,
        }
    }

    /// An event whose payload is `data` written as JSON.
    ///
    /// # Errors
    ///
    /// When the type breaks a rule of [`EventType`] or `data` cannot be written as JSON.
    pub fn json(event_type: impl Into<String>, data: &impl Serialize) -> Result<NewEvent, InvalidInput> {
        Ok(NewEvent::new(EventType::new(event_type)?, to_json("payload", data)?))
    }

    /// The same event under the given id.
    pub fn with_id(mut self, id: impl Into<EventId>) -> NewEvent {
        self.id = id.into();
        self
    }

    /// The same event with this metadata.
    pub fn with_metadata(mut self, metadata: impl Into<Bytes>) -> NewEvent {
        self.metadata = metadata.into();
        self
    }

    /// The same event with `metadata` written as JSON.
    ///
    /// # Errors
    ///
    /// When `metadata` cannot be written as JSON.
    pub fn with_json_metadata(self, metadata: &impl Serialize) -> Result<NewEvent, InvalidInput> {
        let metadata = to_json("metadata", metadata)?;
        Ok(self.with_metadata(metadata))
    }

    /// The same event with this time instead of the moment of its append.
    pub fn with_timestamp(mut self, timestamp: Timestamp) -> NewEvent {
        self.timestamp = Some(timestamp);
        self
    }

    /// The size that [`limits::EVENT_BYTES`] bounds.
    pub(crate) fn size_in(&self, stream: &StreamName) -> usize {
        [stream.as_str().len(), self.event_type.as_str().len(), self.metadata.len(), self.payload.len()]
            .into_iter()
            .fold(0, usize::saturating_add)
    }

    /// Checks the limits that concern an append as a whole.
    pub(crate) fn check_append(stream: &StreamName, events: &[NewEvent]) -> Result<(), InvalidInput> {
        let too_large = |what, unit, found, limit| Err(InvalidInput::TooLarge { what, unit, found, limit });
        if events.is_empty() {
            return Err(InvalidInput::NoEvents);
        }
        if events.len() > limits::APPEND_EVENTS {
            return too_large("append", "events", events.len(), limits::APPEND_EVENTS);
        }
        let mut total = 0usize;
        for event in events {
            let size = event.size_in(stream);
            if size > limits::EVENT_BYTES {
                return too_large("event", "bytes", size, limits::EVENT_BYTES);
            }
            total = total.saturating_add(size);
        }
        if total > limits::APPEND_BYTES {
            return too_large("append", "bytes", total, limits::APPEND_BYTES);
        }
        Ok(())
    }
}

fn to_json(what: &'static str, value: &impl Serialize) -> Result<Bytes, InvalidInput> {
    match serde_json::to_vec(value) {
        Ok(json) => Ok(json.into()),
        Err(error) => Err(InvalidInput::Json { what, reason: error.to_string() }),
    }
}

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
        StreamName(Name(self.body.slice(..self.stream_end)))
    }

    /// Its type.
    pub fn event_type(&self) -> EventType {
        EventType(Name(self.body.slice(self.stream_end..self.type_end)))
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
    fn a_stream_name_breaking_a_rule_is_refused_with_the_rule_and_both_values() {
        let refused = |name: &str| StreamName::new(name).unwrap_err().to_string();
        assert_eq!(refused(""), "the stream name is empty");
        assert_eq!(refused("$all"), "stream names that begin with `$` are reserved");
        assert_eq!(refused("a\u{7}b"), "the stream name has the control character U+0007 at byte 1");
        assert_eq!(refused(&"x".repeat(513)), "the stream name has 513 bytes; at most 512 are allowed");
        assert!(StreamName::new("x".repeat(512)).is_ok());
        assert!(StreamName::new("주문-1 with spaces, and $ inside").is_ok());
    }

    #[test]
    fn the_category_is_the_part_before_the_first_dash() {
        let category = |name: &str| StreamName::new(name).unwrap().category().to_owned();
        assert_eq!(category("order-17-b"), "order");
        assert_eq!(category("audit"), "audit");
        assert_eq!(category("-x"), "");
    }

    #[test]
    fn times_are_written_with_microseconds_and_read_back_the_same() {
        let time: Timestamp = "2018-08-15T10:10:18Z".parse().unwrap();
        assert_eq!(time.to_string(), "2018-08-15T10:10:18.000000Z");
        assert_eq!(
            "2018-08-15T12:10:18.123456789+02:00".parse::<Timestamp>().unwrap().to_string(),
            "2018-08-15T10:10:18.123456Z"
        );
        assert_eq!(
            "0001-02-03T04:05:06.000007Z".parse::<Timestamp>().unwrap().to_string(),
            "0001-02-03T04:05:06.000007Z"
        );
        assert!("yesterday".parse::<Timestamp>().is_err());
        assert!("2018-08-15T10:10:18".parse::<Timestamp>().is_err());
    }

    #[test]
    fn an_append_beyond_a_limit_is_refused_before_it_reaches_a_store() {
        let stream = StreamName::new("s").unwrap();
        let event = |bytes: usize| NewEvent::new(EventType::new("T").unwrap(), vec![0; bytes]);
        let check = |events: &[NewEvent]| NewEvent::check_append(&stream, events);
        assert_eq!(check(&[]), Err(InvalidInput::NoEvents));
        assert_eq!(check(&[event(limits::EVENT_BYTES - 2)]), Ok(()));
        assert!(matches!(check(&[event(limits::EVENT_BYTES - 1)]), Err(InvalidInput::TooLarge { what: "event", .. })));
        let half = event(limits::APPEND_BYTES / 2 - 2);
        assert_eq!(check(&[half.clone(), half.clone()]), Ok(()));
        assert!(matches!(check(&[half.clone(), half, event(0)]), Err(InvalidInput::TooLarge { what: "append", .. })));
        assert_eq!(check(&vec![event(0); limits::APPEND_EVENTS]), Ok(()));
        assert!(check(&vec![event(0); limits::APPEND_EVENTS + 1]).is_err());
    }

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
