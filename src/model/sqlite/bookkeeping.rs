//! The tables `projections` and `failed_events`.

use rusqlite::{Connection, OptionalExtension, params};

use super::tables::say;
use crate::{
    event::RecordedEvent,
    model::{
        ModelError,
        sql::{bookkeeping::number, failed},
    },
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

/// The positions of a page that are passed over.
const RESOLVED: &str = "SELECT position FROM failed_events
    WHERE projection = ?1 AND position > ?2 AND position <= ?3 AND resolved_at IS NOT NULL";

/// Whether any event waits.
const WAITING: &str = "SELECT 1 FROM failed_events INDEXED BY failed_events_waiting
    WHERE projection = ?1 AND resolved_at IS NULL LIMIT 1";

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
            .prepare_cached(RESOLVED)?
            .query_map(params![projection, number(after), number(to)], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let waiting = connection.prepare_cached(WAITING)?.exists([projection])?;
        Ok(Obstacles { connection, projection, resolved, waiting })
    }

    /// Whether an event takes no effect now; it is parked then if it has to wait.
    pub(super) fn hold(&mut self, event: &RecordedEvent) -> Result<bool, ModelError> {
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
        let error = format!("waits for version {first} of its stream");
        say(self.connection, failed::record(self.projection, event, &error, 0))?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        projection::FailedId,
        sql::{Statement, bookkeeping},
    };

    #[test]
    fn each_look_uses_an_index_and_sorts_nothing() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        let (place, waiting) = ("sqlite_autoindex_failed_events_1", "failed_events_waiting");
        fn sql<T>(statement: Statement<'_, T>) -> &'static str {
            statement.sql
        }
        for (sql, searches) in [
            (sql(bookkeeping::place("p")), &["PRIMARY KEY"][..]),
            (sql(bookkeeping::state("p")), &["PRIMARY KEY", waiting, place]),
            (sql(failed::list("p", true)), &[place]),
            (sql(failed::list("p", false)), &[place]),
            (sql(failed::find("p", FailedId::new(1))), &["PRIMARY KEY"]),
            (sql(failed::first_waiting("p", "s")), &[waiting]),
            (sql(failed::forget_stopping("p", Position::new(1))), &[place]),
            (sql(failed::resolve("p", FailedId::new(1))), &["PRIMARY KEY"]),
            (RESOLVED, &[place]),
            (WAITING, &[waiting]),
        ] {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let plan: Vec<String> = statement.raw_query().mapped(|row| row.get(3)).map(Result::unwrap).collect();
            let steps: Vec<_> = plan.iter().filter(|step| !step.contains("SCALAR SUBQUERY")).collect();
            assert_eq!(steps.len(), searches.len(), "{sql}: {plan:?}");
            for (step, search) in steps.iter().zip(searches) {
                assert!(step.starts_with("SEARCH") && step.contains(search), "{sql}: {plan:?}");
            }
        }
    }
}
