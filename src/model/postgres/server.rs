//! The server: its address, and a pool of connections to it.

use std::{sync::Arc, time::Duration};

use deadpool_postgres::{Object, Pool, Runtime};

use super::error::{Cause, PostgresError};
use crate::{
    model::ModelError,
    postgres::{Address, close_idle, keep_alive, manager},
    runtime::OwnRuntime,
};

/// Connections at most.
const CONNECTIONS: usize = 20;

/// How long a connection is kept that nobody uses.
const IDLE_TIME: Duration = Duration::from_secs(30);

/// How long to wait for a new connection, and for one that others use.
const CONNECT_TIME: Duration = Duration::from_secs(2);
const WAIT_TIME: Duration = Duration::from_secs(30);

/// A database on a server.
#[derive(Debug)]
pub(super) struct Server {
    place: Arc<str>,
    pool: Pool,
    runtime: OwnRuntime,
}

impl Server {
    /// The database at this address. Nothing is connected to yet.
    pub(super) fn new(address: &str) -> Result<Server, ModelError> {
        let (address, mut config) = Address::parse(address)?;
        let tls = address.tls(&config)?;
        keep_alive(&mut config, CONNECT_TIME);
        let place: Arc<str> = address.to_string().into();
        let refused = |reason: String| PostgresError::new(&place, Cause::NoConnection(reason));
        let pool = Pool::builder(manager(&config, tls.as_ref()))
            .max_size(CONNECTIONS)
            .wait_timeout(Some(WAIT_TIME))
            .create_timeout(Some(2 * CONNECT_TIME))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| refused(error.to_string()))?;
        let runtime = OwnRuntime::start("factlog-views").map_err(|error| refused(error.to_string()))?;
        let server = Server { place, pool: pool.clone(), runtime };
        server.begin(async move { close_idle(&pool, IDLE_TIME).await });
        Ok(server)
    }

    /// The address without its password.
    pub(super) fn place(&self) -> &Arc<str> {
        &self.place
    }

    pub(super) fn error(&self, cause: impl Into<Cause>) -> ModelError {
        PostgresError::new(&self.place, cause).into()
    }

    /// A connection. It can be used on any runtime, or none.
    pub(super) async fn connection(&self) -> Result<Object, ModelError> {
        let pool = self.pool.clone();
        match self.runtime.run(async move { pool.get().await }).await {
            Some(connection) => connection.map_err(|error| self.error(error)),
            None => Err(self.error(Cause::NoConnection("the program is ending".to_owned()))),
        }
    }

    /// Begins what nobody waits for.
    pub(super) fn begin(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime.run(task));
    }
}
