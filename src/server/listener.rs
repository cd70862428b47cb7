//! Accepting connections, and shutting down.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use super::{
    alone::Seat,
    budget::Budget,
    connection::{self, Common, Stream},
    http,
    memory::Memory,
    metrics::Metrics,
    network::{Incoming, Transport},
    options::{ServeError, ServerOptions},
    shutdown::{self, ShutDown},
};
use crate::{
    protocol::{Refusal, ServerPreamble},
    store::Store,
};

/// How many connections the system keeps until they are accepted.
const BACKLOG: u32 = 4096;

/// How many clients are told at a time that there is no room for them. The others are just closed.
const REFUSALS: usize = 64;

/// How long it waits when the system gives no more connections.
const PAUSE: Duration = Duration::from_millis(50);

/// A server of one store, bound to its address. It serves while [`Server::run`] is driven, on the tokio runtime that drives it.
pub struct Server {
    listener: TcpListener,
    http: Option<TcpListener>,
    common: Common,
    down: ShutDown,
    address: SocketAddr,
    http_address: Option<SocketAddr>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Addresses that a server has taken and does not listen on yet: whoever opens a store between [`ServerOptions::bind`] and
/// [`Bound::listen`] has not made one for nothing when a port is in use.
#[derive(Debug)]
pub struct Bound {
    address: SocketAddr,
    socket: TcpSocket,
    http: Option<(SocketAddr, TcpSocket)>,
    options: ServerOptions,
}

fn refused(address: SocketAddr) -> impl FnOnce(std::io::Error) -> ServeError {
    move |source| ServeError::Listen { address, source: Arc::new(source) }
}

fn bind(address: SocketAddr) -> Result<TcpSocket, ServeError> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    };
    bound().map_err(refused(address))
}

fn listen(address: SocketAddr, socket: TcpSocket) -> Result<(TcpListener, SocketAddr), ServeError> {
    let listening = || {
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    listening().map_err(refused(address))
}

impl ServerOptions {
    /// Takes the addresses of a server; with port 0 the system chooses one. Clients are refused until [`Bound::listen`].
    ///
    /// # Errors
    ///
    /// - [`ServeError::Unprotected`] for an address that other machines can reach, without TLS and tokens;
    /// - [`ServeError::Listen`] when the system refuses an address.
    pub fn bind(self, address: SocketAddr) -> Result<Bound, ServeError> {
        self.check(address)?;
        let socket = bind(address)?;
        let http = self.http.map(|http| Ok((http, bind(http)?))).transpose()?;
        Ok(Bound { address, socket, http, options: self })
    }
}

impl Bound {
    /// Begins to listen. To be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`ServeError::Listen`] when the system refuses an address, because somebody else began in the meantime.
    pub fn listen(self, store: Store) -> Result<Server, ServeError> {
        let (listener, address) = listen(self.address, self.socket)?;
        let http = self.http.map(|(address, socket)| listen(address, socket)).transpose()?;
        let (http, http_address) = http.map_or((None, None), |(http, address)| (Some(http), Some(address)));
        let (common, down) = common(store, address, self.options);
        Ok(Server { listener, http, common, down, address, http_address })
    }
}

impl Server {
    /// Begins to listen; with port 0 the system chooses one. To be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// Those of [`ServerOptions::bind`] and [`Bound::listen`].
    pub fn bind(store: Store, address: SocketAddr, options: ServerOptions) -> Result<Server, ServeError> {
        options.bind(address)?.listen(store)
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the HTTP port, if there is one.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// Serves until `shutdown` is ready, and then for as long as what is under way takes, within
    /// [`ServerOptions::shutdown_time`]: appends are finished and answered, subscriptions end.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Server { listener, http, common, down, address, .. } = self;
        info!(%address, tls = common.options.tls.is_some(), tokens = common.options.has_tokens, "serving");
        let mut helpers = JoinSet::new();
        if let Some(http) = http {
            helpers.spawn(http::serve(http, common.clone()));
        }
        serve_all(listener, &common, down, shutdown).await;
        helpers.shutdown().await;
        info!("shut down");
    }
}

/// What the connections of a server share, and how they are told that it shuts down.
pub(super) fn common(store: Store, address: SocketAddr, options: ServerOptions) -> (Common, ShutDown) {
    let (down, shutdown) = shutdown::channel();
    let scheme = if options.tls.is_some() { "tls" } else { "tcp" };
    let metrics = Arc::new(Metrics::new());
    let counting = metrics.clone();
    store.count_commits(move |batch| counting.committed(batch));
    let common = Common {
        metrics,
        memory: Memory::new(),
        seat: Seat::default(),
        store,
        requests: Budget::new(options.total_bytes),
        responses: Budget::new(options.total_bytes),
        shutdown,
        name: format!("{scheme}://{address}").into(),
        options: Arc::new(options),
    };
    (common, down)
}

/// Serves all connections that come until `shutdown` is ready, and those that there are until they have ended, within the time
/// that they have for that.
pub(super) async fn serve_all(
    incoming: impl Incoming,
    common: &Common,
    down: ShutDown,
    shutdown: impl Future<Output = ()>,
) {
    let mut connections = Connections::new(common);
    tokio::select! {
        () = accept(&incoming, &mut connections, common) => {}
        () = shutdown => {}
    }
    down.now();
    drop(incoming);
    info!(connections = connections.tasks.len(), "shutting down");
    if timeout(common.options.shutdown_time, connections.all_ended()).await.is_err() {
        warn!(connections = connections.tasks.len(), "cut off: they took too long to end");
    }
    connections.tasks.shutdown().await;
}

/// The connections that are open.
struct Connections {
    tasks: JoinSet<()>,
    room: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    number: u64,
}

/// Of so many descriptors that the process may have, how many connections leave to the store and to everybody else.
fn spared(descriptors: usize) -> usize {
    (descriptors / 4).clamp(32, 4 * REFUSALS)
}

/// How many connections there may be, so that clients do not take the descriptors that the store needs to write.
fn room(wanted: usize) -> usize {
    let wanted = wanted.min(Semaphore::MAX_PERMITS);
    let Some(descriptors) = descriptors() else { return wanted };
    let most = descriptors.saturating_sub(spared(descriptors)).max(1);
    if most < wanted {
        warn!(descriptors, connections = most, "the limit of open files leaves room for fewer connections");
    }
    wanted.min(most)
}

/// How many descriptors this process may have.
#[cfg(unix)]
fn descriptors() -> Option<usize> {
    usize::try_from(rustix::process::getrlimit(rustix::process::Resource::Nofile).current?).ok()
}

#[cfg(not(unix))]
fn descriptors() -> Option<usize> {
    None
}

impl Connections {
    fn new(common: &Common) -> Connections {
        let refusals = descriptors().map_or(REFUSALS, |descriptors| spared(descriptors) / 4);
        Connections {
            tasks: JoinSet::new(),
            room: Arc::new(Semaphore::new(room(common.options.connections))),
            refusals: Arc::new(Semaphore::new(refusals)),
            metrics: common.metrics.clone(),
            number: 0,
        }
    }

    /// Serves a connection, or refuses it.
    fn add(&mut self, stream: impl Transport, peer: SocketAddr, common: &Common) {
        self.number += 1;
        match self.room.clone().try_acquire_owned() {
            Ok(room) => {
                self.metrics.accepted.inc();
                self.tasks.spawn(serve(self.number, stream, peer, common.clone(), room));
            }
            Err(_) => {
                self.metrics.refused.inc();
                warn!(%peer, "refused: there are too many connections");
                if let Ok(turn) = self.refusals.clone().try_acquire_owned() {
                    self.tasks.spawn(refuse(stream, common.clone(), turn));
                }
            }
        }
    }

    /// Takes note of a connection that has ended.
    fn ended(&self, ended: Result<(), tokio::task::JoinError>) {
        if ended.is_err_and(|error| error.is_panic()) {
            self.metrics.panicked();
        }
    }

    async fn all_ended(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            self.ended(ended);
        }
    }
}

