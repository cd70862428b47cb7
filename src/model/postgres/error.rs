//! What PostgreSQL refuses, and what to do about it.

use std::{error::Error, fmt, io, sync::Arc};

use crate::{
    error::Action,
    postgres::{explained, untrusted},
};

/// Why a PostgreSQL database did not do what it was asked to do. Its text says where, what, and what to do.
#[derive(Debug)]
pub struct PostgresError {
    place: Arc<str>,
    cause: Cause,
}

#[derive(Debug)]
pub(super) enum Cause {
    /// What the driver or the server said.
    Said(tokio_postgres::Error),
    /// No connection in time.
    NoConnection(String),
}

impl PostgresError {
    pub(super) fn new(place: &Arc<str>, cause: impl Into<Cause>) -> PostgresError {
        PostgresError { place: Arc::clone(place), cause: cause.into() }
    }

    /// The five letters and digits by which the server names the error (SQLSTATE); `None` for one that did not come from
    /// the server.
    pub fn code(&self) -> Option<&str> {
        match &self.cause {
            Cause::Said(error) => error.code().map(|code| code.code()),
            _ => None,
        }
    }

    /// What the caller can do next.
    pub fn action(&self) -> Action {
        if self.may_pass() { Action::Retry } else { Action::FixInput }
    }

    /// Whether it is the server that is missing or busy.
    fn may_pass(&self) -> bool {
        match (&self.cause, self.code()) {
            (Cause::NoConnection(_), _) => true,
            // Connections, deadlocks, limits, locks, shutting down and starting.
            (_, Some(code)) => ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class)) || code == "55P03",
            (Cause::Said(error), None) => {
                !is_value(error) && !lacks_password(error) && !is_copy(error) && untrusted(error).is_none()
            }
        }
    }

    /// Whether it says something of what an event brought, and not of the database: its values, and the limits and rules that they
    /// break.
    pub(super) fn is_the_events(&self) -> bool {
        let classes = ["21", "22", "23", "27", "44", "54", "P0"];
        match (&self.cause, self.code()) {
            (_, Some(code)) => classes.iter().any(|class| code.starts_with(class)),
            (Cause::Said(error), None) => is_value(error),
            _ => false,
        }
    }

    fn advice(&self) -> Option<&'static str> {
        Some(match self.code() {
            Some("28P01" | "28000") => "check the user and the password, in the address or in PGPASSWORD",
            Some("3D000") => "create the database, or name another",
            Some("3F000") => "create the schema, or name another in the search path",
            Some("42501") => "give the user of the address this right: it makes tables and schemas",
            Some("42P01" | "42703" | "0A000") => "rebuild the projection: its tables are not those of this program",
            Some("25006") => "name a server that can be written to",
            Some("2BP01") => "drop what depends on the projection's tables, rebuild, and make it again",
            Some("53100") => "make room on the server's disk",
            Some("53300") => "let the server have more connections, or others fewer",
            Some("55P03") => "end what holds the lock, and try again",
            Some(_) => return None,
            None if matches!(&self.cause, Cause::Said(error) if lacks_password(error)) => {
                "give a password, in the address or in PGPASSWORD"
            }
            None if matches!(&self.cause, Cause::Said(error) if is_copy(error)) => {
                "name a server that can be written to"
            }
            None if self.may_pass() => "see that the server runs and that its address is right",
            None => return None,
        })
    }
}

/// Whether a value could not be sent or read, rather than the connection have failed.
fn is_value(error: &tokio_postgres::Error) -> bool {
    !error.is_closed() && error.source().is_some_and(|source| source.is::<tokio_postgres::types::WrongType>())
}

/// Whether the server asks for a password and none is known.
fn lacks_password(error: &tokio_postgres::Error) -> bool {
    error.source().is_some_and(|source| source.to_string().contains("password missing"))
}

/// Whether the server is a copy that cannot be written.
fn is_copy(error: &tokio_postgres::Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| source.kind() == io::ErrorKind::PermissionDenied)
}

impl From<tokio_postgres::Error> for Cause {
    fn from(error: tokio_postgres::Error) -> Self {
        Cause::Said(error)
    }
}

impl From<deadpool_postgres::PoolError> for Cause {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        match error {
            deadpool_postgres::PoolError::Backend(error) => Cause::Said(error),
            other => Cause::NoConnection(other.to_string()),
        }
    }
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        Cause::NoConnection(error.to_string())
    }
}

impl fmt::Display for PostgresError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        match &self.cause {
            Cause::NoConnection(reason) => f.write_str(reason)?,
            Cause::Said(error) => match error.as_db_error() {
                Some(said) => {
                    write!(f, "{} ({})", said.message(), said.code().code())?;
                    if let Some(detail) = said.detail() {
                        write!(f, ": {detail}")?;
                    }
                }
                None => f.write_str(&untrusted(error).unwrap_or_else(|| explained(error)))?,
            },
        }
        self.advice().map_or(Ok(()), |advice| write!(f, "; {advice}"))
    }
}

impl Error for PostgresError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            Cause::Said(error) => Some(error),
            _ => None,
        }
    }
}
