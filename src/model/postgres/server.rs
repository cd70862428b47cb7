//! The server: its address, and a pool of connections to it.

use std::{str::FromStr, sync::Arc, time::Duration};

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use tokio_postgres::{Config, NoTls, config::Host};

use super::error::{Cause, PostgresError};
use crate::{model::ModelError, runtime::OwnRuntime};

/// Connections at most.
const CONNECTIONS: usize = 20;

/// How long to wait for a connection: a new one, or one that others use.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const WAIT_TIMEOUT: Duration = Duration::from_secs(30);

/// The environment variable with a password for an address that has none, as PostgreSQL's own programs have it.
const PASSWORD: &str = "PGPASSWORD";

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
        // What cannot be read may hold a password anywhere.
        let mut config = Config::from_str(address).map_err(|error| {
            PostgresError::new(&"a PostgreSQL database".into(), Cause::Address(format!("its address: {error}")))
        })?;
        if let (None, Ok(password)) = (config.get_password(), std::env::var(PASSWORD)) {
            config.password(password);
        }
        config.connect_timeout(CONNECT_TIMEOUT);
        if config.get_application_name().is_none() {
            config.application_name("factlog");
        }
        let place: Arc<str> = place(&config).into();
        let refused = |reason: String| PostgresError::new(&place, Cause::NoConnection(reason));
        let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let pool = Pool::builder(Manager::from_config(config, NoTls, manager))
            .max_size(CONNECTIONS)
            .wait_timeout(Some(WAIT_TIMEOUT))
            .create_timeout(Some(2 * CONNECT_TIMEOUT))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| refused(error.to_string()))?;
        let runtime = OwnRuntime::start("factlog-views").map_err(|error| refused(error.to_string()))?;
        Ok(Server { place, pool, runtime })
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

/// An address as people know it.
fn place(config: &Config) -> String {
    let user = config.get_user().map_or(String::new(), |user| format!("{user}@"));
    let hosts = config.get_hosts().iter().enumerate().map(|(n, host)| {
        let ports = config.get_ports();
        let port = ports.get(n).or(ports.first()).map_or(String::new(), |port| format!(":{port}"));
        match host {
            Host::Tcp(name) => format!("{name}{port}"),
            #[cfg(unix)]
            Host::Unix(path) => format!("{}{port}", path.display()),
        }
    });
    let hosts = hosts.collect::<Vec<_>>().join(",");
    format!("postgres://{user}{hosts}/{}", config.get_dbname().or(config.get_user()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_without_its_password() {
        let config = Config::from_str("postgres://ann:secret@db.example:6432/sales?connect_timeout=3").unwrap();
        assert_eq!(place(&config), "postgres://ann@db.example:6432/sales");
        let refused = Server::new("postgres://ann:secret@db.example:port/sales").unwrap_err().to_string();
        assert!(!refused.contains("secret") && refused.contains("address"), "{refused}");
    }
}
