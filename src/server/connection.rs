//! One connection, from its first byte to its last.
//!
//! ```text
//!   preambles, hello   within the handshake's time, in small frames only
//!   reader -> session  until the client closes, breaks the protocol, says nothing for too long, or the server shuts down
//!   writer             until everything that was begun is answered
//! ```

use std::{future::poll_fn, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tracing::{debug, info, warn};

use super::{
    access::Access,
    alone::{LoneAppend, Seat, Serving},
    budget::{Budget, Budgets},
    line::Line,
    memory::Memory,
    metrics::Metrics,
    options::ServerOptions,
    reader::{Ended, FrameReader, MOST_BUFFER, Patience, Source},
    session::{Jobs, Session, answer_pages},
    shutdown::Shutdown,
    streamed::{AllStreamed, Surroundings},
    writer::{Own, Sink, Ticket, Writer},
};
use crate::{
    error::Error,
    limits,
    protocol::{
        ClientPreamble, Frame, PREAMBLE_BYTES, Refusal, Request, Response, ServerPreamble, Welcome, breaks_protocol,
    },
    store::Store,
};

/// Longest frame before a client is known.
const HELLO_BYTES: usize = 4096;

/// A response that a connection which has read all others is sent whatever the rest have in flight: any page of events that are not
/// large by themselves.
const FREE_RESPONSE: usize = 1 << 20;

/// What all connections of a server share.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) store: Store,
    pub(super) options: Arc<ServerOptions>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) memory: Memory,
    pub(super) seat: Seat,
    /// Of all connections together.
    pub(super) requests: Budget,
    pub(super) responses: Budget,
    pub(super) shutdown: Shutdown,
    pub(super) name: Arc<str>,
}

/// The two directions of a connection.
pub(super) struct Stream {
    pub(super) source: Source,
    pub(super) sink: Sink,
    /// Both, for a thread that serves it alone.
    pub(super) line: Option<Line>,
}

/// Serves a connection until it ends.
pub(super) async fn serve(number: u64, peer: SocketAddr, stream: Stream, common: Common) {
    let (mut reader, mut sink) = (FrameReader::new(stream.source), stream.sink);
    let access = match timeout(common.options.handshake_time, greet(&mut reader, &mut sink, &common)).await {
        Ok(Ok(access)) => access,
        Ok(Err(reason)) => {
            info!(connection = number, %peer, %reason, "refused");
            let _ = sink.shutdown().await;
            return reader.linger().await;
        }
        Err(_) => return info!(connection = number, %peer, "refused: it took too long to say who it is"),
    };
    info!(connection = number, %peer, token = access.name, "opened");
    let (reason, reader) = converse(number, reader, sink, stream.line, access, &common).await;
    info!(connection = number, %peer, %reason, "closed");
    if let Some(mut reader) = reader {
        reader.linger().await;
    }
}

/// The preambles and the hello. The error says why there will be no more.
async fn greet(reader: &mut FrameReader, sink: &mut Sink, common: &Common) -> Result<Access, String> {
    let mut preamble = [0; PREAMBLE_BYTES];
    reader.first(&mut preamble).await.map_err(|error| format!("no preamble: {error}"))?;
    let answer = match ClientPreamble::decode(&preamble) {
        Ok(preamble) => preamble.answer(),
        Err(error) => {
            let _ = sink.write_all(&ServerPreamble::Refused(Refusal::NotThisProtocol).encode()).await;
            return Err(error.to_string());
        }
    };
    sink.write_all(&answer.encode()).await.map_err(|error| error.to_string())?;
    if let ServerPreamble::Refused(refusal) = answer {
        return Err(refusal.to_string());
    }
    let _ = sink.flush().await;
    let budgets = Budgets::new(HELLO_BYTES, &common.requests, HELLO_BYTES);
    let patience = Patience { idle: Duration::MAX, frame: Duration::MAX };
    let (frame, _) = match reader.next(HELLO_BYTES, &budgets, patience).await {
        Ok(frame) => frame,
        Err(Ended::Malformed(error)) => return Err(refuse(sink, 0, error).await),
        Err(ended) => return Err(format!("no hello: {ended:?}")),
    };
    let id = frame.request;
    let access = match Request::decode(frame) {
        Ok(Request::Hello(secret)) => common.options.tokens.access(&secret),
        Ok(_) => Err(Error::Unauthorized { reason: "the first request of a connection is a hello".into() }),
        Err(error) => Err(error),
    };
    match access {
        Ok(access) => {
            let welcome = Welcome {
                frame_bytes: limits::FRAME_BYTES as u32,
                requests: u32::try_from(common.options.requests).unwrap_or(u32::MAX),
                server: concat!("factlog ", env!("CARGO_PKG_VERSION")).into(),
            };
            write(sink, &Response::Welcome(welcome).encode(id)).await.map_err(|error| error.to_string())?;
            Ok(access)
        }
        Err(error) => {
            common.metrics.unauthorized.inc();
            Err(refuse(sink, id, error).await)
        }
    }
}

