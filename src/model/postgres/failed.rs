//! The table `failed_events`.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{bookkeeping::number, tables::PostgresTables};
use crate::{
    event::{EventId, EventType, RecordedEvent, StreamName, Timestamp},
    model::{
        ModelError,
        projection::{FailedEvent, FailedId},
    },
    version::{Position, Version},
};

/// Payloads are kept as they are: a text of PostgreSQL cannot hold every character.
pub(super) const SCHEMA: &str = "
    CREATE TABLE failed_events (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        projection TEXT NOT NULL,
        position BIGINT NOT NULL,
        event_id UUID NOT NULL,
        stream TEXT NOT NULL,
        version BIGINT NOT NULL,
        event_type TEXT NOT NULL,
        event_data BYTEA NOT NULL,
        error_message TEXT NOT NULL,
        attempts BIGINT NOT NULL,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        resolved_at TEXT,
        UNIQUE (projection, position)
    );
    CREATE INDEX failed_events_waiting ON failed_events (projection, stream, position) WHERE resolved_at IS NULL;
";

/// All but the number of the row.
pub(super) const COLUMNS: &str = "projection, position, event_id, stream, version, event_type, event_data, \
     error_message, attempts, created_at, updated_at, resolved_at";

/// What stands in the way of the events of a page.
pub(super) struct Obstacles {
    /// Positions that are passed over.
    resolved: HashSet<i64>,
    /// The streams of the page with an event that waits, and the first version that does.
    waiting: HashMap<String, i64>,
}

impl Obstacles {
    /// For these events, which lie behind `after`.
    pub(super) async fn find(
        tables: &PostgresTables,
        projection: &str,
        after: Position,
        events: &[RecordedEvent],
    ) -> Result<Obstacles, ModelError> {
        let to = events.last().map_or(after, RecordedEvent::position);
        // A row without a position says that something waits, which is not often so.
        let sql = "
            SELECT position FROM failed_events
            WHERE projection = $1 AND position > $2 AND position <= $3 AND resolved_at IS NOT NULL
            UNION ALL
            (SELECT NULL FROM failed_events WHERE projection = $1 AND resolved_at IS NULL LIMIT 1)";
        let mut obstacles = Obstacles { resolved: HashSet::new(), waiting: HashMap::new() };
        let mut any_waits = false;
        for row in tables.rows(sql, &[&projection, &number(after), &number(to)]).await? {
            match tables.column(&row, 0)? {
                Some(position) => drop(obstacles.resolved.insert(position)),
                None => any_waits = true,
            }
        }
        if any_waits {
            let streams: HashSet<&str> = events.iter().map(RecordedEvent::stream_str).collect();
            let sql = "SELECT DISTINCT ON (stream) stream, version FROM failed_events
                 WHERE projection = $1 AND stream = ANY($2) AND resolved_at IS NULL ORDER BY stream, position";
            for row in tables.rows(sql, &[&projection, &Vec::from_iter(streams)]).await? {
                obstacles.waiting.insert(tables.column(&row, 0)?, tables.column(&row, 1)?);
            }
        }
        Ok(obstacles)
    }

    /// Whether an event takes no effect now; it is parked then if it has to wait.
    pub(super) async fn hold(
        &self,
        tables: &PostgresTables,
        projection: &str,
        event: &RecordedEvent,
    ) -> Result<bool, ModelError> {
        if self.resolved.contains(&number(event.position())) {
            return Ok(true);
        }
        let Some(first) = self.waiting.get(event.stream_str()) else { return Ok(false) };
        record(tables, projection, event, &format!("waits for version {first} of its stream"), 0).await?;
        Ok(true)
    }
}

/// Records that an event has failed, after so many attempts more.
pub(super) async fn record(
    tables: &PostgresTables,
    projection: &str,
    event: &RecordedEvent,
    error: &str,
    attempts: u32,
) -> Result<(), ModelError> {
    let sql = "INSERT INTO failed_events
            (projection, position, event_id, stream, version, event_type, event_data, error_message, attempts,
             created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)
         ON CONFLICT (projection, position) DO UPDATE SET
            error_message = $8, attempts = failed_events.attempts + $9, updated_at = $10";
    let version = i64::try_from(event.version().get()).unwrap_or(i64::MAX);
    // A text cannot hold this character.
    let error = error.replace('\0', "\u{fffd}");
    tables
        .execute(
            sql,
            &[
                &projection,
                &number(event.position()),
                &event.id().as_uuid(),
                &event.stream_str(),
                &version,
                &event.event_type_str(),
                &&event.payload()[..],
                &error,
                &i64::from(attempts),
                &Timestamp::now().to_string(),
            ],
        )
        .await
        .map(drop)
}

