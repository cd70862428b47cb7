//! The row of a projection in the table `projections`.

use rusqlite::{Connection, OptionalExtension, named_params};
use uuid::Uuid;

use crate::{
    event::{EventId, Timestamp},
    model::projection::{Checkpoint, ReadModelState},
    version::Position,
};

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS projections (
        name TEXT PRIMARY KEY,
        position INTEGER NOT NULL,
        event_id BLOB,
        paused INTEGER NOT NULL DEFAULT 0,
        rate REAL NOT NULL DEFAULT 0,
        taken_at INTEGER
    ) WITHOUT ROWID;
";

/// A position as SQLite holds it.
pub(super) fn number(position: Position) -> i64 {
    i64::try_from(position.get()).unwrap_or(i64::MAX)
}

/// The checkpoint of a projection and whether it is paused; `None` for one that has not been set up.
pub(super) fn place(connection: &Connection, projection: &str) -> rusqlite::Result<Option<(Checkpoint, bool)>> {
    connection
        .prepare_cached("SELECT position, event_id, paused FROM projections WHERE name = ?1")?
        .query_row([projection], |row| {
            let position = u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default();
            let event = row.get::<_, Option<[u8; 16]>>(1)?;
            let event = event.map(|bytes| EventId::from(Uuid::from_bytes(bytes)));
            Ok((Checkpoint { position: Position::new(position), event }, row.get(2)?))
        })
        .optional()
}

/// Adds a projection that has taken nothing yet.
pub(super) fn add(connection: &Connection, projection: &str) -> rusqlite::Result<()> {
    connection.execute("INSERT INTO projections (name, position) VALUES (?1, 0)", [projection]).map(drop)
}

/// Moves a projection to a checkpoint.
pub(super) fn move_to(connection: &Connection, projection: &str, checkpoint: Checkpoint) -> rusqlite::Result<()> {
    let event = checkpoint.event.map(|id| id.as_uuid().into_bytes());
    connection
        .prepare_cached("UPDATE projections SET position = :position, event_id = :event WHERE name = :name")?
        .execute(named_params! { ":name": projection, ":position": number(checkpoint.position), ":event": event })
        .map(drop)
}

/// Notes how many events a second a projection takes now.
pub(super) fn note_rate(connection: &Connection, projection: &str, rate: f64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE projections SET rate = :rate, taken_at = :now WHERE name = :name")?
        .execute(named_params! { ":name": projection, ":rate": rate, ":now": Timestamp::now().as_micros() })
        .map(drop)
}

pub(super) fn set_paused(connection: &Connection, projection: &str, paused: bool) -> rusqlite::Result<()> {
    let sql = "UPDATE projections SET paused = ?2 WHERE name = ?1";
    connection.execute(sql, rusqlite::params![projection, paused]).map(drop)
}

/// Everything that is known of a projection.
pub(super) fn state(connection: &Connection, projection: &str) -> rusqlite::Result<ReadModelState> {
    let Some((checkpoint, paused)) = place(connection, projection)? else {
        return Ok(ReadModelState::default());
    };
    let sql = "SELECT rate, taken_at FROM projections WHERE name = ?1";
    let (rate, taken_at) = connection
        .prepare_cached(sql)?
        .query_row([projection], |row| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?)))?;
    let sql = "SELECT count(*), max(position) FROM failed_events INDEXED BY failed_events_waiting
         WHERE projection = ?1 AND resolved_at IS NULL";
    let (failed, newest) = connection
        .prepare_cached(sql)?
        .query_row([projection], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?)))?;
    Ok(ReadModelState {
        checkpoint,
        paused,
        failed: failed.unsigned_abs(),
        stopped: newest > Some(number(checkpoint.position)),
        rate,
        taken_at: taken_at.map(Timestamp::from_micros),
    })
}
