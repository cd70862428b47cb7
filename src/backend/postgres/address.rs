//! Where a database is: `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.

use std::{fmt, sync::Arc};

use tokio_postgres::{
    Config,
    config::{Host, SslMode, TargetSessionAttrs},
};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use crate::error::{Error, Result};

/// The address of a database, without the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address(String);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Address {
    /// What the driver makes of a text, and the address to be shown.
    pub(super) fn parse(text: &str) -> Result<(Address, Config)> {
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
        // A copy of the database cannot be written, and does not show who is writing.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        Ok((shown, config))
    }

    /// An address that cannot be used, and why.
    pub(super) fn unusable(&self, reason: impl Into<String>) -> Error {
        Error::NotAStore { path: self.0.clone().into(), reason: reason.into() }
    }

    /// How to secure connections, if the address asks for it. What the system trusts is trusted.
    pub(super) fn tls(&self, config: &Config) -> Result<Option<Arc<ClientConfig>>> {
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

/// An error of the driver with its causes.
pub(super) fn explained(error: &tokio_postgres::Error) -> String {
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
    use super::*;

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
        ] {
            let error = Address::parse(bad).unwrap_err();
            assert!(matches!(error, Error::NotAStore { .. }), "{bad}");
            assert!(!error.to_string().contains("sesame"), "{error}");
        }
    }
}