/// Removes the row of the event that stopped a projection, the one behind its place, as it is about to be tried again.
pub(super) async fn forget_stopping(
    tables: &PostgresTables,
    projection: &str,
    place: Position,
) -> Result<(), ModelError> {
    let sql = "DELETE FROM failed_events WHERE projection = $1 AND position > $2 AND resolved_at IS NULL";
    tables.execute(sql, &[&projection, &number(place)]).await.map(drop)
}

pub(super) async fn remove(tables: &PostgresTables, id: FailedId) -> Result<(), ModelError> {
    tables.execute("DELETE FROM failed_events WHERE id = $1", &[&id.get()]).await.map(drop)
}

/// The rows of a projection in order of position.
pub(super) async fn list(
    tables: &PostgresTables,
    projection: &str,
    resolved_too: bool,
) -> Result<Vec<FailedEvent>, ModelError> {
    let condition = if resolved_too { "" } else { "AND resolved_at IS NULL" };
    let sql = format!("SELECT id, {COLUMNS} FROM failed_events WHERE projection = $1 {condition} ORDER BY position");
    tables.rows(&sql, &[&projection]).await?.iter().map(|found| row(tables, found)).collect()
}

/// The row with this number.
pub(super) async fn find(tables: &PostgresTables, projection: &str, id: FailedId) -> Result<FailedEvent, ModelError> {
    let sql = format!("SELECT id, {COLUMNS} FROM failed_events WHERE projection = $1 AND id = $2");
    let found = tables.rows(&sql, &[&projection, &id.get()]).await?;
    found.first().map_or(Err(ModelError::NoFailedEvent { id }), |found| row(tables, found))
}

/// The first row of a stream that waits.
pub(super) async fn first_waiting(
    tables: &PostgresTables,
    projection: &str,
    stream: &str,
) -> Result<Option<FailedEvent>, ModelError> {
    let sql = format!(
        "SELECT id, {COLUMNS} FROM failed_events
         WHERE projection = $1 AND stream = $2 AND resolved_at IS NULL ORDER BY position LIMIT 1"
    );
    tables.rows(&sql, &[&projection, &stream]).await?.first().map(|found| row(tables, found)).transpose()
}

/// Marks a row that waits as resolved.
pub(super) async fn resolve(
    tables: &PostgresTables,
    projection: &str,
    id: FailedId,
) -> Result<FailedEvent, ModelError> {
    let sql = format!(
        "UPDATE failed_events SET resolved_at = $3
         WHERE projection = $1 AND id = $2 AND resolved_at IS NULL RETURNING id, {COLUMNS}"
    );
    let resolved = tables.rows(&sql, &[&projection, &id.get(), &Timestamp::now().to_string()]).await?;
    resolved.first().map_or(Err(ModelError::NoFailedEvent { id }), |found| row(tables, found))
}

/// Reads the number of a row and its [`COLUMNS`].
fn row(tables: &PostgresTables, row: &Row) -> Result<FailedEvent, ModelError> {
    fn parsed<T>(column: usize, parsed: Result<T, impl std::fmt::Display>) -> Result<T, ModelError> {
        parsed.map_err(|error| ModelError::unreadable_row(column, error))
    }
    let text = |column| tables.column::<String>(row, column);
    let number = |column| tables.column::<i64>(row, column).map(i64::unsigned_abs);
    let resolved = tables.column::<Option<String>>(row, 12)?;
    Ok(FailedEvent {
        id: FailedId::new(tables.column(row, 0)?),
        projection: text(1)?,
        position: Position::new(number(2)?),
        event: EventId::from(tables.column::<Uuid>(row, 3)?),
        stream: parsed(4, StreamName::new(text(4)?))?,
        version: Version::new(number(5)?),
        event_type: parsed(6, EventType::new(text(6)?))?,
        data: Bytes::from(tables.column::<Vec<u8>>(row, 7)?),
        error: text(8)?,
        attempts: u32::try_from(number(9)?).unwrap_or(u32::MAX),
        created_at: parsed(10, text(10)?.parse::<Timestamp>())?,
        updated_at: parsed(11, text(11)?.parse::<Timestamp>())?,
        resolved_at: parsed(12, resolved.map(|at| at.parse::<Timestamp>()).transpose())?,
    })
}
