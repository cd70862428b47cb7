//! What went wrong, by what is done about it.

use std::{io, sync::Arc, time::Duration};

use deadpool_postgres::{HookError, PoolError};
use tokio_postgres::{
    Error as SqlError,
    error::{DbError, Severity, SqlState},
};

use crate::{
    error::Error,
    postgres::{Address, explained, untrusted},
};

/// Why an attempt failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// It is of no use to try again at once.
    Final(Error),
    /// Others were in the way: nothing was stored, and the next attempt may well succeed.
    Crossed(String),
    /// The server is not there, or does not answer.
    Lost {
        reason: String,
        /// Whether the server may have done what was asked.
        asked: bool,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Final(error)
    }
}

impl Failure {
    /// A statement failed.
    pub(super) fn of_statement(address: &Address, error: &SqlError) -> Failure {
        match error.as_db_error() {
            Some(said) => Failure::said(address, said, true),
            None => Failure::Lost { reason: explained(error), asked: true },
        }
    }

    /// No connection could be had.
    pub(super) fn of_connecting(address: &Address, error: PoolError, within: Duration) -> Failure {
        match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
                Failure::of_connection(address, &error)
            }
            PoolError::Timeout(_) => Failure::Lost { reason: format!("no connection within {within:?}"), asked: false },
            error => Failure::Lost { reason: error.to_string(), asked: false },
        }
    }

    /// A connection could not be made.
    pub(super) fn of_connection(address: &Address, error: &SqlError) -> Failure {
        if let Some(said) = error.as_db_error() {
            return Failure::said(address, said, false);
        }
        let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
        if cause.is_some_and(|cause| cause.kind() == io::ErrorKind::PermissionDenied) {
            return Failure::Final(Error::ReadOnly { path: address.to_string().into() });
        }
        if let Some(reason) = untrusted(error) {
            return address.unusable(reason).into();
        }
        let reason = explained(error);
        if reason.contains("password missing") {
            return Failure::Final(Error::Unauthorized {
                reason: format!("{address} asks for a password: give one in the address"),
            });
        }
        Failure::Lost { reason, asked: false }
    }

    /// The server said what is wrong.
    fn said(address: &Address, said: &DbError, asked: bool) -> Failure {
        let (code, message) = (said.code(), said.message());
        let path = || address.to_string().into();
        let class = &code.code()[..2];
        if *code == SqlState::INVALID_CATALOG_NAME {
            return address.unusable(format!("{message}: make it with `createdb`, or name another")).into();
        }
        if class == "28" && message.contains("no encryption") {
            let reason = format!("{address}: {message}: with ?sslmode=require behind the address it is encrypted");
            return Error::Unauthorized { reason }.into();
        }
        if class == "28" {
            let reason =
                format!("{address}: {message}: mend user and password in the address, or pg_hba.conf on the server");
            return Error::Unauthorized { reason }.into();
        }
        if *code == SqlState::INSUFFICIENT_PRIVILEGE {
            let reason = format!("{address}: {message}: grant it, as docs/operations.md shows");
            return Error::Unauthorized { reason }.into();
        }
        if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
            return Error::ReadOnly { path: path() }.into();
        }
        if *code == SqlState::DISK_FULL {
            let source = Arc::new(io::Error::new(io::ErrorKind::StorageFull, message.to_owned()));
            return Error::NoSpace { path: path(), source }.into();
        }
        if class == "40" || matches!(*code, SqlState::UNIQUE_VIOLATION | SqlState::LOCK_NOT_AVAILABLE) {
            return Failure::Crossed(message.to_owned());
        }
        if matches!(class, "08" | "53" | "57") || said.parsed_severity() != Some(Severity::Error) {
            // An error is said before anything is committed; what ends the connection may be said behind that.
            let asked = asked && said.parsed_severity() != Some(Severity::Error);
            return Failure::Lost { reason: message.to_owned(), asked };
        }
        if matches!(class, "58" | "XX") {
            let source = Arc::new(io::Error::other(format!("{message} ({})", code.code())));
            return Error::Io { operation: "use", path: path(), source }.into();
        }
        address.unusable(format!("{message} ({})", code.code())).into()
    }
}
