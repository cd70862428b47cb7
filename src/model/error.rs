//! Why a command, a query or a projection failed.

use std::time::Duration;

use thiserror::Error;

use super::{command::InvalidField, projection::FailedId};
use crate::{
    error::{Action, Error},
    event::{EventType, InvalidInput, RecordedEvent, StreamName},
    version::{ExpectedVersion, Position, Version},
};

/// A stream was not at the version that a decision was made on: somebody else was faster. Nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("Expected version {expected}, but current version is {actual}")]
pub struct ConcurrencyError {
    /// The stream.
    pub stream: StreamName,
    /// What the decision was made on.
    pub expected: ExpectedVersion,
    /// The version that the stream is at.
    pub actual: Version,
}

/// Why a command, a query or a projection failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// Somebody else has written to the stream since it was loaded. Nothing was stored.
    #[error(transparent)]
    Concurrency(#[from] ConcurrencyError),

    /// There is no aggregate with this id: its stream has no events.
    #[error("Aggregate not found: {id}")]
    AggregateNotFound {
        /// The aggregate's id.
        id: String,
    },

    /// A rule of the domain forbids the command. Nothing was stored. The message is the domain's own.
    #[error("{0}")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),

    /// Tables that cannot be put in place of others, so that the projection cannot be rebuilt. Nothing was done.
    #[error(
        "the projection `{projection}` cannot be rebuilt, as the table `{table}` is a virtual one; delete the read model to have \
         it built again"
    )]
    NotRebuildable {
        /// The projection.
        projection: String,
        /// Its virtual table.
        table: String,
    },

    /// An event that its reader cannot make sense of.
    #[error("cannot read event {version} of stream `{stream}` (position {position}, type `{event_type}`): {reason}")]
    UnreadableEvent {
        /// The event's stream.
        stream: StreamName,
        /// Its version.
        version: Version,
        /// Its position.
        position: Position,
        /// Its type.
        event_type: EventType,
        /// What the reader made of it.
        reason: String,
    },

    /// A field of a command or query that cannot be meant. Nothing was done.
    #[error(transparent)]
    InvalidField(#[from] InvalidField),

    /// A bus knows nobody for a command or query of this type.
    #[error("No handler found for {kind}: {name}")]
    NoHandler {
        /// `command` or `query`.
        kind: &'static str,
        /// The name of its type.
        name: &'static str,
    },

    /// A bus was given a second handler for commands or queries of one type.
    #[error("There is a handler for {kind} {name} already")]
    DuplicateHandler {
        /// `command` or `query`.
        kind: &'static str,
        /// The name of its type.
        name: &'static str,
    },

    /// The store failed or refused.
    #[error(transparent)]
    Store(Error),

    /// The SQLite database of a read model failed.
    #[cfg(feature = "sqlite")]
    #[error("read model: {0}")]
    Sqlite(#[from] rusqlite::Error),

    /// The PostgreSQL database of a read model failed.
    #[cfg(feature = "postgres")]
    #[error("read model in {0}")]
    Postgres(#[from] super::PostgresError),

    /// A row of a read model that nobody who asks can make sense of.
    #[error("column {column} of a row in the read model: {reason}; rebuild the projection")]
    UnreadableRow {
        /// The column, counted from 0.
        column: usize,
        /// What is wrong with it.
        reason: String,
    },

    /// A read model that holds something else than what was projected from this store.
    #[error("{place}: {reason}")]
    ForeignViews {
        /// The read model.
        place: String,
        /// What it holds instead, and what to do about it.
        reason: String,
    },

    /// A projection or a subscriber could not take an event. A projection has recorded it among its failed events.
    #[error("`{name}` failed at position {position}: {source}")]
    EventFailed {
        /// The projection's name, or the cursor's of the subscriber.
        name: String,
        /// The event's position.
        position: Position,
        /// Why.
        source: Box<ModelError>,
    },

    /// No event waits in `failed_events` under this number.
    #[error("no failed event {id} waits")]
    NoFailedEvent {
        /// The number.
        id: FailedId,
    },

    /// A projection has not come as far as a query asked for, in the time that it gave.
    #[error("the projection `{projection}` is at position {reached} and not yet at {wanted} after {waited:?}")]
    NotYetProjected {
        /// The projection.
        projection: String,
        /// The position that was asked for.
        wanted: Position,
        /// The position that it is at.
        reached: Position,
        /// The time limit.
        waited: Duration,
    },
}

impl ModelError {
    /// The rule that forbade it, when it was refused by one of this kind.
    pub fn refusal<R: std::error::Error + 'static>(&self) -> Option<&R> {
        match self {
            ModelError::Refused(reason) => reason.downcast_ref(),
            _ => None,
        }
    }

    /// A refusal by a rule of the domain.
    pub fn refused(reason: impl std::error::Error + Send + Sync + 'static) -> ModelError {
        ModelError::Refused(Box::new(reason))
    }

    /// The error for an event that its reader cannot make sense of.
    pub fn unreadable(event: &RecordedEvent, reason: impl Into<String>) -> ModelError {
        ModelError::UnreadableEvent {
            stream: event.stream(),
            version: event.version(),
            position: event.position(),
            event_type: event.event_type(),
            reason: reason.into(),
        }
    }

    /// The error for a row of a read model that nobody who asks can make sense of.
    pub fn unreadable_row(column: usize, reason: impl ToString) -> ModelError {
        ModelError::UnreadableRow { column, reason: reason.to_string() }
    }

    /// What the caller can do next: as for [`Error::action`]. A rule of the domain, a missing aggregate and an event that
    /// this program cannot read call for another command or another program, not for another attempt.
    pub fn action(&self) -> Action {
        match self {
            ModelError::Concurrency(_) => Action::DecideAgain,
            ModelError::Store(error) => error.action(),
            #[cfg(feature = "sqlite")]
            ModelError::Sqlite(error) => match error.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => Action::Retry,
                _ => Action::FixInput,
            },
            #[cfg(feature = "postgres")]
            ModelError::Postgres(error) => error.action(),
            ModelError::NotYetProjected { .. } => Action::Retry,
            ModelError::EventFailed { source, .. } => source.action(),
            _ => Action::FixInput,
        }
    }

    /// Whether the same command may succeed when it is tried again as it is, after loading the aggregate anew.
    pub fn is_retryable(&self) -> bool {
        matches!(self.action(), Action::Retry | Action::DecideAgain)
    }
}

