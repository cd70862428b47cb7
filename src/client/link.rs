//! The connection to the server: made, used, lost and made again.
//!
//! ```text
//!   connect -> preambles -> hello -> everything that waits is sent -> read and write -> lost
//!      ^------------------------- a pause, longer each time, by chance ------------------'
//! ```

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, oneshot},
    time::{Instant, interval, sleep, timeout},
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use super::{
    options::ClientOptions,
    socket::Socket,
    table::{Outgoing, Table},
    tls,
};
use crate::{
    error::{Error, Result},
    limits,
    protocol::{
        ClientPreamble, Frame, PREAMBLE_BYTES, Received, Refusal, Request, Response, ServerPreamble, Taken, take,
    },
};

pub(crate) type Source = Box<dyn AsyncRead + Send + Unpin>;
pub(crate) type Sink = Box<dyn AsyncWrite + Send + Unpin>;

/// What a server is reached over: the system's network, or in the tests a simulated one.
pub(crate) trait Network: Send + Sync + 'static {
    type Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Connects to a port of a host.
    fn connect(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Self::Transport>> + Send;

    /// The two directions, each for itself; and the same connection for threads that are alone with their request.
    fn halves(transport: Self::Transport) -> io::Result<(Source, Sink, Option<Socket>)>;
}

/// The system's network.
pub(super) struct System;

impl Network for System {
    type Transport = TcpStream;

    async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let stream = TcpStream::connect((host, port)).await?;
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    fn halves(stream: TcpStream) -> io::Result<(Source, Sink, Option<Socket>)> {
        #[cfg(unix)]
        if let Ok(second) = std::os::fd::AsFd::as_fd(&stream).try_clone_to_owned() {
            let socket = Socket::new(stream.into_std()?)?;
            let sink = super::halves::WriteHalf::new(second.into())?;
            return Ok((socket.source()?, Box::new(sink), Some(socket)));
        }
        // Without a second descriptor everything goes through the connection's task.
        let (source, sink) = stream.into_split();
        Ok((Box::new(source), Box::new(sink), None))
    }
}

/// Most pieces of one write, and most frames that are taken for it.
const PIECES: usize = 256;

/// How much is read at once.
const BUFFER: usize = 64 << 10;

/// How often it is looked whose time is over.
const TICK: Duration = Duration::from_millis(100);

/// Keeps a connection for as long as the client is there. The first one is reported; without it there is no client.
pub(super) async fn keep<N: Network>(
    network: N,
    options: ClientOptions,
    table: Arc<Table>,
    first: oneshot::Sender<Result<()>>,
) {
    let mut first = Some(first);
    let expiring = expire(&options, &table);
    let connecting = async {
        let mut pause = options.first_pause;
        loop {
            let lost = match timeout(options.connect_time, open(&network, &options)).await {
                Ok(Ok(link)) => {
                    if let Some(first) = first.take() {
                        let _ = first.send(Ok(()));
                    }
                    pause = options.first_pause;
                    converse(link, &table, &options).await
                }
                Ok(Err(error)) => error,
                Err(_) => unavailable(&options, format!("no connection within {:?}", options.connect_time)),
            };
            if let Some(first) = first.take() {
                let _ = first.send(Err(lost));
                return;
            }
            table.disconnected(&lost);
            if !matches!(lost, Error::Unavailable { .. }) {
                // It is there and does not let us in: waiting for it helps nobody who waits now.
                table.fail_all(&lost, false);
            }
            sleep(by_chance(pause)).await;
            pause = (pause * 2).min(options.longest_pause);
        }
    };
    tokio::select! {
        () = connecting => {}
        () = expiring => {}
    }
}

