//! The table `failed_events`.

use std::fmt::Display;

use super::{
    Row, Statement, Value,
    bookkeeping::{event_id, id, number},
};
use crate::{
    event::{EventType, RecordedEvent, StreamName, Timestamp},
    model::{
        ModelError,
        projection::{FailedEvent, FailedId},
    },
    version::{Position, Version},
};

/// All columns but the number of the row.
macro_rules! columns {
    () => {
        "projection, position, event_id, stream, version, event_type, event_data, error_message, attempts, \
         created_at, updated_at, resolved_at"
    };
}

pub(in crate::model) const COLUMNS: &str = columns!();

/// The rows of a projection, and more that is asked of them.
macro_rules! rows_that {
    ($asked:literal) => {
        concat!("SELECT id, ", columns!(), " FROM failed_events WHERE projection = $1 ", $asked)
    };
}

/// Records that an event has failed, after so many attempts more.
pub(in crate::model) fn record<'a>(
    projection: &'a str,
    event: &RecordedEvent,
    error: &str,
    attempts: u32,
) -> Statement<'a> {
    Statement::change(
        "INSERT INTO failed_events
            (projection, position, event_id, stream, version, event_type, event_data, error_message, attempts,
             created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)
         ON CONFLICT (projection, position) DO UPDATE SET
            error_message = $8, attempts = failed_events.attempts + $9, updated_at = $10",
        [
            projection.into(),
            number(event.position()).into(),
            id(Some(event.id())),
            event.stream_str().to_owned().into(),
            i64::try_from(event.version().get()).unwrap_or(i64::MAX).into(),
            event.event_type_str().to_owned().into(),
            readable(&event.payload()),
            // Not every database has this character in a text.
            error.replace('\0', "\u{fffd}").into(),
            i64::from(attempts).into(),
            Timestamp::now().to_string().into(),
        ],
    )
}

/// JSON is text, so that people can read it in a column that may hold either.
fn readable(payload: &[u8]) -> Value<'static> {
    match std::str::from_utf8(payload) {
        Ok(text) => Value::Text(text.to_owned().into()),
        Err(_) => Value::Bytes(payload.to_vec().into()),
    }
}

/// Removes the row of the event that stopped a projection, the one behind its place, as it is about to be tried again.
pub(in crate::model) fn forget_stopping(projection: &str, place: Position) -> Statement<'_> {
    let sql = "DELETE FROM failed_events WHERE projection = $1 AND position > $2 AND resolved_at IS NULL";
    Statement::change(sql, [projection.into(), number(place).into()])
}

pub(in crate::model) fn remove(id: FailedId) -> Statement<'static> {
    Statement::change("DELETE FROM failed_events WHERE id = $1", [id.get().into()])
}

/// The rows of a projection in order of position.
pub(in crate::model) fn list(projection: &str, resolved_too: bool) -> Statement<'_, FailedEvent> {
    let sql = match resolved_too {
        true => rows_that!("ORDER BY position"),
        false => rows_that!("AND resolved_at IS NULL ORDER BY position"),
    };
    Statement { sql, values: vec![projection.into()], read: row }
}

/// The row with this number.
pub(in crate::model) fn find(projection: &str, id: FailedId) -> Statement<'_, FailedEvent> {
    Statement { sql: rows_that!("AND id = $2"), values: vec![projection.into(), id.get().into()], read: row }
}

/// The first row of a stream that waits.
pub(in crate::model) fn first_waiting<'a>(projection: &'a str, stream: &'a str) -> Statement<'a, FailedEvent> {
    let sql = rows_that!("AND stream = $2 AND resolved_at IS NULL ORDER BY position LIMIT 1");
    Statement { sql, values: vec![projection.into(), stream.into()], read: row }
}

/// Marks a row that waits as resolved, and says what it is then.
pub(in crate::model) fn resolve(projection: &str, id: FailedId) -> Statement<'_, FailedEvent> {
    Statement {
        sql: concat!(
            "UPDATE failed_events SET resolved_at = $3
             WHERE projection = $1 AND id = $2 AND resolved_at IS NULL RETURNING id, ",
            columns!()
        ),
        values: vec![projection.into(), id.get().into(), Timestamp::now().to_string().into()],
        read: row,
    }
}

/// Reads the number of a row and its [`COLUMNS`].
fn row(mut row: Row) -> Result<FailedEvent, ModelError> {
    fn parsed<T>(column: usize, parsed: Result<T, impl Display>) -> Result<T, ModelError> {
        parsed.map_err(|error| ModelError::unreadable_row(column, error))
    }
    fn time(row: &mut Row, column: usize) -> Result<Timestamp, ModelError> {
        parsed(column, row.text(column)?.parse())
    }
    Ok(FailedEvent {
        id: FailedId::new(row.integer(0)?),
        projection: row.text(1)?,
        position: Position::new(row.integer(2)?.unsigned_abs()),
        event: event_id(3, &row.bytes(3)?)?,
        stream: parsed(4, StreamName::new(row.text(4)?))?,
        version: Version::new(row.integer(5)?.unsigned_abs()),
        event_type: parsed(6, EventType::new(row.text(6)?))?,
        data: row.bytes(7)?.into(),
        error: row.text(8)?,
        attempts: u32::try_from(row.integer(9)?).unwrap_or(u32::MAX),
        created_at: time(&mut row, 10)?,
        updated_at: time(&mut row, 11)?,
        resolved_at: row.optional_text(12)?.map(|at| parsed(12, at.parse())).transpose()?,
    })
}
