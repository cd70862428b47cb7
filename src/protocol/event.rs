//! Events on the wire.
//!
//! ```text
//!  recorded: 0          8         16          24   40            42          44               48            52
//!            +----------+---------+-----------+----+-------------+-----------+----------------+-------------+- - -
//!            | position | version | timestamp | id | stream len. | type len. | metadata len.  | body length | body
//!            +----------+---------+-----------+----+-------------+-----------+----------------+-------------+- - -
//!                                                    body: | stream name | event type | metadata | payload |
//!
//!  new:      0    16          17          25          27              31             35
//!            +----+-----------+-----------+-----------+---------------+--------------+- - - - - - - - - - - - - - - +
//!            | id | has time? | timestamp | type len. | metadata len. | payload len. | type | metadata | payload     |
//!            +----+-----------+-----------+-----------+---------------+--------------+- - - - - - - - - - - - - - - +
//! ```

use bytes::{Buf, BufMut, Bytes};
use uuid::Uuid;

use super::{
    Frame,
    fields::{Fields, put_id},
    response,
};
use crate::{
    error::Result,
    event::{NewEvent, Recorded, RecordedEvent, Timestamp},
    version::{Position, Version},
};

/// Bytes of a recorded event before its body.
pub(crate) const EVENT_HEAD_BYTES: usize = 52;

/// Bytes of a new event before its type.
pub(super) const NEW_HEAD_BYTES: usize = 35;

/// Bytes of a body of events before the first.
const EVENTS_HEAD_BYTES: usize = 13;

/// Smaller parts of a new event are copied into the frame, which costs less than a piece of their own.
const LEAST_PIECE: usize = 2048;

/// A frame of recorded events, to which they are added one by one. Their bodies stay where they lie.
#[derive(Debug)]
pub(crate) struct EventsFrame {
    frame: Frame,
    events: u32,
    body: usize,
}

impl EventsFrame {
    /// With room for so many events.
    pub(crate) fn with_capacity(events: usize) -> EventsFrame {
        let mut frame = Frame::with_capacity(EVENTS_HEAD_BYTES + events * EVENT_HEAD_BYTES, events);
        frame.body().put_bytes(0, EVENTS_HEAD_BYTES);
        EventsFrame { frame, events: 0, body: super::HEADER_BYTES }
    }

    pub(crate) fn push(&mut self, event: &RecordedEvent) {
        let (body, [stream, event_type, metadata]) = event.body();
        let own = self.frame.body();
        own.put_u64_le(event.position().get());
        own.put_u64_le(event.version().get());
        own.put_i64_le(event.timestamp().as_micros());
        put_id(own, event.id());
        own.put_u16_le(stream as u16);
        own.put_u16_le(event_type as u16);
        own.put_u32_le(metadata);
        own.put_u32_le(body.len() as u32);
        self.frame.piece(body);
        self.events += 1;
    }

    /// Makes room for so many events more, so that it does not grow step by step.
    pub(crate) fn reserve(&mut self, events: usize) {
        self.frame.reserve(events * EVENT_HEAD_BYTES, events);
    }

    pub(crate) fn events(&self) -> u32 {
        self.events
    }

    /// Bytes of the frame so far.
    pub(crate) fn len(&self) -> usize {
        self.frame.len()
    }

    /// The frame, as an answer to this request. `last` says that no other follows; `position` is how far a subscription has come.
    pub(crate) fn seal(mut self, request: u64, last: bool, position: Position) -> Frame {
        let mut head = &mut self.frame.body()[self.body..];
        head.put_u8(last.into());
        head.put_u64_le(position.get());
        head.put_u32_le(self.events);
        self.frame.seal(request, response::EVENTS)
    }
}

/// The events of a body, behind its other fields.
pub(super) fn take_events(fields: &mut Fields) -> Result<Vec<RecordedEvent>> {
    let count = fields.u32()?;
    let count = fields.count(count, EVENT_HEAD_BYTES, usize::MAX)?;
    let mut events = Vec::with_capacity(count);
    // One reference for each: all lie in the same buffer.
    let all = fields.rest().clone();
    for _ in 0..count {
        events.push(take_event(fields, &all)?);
    }
    Ok(events)
}

/// The next event of a body that ends as `all` does.
fn take_event(fields: &mut Fields, all: &Bytes) -> Result<RecordedEvent> {
    let head = fields.head::<EVENT_HEAD_BYTES>()?;
    let mut head = &head[..];
    let (position, version) = (Position::new(head.get_u64_le()), Version::new(head.get_u64_le()));
    let timestamp = Timestamp::from_micros(head.get_i64_le());
    // Its bytes stand as they are.
    let id = Uuid::from_u128(head.get_u128()).into();
    let lengths = [head.get_u16_le().into(), head.get_u16_le().into(), head.get_u32_le() as usize];
    let len = head.get_u32_le() as usize;
    let start = all.len() - fields.left();
    fields.skip(len)?;
    let mut event = RecordedEvent::none();
    event.become_body(Recorded { position, version, id, timestamp }, all, start..start + len, lengths)?;
    Ok(event)
}

pub(super) fn put_new(frame: &mut Frame, event: &NewEvent) {
    let event_type = event.event_type.as_bytes();
    let own = frame.body();
    put_id(own, event.id);
    own.put_u8(event.timestamp.is_some().into());
    own.put_i64_le(event.timestamp.map_or(0, |time| time.as_micros()));
    own.put_u16_le(event_type.len() as u16);
    own.put_u32_le(event.metadata.len() as u32);
    own.put_u32_le(event.payload.len() as u32);
    own.put_slice(event_type);
    put_part(frame, &event.metadata);
    put_part(frame, &event.payload);
}

/// How many bytes of the frame's own a new event takes.
pub(super) fn new_len(event: &NewEvent) -> usize {
    let copied = |part: &Bytes| if part.len() < LEAST_PIECE { part.len() } else { 0 };
    NEW_HEAD_BYTES + event.event_type.as_bytes().len() + copied(&event.metadata) + copied(&event.payload)
}

fn put_part(frame: &mut Frame, part: &Bytes) {
    if part.len() < LEAST_PIECE { frame.body().put_slice(part) } else { frame.piece(part.clone()) }
}

pub(super) fn take_new(fields: &mut Fields) -> Result<NewEvent> {
    let (id, has_time, time) = (fields.id()?, fields.bool()?, fields.timestamp()?);
    let type_len: usize = fields.u16()?.into();
    let (metadata, payload) = (fields.u32()? as usize, fields.u32()? as usize);
    let event_type = crate::event::EventType::from_bytes(fields.bytes(type_len)?)?;
    let (metadata, payload) = (fields.bytes(metadata)?, fields.bytes(payload)?);
    Ok(NewEvent { id, event_type, payload, metadata, timestamp: has_time.then_some(time) })
}
