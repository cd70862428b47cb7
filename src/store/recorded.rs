//! An event as a record of the log: the layout of its head and body.
//!
//! ```text
//!  head: 0         8           16          32           34         36            40
//!        +---------+-----------+-----------+------------+----------+-------------+
//!        | version | timestamp | event id  | name bytes | type b.  | metadata b. |
//!        +---------+-----------+-----------+------------+----------+-------------+
//!  body: | stream name | event type | metadata | payload |
//! ```
//!
//! - `timestamp` is in microseconds since 1970-01-01T00:00:00Z.

use std::mem;

use uuid::Uuid;

use super::lost::StandIn;
use crate::{
    event::{EventId, NewEvent, Recorded, RecordedEvent, StreamName, Timestamp},
    event_store::StreamAppend,
    index::{Index, Indexed, ListHash},
    layout::{Reader, Writer},
    log::{Draft, Read, footprint},
    version::Version,
};

/// The kind of the records that hold an event.
const EVENT: u8 = 1;
const HEAD_BYTES: usize = 40;

/// Lays out the records of an append; versions are still missing.
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
    for event in events {
        let event_type = event.event_type.as_bytes();
        let mut head = [0; HEAD_BYTES];
        Writer::new(&mut head)
            .u64(0)
            .i64(event.timestamp.unwrap_or(now).as_micros())
            .bytes(event.id.as_uuid().as_bytes())
            .u16(name.len() as u16)
            .u16(event_type.len() as u16)
            .u32(event.metadata.len() as u32);
        draft.push(EVENT, &head, &[name, event_type, &event.metadata, &event.payload]);
    }
}

/// Fills in what only the lock can tell, for `count` records of one stream that is at `version`, the first of which is the
/// draft's record number `from`.
pub(super) fn place(draft: &mut Draft, from: usize, count: usize, version: Version) {
    for index in 0..count {
        Writer::new(draft.head_mut(from + index)).u64(version.plus(index as u64 + 1).get());
    }
}

/// Tells what the index keeps of events that are read one behind the other: neighbours often have the same stream or type.
#[derive(Debug)]
pub(super) struct Indexing {
    event: RecordedEvent,
    before: RecordedEvent,
    /// Of the event.
    indexed: Option<Indexed>,
}

impl Indexing {
    pub(super) fn new() -> Indexing {
        Indexing { event: RecordedEvent::none(), before: RecordedEvent::none(), indexed: None }
    }

    /// The event that was read last.
    pub(super) fn event(&self) -> &RecordedEvent {
        &self.event
    }

    /// Reads the next event, at `offset` of its segment.
    pub(super) fn next(&mut self, index: &Index, read: &Read<'_>, offset: u64) -> Result<Indexed, String> {
        let known = self.indexed.take();
        mem::swap(&mut self.event, &mut self.before);
        decode_into(read, &mut self.event)?;
        let Indexing { event, before, .. } = &*self;
        let (stream, category) = match known {
            Some(known) if event.is_of_stream_of(before) => (known.stream, known.category),
            _ => (index.stream(event.stream_str()), category_list(index, event.stream_str())),
        };
        let event_type = match known {
            Some(known) if event.is_of_type_of(before) => known.event_type,
            _ => index.event_type(event.event_type_str()),
        };
        let (position, version) = (event.position(), event.version());
        let time = event.timestamp().as_micros();
        Ok(*self.indexed.insert(Indexed { position, offset, version, time, stream, event_type, category }))
    }
}

/// The list of a stream's category; a stream whose name has no `-` needs none beside its own.
pub(super) fn category_list(index: &Index, stream: &str) -> Option<ListHash> {
    stream.split_once('-').map(|(category, _)| index.category(category))
}

/// What a valid record holds: an event, or what stands for one that is lost. The error says why it is neither.
#[inline]
pub(super) fn decode_any(read: &Read<'_>) -> Result<Result<RecordedEvent, StandIn>, String> {
    let mut event = RecordedEvent::none();
    Ok(decode_any_into(read, &mut event)?.map(|()| event))
}

/// As [`decode_any`], in place of the event that was there.
#[inline]
pub(super) fn decode_any_into(read: &Read<'_>, event: &mut RecordedEvent) -> Result<Result<(), StandIn>, String> {
    match decode_into(read, event) {
        Ok(()) => Ok(Ok(())),
        Err(fault) => StandIn::decode(read).map(Err).ok_or(fault),
    }
}

/// Reads an event from a valid record. The error says why it is none.
pub(super) fn decode(read: &Read<'_>) -> Result<RecordedEvent, String> {
    let mut event = RecordedEvent::none();
    decode_into(read, &mut event)?;
    Ok(event)
}

/// As [`decode`], in place of the event that was there.
#[inline]
pub(super) fn decode_into(read: &Read<'_>, event: &mut RecordedEvent) -> Result<(), String> {
    let header = read.header();
    let head = read.head();
    if header.kind != EVENT || head.len() != HEAD_BYTES {
        return Err(format!(
            "a record of kind {} with a head of {} bytes; this version knows kind {EVENT} with {HEAD_BYTES}",
            header.kind,
            head.len()
        ));
    }
    let mut fields = Reader::new(head);
    let version = Version::new(fields.u64().unwrap_or_default());
    let timestamp = Timestamp::from_micros(fields.i64().unwrap_or_default());
    let id = EventId::from(Uuid::from_bytes(fields.array().unwrap_or_default()));
    let lens = [fields.u16(), fields.u16()].map(|len| len.unwrap_or_default() as usize);
    let recorded = Recorded { position: header.position, version, id, timestamp };
    let lens = [lens[0], lens[1], fields.u32().unwrap_or_default() as usize];
    event.become_body(recorded, read.bytes, read.body(), lens).map_err(|invalid| invalid.to_string())
}
