//! The client as applications hold it.

use std::sync::Arc;

use tokio::{sync::oneshot, time::Instant};

use super::{
    events::{ClientEvents, ClientStreams, Reading},
    feed::{Feed, Source},
    link,
    options::ClientOptions,
    subscription::ClientSubscription,
    table::Table,
};
use crate::{
    error::{Error, Result},
    event::{InvalidInput, NewEvent, StreamName},
    event_store::{
        Appended, BoxFuture, EventStore, LoadedSnapshot, Snapshot, Start, Stats, StreamAppend, Subscribe, block_on,
    },
    protocol::{Received, Request, Response, Resume, malformed},
    runtime::OwnRuntime,
    version::{ExpectedVersion, Position, Version},
};

/// A store in another process, reached over TCP. Cheap to clone: all clones share one connection, and any number of requests at a time.
///
/// Its own functions block until they are done; through the trait [`EventStore`] the same client is used by code that is written
/// for any store. The connection ends when the last clone, subscription and read is dropped.
#[derive(Clone)]
pub struct Client {
    pub(super) inner: Arc<Inner>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("address", &self.inner.options.address.to_string()).finish_non_exhaustive()
    }
}

pub(super) struct Inner {
    pub(super) options: ClientOptions,
    pub(super) table: Arc<Table>,
    #[allow(dead_code, reason = "it is kept until nobody has the client any more")]
    runtime: Option<OwnRuntime>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.table.fail_all(&self.closed(), true);
    }
}

impl Inner {
    fn closed(&self) -> Error {
        Error::Unavailable { server: self.options.address.to_string(), reason: "the client was closed".into() }
    }

    /// Asks, and waits for the answer.
    pub(super) async fn ask(&self, request: Request) -> Result<Response> {
        let answer = self.table.ask(&request, Instant::now() + self.options.request_time);
        drop(request);
        decoded(answer.await.unwrap_or_else(|_| Err(self.closed())))
    }
}

impl Inner {
    /// As [`Inner::ask`], for a thread that has nothing else to wait for.
    pub(super) fn ask_here(&self, request: Request) -> Result<Response> {
        let (number, answer) = self.table.ask_for(&request, Instant::now() + self.options.request_time, true);
        drop(request);
        if let Some(turn) = self.table.turn(number) {
            turn.read();
        }
        decoded(block_on(answer).unwrap_or_else(|_| Err(self.closed())))
    }
}

/// What an answer says.
fn decoded(answer: Result<Received>) -> Result<Response> {
    match Response::decode(answer?)? {
        Response::Error(error) => Err(error),
        response => Ok(response),
    }
}

/// What was asked for, of an answer.
pub(super) fn appended(response: Response) -> Result<Vec<Appended>> {
    match response {
        Response::Appended(appended) => Ok(appended),
        other => Err(unexpected(&other)),
    }
}

pub(super) fn one(appended: Vec<Appended>) -> Result<Appended> {
    appended.into_iter().next().ok_or(Error::Invalid(InvalidInput::NoEvents))
}

pub(super) fn version(response: Response) -> Result<Version> {
    match response {
        Response::Version(version) => Ok(version),
        other => Err(unexpected(&other)),
    }
}

pub(super) fn position(response: Response) -> Result<Position> {
    match response {
        Response::Position(position) => Ok(position),
        other => Err(unexpected(&other)),
    }
}

/// An answer of another kind than was asked for.
pub(super) fn unexpected(response: &Response) -> Error {
    let kind = format!("{response:?}");
    let kind = kind.split(['(', ' ', '{']).next().unwrap_or_default();
    malformed(format!("the server answered with `{kind}`, which was not asked for"))
}

impl Client {
    /// Connects to a server at `tcp://HOST:PORT`, or `tls://HOST:PORT`. [`ClientOptions`] says more.
    ///
    /// # Errors
    ///
    /// As for [`ClientOptions::connect`].
    pub fn connect(address: &str) -> Result<Client> {
        ClientOptions::new(address)?.connect()
    }

    pub(super) async fn open(options: ClientOptions) -> Result<Client> {
        let runtime = OwnRuntime::start("factlog-client").map_err(|error| Error::Unavailable {
            server: options.address.to_string(),
            reason: format!("cannot start a thread for the client: {error}"),
        })?;
        Client::over(link::System, options, |keeping| {
            runtime.spawn(keeping);
            Some(runtime)
        })
        .await
    }

