//! The server as everything here asks it: through a pool of connections, and again when one is lost.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::{ClientWrapper, Hook, HookError, Object, Pool, QueueMode, Runtime};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_postgres::{Client, Error as SqlError, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::ClientConfig;

use super::{
    failure::Failure,
    options::PostgresOptions,
    schema::{self, Schema},
};
use crate::{
    error::{Error, Result},
    postgres::{self, Address, keep_alive, manager},
};

/// The pause behind the first failure, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// For each connection: what is acknowledged is on the server's disk; and queries that are made over and over are not worth compiling.
const SETTINGS: &str = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'; \
    SET jit = off";

/// What must be so on the server for the promises of a store to hold.
const FOUND: &str =
    "SELECT current_setting('server_encoding'), current_setting('fsync'), current_setting('full_page_writes')";

/// Whether something changes the store: then, once it was asked for and not answered, nobody knows whether it was done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Reads,
    Changes,
    /// It may have been asked for before.
    Repeated,
}

/// A connection of the pool, while something is done on it.
pub(super) struct Connection {
    object: Object,
    /// It is not given back but closed.
    closing: AtomicBool,
}

/// Gives it back when it is dropped. Who drops what is done on it before that has ended does not want what is still on its way.
struct Lent {
    connection: Option<Arc<Connection>>,
    ended: bool,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(Connection { object, closing }) = self.connection.take().and_then(Arc::into_inner)
            && (!self.ended || closing.into_inner())
        {
            drop(Object::take(object));
        }
    }
}

impl Connection {
    /// Nobody wants what is still on its way: it is closed, not read.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }
}

impl Deref for Connection {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        &self.object
    }
}

pub(super) struct Server {
    pub(super) options: PostgresOptions,
    tls: Option<Arc<ClientConfig>>,
    pool: Pool,
    /// The object id of the table of the events.
    pub(super) store: u32,
}

