//! How a store over PostgreSQL is reached.

use std::time::Duration;

use tokio_postgres::Config;

use super::store::PostgresStore;
use crate::{error::Result, event_store::block_on, postgres::Address};

/// How to reach a database, and how to use it.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    pub(super) address: Address,
    /// Hides the password when it is printed.
    pub(super) config: Config,
    pub(super) accept_unsynced: bool,
    pub(super) pool_size: usize,
    pub(super) idle_time: Duration,
    pub(super) connect_time: Duration,
    pub(super) request_time: Duration,
    pub(super) poll_time: Duration,
}

impl PostgresOptions {
    /// For a database at `postgres://USER:PASSWORD@HOST:PORT/DATABASE`. With `?sslmode=require` connections are secured by TLS, and the
    /// server's certificate must be of an authority that the system trusts.
    ///
    /// # Errors
    ///
    /// [`crate::Error::NotAStore`] when the text is no such address.
    pub fn new(address: &str) -> Result<PostgresOptions> {
        let (address, config) = Address::parse(address)?;
        Ok(PostgresOptions {
            address,
            config,
            accept_unsynced: false,
            pool_size: 20,
            idle_time: Duration::from_secs(30),
            connect_time: Duration::from_secs(2),
            request_time: Duration::from_secs(30),
            poll_time: Duration::from_millis(250),
        })
    }

    /// Says who this is; in place of a password in the address.
    pub fn password(mut self, secret: impl AsRef<[u8]>) -> PostgresOptions {
        self.config.password(secret);
        self
    }

    /// Takes a server with `fsync` or `full_page_writes` off: a power cut may then take acknowledged events back, or damage the tables.
    pub fn accept_unsynced(mut self, accept: bool) -> PostgresOptions {
        self.accept_unsynced = accept;
        self
    }

    /// Most connections for appends and reads, 20 by default. Subscriptions share one more.
    pub fn pool_size(mut self, connections: usize) -> PostgresOptions {
        self.pool_size = connections.max(1);
        self
    }

    /// How long a connection is kept that nobody uses; 30 seconds by default.
    pub fn idle_time(mut self, time: Duration) -> PostgresOptions {
        self.idle_time = time;
        self
    }

    /// How long one attempt to connect may take; 2 seconds by default.
    pub fn connect_time(mut self, time: Duration) -> PostgresOptions {
        self.connect_time = time;
        self
    }

    /// How long a request may take, with all that is tried again for it; 30 seconds by default.
    pub fn request_time(mut self, time: Duration) -> PostgresOptions {
        self.request_time = time;
        self
    }

    /// How often subscriptions look for new events when the server tells of none; 250 ms by default.
    pub fn poll_time(mut self, time: Duration) -> PostgresOptions {
        self.poll_time = time.max(Duration::from_millis(1));
        self
    }

    /// Connects, and makes the tables if they are not there.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Unavailable`] when the server cannot be reached, [`crate::Error::Unauthorized`] when it does not let the user in or the user
    /// may not do what the store needs, [`crate::Error::NotAStore`] when there is no such database, its tables are of a later version, or
    /// the server acknowledges what is not on its disk and [`PostgresOptions::accept_unsynced`] was not said.
    pub fn connect(self) -> Result<PostgresStore> {
        block_on(self.connect_async())
    }

    /// As [`PostgresOptions::connect`], for a task of any runtime.
    ///
    /// # Errors
    ///
    /// As for [`PostgresOptions::connect`].
    pub async fn connect_async(self) -> Result<PostgresStore> {
        PostgresStore::open(self).await
    }
}
