//! The row of a projection in the table `projections`.

use uuid::Uuid;

use super::{Row, Statement, Value};
use crate::{
    event::{EventId, Timestamp},
    model::{
        ModelError,
        projection::{Checkpoint, ReadModelState},
    },
    version::Position,
};

/// A position as databases hold it.
pub(in crate::model) fn number(position: Position) -> i64 {
    i64::try_from(position.get()).unwrap_or(i64::MAX)
}

/// The checkpoint of a projection and whether it is paused; no row for one that has not been set up.
pub(in crate::model) fn place(projection: &str) -> Statement<'_, (Checkpoint, bool)> {
    Statement {
        sql: "SELECT position, event_id, paused FROM projections WHERE name = $1",
        values: vec![projection.into()],
        read: |mut row| Ok((checkpoint(&mut row)?, row.integer(2)? != 0)),
    }
}

/// Adds a projection that has taken nothing yet.
pub(in crate::model) fn add(projection: &str) -> Statement<'_> {
    Statement::change("INSERT INTO projections (name, position) VALUES ($1, 0)", [projection.into()])
}

/// Moves a projection to a checkpoint.
pub(in crate::model) fn move_to(projection: &str, checkpoint: Checkpoint) -> Statement<'_> {
    let sql = "UPDATE projections SET position = $2, event_id = $3 WHERE name = $1";
    Statement::change(sql, [projection.into(), number(checkpoint.position).into(), id(checkpoint.event)])
}

/// The same, and notes how many events a second a projection takes now.
pub(in crate::model) fn advance(projection: &str, checkpoint: Checkpoint, rate: f64) -> Statement<'_> {
    let now = Timestamp::now().as_micros().into();
    Statement::change(
        "UPDATE projections SET position = $2, event_id = $3, rate = $4, taken_at = $5 WHERE name = $1",
        [projection.into(), number(checkpoint.position).into(), id(checkpoint.event), Value::Real(rate), now],
    )
}

pub(in crate::model) fn set_paused(projection: &str, paused: bool) -> Statement<'_> {
    let sql = "UPDATE projections SET paused = $2 WHERE name = $1";
    Statement::change(sql, [projection.into(), i64::from(paused).into()])
}

/// Everything that is known of a projection; no row for one that has not been set up.
pub(in crate::model) fn state(projection: &str) -> Statement<'_, ReadModelState> {
    Statement {
        // One statement, so that all is of one state. No name is empty: to say so leads to the index of those that wait.
        sql: "SELECT position, event_id, paused, rate, taken_at,
                (SELECT count(*) FROM failed_events WHERE projection = $1 AND stream > '' AND resolved_at IS NULL),
                (SELECT max(position) FROM failed_events
                 WHERE projection = $1 AND position > projections.position AND resolved_at IS NULL)
            FROM projections WHERE name = $1",
        values: vec![projection.into()],
        read: |mut row| {
            Ok(ReadModelState {
                checkpoint: checkpoint(&mut row)?,
                paused: row.integer(2)? != 0,
                rate: row.real(3)?,
                taken_at: row.optional_integer(4)?.map(Timestamp::from_micros),
                failed: row.integer(5)?.unsigned_abs(),
                stopped: row.optional_integer(6)?.is_some(),
            })
        },
    }
}

fn checkpoint(row: &mut Row) -> Result<Checkpoint, ModelError> {
    let position = Position::new(row.integer(0)?.unsigned_abs());
    let event = row.optional_bytes(1)?.map(|bytes| event_id(1, &bytes)).transpose()?;
    Ok(Checkpoint { position, event })
}

/// An event's id as databases hold it.
pub(super) fn id(event: Option<EventId>) -> Value<'static> {
    event.map_or(Value::Null, |event| Value::Bytes(event.as_uuid().into_bytes().to_vec().into()))
}

pub(super) fn event_id(column: usize, bytes: &[u8]) -> Result<EventId, ModelError> {
    Uuid::from_slice(bytes).map(EventId::from).map_err(|error| ModelError::unreadable_row(column, error))
}
