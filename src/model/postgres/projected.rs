//! A projection with its tables in a PostgreSQL database.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;

use super::{
    bookkeeping::{Obstacles, lock},
    fresh::Fresh,
    tables::PostgresTables,
    views::PostgresViews,
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

/// A projection with its tables in a PostgreSQL database: made by [`PostgresViews::project`], driven by a
/// [`Runner`](crate::model::Runner).
pub struct PostgresProjection<P: ?Sized> {
    views: PostgresViews,
    meter: Mutex<Meter>,
    projection: Arc<P>,
}

impl<P: Projection<PostgresTables>> fmt::Debug for PostgresProjection<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresProjection").field("name", &self.name()).field("views", &self.views).finish()
    }
}

impl<P: Projection<PostgresTables>> PostgresProjection<P> {
    pub(super) fn over(views: PostgresViews, projection: Arc<P>) -> PostgresProjection<P> {
        PostgresProjection { views, meter: Mutex::default(), projection }
    }

    /// The database that its tables are in.
    pub fn views(&self) -> &PostgresViews {
        &self.views
    }

    pub(super) fn name(&self) -> &'static str {
        self.projection.name()
    }

    /// Creates the tables with the first checkpoint; later calls only read.
    pub(super) async fn prepare_now(&self) -> Result<ReadModelState, ModelError> {
        let tables = self.views.begin().await?;
        if let Some(state) = tables.ask_one(bookkeeping::state(self.name())).await? {
            tables.commit().await?;
            return Ok(state);
        }
        // Two who make the same table at once hinder each other.
        self.views.lock_schema(&tables).await?;
        if tables.ask_one(bookkeeping::place(self.name())).await?.is_none() {
            self.projection.set_up(&tables)?;
            tables.say(bookkeeping::add(self.name())).await?;
        }
        let state = tables.ask_one(bookkeeping::state(self.name())).await?;
        tables.commit().await?;
        Ok(state.unwrap_or_default())
    }

    /// A page, with its changes gathered or one by one. `None` when one that gathers has met a change that is to be looked at.
    async fn take_page(
        &self,
        known: Checkpoint,
        events: &[RecordedEvent],
        gather: bool,
    ) -> Result<Option<Taken>, ModelError> {
        let tables = self.views.begin_page(gather).await?;
        let (found, paused) = tables.ask_one(lock(self.name())).await?.unwrap_or_default();
        let (true, false, Some(last)) = (found == known, paused, events.last()) else {
            tables.roll_back().await?;
            return Ok(Some(if paused { Taken::Paused } else { Taken::UpTo(found) }));
        };
        tables.say(failed::forget_stopping(self.name(), known.position)).await?;
        let obstacles = Obstacles::find(&tables, self.name(), known.position, events).await?;
        for (index, event) in events.iter().enumerate() {
            if obstacles.hold(&tables, self.name(), event).await? {
                continue;
            }
            if let Err(error) = self.projection.handle(&tables, event) {
                let error = the_events(error)?;
                tables.roll_back().await?;
                return Ok((!gather).then_some(Taken::Failed { index, error }));
            }
        }
        if !tables.send().await? {
            tables.roll_back().await?;
            return Ok(None);
        }
        let reached = Checkpoint::from(last);
        let rate = self.meter.lock().add(events.len());
        tables.say(bookkeeping::advance(self.name(), reached, rate)).await?;
        tables.commit().await?;
        Ok(Some(Taken::UpTo(reached)))
    }

    async fn take_now(&self, known: Checkpoint, events: &[RecordedEvent]) -> Result<Taken, ModelError> {
        self.meter.lock().begin();
        let gathered = if events.len() > 1 { self.take_page(known, events, true).await? } else { None };
        let taken = match gathered {
            Some(taken) => Some(taken),
            None => self.take_page(known, events, false).await?,
        };
        self.views.has_changed();
        // One by one it is never `None`.
        Ok(taken.unwrap_or(Taken::UpTo(known)))
    }

    async fn record_failed_now(
        &self,
        known: Checkpoint,
        event: &RecordedEvent,
        error: &ModelError,
        attempts: u32,
        go_on: bool,
    ) -> Result<Checkpoint, ModelError> {
        let tables = self.views.begin().await?;
        let (found, _) = tables.ask_one(lock(self.name())).await?.unwrap_or_default();
        let reached = if found != known {
            found
        } else {
            tables.say(failed::record(self.name(), event, &error.to_string(), attempts)).await?;
            let reached = if go_on { Checkpoint::from(event) } else { known };
            tables.say(bookkeeping::move_to(self.name(), reached)).await?;
            reached
        };
        tables.commit().await?;
        self.views.has_changed();
        Ok(reached)
    }

    async fn take_waiting_now(&self, id: FailedId, event: &RecordedEvent) -> Result<Taken, ModelError> {
        let tables = self.views.begin().await?;
        let (found, paused) = tables.ask_one(lock(self.name())).await?.unwrap_or_default();
        let first = tables.ask_one(failed::first_waiting(self.name(), event.stream_str())).await?;
        let is_next =
            first.is_some_and(|first| first.id == id && first.event == event.id() && first.position <= found.position);
        if paused || !is_next {
            tables.roll_back().await?;
            return Ok(if paused { Taken::Paused } else { Taken::UpTo(found) });
        }
        if let Err(error) = self.projection.handle(&tables, event) {
            let error = the_events(error)?;
            tables.roll_back().await?;
            let tables = self.views.begin().await?;
            tables.ask(lock(self.name())).await?;
            tables.say(failed::record(self.name(), event, &error.to_string(), 1)).await?;
            tables.commit().await?;
            return Ok(Taken::Failed { index: 0, error });
        }
        tables.say(failed::remove(id)).await?;
        tables.commit().await?;
        Ok(Taken::UpTo(found))
    }

    async fn resolve_now(&self, id: FailedId) -> Result<FailedEvent, ModelError> {
        let tables = self.views.begin().await?;
        tables.ask(lock(self.name())).await?;
        let resolved = tables.ask_one(failed::resolve(self.name(), id)).await?;
        tables.commit().await?;
        resolved.ok_or(ModelError::NoFailedEvent { id })
    }
}

