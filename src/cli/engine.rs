//! The engines beside the embedded one that `--store` can name: PostgreSQL and NATS JetStream.
//!
//! They are reached through the trait alone. Each is a feature of the crate: a command that was built without it says so.

use std::{sync::Arc, time::Duration};

use factlog::EventStore;

use super::{failure::Failure, patience::connecting, place::Access};

/// An address that begins like this is one of PostgreSQL.
const POSTGRES: [&str; 2] = ["postgres://", "postgresql://"];

/// An address that begins like this is one of NATS.
const NATS: &str = "nats://";

/// A file of NATS with the user's credentials begins like this.
#[cfg(feature = "jetstream")]
const CREDENTIALS: &str = "-----BEGIN NATS USER JWT-----";

/// How to come to an engine.
#[derive(Clone, Debug)]
pub struct Engine {
    url: String,
    kind: Kind,
    access: Access,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Postgres,
    Nats,
}

impl Engine {
    /// The engine of an address; `None` for an address of something else.
    pub fn of(url: &str, access: Access) -> Option<Engine> {
        let kind = match url {
            _ if POSTGRES.iter().any(|scheme| url.starts_with(scheme)) => Kind::Postgres,
            _ if url.starts_with(NATS) => Kind::Nats,
            _ => return None,
        };
        Some(Engine { url: url.to_owned(), kind, access })
    }

    /// Connects. With patience every request takes its time, this one too, when the server is away.
    pub fn connect(&self, patience: Option<Duration>) -> Result<Arc<dyn EventStore>, Failure> {
        let secret = self.access.token()?.filter(|_| !self.has_secret());
        Ok(connecting(patience, || match self.kind {
            Kind::Postgres => self.postgres(secret.as_deref(), patience),
            Kind::Nats => self.nats(secret.as_deref(), patience),
        })?)
    }

    /// Whether the address says itself with what to come.
    fn has_secret(&self) -> bool {
        let authority = self.url.split("://").nth(1).unwrap_or_default();
        let user = authority.rsplit_once('@').map(|(user, _)| user);
        user.is_some_and(|user| self.kind == Kind::Nats || user.contains(':'))
    }

    #[cfg(feature = "postgres")]
    fn postgres(&self, password: Option<&str>, patience: Option<Duration>) -> factlog::Result<Arc<dyn EventStore>> {
        let mut options = factlog::backend::postgres::PostgresOptions::new(&self.url)?;
        if let Some(password) = password {
            options = options.password(password);
        }
        if self.access.accept_unsynced {
            options = options.accept_unsynced(true);
        }
        if let Some(patience) = patience {
            options = options.request_time(patience);
        }
        Ok(Arc::new(options.connect()?))
    }

    #[cfg(not(feature = "postgres"))]
    fn postgres(&self, _: Option<&str>, _: Option<Duration>) -> factlog::Result<Arc<dyn EventStore>> {
        Err(self.without("postgres"))
    }

    #[cfg(feature = "jetstream")]
    fn nats(&self, token: Option<&str>, patience: Option<Duration>) -> factlog::Result<Arc<dyn EventStore>> {
        let mut options = factlog::backend::jetstream::JetStreamOptions::new(&self.url)?;
        options = match token {
            Some(credentials) if credentials.starts_with(CREDENTIALS) => options.credentials(credentials),
            Some(token) => options.token(token),
            None => options,
        };
        if self.access.accept_unsynced {
            options = options.accept_unsynced(true);
        }
        if let Some(patience) = patience {
            options = options.request_time(patience);
        }
        Ok(Arc::new(options.connect()?))
    }

    #[cfg(not(feature = "jetstream"))]
    fn nats(&self, _: Option<&str>, _: Option<Duration>) -> factlog::Result<Arc<dyn EventStore>> {
        Err(self.without("jetstream"))
    }

    #[cfg(not(all(feature = "postgres", feature = "jetstream")))]
    fn without(&self, feature: &str) -> factlog::Error {
        let reason = format!("this command was built without the feature `{feature}`");
        factlog::Error::NotAStore { path: self.shown().into(), reason }
    }

    /// The address as it may be printed: without a password.
    pub fn shown(&self) -> String {
        shown(&self.url)
    }
}

fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.find(['/', '?']).unwrap_or(rest.len());
    match rest[..authority].rfind('@') {
        Some(at) => {
            let user = rest[..at].split(':').next().unwrap_or_default();
            // Of a query only its beginning: what follows may hold a password, too.
            format!("{scheme}://{user}{}", rest[at..].split('?').next().unwrap_or_default())
        }
        None => format!("{scheme}://{}", rest.split('?').next().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_printed_without_what_must_not_be_seen() {
        for (url, printed) in [
            ("postgres://me:secret@db:5432/shop?sslmode=require", "postgres://me@db:5432/shop"),
            ("postgresql://db/shop", "postgresql://db/shop"),
            ("postgres://me:se@cret@db/shop", "postgres://me@db/shop"),
            ("nats://me:secret@h:4222?monitor=http://h:8222", "nats://me@h:4222"),
            ("nats://h:4222?password=x", "nats://h:4222"),
        ] {
            assert_eq!(Engine::of(url, Access::default()).unwrap().shown(), printed);
        }
        for other in ["tcp://a:1", "./postgres"] {
            assert!(Engine::of(other, Access::default()).is_none());
        }
    }
}