/// Half of a pause, and up to as much again: clients that were cut off together do not come back together.
fn by_chance(pause: Duration) -> Duration {
    let chance = uuid::Uuid::new_v4().as_u128() as u32;
    pause / 2 + (pause / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

fn unavailable(options: &ClientOptions, reason: impl ToString) -> Error {
    Error::Unavailable { server: options.address.to_string(), reason: reason.to_string() }
}

async fn expire(options: &ClientOptions, table: &Table) {
    let mut ticks = interval(TICK.min(options.request_time / 4).max(Duration::from_millis(1)));
    let error = unavailable(options, format!("no answer within {:?}", options.request_time));
    loop {
        ticks.tick().await;
        table.expire(Instant::now(), options.request_time, &error);
    }
}

/// A connection on which the server has said welcome.
struct Link {
    frames: FrameSource,
    sink: Sink,
    socket: Option<Arc<Socket>>,
}

/// Frames of a connection.
struct FrameSource {
    /// None while a thread may read the connection: the runtime hears nothing of what comes then.
    source: Option<Source>,
    buffer: BytesMut,
}

impl FrameSource {
    async fn next(&mut self) -> io::Result<Received> {
        loop {
            match take(&mut self.buffer, limits::FRAME_BYTES).map_err(io::Error::other)? {
                Taken::Frame(frame) => return Ok(frame),
                Taken::Missing(missing) => {
                    self.buffer.reserve(missing.max(BUFFER));
                    let source = self.source.as_mut().ok_or(io::ErrorKind::NotConnected)?;
                    if source.read_buf(&mut self.buffer).await? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
    }
}

/// Connects and says hello.
async fn open<N: Network>(network: &N, options: &ClientOptions) -> Result<Link> {
    let lost = |error: io::Error| unavailable(options, error);
    let (mut source, mut sink, socket) = connect(network, options).await?;
    sink.write_all(&ClientPreamble::OWN.encode()).await.map_err(lost)?;
    write(&mut sink, &Request::Hello(options.token.clone()).encode(1)).await.map_err(lost)?;
    let mut preamble = [0; PREAMBLE_BYTES];
    source.read_exact(&mut preamble).await.map_err(lost)?;
    match ServerPreamble::decode(&preamble) {
        Ok(ServerPreamble::Version(_)) => {}
        Ok(ServerPreamble::Refused(refusal @ (Refusal::NoCommonVersion | Refusal::NotThisProtocol))) => {
            return Err(Error::NotAStore { path: options.address.to_string().into(), reason: refusal.to_string() });
        }
        Ok(ServerPreamble::Refused(refusal)) => return Err(unavailable(options, refusal)),
        Err(error) => {
            return Err(Error::NotAStore { path: options.address.to_string().into(), reason: error.to_string() });
        }
    }
    let mut frames = FrameSource { source: Some(source), buffer: BytesMut::new() };
    match Response::decode(frames.next().await.map_err(lost)?)? {
        Response::Welcome(_) => Ok(Link { frames, sink, socket }),
        Response::Error(error) => Err(error),
        _ => Err(unavailable(options, "it answers a hello with something else")),
    }
}

async fn connect<N: Network>(network: &N, options: &ClientOptions) -> Result<(Source, Sink, Option<Arc<Socket>>)> {
    let address = &options.address;
    let stream = network.connect(&address.host, address.port).await;
    let stream = stream.map_err(|error| unavailable(options, error))?;
    if !address.tls {
        let (source, sink, socket) = N::halves(stream).map_err(|error| unavailable(options, error))?;
        return Ok((source, sink, socket.map(Arc::new)));
    }
    let config = options.tls.clone().map_or_else(|| tls::of_the_system(address), Ok)?;
    let name = ServerName::try_from(address.host.clone());
    let name =
        name.map_err(|error| Error::NotAStore { path: address.to_string().into(), reason: error.to_string() })?;
    let secured = TlsConnector::from(config).connect(name, stream).await;
    let (source, sink) = tokio::io::split(secured.map_err(|error| unavailable(options, format!("TLS: {error}")))?);
    Ok((Box::new(source), Box::new(sink), None))
}

async fn write(sink: &mut Sink, frame: &Frame) -> io::Result<()> {
    for chunk in frame.chunks() {
        sink.write_all(chunk).await?;
    }
    sink.flush().await
}

/// Sends what is asked and gives out what is answered, until the connection is lost. Returns how.
async fn converse(link: Link, table: &Table, options: &ClientOptions) -> Error {
    let Link { frames, sink, socket } = link;
    let (sender, outgoing) = mpsc::unbounded_channel();
    table.connected(sender, socket.clone());
    let pinging = async {
        let mut ticks = interval(options.ping_time);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            table.tell(&Request::Ping);
        }
    };
    let lost: io::Result<()> = tokio::select! {
        lost = read_all(frames, socket.as_ref(), table, options) => lost,
        lost = write_all(sink, outgoing, socket.as_deref()) => lost,
        () = pinging => Ok(()),
    };
    if let Some(socket) = socket {
        // A thread may read it.
        socket.end(None);
    }
    unavailable(options, lost.err().map_or_else(|| "the connection ended".to_owned(), |error| error.to_string()))
}

/// Reads responses, whenever no thread does that for itself.
async fn read_all(
    mut frames: FrameSource,
    socket: Option<&Arc<Socket>>,
    table: &Table,
    options: &ClientOptions,
) -> io::Result<()> {
    let mut turn = false;
    loop {
        if let Some(socket) = socket.filter(|_| !turn) {
            frames.buffer.unsplit(socket.task_turn().await?);
            if frames.source.is_none() {
                frames.source = Some(socket.source()?);
            }
            turn = true;
        }
        let frame = timeout(options.ping_time * 3, frames.next()).await;
        let frame = frame.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "it says nothing"))?;
        let may_end = table.answered(frame?).map_err(io::Error::other)?;
        if let Some(socket) = socket.filter(|_| may_end && frames.buffer.is_empty()) {
            turn = !table.task_ends_turn(socket);
            if !turn {
                frames.source = None;
            }
        }
    }
}

/// Writes frames as they come, as many at once as there are.
async fn write_all(
    mut sink: Sink,
    mut outgoing: mpsc::UnboundedReceiver<Outgoing>,
    socket: Option<&Socket>,
) -> io::Result<()> {
    let (mut queue, mut taken, mut written) = (VecDeque::<Arc<Frame>>::new(), Vec::new(), 0);
    loop {
        if queue.is_empty() && outgoing.recv_many(&mut taken, PIECES).await == 0 {
            return Ok(());
        }
        if let (true, Some(first)) = (queue.is_empty(), taken.first()) {
            // The rest of what a thread began to write when there was nothing else to.
            written = first.written;
        }
        queue.extend(taken.drain(..).map(|outgoing| outgoing.frame));
        let write = std::future::poll_fn(|context| {
            let mut pieces = [IoSlice::new(&[]); PIECES];
            let count = Frame::pieces(queue.iter().map(Arc::as_ref), written, &mut pieces);
            Pin::new(&mut sink).poll_write_vectored(context, &pieces[..count])
        });
        match write.await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            bytes => written += bytes,
        }
        while let Some(frame) = queue.front()
            && written >= frame.len()
        {
            written -= frame.len();
            queue.pop_front();
            if let Some(socket) = socket {
                socket.unsent.fetch_sub(1, Ordering::AcqRel);
            }
        }
        if queue.is_empty() {
            sink.flush().await?;
        }
    }
}
