//! What a client asks.

use bytes::BufMut;

use super::{
    Frame, MALFORMED, Received, Secret, UNKNOWN_REQUEST,
    error::{put_expected, take_expected},
    event::{NEW_HEAD_BYTES, new_len, put_new, take_new},
    fields::{Fields, put_optional, put_text},
    malformed, snapshot,
};
use crate::{
    error::{Action, Error, Result},
    event::{EventType, InvalidInput, StreamName},
    event_store::{CursorName, ReadAll, ReadStream, Snapshot, Start, StreamAppend, Subscribe},
    limits,
    version::{Position, Version},
};

const HELLO: u16 = 1;
const PING: u16 = 2;
const APPEND: u16 = 3;
const READ_STREAM: u16 = 4;
const READ_ALL: u16 = 5;
const STREAM_VERSION: u16 = 6;
const LAST_POSITION: u16 = 7;
const SUBSCRIBE: u16 = 8;
const ACKNOWLEDGE: u16 = 9;
const CANCEL: u16 = 10;
const CREDIT: u16 = 11;
const SAVE_SNAPSHOT: u16 = 12;
const LOAD_SNAPSHOT: u16 = 13;
const STATISTICS: u16 = 14;
const STREAMS: u16 = 15;

/// Most types that a read or a subscription can name.
const TYPES: usize = 1_000;

/// A request. What each is answered with stands in docs/protocol.md.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Who asks. The first of a connection.
    Hello(Secret),
    Ping,
    /// To one stream or several, as one.
    Append(Vec<StreamAppend>),
    ReadStream(ReadStream, Flow),
    ReadAll(ReadAll, Flow),
    StreamVersion(StreamName),
    LastPosition,
    Subscribe(Resume, u32),
    Acknowledge {
        subscription: u64,
        position: Position,
    },
    /// Ends a read or a subscription.
    Cancel {
        request: u64,
    },
    /// So many bytes more may be sent for a read or a subscription. Has no answer.
    Credit {
        request: u64,
        bytes: u32,
    },
    SaveSnapshot(Snapshot),
    LoadSnapshot {
        stream: StreamName,
        at_or_below: Version,
    },
    Statistics,
    /// The streams whose names begin with this, and their versions.
    Streams(String, Flow),
}

/// How the answer to a read comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// As one page, however much is left.
    Page,
    /// Page after page, as long as there is credit: so many bytes at first.
    Stream(u32),
}

/// A subscription, and how far one that goes on has come already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resume {
    pub(crate) subscribe: Subscribe,
    /// Begin behind this, wherever the cursor is.
    pub(crate) behind: Option<Position>,
}

impl Request {
    /// The request as a frame.
    pub(crate) fn encode(&self, id: u64) -> Frame {
        let mut frame = Frame::new();
        let kind = self.put(&mut frame);
        frame.seal(id, kind)
    }

    fn put(&self, frame: &mut Frame) -> u16 {
        let own = frame.body();
        match self {
            Request::Hello(secret) => put_text(own, secret.as_str()),
            Request::Ping | Request::LastPosition | Request::Statistics => {}
            Request::Append(appends) => put_appends(frame, appends),
            Request::ReadStream(read, flow) => put_read_stream(own, read, *flow),
            Request::ReadAll(read, flow) => put_read_all(own, read, *flow),
            Request::StreamVersion(stream) => put_text(own, stream.as_str()),
            Request::Subscribe(resume, credit) => put_subscribe(own, resume, *credit),
            Request::Acknowledge { subscription, position } => {
                own.put_u64_le(*subscription);
                own.put_u64_le(position.get());
            }
            Request::Cancel { request } => own.put_u64_le(*request),
            Request::Credit { request, bytes } => {
                own.put_u64_le(*request);
                own.put_u32_le(*bytes);
            }
            Request::SaveSnapshot(saved) => snapshot::put(frame, saved),
            Request::LoadSnapshot { stream, at_or_below } => {
                put_text(own, stream.as_str());
                own.put_u64_le(at_or_below.get());
            }
            Request::Streams(prefix, flow) => {
                put_flow(own, *flow);
                put_text(own, prefix);
            }
        }
        self.kind()
    }

