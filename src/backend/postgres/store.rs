//! The store as applications hold it.

use std::sync::{Arc, atomic::Ordering};

use super::{
    append, core::Core, options::PostgresOptions, read, server::Server, snapshot, subscription::PostgresSubscription,
    tail,
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
        let core = Arc::new(Core::new(server));
        runtime.spawn(core.server.clone().close_idle());
        runtime.spawn(tail::tell(core.clone()));
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

    /// Does something on the store's runtime, when it is asked for the first time.
    pub(super) fn run<T: Send + 'static>(
        &self,
        task: impl Future<Output = Result<T>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T>> {
        let store = self.clone();
        Box::pin(async move { store.begin(task).await })
    }

    async fn append_now(core: Arc<Core>, appends: Vec<StreamAppend>) -> Result<Vec<Appended>> {
        let appended = append::append(&core.server, &appends).await?;
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
        let core = self.core().clone();
        self.run(async move { PostgresStore::append_now(core, appends).await.map(|appended| appended[0]) })
    }

    fn append_streams(&self, appends: Vec<StreamAppend>) -> BoxFuture<'_, Result<Vec<Appended>>> {
        self.run(PostgresStore::append_now(self.core().clone(), appends))
    }

    fn read_stream(&self, read: ReadStream) -> BoxFuture<'_, Result<Vec<RecordedEvent>>> {
        let core = self.core().clone();
        self.run(async move { read::read_stream(&core, &read).await })
    }

    fn read_all(&self, read: ReadAll) -> BoxFuture<'_, Result<Vec<RecordedEvent>>> {
        let core = self.core().clone();
        self.run(async move { read::read_all(&core, &read).await })
    }

    fn stream_version<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Result<Version>> {
        let (core, stream) = (self.core().clone(), stream.clone());
        self.run(async move { read::version(&core, &stream).await })
    }

    fn last_position(&self) -> BoxFuture<'_, Result<Position>> {
        let core = self.core().clone();
        self.run(async move { Ok(core.looked().await?.newest) })
    }

    fn save_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<()>> {
        let core = self.core().clone();
        self.run(async move { snapshot::save(&core, &snapshot).await })
    }

    fn load_snapshot<'a>(
        &'a self,
        stream: &'a StreamName,
        at_or_below: Version,
    ) -> BoxFuture<'a, Result<LoadedSnapshot>> {
        let (core, stream) = (self.core().clone(), stream.clone());
        self.run(async move { snapshot::load(&core, &stream, at_or_below).await })
    }

    fn subscribe(&self, subscribe: Subscribe) -> BoxFuture<'_, Result<Box<dyn EventSubscription>>> {
        let store = self.clone();
        self.run(async move {
            let core = store.core();
            if !core.followed.swap(true, Ordering::SeqCst) {
                store.inner.runtime.spawn(tail::listen(core.clone()));
                store.inner.runtime.spawn(tail::follow(core.clone()));
            }
            let subscription = PostgresSubscription::begin(store.clone(), subscribe).await?;
            Ok(Box::new(subscription) as Box<dyn EventSubscription>)
        })
    }
}
