//! The row of a projection in the table `projections`.

use uuid::Uuid;

use super::tables::PostgresTables;
use crate::{
    event::{EventId, Timestamp},
    model::{
        ModelError,
        projection::{Checkpoint, ReadModelState},
    },
    version::Position,
};

pub(super) const SCHEMA: &str = "
    CREATE TABLE projections (
        name TEXT PRIMARY KEY,
        position BIGINT NOT NULL,
        event_id UUID,
        paused BOOLEAN NOT NULL DEFAULT false,
        rate DOUBLE PRECISION NOT NULL DEFAULT 0,
        taken_at BIGINT
    );
";

/// A position as PostgreSQL holds it.
pub(super) fn number(position: Position) -> i64 {
    i64::try_from(position.get()).unwrap_or(i64::MAX)
}

/// The checkpoint of a projection and whether it is paused; `None` for one that has not been set up.
pub(super) async fn place(tables: &PostgresTables, name: &str) -> Result<Option<(Checkpoint, bool)>, ModelError> {
    find(tables, "SELECT position, event_id, paused FROM projections WHERE name = $1", name).await
}

/// The same, and nobody else takes events for the projection until the transaction has ended.
pub(super) async fn lock(tables: &PostgresTables, name: &str) -> Result<(Checkpoint, bool), ModelError> {
    let sql = "SELECT position, event_id, paused FROM projections WHERE name = $1 FOR UPDATE";
    Ok(find(tables, sql, name).await?.unwrap_or_default())
}

async fn find(tables: &PostgresTables, sql: &str, name: &str) -> Result<Option<(Checkpoint, bool)>, ModelError> {
    let found = tables.rows(sql, &[&name]).await?;
    let Some(row) = found.first() else { return Ok(None) };
    let position = Position::new(tables.column::<i64>(row, 0)?.unsigned_abs());
    let event = tables.column::<Option<Uuid>>(row, 1)?.map(EventId::from);
    Ok(Some((Checkpoint { position, event }, tables.column(row, 2)?)))
}

/// Adds a projection that has taken nothing yet.
pub(super) async fn add(tables: &PostgresTables, name: &str) -> Result<(), ModelError> {
    tables.execute("INSERT INTO projections (name, position) VALUES ($1, 0)", &[&name]).await.map(drop)
}

/// Moves a projection to a checkpoint.
pub(super) async fn move_to(tables: &PostgresTables, name: &str, checkpoint: Checkpoint) -> Result<(), ModelError> {
    let sql = "UPDATE projections SET position = $2, event_id = $3 WHERE name = $1";
    let event = checkpoint.event.map(|id| id.as_uuid());
    tables.execute(sql, &[&name, &number(checkpoint.position), &event]).await.map(drop)
}

/// The same, and notes how many events a second a projection takes now.
pub(super) async fn advance(
    tables: &PostgresTables,
    name: &str,
    checkpoint: Checkpoint,
    rate: f64,
) -> Result<(), ModelError> {
    let sql = "UPDATE projections SET position = $2, event_id = $3, rate = $4, taken_at = $5 WHERE name = $1";
    let (event, now) = (checkpoint.event.map(|id| id.as_uuid()), Timestamp::now().as_micros());
    tables.execute(sql, &[&name, &number(checkpoint.position), &event, &rate, &now]).await.map(drop)
}

pub(super) async fn set_paused(tables: &PostgresTables, name: &str, paused: bool) -> Result<(), ModelError> {
    tables.execute("UPDATE projections SET paused = $2 WHERE name = $1", &[&name, &paused]).await.map(drop)
}

/// Everything that is known of a projection; `None` for one that has not been set up.
pub(super) async fn state(tables: &PostgresTables, name: &str) -> Result<Option<ReadModelState>, ModelError> {
    // One statement, so that all is of one state.
    let sql = "
        SELECT position, event_id, paused, rate, taken_at, waiting.failed, waiting.newest
        FROM projections, LATERAL (
            SELECT count(*) AS failed, max(position) AS newest FROM failed_events
            WHERE projection = projections.name AND resolved_at IS NULL
        ) AS waiting
        WHERE name = $1";
    let found = tables.rows(sql, &[&name]).await?;
    let Some(row) = found.first() else { return Ok(None) };
    let position: i64 = tables.column(row, 0)?;
    let event = tables.column::<Option<Uuid>>(row, 1)?.map(EventId::from);
    Ok(Some(ReadModelState {
        checkpoint: Checkpoint { position: Position::new(position.unsigned_abs()), event },
        paused: tables.column(row, 2)?,
        failed: tables.column::<i64>(row, 5)?.unsigned_abs(),
        stopped: tables.column::<Option<i64>>(row, 6)? > Some(position),
        rate: tables.column(row, 3)?,
        taken_at: tables.column::<Option<i64>>(row, 4)?.map(Timestamp::from_micros),
    }))
}
