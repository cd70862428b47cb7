//! The table `failed_events`.

use rusqlite::{
    Connection, OptionalExtension, Row, named_params, params,
    types::{ToSqlOutput, Type, ValueRef},
};
use uuid::Uuid;

use super::bookkeeping::number;
use crate::{
    event::{EventId, EventType, RecordedEvent, StreamName, Timestamp},
    model::{
        ModelError,
        projection::{FailedEvent, FailedId},
    },
    version::{Position, Version},
};

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS failed_events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        projection TEXT NOT NULL,
        position INTEGER NOT NULL,
        event_id BLOB NOT NULL,
        stream TEXT NOT NULL,
        version INTEGER NOT NULL,
        event_type TEXT NOT NULL,
        event_data BLOB NOT NULL,
        error_message TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        resolved_at TEXT,
        UNIQUE (projection, position)
    );
    CREATE INDEX IF NOT EXISTS failed_events_waiting
        ON failed_events (projection, stream, position) WHERE resolved_at IS NULL;
";

/// All but the number of the row.
pub(super) const COLUMNS: &str = "projection, position, event_id, stream, version, event_type, event_data, \
     error_message, attempts, created_at, updated_at, resolved_at";

/// What stands in the way of the events of a page.
pub(super) struct Obstacles<'a> {
    connection: &'a Connection,
    projection: &'a str,
    /// Positions that are passed over.
    resolved: Vec<i64>,
    /// Whether any event waits, so that others may have to wait behind it.
    waiting: bool,
}

impl<'a> Obstacles<'a> {
    /// For the events behind `after` and up to `to`.
    pub(super) fn find(
        connection: &'a Connection,
        projection: &'a str,
        after: Position,
        to: Position,
    ) -> rusqlite::Result<Obstacles<'a>> {
        let resolved = connection
            .prepare_cached(
                "SELECT position FROM failed_events
                 WHERE projection = ?1 AND position > ?2 AND position <= ?3 AND resolved_at IS NOT NULL",
            )?
            .query_map(params![projection, number(after), number(to)], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let waiting = connection
            .prepare_cached(
                "SELECT 1 FROM failed_events INDEXED BY failed_events_waiting
                 WHERE projection = ?1 AND resolved_at IS NULL LIMIT 1",
            )?
            .exists([projection])?;
        Ok(Obstacles { connection, projection, resolved, waiting })
    }

    /// Whether an event takes no effect now; it is parked then if it has to wait.
    pub(super) fn hold(&mut self, event: &RecordedEvent) -> rusqlite::Result<bool> {
        if self.resolved.contains(&number(event.position())) {
            return Ok(true);
        }
        if !self.waiting {
            return Ok(false);
        }
        let stream = event.stream();
        let first = self
            .connection
            .prepare_cached(
                "SELECT version FROM failed_events
                 WHERE projection = ?1 AND stream = ?2 AND resolved_at IS NULL ORDER BY position LIMIT 1",
            )?
            .query_row(params![self.projection, stream.as_str()], |row| row.get::<_, i64>(0))
            .optional()?;
        let Some(first) = first else { return Ok(false) };
        record(self.connection, self.projection, event, &format!("waits for version {first} of its stream"), 0)?;
        Ok(true)
    }
}

/// Records that an event has failed, after so many attempts more.
pub(super) fn record(
    connection: &Connection,
    projection: &str,
    event: &RecordedEvent,
    error: &str,
    attempts: u32,
) -> rusqlite::Result<()> {
    let payload = event.payload();
    connection
        .prepare_cached(
            "INSERT INTO failed_events
                (projection, position, event_id, stream, version, event_type, event_data, error_message, attempts,
                 created_at, updated_at)
             VALUES (:projection, :position, :event, :stream, :version, :type, :data, :error, :attempts, :now, :now)
             ON CONFLICT (projection, position) DO UPDATE SET
                error_message = :error, attempts = attempts + :attempts, updated_at = :now",
        )?
        .execute(named_params! {
            ":projection": projection,
            ":position": number(event.position()),
            ":event": event.id().as_uuid().into_bytes(),
            ":stream": event.stream().as_str(),
            ":version": i64::try_from(event.version().get()).unwrap_or(i64::MAX),
            ":type": event.event_type().as_str(),
            ":data": ToSqlOutput::Borrowed(readable(&payload)),
            ":error": error,
            ":attempts": attempts,
            ":now": Timestamp::now().to_string(),
        })
        .map(drop)
}

/// JSON is text, so that people can read it there.
fn readable(payload: &[u8]) -> ValueRef<'_> {
    if std::str::from_utf8(payload).is_ok() { ValueRef::Text(payload) } else { ValueRef::Blob(payload) }
}

