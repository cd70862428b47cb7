//! A projection with its tables in an SQLite file.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

use super::{
    bookkeeping::Obstacles,
    fresh::{self, Fresh},
    tables::{ask, ask_one, say},
    views::SqliteViews,
};
use crate::{
    event::{RecordedEvent, StreamName},
    event_store::BoxFuture,
    model::{
        ModelError,
        projection::{
            Checkpoint, FailedEvent, FailedId, FreshTables, Meter, Projection, ReadModel, ReadModelState, Taken,
        },
        sql::{bookkeeping, failed},
    },
};

/// A projection with its tables in an SQLite file: made by [`SqliteViews::project`], driven by a
/// [`Runner`](crate::model::Runner).
pub struct SqliteProjection<P: ?Sized> {
    views: SqliteViews,
    meter: Mutex<Meter>,
    projection: Arc<P>,
}

impl<P: Projection<Connection>> fmt::Debug for SqliteProjection<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteProjection").field("name", &self.name()).field("views", &self.views).finish()
    }
}

impl<P: Projection<Connection>> SqliteProjection<P> {
    pub(super) fn new(views: SqliteViews, projection: P) -> SqliteProjection<P> {
        SqliteProjection::over(views, Arc::new(projection))
    }

    pub(super) fn over(views: SqliteViews, projection: Arc<P>) -> SqliteProjection<P> {
        SqliteProjection { views, meter: Mutex::default(), projection }
    }

    /// The file that its tables are in.
    pub fn views(&self) -> &SqliteViews {
        &self.views
    }

    pub(super) fn name(&self) -> &'static str {
        self.projection.name()
    }

    fn in_transaction<T>(&self, work: impl FnOnce(Transaction<'_>) -> Result<T, ModelError>) -> Result<T, ModelError> {
        work(self.views.write().transaction_with_behavior(TransactionBehavior::Immediate)?)
    }

    /// Creates the tables with the first checkpoint; later calls only read.
    pub(super) fn prepare_now(&self) -> Result<ReadModelState, ModelError> {
        if self.views.path().as_os_str().is_empty() || !self.is_there(&*self.views.read()?)? {
            self.in_transaction(|transaction| {
                if !self.is_there(&transaction)? {
                    self.projection.set_up(&transaction)?;
                    say(&transaction, bookkeeping::add(self.name()))?;
                }
                Ok(transaction.commit()?)
            })?;
        }
        Ok(self.reading(|connection| ask_one(connection, bookkeeping::state(self.name())))?.unwrap_or_default())
    }

    fn is_there(&self, connection: &Connection) -> Result<bool, ModelError> {
        Ok(ask_one(connection, bookkeeping::place(self.name()))?.is_some())
    }

    /// A temporary database has only the connection that writes.
    fn reading<T>(&self, read: impl FnOnce(&Connection) -> Result<T, ModelError>) -> Result<T, ModelError> {
        if self.views.path().as_os_str().is_empty() { read(&self.views.write()) } else { read(&*self.views.read()?) }
    }

    fn take_now(&self, known: Checkpoint, events: &[RecordedEvent]) -> Result<Taken, ModelError> {
        self.meter.lock().begin();
        let taken = self.in_transaction(|transaction| {
            let (found, paused) = ask_one(&transaction, bookkeeping::place(self.name()))?.unwrap_or_default();
            let (true, false, Some(last)) = (found == known, paused, events.last()) else {
                return Ok(if paused { Taken::Paused } else { Taken::UpTo(found) });
            };
            say(&transaction, failed::forget_stopping(self.name(), known.position))?;
            let mut obstacles = Obstacles::find(&transaction, self.name(), known.position, last.position())?;
            for (index, event) in events.iter().enumerate() {
                if obstacles.hold(event)? {
                    continue;
                }
                match self.projection.handle(&transaction, event) {
                    Err(error) if is_the_events(&error) => return Ok(Taken::Failed { index, error }),
                    handled => handled?,
                }
            }
            let reached = Checkpoint::from(last);
            let rate = self.meter.lock().add(events.len());
            say(&transaction, bookkeeping::advance(self.name(), reached, rate))?;
            transaction.commit()?;
            Ok(Taken::UpTo(reached))
        })?;
        self.views.has_changed();
        Ok(taken)
    }

    fn record_failed_now(
        &self,
        known: Checkpoint,
        event: &RecordedEvent,
        error: &ModelError,
        attempts: u32,
        go_on: bool,
    ) -> Result<Checkpoint, ModelError> {
        let reached = self.in_transaction(|transaction| {
            let (found, _) = ask_one(&transaction, bookkeeping::place(self.name()))?.unwrap_or_default();
            if found != known {
                return Ok(found);
            }
            say(&transaction, failed::record(self.name(), event, &error.to_string(), attempts))?;
            let reached = if go_on { Checkpoint::from(event) } else { known };
            say(&transaction, bookkeeping::move_to(self.name(), reached))?;
            transaction.commit()?;
            Ok(reached)
        })?;
        self.views.has_changed();
        Ok(reached)
    }

    fn take_waiting_now(&self, id: FailedId, event: &RecordedEvent) -> Result<Taken, ModelError> {
        let taken = self.in_transaction(|transaction| {
            let (found, paused) = ask_one(&transaction, bookkeeping::place(self.name()))?.unwrap_or_default();
            if paused {
                return Ok(Taken::Paused);
            }
            let first = ask_one(&transaction, failed::first_waiting(self.name(), event.stream_str()))?;
            if first.is_none_or(|first| first.id != id || first.event != event.id() || first.position > found.position)
            {
                return Ok(Taken::UpTo(found));
            }
            match self.projection.handle(&transaction, event) {
                Err(error) if is_the_events(&error) => return Ok(Taken::Failed { index: 0, error }),
                handled => handled?,
            }
            say(&transaction, failed::remove(id))?;
            transaction.commit()?;
            Ok(Taken::UpTo(found))
        })?;
        if let Taken::Failed { error, .. } = &taken {
            self.in_transaction(|transaction| {
                say(&transaction, failed::record(self.name(), event, &error.to_string(), 1))?;
                Ok(transaction.commit()?)
            })?;
        }
        Ok(taken)
    }
}