    fn kind(&self) -> u16 {
        match self {
            Request::Hello(_) => HELLO,
            Request::Ping => PING,
            Request::Append(_) => APPEND,
            Request::ReadStream(..) => READ_STREAM,
            Request::ReadAll(..) => READ_ALL,
            Request::StreamVersion(_) => STREAM_VERSION,
            Request::LastPosition => LAST_POSITION,
            Request::Subscribe(..) => SUBSCRIBE,
            Request::Acknowledge { .. } => ACKNOWLEDGE,
            Request::Cancel { .. } => CANCEL,
            Request::Credit { .. } => CREDIT,
            Request::SaveSnapshot(_) => SAVE_SNAPSHOT,
            Request::LoadSnapshot { .. } => LOAD_SNAPSHOT,
            Request::Statistics => STATISTICS,
            Request::Streams(..) => STREAMS,
        }
    }

    /// The request of a frame. The error is what it is to be answered with.
    pub(crate) fn decode(frame: Received) -> Result<Request> {
        let mut fields = Fields::new(frame.body);
        let fields = &mut fields;
        Ok(match frame.kind {
            HELLO => Request::Hello(Secret::new(fields.text()?)),
            PING => Request::Ping,
            APPEND => Request::Append(take_appends(fields)?),
            READ_STREAM => take_read_stream(fields)?,
            READ_ALL => take_read_all(fields)?,
            STREAM_VERSION => Request::StreamVersion(fields.stream()?),
            LAST_POSITION => Request::LastPosition,
            SUBSCRIBE => take_subscribe(fields)?,
            ACKNOWLEDGE => Request::Acknowledge { subscription: fields.u64()?, position: fields.position()? },
            CANCEL => Request::Cancel { request: fields.u64()? },
            CREDIT => Request::Credit { request: fields.u64()?, bytes: fields.u32()? },
            SAVE_SNAPSHOT => Request::SaveSnapshot(snapshot::take(fields)?),
            LOAD_SNAPSHOT => Request::LoadSnapshot { stream: fields.stream()?, at_or_below: fields.version()? },
            STATISTICS => Request::Statistics,
            STREAMS => {
                let flow = take_flow(fields)?;
                Request::Streams(fields.text()?, flow)
            }
            kind => {
                let message = format!("this server knows no request of kind {kind}");
                return Err(Error::Remote { code: UNKNOWN_REQUEST, action: Action::FixInput, message });
            }
        })
    }
}

/// Whether a client broke the protocol, and did not only ask for something that is refused.
pub(crate) fn breaks_protocol(error: &Error) -> bool {
    matches!(error, Error::Remote { code: MALFORMED, .. })
}

fn put_appends(frame: &mut Frame, appends: &[StreamAppend]) {
    frame.body().put_u16_le(appends.len() as u16);
    for StreamAppend { stream, expected, events } in appends {
        let own = frame.body();
        put_text(own, stream.as_str());
        put_expected(own, *expected);
        own.put_u16_le(events.len() as u16);
        own.reserve(events.iter().map(new_len).sum());
        events.iter().for_each(|event| put_new(frame, event));
    }
}

fn take_appends(fields: &mut Fields) -> Result<Vec<StreamAppend>> {
    // The length of a name, a condition with its version, a count.
    const LEAST_STREAM: usize = 2 + 9 + 2;
    let count = fields.u16()?;
    let count = fields.count(count, LEAST_STREAM, limits::APPEND_EVENTS)?;
    let mut appends = Vec::with_capacity(count);
    let mut total = 0;
    for _ in 0..count {
        let (stream, expected) = (fields.stream()?, take_expected(fields)?);
        let count: usize = fields.u16()?.into();
        total += count;
        if total > limits::APPEND_EVENTS {
            let (what, unit) = ("append", "events");
            return Err(InvalidInput::TooLarge { what, unit, found: total, limit: limits::APPEND_EVENTS }.into());
        }
        let count = fields.count(count, NEW_HEAD_BYTES, limits::APPEND_EVENTS)?;
        let mut events = Vec::with_capacity(count);
        for _ in 0..count {
            events.push(take_new(fields)?);
        }
        appends.push(StreamAppend { stream, expected, events });
    }
    Ok(appends)
}

fn put_flow(body: &mut Vec<u8>, flow: Flow) {
    match flow {
        Flow::Page => {
            body.put_u8(0);
            body.put_u32_le(0);
        }
        Flow::Stream(credit) => {
            body.put_u8(1);
            body.put_u32_le(credit);
        }
    }
}