/// The error again, if it says something of the event, and not of the database.
fn the_events(error: ModelError) -> Result<ModelError, ModelError> {
    match error {
        ModelError::Postgres(said) if !said.is_the_events() => Err(said.into()),
        error => Ok(error),
    }
}

impl<P: Projection<PostgresTables> + 'static> ReadModel for PostgresProjection<P> {
    fn projection(&self) -> &str {
        self.name()
    }

    fn place(&self) -> String {
        self.views.place().to_owned()
    }

    fn prepare(&self) -> BoxFuture<'_, Result<ReadModelState, ModelError>> {
        Box::pin(self.prepare_now())
    }

    fn take<'a>(&'a self, known: Checkpoint, events: &'a [RecordedEvent]) -> BoxFuture<'a, Result<Taken, ModelError>> {
        Box::pin(self.take_now(known, events))
    }

    fn record_failed<'a>(
        &'a self,
        known: Checkpoint,
        event: &'a RecordedEvent,
        error: &'a ModelError,
        attempts: u32,
        go_on: bool,
    ) -> BoxFuture<'a, Result<Checkpoint, ModelError>> {
        Box::pin(self.record_failed_now(known, event, error, attempts, go_on))
    }

    fn failed_events(&self, resolved_too: bool) -> BoxFuture<'_, Result<Vec<FailedEvent>, ModelError>> {
        Box::pin(async move {
            let tables = self.views.begin().await?;
            let failed = tables.ask(failed::list(self.name(), resolved_too)).await?;
            tables.commit().await?;
            Ok(failed)
        })
    }

    fn failed_event(&self, id: FailedId) -> BoxFuture<'_, Result<FailedEvent, ModelError>> {
        Box::pin(async move {
            let tables = self.views.begin().await?;
            let found = tables.ask_one(failed::find(self.name(), id)).await?;
            tables.commit().await?;
            found.ok_or(ModelError::NoFailedEvent { id })
        })
    }

    fn first_waiting<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Result<Option<FailedEvent>, ModelError>> {
        Box::pin(async move {
            let tables = self.views.begin().await?;
            let first = tables.ask_one(failed::first_waiting(self.name(), stream.as_str())).await?;
            tables.commit().await?;
            Ok(first)
        })
    }

    fn take_waiting<'a>(&'a self, id: FailedId, event: &'a RecordedEvent) -> BoxFuture<'a, Result<Taken, ModelError>> {
        Box::pin(self.take_waiting_now(id, event))
    }

    fn resolve(&self, id: FailedId) -> BoxFuture<'_, Result<FailedEvent, ModelError>> {
        Box::pin(self.resolve_now(id))
    }

    fn set_paused(&self, paused: bool) -> BoxFuture<'_, Result<(), ModelError>> {
        Box::pin(async move {
            self.prepare_now().await?;
            let tables = self.views.begin().await?;
            tables.say(bookkeeping::set_paused(self.name(), paused)).await?;
            tables.commit().await
        })
    }

    fn fresh(&self) -> BoxFuture<'_, Result<Box<dyn FreshTables>, ModelError>> {
        Box::pin(async move {
            let fresh = Fresh::beside(self.views.clone(), Arc::clone(&self.projection)).await?;
            Ok(Box::new(fresh) as Box<dyn FreshTables>)
        })
    }
}
