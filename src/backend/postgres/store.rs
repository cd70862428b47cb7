//! The store as applications hold it.

use std::sync::{Arc, atomic::Ordering};

use super::{
    core::Core,
    options::PostgresOptions,
    read,
    server::Server,
    snapshot,
    subscription::PostgresSubscription,
    tail,
    together::{self, Door},
};
use crate::{
    error::{Error, Result},
    event::{NewEvent, RecordedEvent, StreamName},
    event_store::{
        Appended, BoxFuture, Capabilities, EventStore, EventSubscription, LoadedSnapshot, ReadAll, ReadStream,
        Snapshot, StreamAppend, Subscribe,
    },
    runtime::OwnRuntime,
    version::{ExpectedVersion, Position, Version},
};

/// An append that fails has taken a number all the same.
const CAPABILITIES: Capabilities = {
    let mut capabilities = Capabilities::full();
    capabilities.dense_positions = false;
    capabilities
};

/// A store in a PostgreSQL database. Cheap to clone: all clones share one pool of connections.
///
/// The futures can be awaited on any runtime, or driven by [`crate::block_on`]. One that is dropped may still do what it was for. The
/// connections end when the last clone and subscription is dropped.
#[derive(Clone)]
pub struct PostgresStore {
    inner: Arc<Inner>,
}

struct Inner {
    core: Arc<Core>,
    runtime: OwnRuntime,
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore").field("address", &self.address()).finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Connects to a database at `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, and makes the tables if they are not there.
    /// [`PostgresOptions`] says more.
    ///
    /// # Errors
    ///
    /// As for [`PostgresOptions::connect`].
    pub fn connect(address: &str) -> Result<PostgresStore> {
        PostgresOptions::new(address)?.connect()
    }

    pub(super) async fn open(options: PostgresOptions) -> Result<PostgresStore> {
        let address = options.address.to_string();
        let unavailable = |reason: String| Error::Unavailable { server: address.clone(), reason };
        let runtime = OwnRuntime::start("factlog-postgres")
            .map_err(|error| unavailable(format!("cannot start a thread for the client: {error}")))?;
        let connecting = runtime.run(Server::connect(options));
        let server = connecting.await.unwrap_or_else(|| Err(unavailable("the client was closed".into())))?;
        let (door, waiting) = Door::new(server.options.pool_size);
        let core = Arc::new(Core::new(server, door));
        runtime.spawn(core.server.clone().close_idle());
        runtime.spawn(tail::tell(core.clone()));
        runtime.spawn(together::gather(core.clone(), waiting));
        Ok(PostgresStore { inner: Arc::new(Inner { core, runtime }) })
    }

    /// Where the database is, without the password.
    pub fn address(&self) -> String {
        self.core().server.address().to_string()
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.inner.core
    }

    /// Begins something on the store's runtime, now.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        task: impl Future<Output = Result<T>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T>> {
        let running = self.inner.runtime.run(task);
        let address = self.address();
        Box::pin(async move {
            let closed = || Error::Unavailable { server: address, reason: "the store was closed".into() };
            running.await.unwrap_or_else(|| Err(closed()))
        })
    }

    /// Does something as if on the store's runtime, on the thread of whoever waits for it.
    pub(super) fn run<'a, T: Send + 'a>(
        &'a self,
        task: impl Future<Output = Result<T>> + Send + 'a,
    ) -> BoxFuture<'a, Result<T>> {
        Box::pin(self.inner.runtime.within(task))
    }

    async fn append_now(&self, appends: Vec<StreamAppend>) -> Result<Vec<Appended>> {
        let core = self.core();
        let appended = together::append(core, appends).await?;
        core.appended.notify_one();
        Ok(appended)
    }
}

impl EventStore for PostgresStore {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn append<'a>(
        &'a self,
        stream: &'a StreamName,
        expected: ExpectedVersion,
        events: Vec<NewEvent>,
    ) -> BoxFuture<'a, Result<Appended>> {
        let appends = vec![StreamAppend::new(stream.clone(), expected, events)];
        self.run(async move { self.append_now(appends).await.map(|appended| appended[0]) })
    }

    fn append_streams(&self, appends: Vec<StreamAppend>) -> BoxFuture<'_, Result<Vec<Appended>>> {
        self.run(self.append_now(appends))
    }

    fn read_stream(&self, read: ReadStream) -> BoxFuture<'_, Result<Vec<RecordedEvent>>> {
        self.run(async move { read::read_stream(self.core(), &read).await })
    }

    fn read_all(&self, read: ReadAll) -> BoxFuture<'_, Result<Vec<RecordedEvent>>> {
        self.run(async move { read::read_all(self.core(), &read).await })
    }

    fn stream_version<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Result<Version>> {
        self.run(read::version(self.core(), stream))
    }

    fn last_position(&self) -> BoxFuture<'_, Result<Position>> {
        self.run(async move { Ok(self.core().looked().await?.newest) })
    }

    fn save_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<()>> {
        self.run(async move { snapshot::save(self.core(), &snapshot).await })
    }

    fn load_snapshot<'a>(
        &'a self,
        stream: &'a StreamName,
        at_or_below: Version,
    ) -> BoxFuture<'a, Result<LoadedSnapshot>> {
        self.run(snapshot::load(self.core(), stream, at_or_below))
    }

    fn subscribe(&self, subscribe: Subscribe) -> BoxFuture<'_, Result<Box<dyn EventSubscription>>> {
        self.run(async move {
            let core = self.core();
            if !core.followed.swap(true, Ordering::SeqCst) {
                self.inner.runtime.spawn(tail::listen(core.clone()));
                self.inner.runtime.spawn(tail::follow(core.clone()));
            }
            let subscription = PostgresSubscription::begin(self.clone(), subscribe).await?;
            Ok(Box::new(subscription) as Box<dyn EventSubscription>)
        })
    }
}
