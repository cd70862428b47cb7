//! One projection with the tables that it writes, whatever database they are in.

use std::sync::Arc;

use super::{Checkpoint, FailedEvent, FailedId};
use crate::{
    event::{RecordedEvent, StreamName, Timestamp},
    event_store::BoxFuture,
    model::ModelError,
};

/// What became of a page of events.
#[derive(Debug)]
pub enum Taken {
    /// The read model is at this checkpoint. It is the page's last event, or what another process has made of it: then
    /// nothing was taken.
    UpTo(Checkpoint),
    /// Nothing was taken: the projection is paused.
    Paused,
    /// Nothing was taken: this event of the page failed.
    Failed {
        /// Its index in the page.
        index: usize,
        /// Why.
        error: ModelError,
    },
}

/// Where a projection stands, as far as its read model knows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ReadModelState {
    /// Its place in the log.
    pub checkpoint: Checkpoint,
    /// Whether its owner has paused it.
    pub paused: bool,
    /// Events that wait to be retried or resolved, parked ones included.
    pub failed: u64,
    /// Whether it stopped at an event that failed, the next one behind the checkpoint.
    pub stopped: bool,
    /// Events a second that it took when it last took some.
    pub rate: f64,
    /// When that was.
    pub taken_at: Option<Timestamp>,
}

/// One projection with the tables that it writes, and the bookkeeping beside them: what a [`Runner`](super::Runner) drives.
///
/// Implemented for SQLite and PostgreSQL; an implementation for another database keeps the same promises. Each method is one transaction,
/// so that a future may be dropped at any moment.
pub trait ReadModel: Send + Sync {
    /// The projection's name.
    fn projection(&self) -> &str;

    /// The database, as people know it: its file, its address.
    fn place(&self) -> String;

    /// Makes the projection's tables if there are none yet, and says where it stands.
    ///
    /// # Errors
    ///
    /// When the database cannot be read or written.
    fn prepare(&self) -> BoxFuture<'_, Result<ReadModelState, ModelError>>;

    /// Whether [`Projection::set_up`](super::Projection::set_up) would by now make other tables than those that are there, such as
    /// after an upgrade of the program. A rebuild brings them.
    ///
    /// # Errors
    ///
    /// When the database fails. One that cannot tell says that they are the same.
    fn tables_changed(&self) -> BoxFuture<'_, Result<bool, ModelError>> {
        Box::pin(async { Ok(false) })
    }

    /// Takes the events behind the checkpoint `known`, all or none, unless the projection is paused or is at another
    /// checkpoint. Of a stream with an event that waits in `failed_events` the events are parked, and those that were
    /// resolved are passed over. A row of the event behind the checkpoint, which stopped the projection, goes when it succeeds.
    ///
    /// # Errors
    ///
    /// When the database fails, for a reason that is not the event's. An event that fails is no error: see [`Taken::Failed`].
    fn take<'a>(&'a self, known: Checkpoint, events: &'a [RecordedEvent]) -> BoxFuture<'a, Result<Taken, ModelError>>;

    /// Records that the event behind the checkpoint `known` has failed, after so many attempts, and goes on behind it if
    /// asked to. Returns the checkpoint; nothing is recorded when another process has moved it.
    ///
    /// # Errors
    ///
    /// When the database fails.
    fn record_failed<'a>(
        &'a self,
        known: Checkpoint,
        event: &'a RecordedEvent,
        error: &'a ModelError,
        attempts: u32,
        go_on: bool,
    ) -> BoxFuture<'a, Result<Checkpoint, ModelError>>;

    /// The events that have taken no effect, in order of position; those that were resolved only if asked for.
    ///
    /// # Errors
    ///
    /// When the database fails.
    fn failed_events(&self, resolved_too: bool) -> BoxFuture<'_, Result<Vec<FailedEvent>, ModelError>>;

    /// The event of a row.
    ///
    /// # Errors
    ///
    /// [`ModelError::NoFailedEvent`] for a row that does not exist, and when the database fails.
    fn failed_event(&self, id: FailedId) -> BoxFuture<'_, Result<FailedEvent, ModelError>>;

    /// The first event of a stream that waits; `None` when none does.
    ///
    /// # Errors
    ///
    /// When the database fails.
    fn first_waiting<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Result<Option<FailedEvent>, ModelError>>;

    /// Takes the event of a row that is the first waiting of its stream and lies behind the projection's place, and removes
    /// the row. Nothing happens when it is not so any more. An event that fails is [`Taken::Failed`], and counted in its row.
    ///
    /// # Errors
    ///
    /// When the database fails.
    fn take_waiting<'a>(&'a self, id: FailedId, event: &'a RecordedEvent) -> BoxFuture<'a, Result<Taken, ModelError>>;

    /// Declares that the event of a row is not to take effect.
    ///
    /// # Errors
    ///
    /// [`ModelError::NoFailedEvent`] when no such row waits, and when the database fails.
    fn resolve(&self, id: FailedId) -> BoxFuture<'_, Result<FailedEvent, ModelError>>;

    /// Lets no more events be taken, or lets them again. Holds for all processes, and until it is changed.
    ///
    /// # Errors
    ///
    /// When the database fails.
    fn set_paused(&self, paused: bool) -> BoxFuture<'_, Result<(), ModelError>>;

    /// Empty tables for the same projection, to be filled beside the present ones. They are gone when they are dropped. What
    /// was resolved is known to them.
    ///
    /// # Errors
    ///
    /// When they cannot be made.
    fn fresh(&self) -> BoxFuture<'_, Result<Box<dyn FreshTables>, ModelError>>;
}

/// Tables that are to replace those of a read model.
pub trait FreshTables: Send + Sync {
    /// The tables, as a read model of the same projection.
    fn read_model(&self) -> Arc<dyn ReadModel>;

    /// Puts these tables in place of the others, with their checkpoint and failed events, in one transaction. `false`, and
    /// nothing is done, when the others have come farther, unless `whatever` they have.
    ///
    /// # Errors
    ///
    /// When the database fails; the others are as they were.
    fn swap_in(&self, whatever: bool) -> BoxFuture<'_, Result<bool, ModelError>>;
}