impl Server {
    /// Connects, and sees to the schema.
    pub(super) async fn connect(mut options: PostgresOptions) -> Result<Server> {
        let tls = options.address.tls(&options.config)?;
        keep_alive(&mut options.config, options.connect_time);
        let pool = Pool::builder(manager(&options.config, tls.as_ref()))
            .max_size(options.pool_size)
            .create_timeout(Some(options.connect_time))
            // The one that was used last is still warm, on both sides; and those that are not needed stay unused.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .post_create(Hook::async_fn(|client, _| {
                Box::pin(async move { client.batch_execute(SETTINGS).await.map_err(HookError::Backend) })
            }))
            .build()
            .map_err(|error| options.address.unusable(error.to_string()))?;
        let mut server = Server { options, tls, pool, store: 0 };
        server.store = server.prepare().await?;
        Ok(server)
    }

    async fn prepare(&self) -> Result<u32> {
        let prepare = async {
            let client = self.client().await?;
            self.suits(&client).await?;
            match schema::prepare(&client).await.map_err(|error| self.failed(&error))? {
                Schema::Ready { store } => Ok(store),
                Schema::Newer { found, known } => {
                    let reason = format!("its tables are of version {found}; this version of factlog knows {known}");
                    Err(self.address().unusable(reason).into())
                }
            }
        };
        match timeout(self.options.request_time, prepare).await {
            Ok(Ok(store)) => Ok(store),
            Ok(Err(Failure::Final(error))) => Err(error),
            Ok(Err(Failure::Crossed(reason) | Failure::Lost { reason, .. })) => Err(self.unavailable(reason)),
            Err(_) => Err(self.unavailable(format!("no answer within {:?}", self.options.request_time))),
        }
    }

    /// Refuses a server on which the promises of a store do not hold.
    async fn suits(&self, client: &Client) -> Result<(), Failure> {
        let failed = |error| self.failed(&error);
        let found = client.query_one(FOUND, &[]).await.map_err(failed)?;
        let on = |column| found.try_get::<_, &str>(column).map_err(failed);
        if on(0)? != "UTF8" {
            return Err(self.address().unusable("the database is not in UTF-8: make it with ENCODING 'UTF8'").into());
        }
        for (column, setting) in [(1, "fsync"), (2, "full_page_writes")] {
            if !self.options.accept_unsynced && on(column)? == "off" {
                let reason = format!(
                    "its setting `{setting}` is off, and then a power cut takes acknowledged events back or damages the tables. \
                     Switch it on in postgresql.conf and reload. Or accept it: --accept-unsynced"
                );
                return Err(self.address().unusable(reason).into());
            }
        }
        Ok(())
    }

    pub(super) fn address(&self) -> &Address {
        &self.options.address
    }

    fn unavailable(&self, reason: String) -> Error {
        Error::Unavailable { server: self.address().to_string(), reason }
    }

    /// A statement failed.
    pub(super) fn failed(&self, error: &SqlError) -> Failure {
        Failure::of_statement(self.address(), error)
    }

    async fn client(&self) -> Result<Connection, Failure> {
        let got = self.pool.get().await;
        let failed = |error| Failure::of_connecting(self.address(), error, self.options.connect_time);
        Ok(Connection { object: got.map_err(failed)?, closing: AtomicBool::new(false) })
    }

    /// Does something on a connection, and again when the connection is lost or others were in the way, until it is done, has
    /// failed for good, or its time is over.
    pub(super) async fn ask<T, F>(&self, kind: Kind, run: impl Fn(Arc<Connection>) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        self.ask_until(kind, self.deadline(), run).await
    }

    /// When the time of a request that begins now is over.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.options.request_time
    }

    /// As [`Server::ask`], until then.
    pub(super) async fn ask_until<T, F>(
        &self,
        kind: Kind,
        deadline: Instant,
        run: impl Fn(Arc<Connection>) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let (mut pause, mut asked) = (PAUSES.0, kind == Kind::Repeated);
        loop {
            let failed = match self.attempt(deadline, &run).await {
                Ok(done) => return Ok(done),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Crossed(reason)) => reason,
                Err(Failure::Lost { reason, asked: now }) => {
                    asked |= now && kind != Kind::Reads;
                    reason
                }
            };
            if Instant::now() + pause >= deadline {
                return Err(if asked {
                    let reason = format!("{} has not answered: {failed}", self.address());
                    Error::OutcomeUnknown { reason: reason.into() }
                } else {
                    self.unavailable(failed)
                });
            }
            sleep(by_chance(pause)).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn attempt<T, F>(&self, deadline: Instant, run: &impl Fn(Arc<Connection>) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let silent =
            |asked| Failure::Lost { reason: format!("no answer within {:?}", self.options.request_time), asked };
        let client = timeout_at(deadline, self.client()).await.map_err(|_| silent(false))??;
        if Instant::now() >= deadline {
            // It may have waited for others: what would not be waited for is not asked.
            return Err(silent(false));
        }
        let client = Arc::new(client);
        let mut lent = Lent { connection: Some(client.clone()), ended: false };
        let done = timeout_at(deadline, run(client)).await;
        lent.ended = done.is_ok();
        done.unwrap_or_else(|_| Err(silent(true)))
    }

    /// Closes connections that nobody uses, for as long as the store is there.
    pub(super) async fn close_idle(self: Arc<Self>) {
        postgres::close_idle(&self.pool, self.options.idle_time).await;
    }

    /// A connection of its own, on which `heard` is called when it begins and whenever a notification of the channel comes. Ends
    /// with the connection.
    pub(super) async fn listen(&self, channel: &str, heard: impl Fn()) -> Result<(), SqlError> {
        match &self.tls {
            None => self.listen_by(NoTls, channel, heard).await,
            Some(tls) => self.listen_by(MakeRustlsConnect::new((**tls).clone()), channel, heard).await,
        }
    }

    async fn listen_by<T>(&self, tls: T, channel: &str, heard: impl Fn()) -> Result<(), SqlError>
    where
        T: tokio_postgres::tls::MakeTlsConnect<tokio_postgres::Socket>,
        T::Stream: Send + 'static,
    {
        let (client, mut connection) = self.options.config.connect(tls).await?;
        let statement = format!("LISTEN {channel}");
        let mut beginning = Some(Box::pin(begin(&client, &statement)));
        std::future::poll_fn(|context| {
            loop {
                if let Some(begin) = &mut beginning
                    && let std::task::Poll::Ready(begun) = begin.as_mut().poll(context)
                {
                    beginning = None;
                    begun?;
                    heard();
                }
                match std::task::ready!(connection.poll_message(context)) {
                    Some(Ok(tokio_postgres::AsyncMessage::Notification(_))) => heard(),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return std::task::Poll::Ready(Err(error)),
                    None => return std::task::Poll::Ready(Ok(())),
                }
            }
        })
        .await
    }
}

async fn begin(client: &Client, statement: &str) -> Result<(), SqlError> {
    client.batch_execute(statement).await
}

/// Half of a pause, and up to as much again: those who crossed each other do not meet again.
fn by_chance(pause: Duration) -> Duration {
    let chance = uuid::Uuid::new_v4().as_u128() as u32;
    pause / 2 + (pause / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX))
}