/// Removes the row of the event that stopped a projection, the one behind its place, as it is about to be tried again.
pub(super) fn forget_stopping(connection: &Connection, projection: &str, place: Position) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM failed_events WHERE projection = ?1 AND position > ?2 AND resolved_at IS NULL")?
        .execute(params![projection, number(place)])
        .map(drop)
}

pub(super) fn remove(connection: &Connection, id: FailedId) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM failed_events WHERE id = ?1", [id.get()]).map(drop)
}

/// The rows of a projection in order of position.
pub(super) fn list(
    connection: &Connection,
    projection: &str,
    resolved_too: bool,
) -> Result<Vec<FailedEvent>, ModelError> {
    let condition = if resolved_too { "" } else { "AND resolved_at IS NULL" };
    let sql = format!("SELECT id, {COLUMNS} FROM failed_events WHERE projection = ?1 {condition} ORDER BY position");
    Ok(connection.prepare_cached(&sql)?.query_map([projection], row)?.collect::<Result<_, _>>()?)
}

/// The row with this number.
pub(super) fn find(connection: &Connection, projection: &str, id: FailedId) -> Result<FailedEvent, ModelError> {
    let sql = format!("SELECT id, {COLUMNS} FROM failed_events WHERE projection = ?1 AND id = ?2");
    let found = connection.prepare_cached(&sql)?.query_row(params![projection, id.get()], row).optional()?;
    found.ok_or(ModelError::NoFailedEvent { id })
}

/// The first row of a stream that waits.
pub(super) fn first_waiting(
    connection: &Connection,
    projection: &str,
    stream: &StreamName,
) -> Result<Option<FailedEvent>, ModelError> {
    let sql = format!(
        "SELECT id, {COLUMNS} FROM failed_events
         WHERE projection = ?1 AND stream = ?2 AND resolved_at IS NULL ORDER BY position LIMIT 1"
    );
    Ok(connection.prepare_cached(&sql)?.query_row([projection, stream.as_str()], row).optional()?)
}

/// Marks a row that waits as resolved.
pub(super) fn resolve(connection: &Connection, projection: &str, id: FailedId) -> Result<FailedEvent, ModelError> {
    let sql = format!(
        "UPDATE failed_events SET resolved_at = ?3
         WHERE projection = ?1 AND id = ?2 AND resolved_at IS NULL RETURNING id, {COLUMNS}"
    );
    connection
        .prepare_cached(&sql)?
        .query_row(params![projection, id.get(), Timestamp::now().to_string()], row)
        .optional()?
        .ok_or(ModelError::NoFailedEvent { id })
}

/// Copies a row of another database, under a number of its own.
pub(super) fn copy(connection: &Connection, failed: &FailedEvent) -> rusqlite::Result<()> {
    let resolved = failed.resolved_at.map(|at| at.to_string());
    connection
        .prepare_cached(&format!(
            "INSERT INTO failed_events ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
        ))?
        .execute(params![
            failed.projection,
            number(failed.position),
            failed.event.as_uuid().into_bytes(),
            failed.stream.as_str(),
            i64::try_from(failed.version.get()).unwrap_or(i64::MAX),
            failed.event_type.as_str(),
            ToSqlOutput::Borrowed(readable(&failed.data)),
            failed.error,
            failed.attempts,
            failed.created_at.to_string(),
            failed.updated_at.to_string(),
            resolved,
        ])
        .map(drop)
}

/// Reads the number of a row and its [`COLUMNS`].
fn row(row: &Row<'_>) -> rusqlite::Result<FailedEvent> {
    fn read<T, E>(row: &Row<'_>, column: usize, parse: impl Fn(String) -> Result<T, E>) -> rusqlite::Result<T>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let refused = |error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error));
        parse(row.get(column)?).map_err(refused)
    }
    let time = |column| read(row, column, |text| text.parse::<Timestamp>());
    let data = match row.get_ref(7)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.to_vec(),
        _ => Vec::new(),
    };
    Ok(FailedEvent {
        id: FailedId::new(row.get(0)?),
        projection: row.get(1)?,
        position: Position::new(row.get::<_, i64>(2)?.unsigned_abs()),
        event: EventId::from(Uuid::from_bytes(row.get(3)?)),
        stream: read(row, 4, StreamName::new)?,
        version: Version::new(row.get::<_, i64>(5)?.unsigned_abs()),
        event_type: read(row, 6, EventType::new)?,
        data: data.into(),
        error: row.get(8)?,
        attempts: row.get(9)?,
        created_at: time(10)?,
        updated_at: time(11)?,
        resolved_at: if row.get_ref(12)? == ValueRef::Null { None } else { Some(time(12)?) },
    })
}