/// Whether an error says something of the event, and not of the database.
fn is_the_events(error: &ModelError) -> bool {
    let ModelError::Sqlite(error) = error else { return true };
    !matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::CannotOpen
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::NotADatabase
                | ErrorCode::OutOfMemory
                | ErrorCode::ReadOnly
                | ErrorCode::SystemIoFailure
        )
    )
}

impl<P: Projection<Connection> + 'static> ReadModel for SqliteProjection<P> {
    fn projection(&self) -> &str {
        self.name()
    }

    fn place(&self) -> String {
        self.views.path().display().to_string()
    }

    fn prepare(&self) -> BoxFuture<'_, Result<ReadModelState, ModelError>> {
        Box::pin(async move { self.prepare_now() })
    }

    fn tables_changed(&self) -> BoxFuture<'_, Result<bool, ModelError>> {
        Box::pin(async move { self.reading(|connection| fresh::tables_changed(connection, &*self.projection)) })
    }

    fn take<'a>(&'a self, known: Checkpoint, events: &'a [RecordedEvent]) -> BoxFuture<'a, Result<Taken, ModelError>> {
        Box::pin(async move { self.take_now(known, events) })
    }

    fn record_failed<'a>(
        &'a self,
        known: Checkpoint,
        event: &'a RecordedEvent,
        error: &'a ModelError,
        attempts: u32,
        go_on: bool,
    ) -> BoxFuture<'a, Result<Checkpoint, ModelError>> {
        Box::pin(async move { self.record_failed_now(known, event, error, attempts, go_on) })
    }

    fn failed_events(&self, resolved_too: bool) -> BoxFuture<'_, Result<Vec<FailedEvent>, ModelError>> {
        Box::pin(async move { self.reading(|connection| ask(connection, failed::list(self.name(), resolved_too))) })
    }

    fn failed_event(&self, id: FailedId) -> BoxFuture<'_, Result<FailedEvent, ModelError>> {
        Box::pin(async move {
            self.reading(|connection| {
                ask_one(connection, failed::find(self.name(), id))?.ok_or(ModelError::NoFailedEvent { id })
            })
        })
    }

    fn first_waiting<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Result<Option<FailedEvent>, ModelError>> {
        Box::pin(async move {
            self.reading(|connection| ask_one(connection, failed::first_waiting(self.name(), stream.as_str())))
        })
    }

    fn take_waiting<'a>(&'a self, id: FailedId, event: &'a RecordedEvent) -> BoxFuture<'a, Result<Taken, ModelError>> {
        Box::pin(async move { self.take_waiting_now(id, event) })
    }

    fn resolve(&self, id: FailedId) -> BoxFuture<'_, Result<FailedEvent, ModelError>> {
        Box::pin(async move {
            self.in_transaction(|transaction| {
                let resolved = ask_one(&transaction, failed::resolve(self.name(), id))?;
                transaction.commit()?;
                resolved.ok_or(ModelError::NoFailedEvent { id })
            })
        })
    }

    fn set_paused(&self, paused: bool) -> BoxFuture<'_, Result<(), ModelError>> {
        Box::pin(async move {
            self.prepare_now()?;
            self.in_transaction(|transaction| {
                say(&transaction, bookkeeping::set_paused(self.name(), paused))?;
                Ok(transaction.commit()?)
            })
        })
    }

    fn fresh(&self) -> BoxFuture<'_, Result<Box<dyn FreshTables>, ModelError>> {
        Box::pin(async move {
            let fresh = Fresh::beside(self.views.clone(), Arc::clone(&self.projection))?;
            Ok(Box::new(fresh) as Box<dyn FreshTables>)
        })
    }
}
