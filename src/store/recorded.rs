//! An event as a record of the log: the layout of its head and body.
//!
//! ```text
//!  head: 0         8          16            24          32          48           50         52            56
//!        +---------+----------+-------------+-----------+-----------+------------+----------+-------------+
//!        | version | previous | stream hash | timestamp | event id  | name bytes | type b.  | metadata b. |
//!        +---------+----------+-------------+-----------+-----------+------------+----------+-------------+
//!  body: | stream name | event type | metadata | payload |
//! ```
//!
//! - `previous` is the position of the stream's event before this one; 0 for the first. A hint for whoever walks a
//!   stream without an index.
//! - `stream hash` is the XXH3-64 of the stream name.
//! - `timestamp` is in microseconds since 1970-01-01T00:00:00Z.

use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    event::{EventId, NewEvent, Recorded, RecordedEvent, StreamName, Timestamp},
    event_store::StreamAppend,
    index::{Index, Indexed, ListHash},
    layout::{Reader, Writer},
    log::{Draft, Read, footprint},
    version::{Position, Version},
};

/// The kind of the records that hold an event.
const EVENT: u8 = 1;
const HEAD_BYTES: usize = 56;

/// Lays out the records of an append; versions and previous positions are still missing.
pub(super) fn draft(appends: &[StreamAppend], now: Timestamp) -> Draft {
    let all = || appends.iter().flat_map(|append| append.events.iter().map(|event| (&append.stream, event)));
    let bytes = all().map(|(stream, event)| footprint(HEAD_BYTES, event.size_in(stream))).sum();
    let mut draft = Draft::with_capacity(all().count(), bytes);
    for StreamAppend { stream, events, .. } in appends {
        add_to_draft(&mut draft, stream, events, now);
    }
    draft
}

fn add_to_draft(draft: &mut Draft, stream: &StreamName, events: &[NewEvent], now: Timestamp) {
    let name = stream.as_bytes();
    let hash = xxh3_64(name);
    for event in events {
        let event_type = event.event_type.as_bytes();
        let mut head = [0; HEAD_BYTES];
        Writer::new(&mut head)
            .u64(0)
            .u64(0)
            .u64(hash)
            .i64(event.timestamp.unwrap_or(now).as_micros())
            .bytes(event.id.as_uuid().as_bytes())
            .u16(name.len() as u16)
            .u16(event_type.len() as u16)
            .u32(event.metadata.len() as u32);
        draft.push(EVENT, &head, &[name, event_type, &event.metadata, &event.payload]);
    }
}

/// Fills in what only the lock can tell, for `count` records of one stream, the first of which is the draft's record
/// number `from`: the stream is at `version`, its newest event at `previous`, and the first record will have position `first`.
pub(super) fn place(
    draft: &mut Draft,
    from: usize,
    count: usize,
    version: Version,
    previous: Position,
    first: Position,
) {
    for index in 0..count {
        let version = version.plus(index as u64 + 1);
        let previous = if index == 0 { previous } else { first.plus(index as u64 - 1) };
        Writer::new(draft.head_mut(from + index)).u64(version.get()).u64(previous.get());
    }
}

/// Adds an event that was read to the index.
pub(super) fn index(index: &Index, event: &RecordedEvent, offset: u64, bytes: u64) {
    let stream = event.stream();
    let indexed = Indexed {
        position: event.position(),
        offset,
        version: event.version(),
        time: event.timestamp().as_micros(),
        stream: index.stream(stream.as_str()),
        event_type: index.event_type(event.event_type().as_str()),
        category: category_list(index, &stream),
    };
    index.add([(indexed, bytes)].into_iter());
}

/// The list of a stream's category; a stream whose name has no `-` needs none beside its own.
pub(super) fn category_list(index: &Index, stream: &StreamName) -> Option<ListHash> {
    (stream.category() != stream.as_str()).then(|| index.category(stream.category()))
}

/// An event read from a record, with the hint that it carries.
pub(super) struct Decoded {
    pub(super) event: RecordedEvent,
    pub(super) previous: Position,
    stream_hash: u64,
}

impl Decoded {
    /// Checks the hash of the stream name. The checksums have vouched for it; this is for who looks at everything.
    pub(super) fn check_hash(&self) -> Result<(), String> {
        let found = xxh3_64(self.event.stream().as_bytes());
        if found == self.stream_hash {
            return Ok(());
        }
        Err(format!("the stream's hash is {found:016x}, but {:016x} was written", self.stream_hash))
    }
}

/// Reads an event from a valid record. The error says why it is none.
#[inline]
pub(super) fn decode(read: &Read<'_>) -> Result<Decoded, String> {
    let header = &read.record.header;
    let Ok(head): Result<&[u8; HEAD_BYTES], _> = read.head().try_into() else {
        return Err(format!("the event's head has {} bytes, not {HEAD_BYTES}", read.head().len()));
    };
    if header.kind != EVENT {
        return Err(format!("a record of kind {}; this version knows kind {EVENT}", header.kind));
    }
    let mut fields = Reader::new(head);
    let decoded = (|| {
        let version = Version::new(fields.u64()?);
        let previous = Position::new(fields.u64()?);
        let stream_hash = fields.u64()?;
        let timestamp = Timestamp::from_micros(fields.i64()?);
        let id = EventId::from(Uuid::from_bytes(fields.array()?));
        let recorded = Recorded { position: header.position, version, id, timestamp };
        let (stream, event_type, metadata) = (fields.u16()?.into(), fields.u16()?.into(), fields.u32()? as usize);
        let event = RecordedEvent::from_body(recorded, read.body(), stream, event_type, metadata);
        Some(event.map(|event| Decoded { event, previous, stream_hash }))
    })();
    match decoded {
        Some(Ok(decoded)) => Ok(decoded),
        Some(Err(invalid)) => Err(invalid.to_string()),
        None => Err("the event's head is cut short".to_owned()),
    }
}
