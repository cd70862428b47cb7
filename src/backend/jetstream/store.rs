//! The store: opening it, and the trait.

use std::sync::{Arc, Mutex as PlainMutex, PoisonError};

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event};
use tokio::sync::{Mutex, watch};

use super::{
    append::TURNS,
    heads::Heads,
    keep::SNAPSHOT_HEADER_BYTES,
    message,
    options::{JetStreamOptions, Login},
    stored::refused,
    subscription::JetStreamSubscription,
    synced,
    wire::Wire,
};
use crate::{
    error::{Error, Result},
    event::{InvalidInput, NewEvent, RecordedEvent, StreamName},
    event_store::{
        Appended, BoxFuture, Capabilities, EventStore, EventSubscription, LoadedSnapshot, ReadAll, ReadStream,
        Snapshot, StreamAppend, Subscribe,
    },
    limits,
    runtime::OwnRuntime,
    version::{ExpectedVersion, Position, Version},
};

/// What this kind of store is called.
pub(super) const STORE: &str = "JetStream";
/// How often the server is asked whether it is there: silence three times as long ends the connection.
const PING: std::time::Duration = std::time::Duration::from_secs(1);
/// More messages than a page has.
const SUBSCRIPTION_MESSAGES: usize = 1024;
/// Room in a message for its headers, its subject and what a server adds.
const HEADER_BYTES: usize = 4096;
/// Streams in an atomic batch.
const BATCH_MESSAGES: usize = 1000;

/// A log on NATS JetStream, as an [`EventStore`]: see the [module](super). Cheap to clone: all clones share one connection. Its futures can
/// be awaited on any runtime, or driven by [`crate::block_on`].
#[derive(Clone)]
pub struct JetStreamStore {
    inner: Arc<Inner>,
}

/// What all clones share.
pub(super) struct Inner {
    // Ends behind what it drives.
    pub(super) wire: Wire,
    pub(super) heads: Heads,
    pub(super) turns: Vec<Mutex<()>>,
    pub(super) capabilities: Capabilities,
    /// The name of the stream of events, and those of the buckets' streams.
    pub(super) log: String,
    pub(super) snapshots: String,
    pub(super) cursors: String,
    runtime: OwnRuntime,
}

impl std::fmt::Debug for JetStreamStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JetStreamStore").field("place", &self.inner.wire.place).finish_non_exhaustive()
    }
}

impl JetStreamStore {
    /// Opens the log at an address: see [`JetStreamOptions::new`].
    ///
    /// # Errors
    ///
    /// As for [`JetStreamOptions::connect`].
    pub fn connect(address: &str) -> Result<JetStreamStore> {
        JetStreamOptions::new(address)?.connect()
    }

    pub(super) async fn open(options: JetStreamOptions) -> Result<JetStreamStore> {
        let place = options.address.to_string();
        let runtime = OwnRuntime::start("factlog-nats").map_err(|error| Error::Unavailable {
            server: place.clone(),
            reason: format!("cannot start a thread for the connection: {error}"),
        })?;
        let (wire, capabilities) = runtime.within(prepare(&options, place)).await?;
        let log = options.address.name.clone();
        let inner = Inner {
            wire,
            heads: Heads::default(),
            turns: (0..TURNS).map(|_| Mutex::new(())).collect(),
            capabilities,
            snapshots: format!("KV_{log}_snapshots"),
            cursors: format!("KV_{log}_cursors"),
            log,
            runtime,
        };
        Ok(JetStreamStore { inner: Arc::new(inner) })
    }
}

/// Connects, looks at the servers, and makes what is missing.
async fn prepare(options: &JetStreamOptions, place: String) -> Result<(Wire, Capabilities)> {
    let wire = connect(options, place).await?;
    let server = wire.client.server_info();
    if !options.accept_unsynced
        && let Some(why) = synced::why_not(&options.address.monitors, &server.server_id, options.connect_time).await
    {
        let reason = format!(
            "it may acknowledge before it syncs, and then a power cut takes acknowledged events back ({why}). Set `sync_interval: always` \
             in each server's `jetstream` block, and name each monitoring address: monitor=http://HOST:PORT,http://HOST:PORT behind the \
             `?` of the store's address. Or accept it: --accept-unsynced"
        );
        return Err(refused(&wire.place, reason));
    }
    let settled = wire.settle(options).await?;
    Ok((wire, capabilities(server.max_payload, settled.atomic_batches)))
}

/// What a log takes whose servers take messages of this size.
fn capabilities(max_payload: usize, atomic_batches: bool) -> Capabilities {
    let room = max_payload.saturating_sub(HEADER_BYTES);
    let mut own = Capabilities::full();
    own.dense_positions = false;
    own.append_streams = if atomic_batches { BATCH_MESSAGES } else { 1 };
    // Half of a message may be what stands around its events.
    own.append_events = (1..=limits::APPEND_EVENTS).rev().find(|n| message::size(*n, 0) <= room / 2).unwrap_or(1);
    own.append_bytes = room.saturating_sub(message::size(own.append_events, 0)).min(limits::APPEND_BYTES);
    own.event_bytes = own.append_bytes.min(limits::EVENT_BYTES);
    own.snapshot_bytes = room.saturating_sub(SNAPSHOT_HEADER_BYTES).min(limits::SNAPSHOT_BYTES);
    own
}