async fn write(sink: &mut Sink, frame: &Frame) -> std::io::Result<()> {
    for chunk in frame.chunks() {
        sink.write_all(chunk).await?;
    }
    sink.flush().await
}

/// Says why, and gives the reason back for the log.
async fn refuse(sink: &mut Sink, request: u64, error: Error) -> String {
    let reason = error.to_string();
    let _ = write(sink, &Response::Error(error).encode(request)).await;
    reason
}

/// Answers a client that is known. Returns why it ended, and the reader if its last bytes should be waited for.
async fn converse(
    number: u64,
    mut reader: FrameReader,
    sink: Sink,
    line: Option<Line>,
    access: Access,
    common: &Common,
) -> (String, Option<FrameReader>) {
    let (out, answers) = mpsc::unbounded_channel();
    let pages = Jobs::default();
    let own = Own::default();
    let budget = |total: &Budget, free| Budgets::new(common.options.connection_bytes, total, free);
    let with = Surroundings {
        store: common.store.clone(),
        access: Arc::new(access),
        metrics: common.metrics.clone(),
        memory: common.memory.clone(),
        responses: budget(&common.responses, FREE_RESPONSE),
        out,
        shutdown: common.shutdown.clone(),
        server: common.name.clone(),
    };
    let answering = answer_pages(pages.clone(), with.clone(), own.clone());
    let streamed = AllStreamed::default();
    let session = Session::new(with, pages, own.clone(), streamed.clone());
    let serving = Serving { number, store: &common.store, lone: LoneAppend::default(), line, seat: &common.seat };
    let (patience, lone) = (common.options.write_time, serving.lone.clone());
    let writer = Writer::new(sink, answers, own, patience, &common.metrics, &common.store, lone);
    let permits = Arc::new(Semaphore::new(common.options.requests));
    let idle = || streamed.is_empty() && permits.available_permits() == common.options.requests;
    let mut why = "closed by the client".to_owned();
    let requests = budget(&common.requests, MOST_BUFFER);
    let written = {
        let mut conversing = pin!(async {
            let working = async {
                // What was read is worked on at once, and the writer comes behind both.
                tokio::join!(biased; read(&mut reader, session, requests, &permits, common, &mut why), answering);
                // All that can be said is on its way: the writer ends.
                std::future::pending::<()>().await;
            };
            tokio::select! {
                // What has come is taken before it is answered: what came together is committed and answered together.
                biased;
                () = working => Ok(()),
                written = writer.run() => written,
            }
        });
        poll_fn(|context| serving.poll(conversing.as_mut(), idle, context)).await
    };
    match written {
        Ok(()) => (why, Some(reader)),
        Err(error) => (format!("cannot write: {error}"), None),
    }
}

/// Reads requests and hands them on, until there are no more.
async fn read(
    reader: &mut FrameReader,
    mut session: Session,
    budgets: Budgets,
    permits: &Arc<Semaphore>,
    common: &Common,
    why: &mut String,
) {
    let options = &common.options;
    let patience = Patience { idle: options.idle_time, frame: options.frame_time };
    let mut shutdown = common.shutdown.clone();
    let ended = loop {
        let next = tokio::select! {
            next = reader.next(limits::FRAME_BYTES, &budgets, patience) => next,
            () = shutdown.wait() => {
                "the server shuts down".clone_into(why);
                return session.finish().await;
            }
        };
        let (frame, bytes) = match next {
            Ok(next) => next,
            Err(ended) => break ended,
        };
        common.metrics.received_bytes.inc_by(frame.body.len() as u64);
        let request = match permits.clone().try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => permits.clone().acquire_owned().await.ok(),
        };
        let (id, request) = (frame.request, (Request::decode(frame), Ticket { request, bytes }));
        session.take(id, request.0, request.1).await;
    };
    *why = match ended {
        Ended::Closed => return session.close().await,
        Ended::Broken(error) => format!("broken: {error}"),
        Ended::Idle => "it said nothing for too long".into(),
        Ended::Slow => "a frame took too long".into(),
        Ended::Malformed(error) => {
            debug_assert!(breaks_protocol(&error));
            warn!(%error, "a client breaks the protocol");
            session.take(0, Err(error.clone()), Ticket::default()).await;
            error.to_string()
        }
    };
    debug!(why, "nothing more is read");
}