async fn accept(incoming: &impl Incoming, connections: &mut Connections, common: &Common) {
    loop {
        tokio::select! {
            accepted = incoming.next() => match accepted {
                Ok((stream, peer)) => connections.add(stream, peer, common),
                Err(error) => {
                    // Too many files are open, or the client is gone already.
                    warn!(%error, "cannot accept a connection");
                    sleep(PAUSE).await;
                }
            },
            Some(ended) = connections.tasks.join_next() => connections.ended(ended),
        }
    }
}

/// Counts a connection as long as it is there.
struct Counted(Arc<Metrics>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}

async fn serve(number: u64, stream: impl Transport, peer: SocketAddr, common: Common, room: OwnedSemaphorePermit) {
    common.metrics.connections.inc();
    let _counted = (Counted(common.metrics.clone()), room);
    match timeout(common.options.handshake_time, secure(stream, &common)).await {
        Ok(Ok(stream)) => connection::serve(number, peer, stream, common).await,
        Ok(Err(reason)) => info!(connection = number, %peer, %reason, "refused: no TLS"),
        Err(_) => info!(connection = number, %peer, "refused: TLS took too long"),
    }
}

/// The two directions of a connection, by TLS if that is what is spoken here.
async fn secure(stream: impl Transport, common: &Common) -> std::io::Result<Stream> {
    let Some(tls) = &common.options.tls else {
        let (source, sink, line) = stream.halves();
        return Ok(Stream { source, sink, line });
    };
    let (source, sink) = tokio::io::split(TlsAcceptor::from(tls.clone()).accept(stream).await?);
    Ok(Stream { source: Box::new(source), sink: Box::new(sink), line: None })
}

/// Tells a client that there is no room, and waits for it to go.
async fn refuse(stream: impl Transport, common: Common, turn: OwnedSemaphorePermit) {
    let _turn = turn;
    let telling = async {
        let Stream { mut source, mut sink, .. } = secure(stream, &common).await?;
        sink.write_all(&ServerPreamble::Refused(Refusal::TooManyConnections).encode()).await?;
        sink.shutdown().await?;
        let mut discarded = [0; 256];
        while source.read(&mut discarded).await? > 0 {}
        Ok::<(), std::io::Error>(())
    };
    let _ = timeout(common.options.handshake_time, telling).await;
}