async fn connect(options: &JetStreamOptions, place: String) -> Result<Wire> {
    let (lost_here, lost) = watch::channel(0);
    let trouble = Arc::new(PlainMutex::new(None));
    let noted = trouble.clone();
    let settings = match options.login.clone() {
        Login::Nobody => ConnectOptions::new(),
        Login::User(user, password) => ConnectOptions::with_user_and_password(user, password),
        Login::Token(token) => ConnectOptions::with_token(token),
        Login::Credentials(content) => ConnectOptions::with_credentials(&content).map_err(|_| Error::Unauthorized {
            reason: format!("{place}: the credentials are none that NATS knows"),
        })?,
    };
    let settings = settings
        .name("factlog")
        .require_tls(options.address.tls)
        .connection_timeout(options.connect_time)
        .ping_interval(PING)
        .subscription_capacity(SUBSCRIPTION_MESSAGES)
        .event_callback(move |event| {
            match event {
                Event::Disconnected | Event::Closed => lost_here.send_modify(|count| *count += 1),
                Event::ServerError(error) => {
                    *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string())
                }
                Event::ClientError(error) => {
                    *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string())
                }
                _ => {}
            }
            std::future::ready(())
        });
    let urls: Vec<String> = options.address.hosts.iter().map(|host| format!("nats://{host}")).collect();
    let client: Client = settings.connect(urls).await.map_err(|error| match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => Error::Unauthorized {
            reason: format!("{place}: the server does not know this user, password, token or key"),
        },
        _ if error.to_string().contains("invalid peer certificate") => {
            refused(&place, format!("{error}: SSL_CERT_FILE can name a file with what to trust"))
        }
        _ => Error::Unavailable { server: place.clone(), reason: error.to_string() },
    })?;
    let monitors = options.address.monitors.clone();
    Ok(Wire { client, place, request_time: options.request_time, monitors, lost, trouble })
}

impl Inner {
    /// A future of this store's runtime, for the trait.
    pub(super) fn boxed<'a, T: 'a>(
        self: Arc<Self>,
        future: impl Future<Output = Result<T>> + Send + 'a,
    ) -> BoxFuture<'a, Result<T>> {
        // The runtime is there for as long as the future is.
        Box::pin(async move { self.runtime.within(future).await })
    }
}

impl JetStreamStore {
    fn run<'a, T: 'a>(&'a self, future: impl Future<Output = Result<T>> + Send + 'a) -> BoxFuture<'a, Result<T>> {
        Box::pin(self.inner.runtime.within(future))
    }

    async fn appended(&self, appends: &[StreamAppend]) -> Result<Vec<Appended>> {
        match self.inner.append_all(appends).await {
            Err(error) => Err(self.inner.wire.explained(error).await),
            appended => appended,
        }
    }
}

impl EventStore for JetStreamStore {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities
    }

    fn append<'a>(
        &'a self,
        stream: &'a StreamName,
        expected: ExpectedVersion,
        events: Vec<NewEvent>,
    ) -> BoxFuture<'a, Result<Appended>> {
        self.run(async move {
            let appended = self.appended(&[StreamAppend::new(stream.clone(), expected, events)]).await?;
            appended.into_iter().next().ok_or(Error::Invalid(InvalidInput::NoEvents))
        })
    }

    fn append_streams(&self, appends: Vec<StreamAppend>) -> BoxFuture<'_, Result<Vec<Appended>>> {
        self.run(async move { self.appended(&appends).await })
    }

    fn read_stream(&self, read: ReadStream) -> BoxFuture<'_, Result<Vec<RecordedEvent>>> {
        self.run(async move { self.inner.read_stream(&read).await })
    }

    fn read_all(&self, read: ReadAll) -> BoxFuture<'_, Result<Vec<RecordedEvent>>> {
        self.run(async move { self.inner.read_all(&read).await })
    }

    fn stream_version<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Result<Version>> {
        self.run(self.inner.stream_version(stream))
    }

    fn last_position(&self) -> BoxFuture<'_, Result<Position>> {
        self.run(self.inner.last_position())
    }

    fn save_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<()>> {
        self.run(async move { self.inner.save_snapshot(&snapshot).await })
    }

    fn load_snapshot<'a>(
        &'a self,
        stream: &'a StreamName,
        at_or_below: Version,
    ) -> BoxFuture<'a, Result<LoadedSnapshot>> {
        self.run(self.inner.load_snapshot(stream, at_or_below))
    }

    fn subscribe(&self, subscribe: Subscribe) -> BoxFuture<'_, Result<Box<dyn EventSubscription>>> {
        self.run(async move {
            let subscription = JetStreamSubscription::open(self.inner.clone(), subscribe).await?;
            Ok(Box::new(subscription) as Box<dyn EventSubscription>)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_append_within_the_stated_limits_fits_into_a_message() {
        for max_payload in [64 << 10, 1 << 20, 8 << 20, 64 << 20] {
            let own = capabilities(max_payload, true);
            assert!(message::size(own.append_events, own.append_bytes) + HEADER_BYTES <= max_payload, "{own:?}");
            assert!(own.snapshot_bytes + SNAPSHOT_HEADER_BYTES + HEADER_BYTES <= max_payload, "{own:?}");
            assert!(own.event_bytes > max_payload / 5 && own.append_events > 500, "{own:?}");
        }
        assert_eq!(capabilities(1 << 20, false).append_streams, 1);
    }
}