fn take_flow(fields: &mut Fields) -> Result<Flow> {
    match (fields.u8()?, fields.u32()?) {
        (0, _) => Ok(Flow::Page),
        (1, credit) => Ok(Flow::Stream(credit)),
        (other, _) => Err(malformed(format!("{other} is no way to answer a read"))),
    }
}

fn put_limit(body: &mut Vec<u8>, limit: usize) {
    body.put_u64_le(if limit == usize::MAX { u64::MAX } else { limit as u64 });
}

fn take_limit(fields: &mut Fields) -> Result<usize> {
    Ok(usize::try_from(fields.u64()?).unwrap_or(usize::MAX))
}

fn put_read_stream(body: &mut Vec<u8>, read: &ReadStream, flow: Flow) {
    put_flow(body, flow);
    put_text(body, read.stream.as_str());
    body.put_u64_le(read.from.get());
    body.put_u64_le(read.to.get());
    put_limit(body, read.limit);
    body.put_u8(read.backwards.into());
}

fn take_read_stream(fields: &mut Fields) -> Result<Request> {
    let (flow, stream) = (take_flow(fields)?, fields.stream()?);
    let (from, to, limit) = (fields.version()?, fields.version()?, take_limit(fields)?);
    Ok(Request::ReadStream(ReadStream { stream, from, to, limit, backwards: fields.bool()? }, flow))
}

fn put_read_all(body: &mut Vec<u8>, read: &ReadAll, flow: Flow) {
    put_flow(body, flow);
    body.put_u64_le(read.after.get());
    body.put_u64_le(read.before.get());
    put_limit(body, read.limit);
    body.put_u8(read.backwards.into());
    put_selection(body, read.stream.as_ref(), read.category.as_deref(), &read.types);
    put_optional(body, read.since, |body, since| body.put_i64_le(since.as_micros()));
}

fn take_read_all(fields: &mut Fields) -> Result<Request> {
    let (flow, after, before) = (take_flow(fields)?, fields.position()?, fields.position()?);
    let (limit, backwards) = (take_limit(fields)?, fields.bool()?);
    let (stream, category, types) = take_selection(fields)?;
    let since = fields.optional(Fields::timestamp)?;
    Ok(Request::ReadAll(ReadAll { after, before, limit, backwards, types, category, stream, since }, flow))
}

fn put_selection(body: &mut Vec<u8>, stream: Option<&StreamName>, category: Option<&str>, types: &[EventType]) {
    put_optional(body, stream, |body, stream| put_text(body, stream.as_str()));
    put_optional(body, category, put_text);
    body.put_u16_le(types.len() as u16);
    types.iter().for_each(|event_type| put_text(body, event_type.as_str()));
}

type Selection = (Option<StreamName>, Option<String>, Vec<EventType>);

fn take_selection(fields: &mut Fields) -> Result<Selection> {
    let (stream, category) = (fields.optional(Fields::stream)?, fields.optional(Fields::text)?);
    let count = fields.u16()?;
    let count = fields.count(count, 2, TYPES)?;
    let types = (0..count).map(|_| fields.event_type()).collect::<Result<_>>()?;
    Ok((stream, category, types))
}

fn put_subscribe(body: &mut Vec<u8>, resume: &Resume, credit: u32) {
    let Subscribe { start, stream, category, types } = &resume.subscribe;
    body.put_u32_le(credit);
    let after = match start {
        Start::After(position) => Some(*position),
        Start::Beginning | Start::Cursor(_) => None,
    };
    put_optional(body, resume.behind.or(after), |body, position| body.put_u64_le(position.get()));
    let cursor = if let Start::Cursor(name) = start { Some(name) } else { None };
    put_optional(body, cursor, |body, name| put_text(body, name.as_str()));
    put_selection(body, stream.as_ref(), category.as_deref(), types);
}

fn take_subscribe(fields: &mut Fields) -> Result<Request> {
    let (credit, position) = (fields.u32()?, fields.optional(Fields::position)?);
    let cursor = fields.optional(Fields::text)?.map(CursorName::new).transpose()?;
    let (stream, category, types) = take_selection(fields)?;
    let (start, behind) = match (cursor, position) {
        (Some(cursor), behind) => (Start::Cursor(cursor), behind),
        (None, Some(position)) => (Start::After(position), None),
        (None, None) => (Start::Beginning, None),
    };
    let subscribe = Subscribe { start, stream, category, types };
    Ok(Request::Subscribe(Resume { subscribe, behind }, credit))
}
