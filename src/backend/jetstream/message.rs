//! A message: all events of one append to one stream, as bytes.
//!
//! ```text
//!   0      4        8       16       20
//!   +------+--------+-------+--------+---------+- - -+---------+
//!   | magic| CRC-32 | first | events | event 1 | ... | event n |
//!   +------+--------+-------+--------+---------+- - -+---------+
//!                     version of event 1
//!
//!   event:  | id 16 | time 8 | type 2 | metadata 4 | payload 4 | type | metadata | payload |
//! ```
//!
//! Numbers are little-endian, lengths count bytes, the time is in microseconds since 1970. The checksum is of everything behind it. The
//! stream stands in the subject, the positions follow from the message's sequence number.

use bytes::{BufMut, Bytes};
use uuid::Uuid;

use super::place;
use crate::{
    event::{EventId, EventType, NewEvent, Recorded, RecordedEvent, StreamName, Timestamp},
    layout::Reader,
    limits,
    version::Version,
};

const MAGIC: [u8; 4] = *b"fct1";
/// Bytes before the first event.
const HEADER_BYTES: usize = 20;
/// Bytes of an event before its type.
const EVENT_BYTES: usize = 34;

/// Largest message of so many events, whose types, metadata and payloads have so many bytes together.
pub(super) const fn size(events: usize, bytes: usize) -> usize {
    HEADER_BYTES + events * EVENT_BYTES + bytes
}

/// An append to one stream as a message.
pub(super) fn encode(first: Version, events: &[NewEvent], now: Timestamp) -> Bytes {
    let bytes = events.iter().map(|e| e.event_type.as_str().len() + e.metadata.len() + e.payload.len()).sum();
    let mut message = Vec::with_capacity(size(events.len(), bytes));
    message.put_slice(&MAGIC);
    message.put_u32_le(0);
    message.put_u64_le(first.get());
    // Within their limits all of these fit.
    message.put_u32_le(events.len() as u32);
    for event in events {
        message.put_slice(event.id.as_uuid().as_bytes());
        message.put_i64_le(event.timestamp.unwrap_or(now).as_micros());
        message.put_u16_le(event.event_type.as_str().len() as u16);
        message.put_u32_le(event.metadata.len() as u32);
        message.put_u32_le(event.payload.len() as u32);
        message.put_slice(event.event_type.as_str().as_bytes());
        message.put_slice(&event.metadata);
        message.put_slice(&event.payload);
    }
    let checksum = crc32fast::hash(&message[8..]);
    message[4..8].copy_from_slice(&checksum.to_le_bytes());
    message.into()
}

/// A message as the log holds it: whole by its checksum, its events not looked at yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// Its place among all messages of the log.
    pub(super) sequence: u64,
    /// The version of its first event.
    pub(super) first: Version,
    /// The version of its last event.
    pub(super) last: Version,
    stream: StreamName,
    message: Bytes,
}

impl Batch {
    /// A message of a stream; what is wrong with it otherwise.
    pub(super) fn new(stream: StreamName, sequence: u64, message: Bytes) -> Result<Batch, String> {
        let short = || cut_short(&message);
        let mut fields = Reader::new(&message);
        let magic: [u8; 4] = fields.array().ok_or_else(short)?;
        if magic != MAGIC {
            return Err(format!("it begins with {magic:02x?} instead of {MAGIC:02x?}: no message of an event store"));
        }
        let stored = fields.u32().ok_or_else(short)?;
        let computed = crc32fast::hash(message.get(8..).unwrap_or_default());
        if stored != computed {
            return Err(format!("its checksum is {stored:08x}, but its bytes have {computed:08x}"));
        }
        let first = Version::new(fields.u64().ok_or_else(short)?);
        let count = fields.u32().ok_or_else(short)?;
        if first == Version::NONE || !(1..=limits::APPEND_EVENTS as u32).contains(&count) {
            return Err(format!("{count} events from version {first} on are no append"));
        }
        Ok(Batch { sequence, first, last: first.plus(u64::from(count) - 1), stream, message })
    }

