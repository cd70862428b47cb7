//! Event sourcing for applications, over any [`crate::EventStore`].
//!
//! An [`Aggregate`] is a state folded from typed events ([`DomainEvent`]). A [`Repository`] loads it from its stream and
//! appends what was decided, on the condition that nobody else has written in between. A [`Projection`] folds the whole
//! log into something that answers questions; `SqliteViews` keeps such answers in an SQLite file.
//!
//! Invariants:
//!
//! - the stream of an aggregate is `<category>-<id>`, and everything that its state depends on is in its events;
//! - a decision is stored only if the stream is still at the version that it was made on;
//! - a projection's checkpoint is stored together with what it wrote, or neither is.

mod aggregate;
mod business_time;
mod consistency;
mod error;
mod page;
mod projection;
mod repository;
mod retry;
#[cfg(feature = "sqlite")]
mod sqlite;
mod stop;
mod timer;

pub use aggregate::{Aggregate, AggregateRoot, DomainEvent};
pub use business_time::BusinessTime;
pub use consistency::Consistency;
pub use error::{ConcurrencyError, ModelError};
pub use page::{BadPage, Page, Pagination};
pub use projection::{
    Checkpoint, FailedEvent, FailedId, FreshTables, OnFailure, Projection, ProjectionStatus, ReadModel, ReadModelState,
    Runner, Taken,
};
pub use repository::Repository;
pub use retry::RetryPolicy;
#[cfg(feature = "sqlite")]
pub use sqlite::{Reading, SqliteProjection, SqliteViews, containing};
pub use stop::Stop;
pub use timer::{Sleep, Timer};
