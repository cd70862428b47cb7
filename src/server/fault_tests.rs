//! Faults of the server itself: a panic ends what it happens in, and gives back all that that had.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    thread,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    sync::oneshot,
};

use super::{
    connection::Common,
    line::Line,
    listener::{common, serve_all},
    network::{Incoming, Transport},
    options::ServerOptions,
    reader::Source,
    writer::Sink,
};
use crate::{
    disk::sim::SimDisk,
    error::Error,
    event::{EventType, NewEvent, StreamName},
    event_store::{EventStore, ReadAll, ReadStream, StreamAppend, Subscribe, block_on},
    protocol::{
        ClientPreamble, Frame, HEADER_BYTES, INTERNAL, PREAMBLE_BYTES, Received, Request, Response, Resume, Secret,
        Taken, take,
    },
    store::{Options, Store},
    version::{ExpectedVersion, Position},
};

const LONG: Duration = Duration::from_secs(60);

/// What makes a connection panic that gets it.
const FATAL: &[u8] = b"this makes the connection panic";

/// Connections of the system, each of which panics when it reads [`FATAL`].
struct Fragile<T>(T);

struct FragileSource(Source);

impl Incoming for Fragile<TcpListener> {
    type Transport = Fragile<TcpStream>;

    async fn next(&self) -> io::Result<(Fragile<TcpStream>, SocketAddr)> {
        let (stream, peer) = self.0.next().await?;
        Ok((Fragile(stream), peer))
    }
}

impl Transport for Fragile<TcpStream> {
    fn halves(self) -> (Source, Sink, Option<Line>) {
        let (source, sink, line) = self.0.halves();
        (Box::new(FragileSource(source)), sink, line)
    }
}

impl AsyncRead for FragileSource {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.0).poll_read(context, buffer))?;
        let fatal = buffer.filled()[before..].windows(FATAL.len()).any(|bytes| bytes == FATAL);
        assert!(!fatal, "the connection panics, as it was told to");
        Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncWrite for Fragile<TcpStream> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl AsyncRead for Fragile<TcpStream> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

/// A server on a simulated disk, whose connections can be made to panic.
struct Serving {
    disk: SimDisk,
    common: Common,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    runtime: Option<Runtime>,
}

impl Serving {
    fn new(options: ServerOptions) -> Serving {
        let disk = SimDisk::with_threads();
        let store = Options::new().open_on(Arc::new(disk.clone()), Path::new("/store")).unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (common, down) = common(store, address, options.handshake_time(LONG));
        let (stop, stopped) = oneshot::channel::<()>();
        let shared = common.clone();
        runtime.spawn(async move {
            let stopped = async { drop(stopped.await) };
            serve_all(Fragile(listener), &shared, down, stopped).await;
        });
        Serving { disk, common, address, stop: Some(stop), runtime: Some(runtime) }
    }

    fn store(&self) -> &Store {
        &self.common.store
    }

    fn client(&self) -> crate::client::Client {
        crate::client::Client::connect(&format!("tcp://{}", self.address)).unwrap()
    }

    /// A number of the metrics.
    fn metric(&self, name: &str) -> u64 {
        let Common { store, metrics, requests, responses, .. } = &self.common;
        let text = metrics.text(store, requests, responses);
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.as_ref().unwrap().block_on(work)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

/// A connection on which frames are sent one by one.
struct Wire(TcpStream, BytesMut);

impl Wire {
    async fn open(address: SocketAddr) -> Wire {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&ClientPreamble::OWN.encode()).await.unwrap();
        stream.read_exact(&mut [0; PREAMBLE_BYTES]).await.unwrap();
        let mut wire = Wire(stream, BytesMut::new());
        wire.send(&Request::Hello(Secret::default()).encode(1)).await;
        assert!(matches!(wire.next().await, Some((1, Response::Welcome(_)))));
        wire
    }

    async fn send(&mut self, frame: &Frame) {
        for chunk in frame.chunks() {
            self.0.write_all(chunk).await.unwrap();
        }
    }

    /// The next response; `None` when the connection is over.
    async fn next(&mut self) -> Option<(u64, Response)> {
        loop {
            if let Taken::Frame(frame) = take(&mut self.1, usize::MAX).unwrap() {
                let Received { request, .. } = frame;
                return Some((request, Response::decode(frame).unwrap()));
            }
            if !matches!(self.0.read_buf(&mut self.1).await, Ok(1..)) {
                return None;
            }
        }
    }
}

fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

fn event(payload: &[u8]) -> NewEvent {
    NewEvent::new(EventType::new("Noted").unwrap(), payload.to_vec())
}

fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        thread::yield_now();
    }
}

