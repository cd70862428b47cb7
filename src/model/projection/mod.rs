//! Projections: folds of the whole log into something that answers questions.
//!
//! A [`Projection`] says what each event changes. A [`ReadModel`] is one projection with the tables that it writes; a read
//! model in SQLite is made by `SqliteViews::project`, one in PostgreSQL by `PostgresViews::project`. A [`Runner`] hands it the events of a store.
//!
//! ```text
//!   store --- pages of events ---> Runner ---> ReadModel: BEGIN, effects of a page + checkpoint, COMMIT
//!               ^                     |
//!               '-- sleeps until -----'        a failing event: nothing of it; the policy's further attempts; then
//!                   more has come              a row in failed_events, and stop or go on
//! ```
//!
//! # A failing event
//!
//! What came before it is kept. It is tried again as the [`RetryPolicy`](super::RetryPolicy) says if the error may pass by
//! itself, and then recorded with the error. [`OnFailure`] says what follows:
//!
//! - [`OnFailure::Stop`]: the projection ends there, with an error. Started again, it tries the event again.
//! - [`OnFailure::GoOn`]: the projection goes on behind it. Later events of the same stream may depend on it, so they are
//!   *parked*: recorded behind it, in order, and not applied. Other streams go on.
//!
//! [`Runner::retry`] applies a failed event and those parked behind it, in order. [`Runner::resolve`] declares that an event
//! is not to be applied at all: it is passed over, also by a later rebuild, and its row stays.
//!
//! Invariants:
//!
//! - effects and checkpoint are stored together or not at all: each event takes effect exactly once, whatever is killed and
//!   however many processes run the same projection;
//! - events of one stream take effect in their order; an event without effect is in `failed_events`;
//! - readers see the tables as they were before a rebuild until it is complete, and then all of the new ones;
//! - a read model is never continued from a store whose event at the checkpoint is another than the read model's.

mod checkpoint;
mod contract;
mod failed;
mod mend;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod meter;
mod read_model;
mod rebuild;
mod runner;

pub use checkpoint::Checkpoint;
pub use contract::Projection;
pub use failed::{FailedEvent, FailedId, OnFailure};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(in crate::model) use meter::Meter;
pub use read_model::{FreshTables, ReadModel, ReadModelState, Taken};
pub use runner::{ProjectionStatus, Runner};