impl From<Error> for ModelError {
    fn from(error: Error) -> Self {
        match error {
            Error::WrongExpectedVersion { stream, expected, actual } => {
                ConcurrencyError { stream, expected, actual }.into()
            }
            error => ModelError::Store(error),
        }
    }
}

impl From<InvalidInput> for ModelError {
    fn from(invalid: InvalidInput) -> Self {
        ModelError::Store(invalid.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conflict() -> ModelError {
        let stream = StreamName::new("order-1").unwrap();
        Error::WrongExpectedVersion { stream, expected: ExpectedVersion::NoStream, actual: Version::FIRST }.into()
    }

    #[test]
    fn a_wrong_expected_version_becomes_a_concurrency_error_with_both_versions() {
        assert!(matches!(conflict(), ModelError::Concurrency(_)));
        assert_eq!(conflict().to_string(), "Expected version 0, but current version is 1");
    }

    #[test]
    fn a_missing_aggregate_is_named() {
        let error = ModelError::AggregateNotFound { id: "17".into() };
        assert_eq!(error.to_string(), "Aggregate not found: 17");
    }

    #[test]
    fn a_conflict_may_be_tried_again_and_a_refusal_may_not() {
        assert!(conflict().is_retryable());
        assert!(!ModelError::AggregateNotFound { id: "17".into() }.is_retryable());
        assert!(!ModelError::refused(std::fmt::Error).is_retryable());
        assert!(!ModelError::from(InvalidInput::NoEvents).is_retryable());
    }
}