#[test]
fn a_panic_in_a_connections_task_ends_that_connection_alone_and_gives_back_all_that_it_had() {
    let serving = Serving::new(ServerOptions::new().connections(2));
    let client = serving.client();
    let mut subscription = client.subscribe(Subscribe::new()).unwrap();
    serving.run(async {
        let mut wire = Wire::open(serving.address).await;
        // It has a subscription, an append that is answered, and one of which most has come: all of its bytes are held.
        let subscribe = Request::Subscribe(Resume { subscribe: Subscribe::new(), behind: None }, 1 << 20);
        wire.send(&subscribe.encode(2)).await;
        assert!(matches!(wire.next().await, Some((2, Response::Position(_)))));
        let append = |payload: &[u8]| {
            Request::Append(vec![StreamAppend::new(stream("a"), ExpectedVersion::Any, vec![event(payload)])])
        };
        wire.send(&append(b"x").encode(3)).await;
        let chunks: Vec<u8> = append(&[7; 1 << 20]).encode(4).chunks().flatten().copied().collect();
        wire.0.write_all(&chunks[..chunks.len() / 2]).await.unwrap();
        until("its bytes are held", || {
            serving.metric("factlog_request_bytes_in_flight") >= (1 << 20) - HEADER_BYTES as u64
        });
        assert_eq!((serving.metric("factlog_connections"), serving.metric("factlog_subscriptions")), (2, 2));
        wire.0.write_all(FATAL).await.unwrap();
        while let Some((request, response)) = wire.next().await {
            assert!(
                matches!((request, &response), (2, Response::Events { .. }) | (3, Response::Appended(_))),
                "{response:?}"
            );
        }
    });
    until("the connection is over", || serving.metric("factlog_connections") == 1);
    until("its end is noticed", || serving.metric("factlog_panics_total") == 1);
    until("its subscription is over", || serving.metric("factlog_subscriptions") == 1);
    until("its bytes are given back", || serving.metric("factlog_request_bytes_in_flight") == 0);
    until("and those of its answers", || serving.metric("factlog_response_bytes_in_flight") == 0);
    // The other goes on over the same connection, and there is room for one more.
    client.append(&stream("b"), ExpectedVersion::NoStream, vec![event(b"y")]).unwrap();
    assert_eq!(subscription.next().unwrap().stream(), stream("a"));
    assert_eq!(subscription.next().unwrap().stream(), stream("b"));
    assert_eq!(serving.metric("factlog_connections_accepted_total"), 2);
    assert_eq!(serving.client().last_position().unwrap(), Position::new(2));
}

#[test]
fn a_panic_in_a_request_is_its_answer_and_all_others_of_the_connection_go_on() {
    let serving = Serving::new(ServerOptions::new());
    let client = serving.client();
    let a = stream("a");
    // Too much to be kept in memory: to be read it must be asked of the disk.
    let large = [b'x'; 5 << 10];
    client.append(&a, ExpectedVersion::Any, vec![event(&large), event(&large)]).unwrap();
    let mut live = client.subscribe(Subscribe::new().after(Position::new(2))).unwrap();
    serving.disk.panic_in_reads(true);
    let fault = |error: Error| assert!(matches!(error, Error::Remote { code: INTERNAL, .. }), "{error:?}");
    // A page, many pages, what is looked up beside everything else, and what is followed.
    fault(block_on(EventStore::read_stream(&client, ReadStream::new(&a))).unwrap_err());
    fault(client.read(&a).next().unwrap().unwrap_err());
    fault(client.read(ReadAll::after(Position::START)).next().unwrap().unwrap_err());
    let mut following = client.subscribe(Subscribe::new()).unwrap();
    fault(following.next().unwrap_err());
    let faults = serving.metric("factlog_panics_total");
    assert_eq!(faults, 4);
    assert_eq!(client.last_position().unwrap(), Position::new(2));
    serving.disk.panic_in_reads(false);
    assert_eq!(client.read(&a).map(Result::unwrap).count(), 2);
    serving.store().append(&a, ExpectedVersion::Any, vec![event(b"3")]).unwrap();
    assert_eq!(live.next().unwrap().payload(), "3");
    assert_eq!(serving.metric("factlog_connections_accepted_total"), 1, "over one connection");
    assert_eq!(serving.metric("factlog_request_bytes_in_flight"), 0);
}

/// Status and body of what is answered over HTTP.
async fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
}

#[test]
fn when_the_disk_fails_the_server_is_alive_and_not_ready_and_reads_go_on() {
    let mut serving = Serving::new(ServerOptions::new().shutdown_time(LONG));
    let listener = serving.run(TcpListener::bind("127.0.0.1:0")).unwrap();
    let http = listener.local_addr().unwrap();
    serving.runtime.as_ref().unwrap().spawn(super::http::serve(listener, serving.common.clone()));
    let client = serving.client();
    client.append(&stream("a"), ExpectedVersion::Any, vec![event(b"1")]).unwrap();
    assert_eq!(serving.run(get(http, "/ready")), ("200".into(), "ready\n".into()));
    serving.disk.fail_syncs();
    let appended = client.append(&stream("a"), ExpectedVersion::Any, vec![event(b"2")]);
    assert!(matches!(appended, Err(Error::OutcomeUnknown { .. })), "{appended:?}");
    let (status, reason) = serving.run(get(http, "/ready"));
    assert!(status == "503" && reason.contains("unknown"), "{status} {reason}");
    assert_eq!(serving.run(get(http, "/health")), ("200".into(), "alive\n".into()));
    assert_eq!(client.read(&stream("a")).map(Result::unwrap).count(), 1);
    drop(serving.stop.take());
    until("it shuts down", || serving.common.shutdown.is_now());
    assert_eq!(serving.run(get(http, "/ready")), ("503".into(), "shutting down\n".into()));
    assert_eq!(serving.run(get(http, "/health")).0, "200");
}
