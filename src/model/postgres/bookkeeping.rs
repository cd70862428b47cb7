//! The tables `projections` and `failed_events`.

use std::collections::{HashMap, HashSet};

use super::tables::PostgresTables;
use crate::{
    event::RecordedEvent,
    model::{
        ModelError,
        projection::Checkpoint,
        sql::{
            Statement,
            bookkeeping::{self, number},
            failed,
        },
    },
    version::Position,
};

/// Payloads are kept as they are: a text of PostgreSQL cannot hold every character.
pub(super) const SCHEMA: &str = "
    CREATE TABLE projections (
        name TEXT PRIMARY KEY,
        position BIGINT NOT NULL,
        event_id UUID,
        paused BOOLEAN NOT NULL DEFAULT false,
        rate DOUBLE PRECISION NOT NULL DEFAULT 0,
        taken_at BIGINT
    );
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

/// The checkpoint of a projection and whether it is paused. Nobody else takes events for it until the transaction has ended.
pub(super) fn lock(projection: &str) -> Statement<'_, (Checkpoint, bool)> {
    let sql = "SELECT position, event_id, paused FROM projections WHERE name = $1 FOR UPDATE";
    Statement { sql, ..bookkeeping::place(projection) }
}

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
        let error = format!("waits for version {first} of its stream");
        tables.say(failed::record(projection, event, &error, 0)).await?;
        Ok(true)
    }
}
