//! The names of streams, types and events.

use std::{
    cell::Cell,
    fmt,
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use uuid::{Builder, Uuid};

use super::InvalidInput;
use crate::limits;

/// Shared checked text: UTF-8 within a limit, without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Name(Bytes);

/// Most names are, and it is seen at a glance: eight bytes at a time.
#[inline]
pub(super) fn is_printable_ascii(bytes: &[u8]) -> bool {
    /// Has the high bit of a byte that is not printable: one below the space, the last of ASCII, or behind it. The bits that
    /// a byte carries to its neighbour follow a high bit of its own.
    fn high_bits(word: [u8; 8]) -> u64 {
        let word = u64::from_le_bytes(word);
        (word | word.wrapping_sub(0x2020_2020_2020_2020) | word.wrapping_add(0x0101_0101_0101_0101))
            & 0x8080_8080_8080_8080
    }
    match bytes.last_chunk() {
        // It overlaps with the one before it.
        Some(last) => bytes.as_chunks().0.iter().fold(high_bits(*last), |bits, word| bits | high_bits(*word)) == 0,
        None => bytes.iter().all(|byte| (b' '..=b'~').contains(byte)),
    }
}

/// Text that was checked before; the second look is cheap and keeps this free of unsafe code.
pub(super) fn checked_text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

impl Name {
    fn check(what: &'static str, limit: usize, bytes: &[u8]) -> Result<(), InvalidInput> {
        if bytes.is_empty() {
            return Err(InvalidInput::Empty { what });
        }
        if bytes.len() > limit {
            return Err(InvalidInput::TooLarge { what, unit: "bytes", found: bytes.len(), limit });
        }
        if is_printable_ascii(bytes) {
            return Ok(());
        }
        let text = std::str::from_utf8(bytes).map_err(|_| InvalidInput::NotUtf8 { what })?;
        if let Some((at, character)) = text.char_indices().find(|(_, c)| c.is_control()) {
            return Err(InvalidInput::ControlCharacter { what, character: character.into(), at });
        }
        Ok(())
    }

    fn as_str(&self) -> &str {
        checked_text(&self.0)
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
        StreamName::check(&bytes)?;
        Ok(StreamName(Name(bytes)))
    }

    /// Whether these bytes are a stream name.
    pub(super) fn check(bytes: &[u8]) -> Result<(), InvalidInput> {
        if bytes.first() == Some(&b'$') {
            return Err(InvalidInput::ReservedStreamName);
        }
        Name::check("stream name", limits::STREAM_NAME_BYTES, bytes)
    }

    /// A name that [`StreamName::check`] has passed before.
    pub(super) fn checked(bytes: Bytes) -> StreamName {
        StreamName(Name(bytes))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0.0
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
        EventType::check(&bytes)?;
        Ok(EventType(Name(bytes)))
    }

    /// Whether these bytes are an event type.
    pub(super) fn check(bytes: &[u8]) -> Result<(), InvalidInput> {
        Name::check("event type", limits::EVENT_TYPE_BYTES, bytes)
    }

    /// A type that [`EventType::check`] has passed before.
    pub(super) fn checked(bytes: Bytes) -> EventType {
        EventType(Name(bytes))
    }

    /// The type as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0.0
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

/// The random bits of an id, but for one that is left for the carry when they are counted on; those between belong to version
/// and variant.
const ID_BITS: u128 = 0xfff << 64 | ((1 << 61) - 1);

thread_local! {
    /// The time in milliseconds and the random bits of the newest id of this thread.
    static LAST_ID: Cell<Option<(u64, u128)>> = const { Cell::new(None) };
}

/// The identity of an event, a UUID. The one that the store makes is of version 7, so that ids sort by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Uuid);

impl EventId {
    /// A new id of version 7, of the present moment. Ids made by one thread sort in the order in which they were made.
    pub fn generate() -> EventId {
        let last = LAST_ID.get();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        // Random bits come from the system, and asking it for each id would be most of the cost of an event. So within a
        // millisecond the bits count on from a random beginning, as RFC 9562 describes.
        let (millis, bits) = match last {
            Some((millis, bits)) if millis >= now => (millis, bits + 1),
            _ => (now, Uuid::new_v4().as_u128() & ID_BITS),
        };
        LAST_ID.set(Some((millis, bits)));
        let [.., a, b, c, d, e, f, g, h, i, j] = bits.to_be_bytes();
        EventId(Builder::from_unix_timestamp_millis(millis, &[a, b, c, d, e, f, g, h, i, j]).into_uuid())
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
    fn a_byte_that_is_not_printable_ascii_is_seen_wherever_it_stands() {
        for len in 0..=25 {
            assert!(is_printable_ascii(&vec![b'~'; len]) && is_printable_ascii(&vec![b' '; len]), "{len}");
            for (at, byte) in (0..len).flat_map(|at| (0..=255).map(move |byte| (at, byte))) {
                let mut text = vec![b'a'; len];
                text[at] = byte;
                assert_eq!(is_printable_ascii(&text), (0x20..0x7f).contains(&byte), "{byte:02x} at {at} of {len}");
            }
        }
    }

    #[test]
    fn ids_of_a_thread_are_of_version_7_and_sort_in_the_order_in_which_they_were_made() {
        let ids: Vec<EventId> = (0..10_000).map(|_| EventId::generate()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(ids.iter().all(|id| id.as_uuid().get_version_num() == 7));
        let others: Vec<EventId> =
            std::thread::spawn(|| (0..10_000).map(|_| EventId::generate()).collect()).join().unwrap();
        assert!(others.iter().all(|id| ids.binary_search(id).is_err()));
    }

    #[test]
    fn the_category_is_the_part_before_the_first_dash() {
        let category = |name: &str| StreamName::new(name).unwrap().category().to_owned();
        assert_eq!(category("order-17-b"), "order");
        assert_eq!(category("audit"), "audit");
        assert_eq!(category("-x"), "");
    }
}
