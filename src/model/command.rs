//! What can be asked for: commands, and the queries that change nothing.

use std::future::Future;

use super::{aggregate::Aggregate, error::ModelError, metadata::Metadata, repository::Repository};
use crate::{
    event::StreamName,
    version::{Position, Version},
};

/// What is asked to be done. Its type leads a [`super::CommandBus`] to its handler.
///
/// A command for one aggregate is an [`AggregateCommand`], and a command by that.
pub trait Command: Send + Sync + 'static {
    /// What its handler answers.
    type Output: Send + 'static;

    /// Checks what can be checked without knowing the state of anything. [`super::Validation`] asks for it.
    ///
    /// # Errors
    ///
    /// The first field that cannot be meant.
    fn validate(&self) -> Result<(), InvalidField> {
        Ok(())
    }
}

/// Does what a command asks for.
///
/// ```
/// use factlog::model::{Command, CommandHandler, Metadata, ModelError};
///
/// struct Greet {
///     name: String,
/// }
///
/// impl Command for Greet {
///     type Output = String;
/// }
///
/// struct Greeter;
///
/// impl CommandHandler<Greet> for Greeter {
///     async fn handle(&self, command: &Greet, _: &Metadata) -> Result<String, ModelError> {
///         Ok(format!("Hello {}", command.name))
///     }
/// }
/// ```
pub trait CommandHandler<C: Command>: Send + Sync + 'static {
    /// Does it. The metadata is to be kept beside every event that comes of it: [`Repository::save`] and
    /// [`Repository::execute`] take it.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being done.
    fn handle(&self, command: &C, metadata: &Metadata) -> impl Future<Output = Result<C::Output, ModelError>> + Send;
}

/// What is asked, and changes nothing. Its type leads a [`super::QueryBus`] to its handler.
pub trait Query: Send + Sync + 'static {
    /// What its handler answers.
    type Output: Send + 'static;

    /// As [`Command::validate`].
    ///
    /// # Errors
    ///
    /// The first field that cannot be meant.
    fn validate(&self) -> Result<(), InvalidField> {
        Ok(())
    }
}

/// Answers a query.
pub trait QueryHandler<Q: Query>: Send + Sync + 'static {
    /// Answers it.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being answered.
    fn handle(&self, query: &Q) -> impl Future<Output = Result<Q::Output, ModelError>> + Send;
}

/// A field of a command or query that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct InvalidField {
    /// Its name, as whoever sent it wrote it.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl InvalidField {
    /// A field, and what is wrong with it.
    pub fn new(field: &'static str, reason: impl Into<String>) -> InvalidField {
        InvalidField { field, reason: reason.into() }
    }
}

/// A command for one aggregate. [`Repository::execute`] carries it out, and a [`Repository`] is its handler on a bus.
///
/// The decision itself is mostly a method of the aggregate.
pub trait AggregateCommand: Send + Sync + 'static {
    /// What it is for.
    type Aggregate: Aggregate;
    /// Why the aggregate may refuse it.
    type Refusal: std::error::Error + Send + Sync + 'static;

    /// The aggregate's id.
    fn aggregate_id(&self) -> &str;

    /// Whether it begins an aggregate. It is decided once then, on the state before the first event, and is a
    /// [`super::ConcurrencyError`] for an aggregate that exists. Any other command needs one that exists.
    fn creates(&self) -> bool {
        false
    }

    /// The events that it leads to; none when there is nothing to do.
    ///
    /// # Errors
    ///
    /// The rule that forbids it.
    fn decide(&self, state: &Self::Aggregate) -> Result<Vec<<Self::Aggregate as Aggregate>::Event>, Self::Refusal>;

    /// As [`Command::validate`].
    ///
    /// # Errors
    ///
    /// The first field that cannot be meant.
    fn validate(&self) -> Result<(), InvalidField> {
        Ok(())
    }
}

/// What a command for an aggregate led to, durably.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The aggregate's stream.
    pub stream: StreamName,
    /// Its version now.
    pub version: Version,
    /// The position of the last event that was stored. Who has seen everything up to here has seen what the command did.
    /// When nothing was stored, it is behind everything that the decision was based on.
    pub position: Position,
    /// How many events were stored.
    pub events: usize,
}

impl<C: AggregateCommand> Command for C {
    type Output = Committed;

    fn validate(&self) -> Result<(), InvalidField> {
        AggregateCommand::validate(self)
    }
}

impl<C: AggregateCommand> CommandHandler<C> for Repository<C::Aggregate> {
    async fn handle(&self, command: &C, metadata: &Metadata) -> Result<Committed, ModelError> {
        self.execute(command, metadata).await
    }
}
