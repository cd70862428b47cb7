//! Event sourcing for applications, over any [`crate::EventStore`].
//!
//! ```text
//!   command --> CommandBus --> handler --> Repository: load, decide, save --> EventStore --> Projection --> read model
//!                                                 Aggregate                                               |
//!   query   --> QueryBus   --> handler <-------------------------------------------------------------------'
//! ```
//!
//! An [`Aggregate`] is a state folded from typed events ([`DomainEvent`]). A [`Repository`] loads it from its stream and
//! appends what was decided, on the condition that nobody else has written in between. A [`CommandBus`] leads an
//! [`AggregateCommand`] there, and a [`QueryBus`] leads a [`Query`] to who answers it. A [`Projection`] folds the whole
//! log into something that answers questions: a [`Runner`] hands it the events, and `SqliteViews` keeps the answers in an SQLite
//! file, `PostgresViews` in a database. An [`EventBus`] hands events to an [`EventHandler`], whose commands [`Repository::execute_once`] carries out once.
//!
//! Invariants:
//!
//! - the stream of an aggregate is `<category>-<id>`, and everything that its state depends on is in its events;
//! - a decision is stored only if the stream is still at the version that it was made on;
//! - every event that comes of a command has the command's [`Metadata`];
//! - a projection's checkpoint is stored together with what it wrote, or neither is.

mod aggregate;
mod bus;
mod business_time;
mod command;
mod consistency;
mod error;
mod event;
mod event_bus;
mod metadata;
mod page;
#[cfg(feature = "postgres")]
mod postgres;
mod projection;
mod reaction;
mod receipt;
mod repository;
mod retry;
mod snapshots;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
mod stop;
mod timer;
mod variants;

pub use aggregate::{Aggregate, AggregateRoot};
pub use bus::{Call, CommandBus, Logging, Middleware, Next, QueryBus, Retry, Validation};
pub use business_time::BusinessTime;
pub use command::{AggregateCommand, Command, CommandHandler, Committed, InvalidField, Query, QueryHandler};
pub use consistency::Consistency;
pub use error::{ConcurrencyError, ModelError};
pub use event::{DomainEvent, Upcaster};
pub use event_bus::{EventBus, EventHandler};
pub use metadata::Metadata;
pub use page::{BadPage, Page, Pagination};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresError, PostgresProjection, PostgresTables, PostgresViews};
pub use projection::{
    Checkpoint, FailedEvent, FailedId, FreshTables, OnFailure, Projection, ProjectionStatus, ReadModel, ReadModelState,
    Runner, Taken,
};
pub use receipt::Receipt;
pub use repository::Repository;
pub use retry::RetryPolicy;
pub use snapshots::Snapshots;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use sql::{Dialect, Row, Select, Tables, Value, Views, containing};
#[cfg(feature = "sqlite")]
pub use sqlite::{Reading, SqliteProjection, SqliteViews};
pub use stop::Stop;
pub use timer::{Sleep, Timer};
