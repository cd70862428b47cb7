//! A PostgreSQL server, for what keeps events there and for what keeps read models there: its address, and how connections to it
//! are made and kept.
//!
//! Where a database is says `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.

use std::{fmt, sync::Arc, time::Duration};

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use tokio::time::sleep;
use tokio_postgres::{
    Config, NoTls,
    config::{Host, SslMode, TargetSessionAttrs},
};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use crate::error::{Error, Result};

/// The environment variable with the password for an address that has none, as PostgreSQL's own programs have it.
const PASSWORD: &str = "PGPASSWORD";

/// The address of a database, without the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address(String);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Address {
    /// What the driver makes of a text, and the address to be shown.
    pub(crate) fn parse(text: &str) -> Result<(Address, Config)> {
        // The text has the password in it, wherever it may have been taken to be.
        let wrong = |reason: String| Error::NotAStore { path: "postgres://...".into(), reason };
        if !["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) {
            return Err(wrong("the address of a PostgreSQL database begins with postgres://".into()));
        }
        if text.matches('@').count() > 1 {
            return Err(wrong("an `@` in a user's name or password is written as %40".into()));
        }
        // Certificates are always looked at.
        let text =
            text.replace("sslmode=verify-full", "sslmode=require").replace("sslmode=verify-ca", "sslmode=require");
        let mut config: Config = text.parse().map_err(|error| wrong(explained(&error)))?;
        if config.get_hosts().is_empty() {
            return Err(wrong("the address of a PostgreSQL database names a host".into()));
        }
        let user = config.get_user().map(str::to_owned).or_else(|| std::env::var("USER").ok());
        let user = user.unwrap_or_else(|| "postgres".into());
        let database = config.get_dbname().unwrap_or(&user).to_owned();
        let ports = config.get_ports().to_vec();
        let hosts = config.get_hosts().iter().enumerate().map(|(number, host)| {
            let port = ports.get(number).or(ports.first()).copied().unwrap_or(5432);
            match host {
                Host::Tcp(host) if host.contains(':') => format!("[{host}]:{port}"),
                Host::Tcp(host) => format!("{host}:{port}"),
                #[cfg(unix)]
                Host::Unix(path) => format!("{}:{port}", path.display()),
            }
        });
        let shown = Address(format!("postgres://{user}@{}/{database}", hosts.collect::<Vec<_>>().join(",")));
        config.user(user).dbname(database);
        if let (None, Ok(password)) = (config.get_password(), std::env::var(PASSWORD)) {
            config.password(password);
        }
        // A copy of the database cannot be written, and does not show who is writing.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        Ok((shown, config))
    }

    /// An address that cannot be used, and why.
    pub(crate) fn unusable(&self, reason: impl Into<String>) -> Error {
        Error::NotAStore { path: self.0.clone().into(), reason: reason.into() }
    }

    /// How to secure connections, if the address asks for it. What the system trusts is trusted.
    pub(crate) fn tls(&self, config: &Config) -> Result<Option<Arc<ClientConfig>>> {
        if config.get_ssl_mode() != SslMode::Require {
            return Ok(None);
        }
        let mut roots = RootCertStore::empty();
        let _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(self.unusable("the system trusts no certificates; SSL_CERT_FILE can name a file of them"));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| self.unusable(error.to_string()))?;
        Ok(Some(Arc::new(tls.with_root_certificates(roots).with_no_client_auth())))
    }
}

/// Makes connections, and looks whether one that was given back is still there.
pub(crate) fn manager(config: &Config, tls: Option<&Arc<ClientConfig>>) -> Manager {
    let managed = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    match tls {
        None => Manager::from_config(config.clone(), NoTls, managed),
        Some(tls) => Manager::from_config(config.clone(), MakeRustlsConnect::new((**tls).clone()), managed),
    }
}

