//! What must be true of a whole session, whatever bytes a client sends.
//!
//! ```text
//!  0        1
//!  +--------+- - - -
//!  | how    | what the client sends
//!  +--------+- - - -
//! ```
//!
//! How: bit 0 the server asks for a token, bit 1 the client says a proper hello first, bit 2 what follows are requests, each with
//! `u16` kind, `u16` length and body, of which frames with checksums that fit are made; otherwise they are sent as they come.

use std::{collections::HashMap, net::SocketAddr};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};

use super::{
    access::{Role, Token},
    connection::{Stream, serve},
    listener::common,
    options::ServerOptions,
};
use crate::{
    event_store::{Appended, ReadStream, StreamAppend},
    limits,
    protocol::{ClientPreamble, Flow, Frame, PREAMBLE_BYTES, Received, Request, Response, Secret, Taken, take},
    store::Store,
};

const SECRET: &str = "0123456789abcdef";

/// The streams that the token is for.
const PREFIX: &str = "order-";

/// Sends these bytes to a server of this store, reads all that it answers, and looks whether that can be.
pub(crate) async fn session(store: &Store, bytes: &[u8]) {
    let Some((how, sent)) = bytes.split_first() else { return };
    let (tokens, hello, framed) = (how & 1 != 0, how & 2 != 0, how & 4 != 0);
    let requests = if framed { requests(sent) } else { Vec::new() };
    let mut bytes = Vec::new();
    if hello {
        bytes.extend(ClientPreamble::OWN.encode());
        put(&mut bytes, &Request::Hello(Secret::new(if tokens { SECRET } else { "" })).encode(1));
    }
    if framed {
        requests.iter().for_each(|received| put(&mut bytes, &frame(received)));
    } else {
        bytes.extend(sent);
    }
    let mut options = ServerOptions::new();
    if tokens {
        let token = Token::new("fuzz", SECRET, Role::Append, vec![PREFIX.to_owned()]);
        options = options.tokens(token.into_iter().collect());
    }
    let answers = talk(store, options, &bytes).await;
    let Some(answers) = answers else { return };
    if !hello {
        return;
    }
    assert!(matches!(answers.first(), Some((1, Response::Welcome(_)))), "{answers:?}");
    if framed {
        check(store, &requests, &answers[1..], tokens);
    }
}

/// The requests that stand in what was sent. Their ids go on behind that of the hello.
fn requests(mut sent: &[u8]) -> Vec<Received> {
    let mut requests = Vec::new();
    while let Some((head, rest)) = sent.split_first_chunk::<4>() {
        let (kind, len) = (u16::from_le_bytes([head[0], head[1]]), u16::from_le_bytes([head[2], head[3]]));
        let (body, rest) = rest.split_at(rest.len().min(len.into()));
        let request = 2 + requests.len() as u64;
        requests.push(Received { request, kind, body: body.to_vec().into() });
        sent = rest;
    }
    requests
}

/// The frame of a request of any kind with any body.
fn frame(received: &Received) -> Frame {
    let Received { request, kind, body } = received;
    let mut frame = Frame::new();
    frame.body().extend_from_slice(body);
    frame.seal(*request, *kind)
}

fn put(bytes: &mut Vec<u8>, frame: &Frame) {
    frame.chunks().for_each(|chunk| bytes.extend_from_slice(chunk));
}

/// What is answered; `None` without a preamble that lets the client in.
async fn talk(store: &Store, options: ServerOptions, bytes: &[u8]) -> Option<Vec<(u64, Response)>> {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    // Nobody shuts down.
    let (common, _down) = common(store.clone(), address, options);
    let (ours, theirs) = duplex(16 << 10);
    let (source, sink) = split(theirs);
    let stream = Stream { source: Box::new(source), sink: Box::new(sink), line: None };
    let (mut reading, mut writing) = split(ours);
    let mut answered = BytesMut::new();
    let writes = async {
        // The server may have had enough before.
        let _ = writing.write_all(bytes).await;
        let _ = writing.shutdown().await;
    };
    let reads = async { while matches!(reading.read_buf(&mut answered).await, Ok(1..)) {} };
    tokio::join!(serve(1, address, stream, common.clone()), writes, reads);
    assert_eq!((common.requests.held(), common.responses.held()), (0, 0), "what was held is given back");
    if answered.len() < PREAMBLE_BYTES || answered.split_to(PREAMBLE_BYTES)[8..12] != [1, 0, 0, 0] {
        assert!(answered.is_empty(), "a refusal is all that is said");
        return None;
    }
    let mut answers = Vec::new();
    while let Ok(Taken::Frame(frame)) = take(&mut answered, limits::FRAME_BYTES) {
        let request = frame.request;
        match Response::decode(frame) {
            Ok(response) => answers.push((request, response)),
            Err(error) => unreachable!("a response that nobody understands: {error}"),
        }
    }
    assert!(answered.is_empty(), "whole frames are sent");
    Some(answers)
}

/// Each request has its answer, what is acknowledged is there, and what the token does not allow was not done.
fn check(store: &Store, requests: &[Received], answers: &[(u64, Response)], tokens: bool) {
    let mut count = HashMap::<u64, usize>::new();
    for (id, response) in answers {
        *count.entry(*id).or_default() += 1;
        if let (true, Response::Events { events, .. }) = (tokens, response) {
            assert!(events.iter().all(|event| event.stream_str().starts_with(PREFIX)), "{events:?}");
        }
        if let (true, Response::Streams { streams, .. }) = (tokens, response) {
            assert!(streams.iter().all(|(stream, _)| stream.as_str().starts_with(PREFIX)), "{streams:?}");
        }
        if let Response::Appended(appended) = response {
            let request = requests.iter().find(|received| received.request == *id).cloned();
            let Some(Ok(Request::Append(appends))) = request.map(Request::decode) else {
                unreachable!("{id} was no append")
            };
            assert_eq!(appends.len(), appended.len());
            appends.iter().zip(appended).for_each(|(append, appended)| stored(store, append, appended, tokens));
        }
    }
    for received in requests {
        let answered = count.get(&received.request).copied().unwrap_or_default();
        match Request::decode(received.clone()) {
            // As many frames as there is credit for, and none behind the end of the connection.
            Ok(Request::ReadStream(_, Flow::Stream(_)) | Request::ReadAll(_, Flow::Stream(_)))
            | Ok(Request::Streams(_, Flow::Stream(_)) | Request::Subscribe(..)) => {}
            Ok(Request::Credit { .. }) => assert_eq!(answered, 0, "{received:?}"),
            _ => assert_eq!(answered, 1, "{received:?}"),
        }
    }
}

/// What was acknowledged is there.
fn stored(store: &Store, append: &StreamAppend, appended: &Appended, tokens: bool) {
    assert!(!tokens || append.stream.as_str().starts_with(PREFIX), "not for this token: {}", append.stream);
    assert!(appended.position <= store.last_position());
    let read = ReadStream::new(&append.stream).from(appended.first_version).to(appended.version);
    let found: Vec<_> = store.read_stream(read).flatten().collect();
    assert_eq!(found.len(), append.events.len());
    assert!(found.iter().map(|found| found.id()).eq(append.events.iter().map(|sent| sent.id)), "{found:?}");
}
