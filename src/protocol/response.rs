//! What a server answers.

use bytes::BufMut;

use super::{
    Frame, Received, error,
    event::{EventsFrame, take_events},
    fields::{Fields, put_text},
    malformed, snapshot,
};
use crate::{
    error::{Error, Result},
    event::{RecordedEvent, StreamName},
    event_store::{Appended, LoadedSnapshot, Stats},
    limits,
    version::{Position, Version},
};

const WELCOME: u16 = 0x8001;
const DONE: u16 = 0x8002;
const APPENDED: u16 = 0x8003;
pub(super) const EVENTS: u16 = 0x8004;
const VERSION: u16 = 0x8005;
const POSITION: u16 = 0x8006;
const SNAPSHOT: u16 = 0x8007;
const STATISTICS: u16 = 0x8008;
const STREAMS: u16 = 0x8009;
const ERROR: u16 = 0x80ff;

/// A response, under the id of the request that it answers.
#[derive(Clone, Debug)]
pub(crate) enum Response {
    Welcome(Welcome),
    Done,
    /// One for each stream of the append, in its order.
    Appended(Vec<Appended>),
    Events {
        /// No other frame follows for this request.
        last: bool,
        /// For a subscription: everything that was asked for up to here has been sent.
        position: Position,
        events: Vec<RecordedEvent>,
    },
    Version(Version),
    /// The last position of the log; or the one that a subscription begins behind.
    Position(Position),
    Snapshot(LoadedSnapshot),
    Statistics(Stats),
    Streams {
        last: bool,
        streams: Vec<(StreamName, Version)>,
    },
    /// Ends the request. Under the request id 0 it ends the connection.
    Error(Error),
}

/// What a client is told when it has said who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Welcome {
    /// Largest length of a frame that the server takes.
    pub(crate) frame_bytes: u32,
    /// So many requests are worked on at a time; what comes beyond waits.
    pub(crate) requests: u32,
    /// Name and version of the server, for people.
    pub(crate) server: String,
}

impl Response {
    /// The response as a frame.
    pub(crate) fn encode(&self, request: u64) -> Frame {
        let mut frame = Frame::new();
        let own = frame.body();
        let kind = match self {
            Response::Welcome(welcome) => {
                own.put_u32_le(welcome.frame_bytes);
                own.put_u32_le(welcome.requests);
                put_text(own, &welcome.server);
                WELCOME
            }
            Response::Done => DONE,
            Response::Appended(appended) => {
                own.put_u16_le(appended.len() as u16);
                for Appended { first_version, version, position } in appended {
                    own.put_u64_le(first_version.get());
                    own.put_u64_le(version.get());
                    own.put_u64_le(position.get());
                }
                APPENDED
            }
            Response::Events { last, position, events } => {
                let mut frame = EventsFrame::with_capacity(events.len());
                events.iter().for_each(|event| frame.push(event));
                return frame.seal(request, *last, *position);
            }
            Response::Version(version) => {
                own.put_u64_le(version.get());
                VERSION
            }
            Response::Position(position) => {
                own.put_u64_le(position.get());
                POSITION
            }
            Response::Snapshot(loaded) => {
                snapshot::put_loaded(&mut frame, loaded);
                SNAPSHOT
            }
            Response::Statistics(statistics) => {
                let Stats { events, streams, segments, bytes, index_runs, index_bytes, last_position } = *statistics;
                [events, streams, segments, bytes, index_runs, index_bytes, last_position.get()]
                    .into_iter()
                    .for_each(|number| own.put_u64_le(number));
                STATISTICS
            }
            Response::Streams { last, streams } => {
                own.put_u8((*last).into());
                own.put_u32_le(streams.len() as u32);
                for (stream, version) in streams {
                    put_text(own, stream.as_str());
                    own.put_u64_le(version.get());
                }
                STREAMS
            }
            Response::Error(failed) => {
                error::put(own, failed);
                ERROR
            }
        };
        frame.seal(request, kind)
    }

    /// The response of a frame. The error says why it is none.
    pub(crate) fn decode(frame: Received) -> Result<Response> {
        let mut fields = Fields::new(frame.body);
        let fields = &mut fields;
        Ok(match frame.kind {
            WELCOME => {
                let (frame_bytes, requests) = (fields.u32()?, fields.u32()?);
                Response::Welcome(Welcome { frame_bytes, requests, server: fields.text()? })
            }
            DONE => Response::Done,
            APPENDED => Response::Appended(take_appended(fields)?),
            EVENTS => {
                let (last, position) = (fields.bool()?, fields.position()?);
                Response::Events { last, position, events: take_events(fields)? }
            }
            VERSION => Response::Version(fields.version()?),
            POSITION => Response::Position(fields.position()?),
            SNAPSHOT => Response::Snapshot(snapshot::take_loaded(fields)?),
            STATISTICS => Response::Statistics(take_statistics(fields)?),
            STREAMS => {
                let (last, count) = (fields.bool()?, fields.u32()?);
                // The length of a name, and a version.
                let count = fields.count(count, 2 + 8, usize::MAX)?;
                let streams = (0..count).map(|_| Ok((fields.stream()?, fields.version()?)));
                Response::Streams { last, streams: streams.collect::<Result<_>>()? }
            }
            ERROR => Response::Error(error::take(fields)?),
            kind => return Err(malformed(format!("this client knows no response of kind {kind:#06x}"))),
        })
    }
}

fn take_appended(fields: &mut Fields) -> Result<Vec<Appended>> {
    let count = fields.u16()?;
    let count = fields.count(count, 3 * 8, limits::APPEND_EVENTS)?;
    let appended = (0..count).map(|_| {
        let (first_version, version) = (fields.version()?, fields.version()?);
        Ok(Appended { first_version, version, position: fields.position()? })
    });
    appended.collect()
}

fn take_statistics(fields: &mut Fields) -> Result<Stats> {
    let (events, streams, segments, bytes) = (fields.u64()?, fields.u64()?, fields.u64()?, fields.u64()?);
    let (index_runs, index_bytes) = (fields.u64()?, fields.u64()?);
    Ok(Stats { events, streams, segments, bytes, index_runs, index_bytes, last_position: fields.position()? })
}