/// A connection that goes nowhere is found out within seconds, unless the address says otherwise.
pub(crate) fn keep_alive(config: &mut Config, connect_time: Duration) {
    if config.get_keepalives_interval().is_none() && config.get_tcp_user_timeout().is_none() {
        config.keepalives_idle(Duration::from_secs(5)).keepalives_interval(Duration::from_secs(2));
        config.keepalives_retries(3).tcp_user_timeout(Duration::from_secs(10));
    }
    config.connect_timeout(connect_time);
    if config.get_application_name().is_none() {
        config.application_name("factlog");
    }
}

/// Closes connections that nobody has used for this time, for as long as it is polled.
pub(crate) async fn close_idle(pool: &Pool, idle: Duration) {
    loop {
        sleep((idle / 4).max(Duration::from_millis(10))).await;
        pool.retain(|_, metrics| metrics.last_used() < idle);
    }
}

/// Why TLS will not do, however often it is tried.
pub(crate) fn untrusted(error: &tokio_postgres::Error) -> Option<String> {
    let cause = std::error::Error::source(error)?;
    let within = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    if let Some(rustls::Error::InvalidCertificate(_)) = within.and_then(|within| within.downcast_ref()) {
        return Some(format!("{}: SSL_CERT_FILE can name a file of what to trust", explained(error)));
    }
    let none = cause.to_string().contains("does not support TLS");
    none.then(|| {
        "the server has no TLS: set `ssl` in postgresql.conf, or leave `sslmode` out of the address".to_owned()
    })
}

/// An error of the driver with its causes.
pub(crate) fn explained(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return error.message().to_owned();
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_stands_around_a_password_it_is_not_shown(
            before in "[a-z@:/?%#= &]{0,4}", behind in "[a-z@:/?%#= &]{0,4}", rest in "[a-z@:/?%#=, \\[\\]&]{0,12}"
        ) {
            let text = format!("postgres://ann:{before}sesame{behind}@{rest}");
            match Address::parse(&text) {
                Ok((address, config)) => prop_assert!(!format!("{address:?} {config:?}").contains("sesame"), "{}", text),
                Err(error) => prop_assert!(!format!("{error} {error:?}").contains("sesame"), "{}", error),
            }
        }
    }

    #[test]
    fn an_address_is_shown_without_its_password_and_what_is_none_is_refused_without_it() {
        for (text, shown) in [
            ("postgres://ann:open-sesame@db.example:6543/shop", "postgres://ann@db.example:6543/shop"),
            ("postgresql://ann:open%40sesame@db.example/shop?sslmode=require", "postgres://ann@db.example:5432/shop"),
            ("postgres://ann@[::1]:1/shop?sslmode=verify-full", "postgres://ann@[::1]:1/shop"),
            ("postgres://ann:open-sesame@a:1,b:2/shop", "postgres://ann@a:1,b:2/shop"),
            ("postgres://ann@db.example", "postgres://ann@db.example:5432/ann"),
        ] {
            let (address, config) = Address::parse(text).unwrap();
            assert_eq!(address.to_string(), shown);
            assert!(!format!("{address:?} {config:?}").contains("sesame"), "{config:?}");
        }
        for bad in [
            "tcp://ann:open-sesame@a:1",
            "postgres://ann:open-sesame@db:x/shop",
            "postgres://ann:open-@sesame@db/shop",
            "postgres://ann:open-sesame@db/shop?nonsense=sesame",
            "postgres://ann:open-sesame@db/shop?connect_timeout=sesame",
            "postgres:///shop",
            "postgres://ann:open-%zzsesame@db:x/shop",
            "postgres://ann:open-sesame@[::1/shop",
            "postgres://ann:open-sesame@db:99999/shop",
            "postgres://ann:open-sesame@/shop",
            "postgres://ann:open-sesame",
            "postgres://ann:open-sesame/shop",
            "postgres://ann:open-sesame@db/shop?sslmode=sesame",
            "postgres://ann:open-sesame@db/shop?port=sesame",
        ] {
            let error = Address::parse(bad).unwrap_err();
            assert!(matches!(error, Error::NotAStore { .. }), "{bad}");
            assert!(!error.to_string().contains("sesame"), "{error}");
        }
    }
}