    /// A client over a network, whose connection is kept by what `start` begins.
    async fn over<N: link::Network>(
        network: N,
        options: ClientOptions,
        start: impl FnOnce(BoxFuture<'static, ()>) -> Option<OwnRuntime>,
    ) -> Result<Client> {
        let table = Arc::new(Table::default());
        let (first, connected) = oneshot::channel();
        let runtime = start(Box::pin(link::keep(network, options.clone(), table.clone(), first)));
        let client = Client { inner: Arc::new(Inner { options, table, runtime }) };
        connected.await.unwrap_or_else(|_| Err(client.inner.closed()))?;
        Ok(client)
    }

    /// A client over a network of the tests, on the runtime that this is called on.
    #[cfg(test)]
    pub(crate) async fn simulated<N: link::Network>(network: N, options: ClientOptions) -> Result<Client> {
        Client::over(network, options, |keeping| {
            tokio::spawn(keeping);
            None
        })
        .await
    }

    /// Appends events to a stream, all or none, if it is at the expected version. When this returns they are on the server's disk.
    ///
    /// # Errors
    ///
    /// As for [`crate::Store::append`]; and [`Error::Unavailable`] when the server could not be reached, [`Error::OutcomeUnknown`]
    /// when it did not answer in time. The same append can be sent again then: it is stored once.
    pub fn append(&self, stream: &StreamName, expected: ExpectedVersion, events: Vec<NewEvent>) -> Result<Appended> {
        one(self.append_streams(vec![StreamAppend::new(stream.clone(), expected, events)])?)
    }

    /// Appends to several streams, all or none.
    ///
    /// # Errors
    ///
    /// As for [`Client::append`].
    pub fn append_streams(&self, appends: Vec<StreamAppend>) -> Result<Vec<Appended>> {
        StreamAppend::check(&appends)?;
        appended(self.inner.ask_here(Request::Append(appends))?)
    }

    /// Reads events of a stream or of the log: a [`crate::ReadStream`], a [`crate::ReadAll`], or the name of a stream. They are sent ahead as
    /// far as the window of [`ClientOptions::window`] allows.
    pub fn read(&self, read: impl Into<Reading>) -> ClientEvents {
        let source = match read.into() {
            Reading::Stream(read) => Source::Stream(read),
            Reading::All(read) => Source::All(read),
        };
        ClientEvents::begin(self, source)
    }

    /// The streams whose names begin with `prefix` and their versions, in order of first event.
    pub fn streams(&self, prefix: &str) -> ClientStreams {
        ClientStreams::begin(self, prefix)
    }

    /// The version of a stream: that of its newest event, or [`Version::NONE`].
    ///
    /// # Errors
    ///
    /// When the server cannot be asked.
    pub fn stream_version(&self, stream: &StreamName) -> Result<Version> {
        version(self.inner.ask_here(Request::StreamVersion(stream.clone()))?)
    }

    /// The position of the newest event, or [`Position::START`].
    ///
    /// # Errors
    ///
    /// When the server cannot be asked.
    pub fn last_position(&self) -> Result<Position> {
        position(self.inner.ask_here(Request::LastPosition)?)
    }

    /// Some numbers about the store.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthorized`] without the role `admin`; or when the server cannot be asked.
    pub fn stats(&self) -> Result<Stats> {
        match self.inner.ask_here(Request::Statistics)? {
            Response::Statistics(stats) => Ok(stats),
            other => Err(unexpected(&other)),
        }
    }

    /// Keeps a snapshot.
    ///
    /// # Errors
    ///
    /// As for [`crate::Store::save_snapshot`]; or when the server cannot be asked.
    pub fn save_snapshot(&self, snapshot: Snapshot) -> Result<()> {
        block_on(EventStore::save_snapshot(self, snapshot))
    }

    /// The newest usable snapshot of a stream at or below a version.
    ///
    /// # Errors
    ///
    /// As for [`crate::Store::load_snapshot`]; or when the server cannot be asked.
    pub fn load_snapshot(&self, stream: &StreamName, at_or_below: Version) -> Result<LoadedSnapshot> {
        block_on(EventStore::load_snapshot(self, stream, at_or_below))
    }

    /// Follows the log: what is there first, and then what comes, each event once and in order, over as many connections as it takes.
    ///
    /// # Errors
    ///
    /// As for [`crate::Store::subscribe`]; or when the server cannot be asked.
    pub fn subscribe(&self, subscribe: Subscribe) -> Result<ClientSubscription> {
        block_on(self.subscribe_async(subscribe))
    }

    /// As [`Client::subscribe`], for a task of any runtime.
    ///
    /// # Errors
    ///
    /// As for [`Client::subscribe`].
    pub async fn subscribe_async(&self, subscribe: Subscribe) -> Result<ClientSubscription> {
        let has_cursor = matches!(subscribe.start, Start::Cursor(_));
        let resume = Resume { subscribe, behind: None };
        let (feed, begun) = Feed::new(Source::Subscription(resume), self.inner.options.window);
        let feed = Arc::new(feed);
        let number = self.inner.table.begin(feed.clone());
        let subscription = ClientSubscription::new(self.clone(), feed, number, has_cursor);
        let start = begun.await.unwrap_or_else(|_| Err(self.inner.closed()))?;
        Ok(subscription.at(start))
    }
}