    /// Its events from one version to another; what is wrong with it otherwise.
    pub(super) fn events(&self, from: Version, to: Version) -> Result<Vec<RecordedEvent>, String> {
        let short = || cut_short(&self.message);
        let mut events = Vec::new();
        let mut rest = self.message.get(HEADER_BYTES..).ok_or_else(short)?;
        for version in self.first.get()..=self.last.get() {
            let mut fields = Reader::new(rest);
            let id: [u8; 16] = fields.array().ok_or_else(short)?;
            let time = fields.i64().ok_or_else(short)?;
            let type_len = usize::from(fields.u16().ok_or_else(short)?);
            let metadata_len = fields.u32().ok_or_else(short)? as usize;
            let payload_len = fields.u32().ok_or_else(short)? as usize;
            let body = rest.get(EVENT_BYTES..).ok_or_else(short)?;
            let (event_type, behind) = body.split_at_checked(type_len).ok_or_else(short)?;
            let (metadata, behind) = behind.split_at_checked(metadata_len).ok_or_else(short)?;
            let (payload, behind) = behind.split_at_checked(payload_len).ok_or_else(short)?;
            rest = behind;
            if !(from.get()..=to.get()).contains(&version) {
                continue;
            }
            let event_type = std::str::from_utf8(event_type).map_err(|error| error.to_string())?;
            let event_type = EventType::new(event_type).map_err(|error| error.to_string())?;
            let recorded = Recorded {
                position: place::of(self.sequence, self.last.get() - version),
                version: Version::new(version),
                id: EventId::from(Uuid::from_bytes(id)),
                timestamp: Timestamp::from_micros(time),
            };
            events.push(RecordedEvent::new(recorded, &self.stream, &event_type, metadata, payload));
        }
        if !rest.is_empty() {
            return Err(format!("{} bytes lie behind its last event", rest.len()));
        }
        Ok(events)
    }
}

fn cut_short(message: &[u8]) -> String {
    format!("{} bytes are too few for what the message says it holds", message.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::version::Position;

    fn decode(sequence: u64, message: impl Into<Bytes>) -> Result<(Batch, Vec<RecordedEvent>), String> {
        let batch = Batch::new(StreamName::new("s-1").unwrap(), sequence, message.into())?;
        let events = batch.events(Version::FIRST, Version::MAX)?;
        Ok((batch, events))
    }

    fn events() -> Vec<NewEvent> {
        let event = |kind: &str, payload: &str| NewEvent::new(EventType::new(kind).unwrap(), payload.to_owned());
        let time = Timestamp::from_micros(-5);
        vec![event("A", ""), event("Paid", "{}").with_metadata("m").with_timestamp(time), event("주문", "x")]
    }

    #[test]
    fn a_message_gives_back_the_events_with_their_places() {
        let (given, now) = (events(), Timestamp::from_micros(77));
        let (batch, events) = decode(5, encode(Version::new(7), &given, now)).unwrap();
        assert_eq!((batch.first, batch.last), (Version::new(7), Version::new(9)));
        assert_eq!(events.len(), 3);
        assert_eq!(batch.events(Version::new(8), Version::new(8)).unwrap(), events[1..2]);
        for (number, (stored, given)) in events.iter().zip(&given).enumerate() {
            assert_eq!((stored.id(), stored.event_type()), (given.id, given.event_type.clone()));
            assert_eq!((stored.payload(), stored.metadata()), (given.payload.clone(), given.metadata.clone()));
            assert_eq!(stored.timestamp(), given.timestamp.unwrap_or(now));
            assert_eq!(stored.version().get(), 7 + number as u64);
            assert_eq!(stored.position(), Position::new(5 * 16_384 - 2 + number as u64));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let message = encode(Version::FIRST, &events(), Timestamp::from_micros(0)).to_vec();
        assert_eq!(message.len(), size(3, 1 + 4 + 2 + 1 + 6 + 1));
        for at in 0..message.len() {
            for bit in 0..8 {
                let mut changed = message.clone();
                changed[at] ^= 1 << bit;
                assert!(decode(1, changed).is_err(), "byte {at}, bit {bit}");
            }
            assert!(decode(1, message[..at].to_vec()).is_err(), "cut at {at}");
        }
        assert!(decode(1, [&message[..], b"x"].concat()).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_are_more_than_an_error(mut bytes in prop::collection::vec(any::<u8>(), 8..120), fits in any::<bool>()) {
            bytes[..4].copy_from_slice(&MAGIC);
            if fits {
                let checksum = crc32fast::hash(&bytes[8..]);
                bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
            }
            let _ = decode(1, bytes);
        }
    }
}
