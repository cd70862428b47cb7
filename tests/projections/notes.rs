//! A projection that is easy to look through: for each stream the payloads that it has taken, in the order in which it did.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use factlog::{
    EventStore, EventType, ExpectedVersion, MemoryStore, NewEvent, RecordedEvent, StreamName, block_on,
    model::{Dialect, ModelError, OnFailure, Projection, ReadModel, RetryPolicy, Runner, Tables},
};
use rusqlite::{ErrorCode, ffi};

use crate::databases::Database;

/// Appends the payload to its stream's row, between commas. An event whose payload begins with `bad` fails until this is
/// mended, one that begins with `busy` as if something else were, and one that begins with `full` as if the database were.
#[derive(Clone, Default)]
pub struct Notes {
    pub mended: Arc<AtomicBool>,
    /// Stands before each payload, so that rows of one version of the projection are told from those of another.
    pub mark: &'static str,
}

impl<T: Tables> Projection<T> for Notes {
    fn name(&self) -> &'static str {
        "notes"
    }

    fn set_up(&self, tables: &T) -> Result<(), ModelError> {
        tables.define(
            "CREATE TABLE IF NOT EXISTS notes (stream TEXT PRIMARY KEY, taken TEXT NOT NULL);
             CREATE INDEX IF NOT EXISTS notes_by_taken ON notes (taken);
             CREATE TABLE IF NOT EXISTS changes (n INTEGER NOT NULL);",
        )?;
        tables.define(match tables.dialect() {
            Dialect::Sqlite => {
                "CREATE VIEW IF NOT EXISTS longest AS SELECT max(length(taken)) AS length FROM notes;
                 CREATE TRIGGER IF NOT EXISTS count_changes AFTER UPDATE ON notes BEGIN
                    INSERT INTO changes VALUES (1);
                 END;"
            }
            Dialect::Postgres => {
                "CREATE VIEW longest AS SELECT max(length(taken)) AS length FROM notes;
                 CREATE FUNCTION count_change() RETURNS trigger AS
                    'BEGIN INSERT INTO changes VALUES (1); RETURN NULL; END' LANGUAGE plpgsql;
                 CREATE TRIGGER count_changes AFTER UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION count_change();"
            }
        })
    }

    fn handle(&self, tables: &T, event: &RecordedEvent) -> Result<(), ModelError> {
        let payload = String::from_utf8(event.payload().to_vec()).unwrap();
        let stream = event.stream_str();
        // Written before it fails, to be taken back.
        tables.run("INSERT INTO notes VALUES ($1, '') ON CONFLICT DO NOTHING", &[stream.into()])?;
        let taken = format!("{}{payload},", self.mark);
        let update = "UPDATE notes SET taken = taken || $2 WHERE stream = $1";
        let gone = || Err(ModelError::unreadable(event, "its row is gone"));
        tables.change(update, &[stream.into(), taken.into()], gone)?;
        match self.mended.load(Ordering::SeqCst) {
            false if payload.starts_with("bad") => Err(ModelError::unreadable(event, "it is bad")),
            false if payload.starts_with("busy") => Err(factlog::Error::Io {
                operation: "ask",
                path: PathBuf::from("elsewhere"),
                source: Arc::new(std::io::Error::other("busy")),
            }
            .into()),
            false if payload.starts_with("full") => match tables.dialect() {
                Dialect::Sqlite => {
                    let full = ffi::Error { code: ErrorCode::DiskFull, extended_code: ffi::SQLITE_FULL };
                    Err(rusqlite::Error::SqliteFailure(full, None).into())
                }
                Dialect::Postgres => tables.define("DO 'BEGIN RAISE ''it is full'' USING ERRCODE = ''53100''; END'"),
            },
            _ => Ok(()),
        }
    }
}

/// A store, a database, and the projection between them.
pub struct Scene<D> {
    pub store: Arc<MemoryStore>,
    pub database: Arc<D>,
    pub notes: Notes,
}

impl<D: Database> Scene<D> {
    pub fn new() -> Scene<D> {
        Scene { store: Arc::new(MemoryStore::new()), database: Arc::new(D::new()), notes: Notes::default() }
    }

    /// With these events: `a1 b1` are two, of the streams `note-a` and `note-b`.
    pub fn of(events: &str) -> Scene<D> {
        let scene = Scene::new();
        scene.append(events);
        scene
    }

    /// `a:x` is the payload `x` in the stream `note-a`; `x` alone is in the stream of its first letter.
    pub fn append(&self, events: &str) {
        for event in events.split_whitespace() {
            let (stream, payload) = event.split_once(':').unwrap_or((&event[..1], event));
            let stream = StreamName::new(format!("note-{stream}")).unwrap();
            let event = NewEvent::new(EventType::new("Noted").unwrap(), payload.to_owned());
            block_on(self.store.append(&stream, ExpectedVersion::Any, vec![event])).unwrap();
        }
    }

    pub fn views(&self) -> D::Views {
        self.database.views()
    }

    pub fn projection(&self) -> Arc<dyn ReadModel> {
        self.database.project(self.notes.clone())
    }

    /// Tries again without waiting.
    pub fn runner(&self, on_failure: OnFailure) -> Runner {
        let policy = RetryPolicy::default().base_delay(Duration::ZERO);
        Runner::new(self.store.clone(), self.projection()).on_failure(on_failure).retry_policy(policy)
    }

    pub fn position(&self, projection: &str) -> u64 {
        self.database.checkpoint(projection).position.get()
    }

    pub fn mend(&self) {
        self.notes.mended.store(true, Ordering::SeqCst);
    }

    /// What was taken: `a:1,2 b:1`.
    pub fn taken(&self) -> String {
        taken(&*self.database)
    }

    /// What a projection that nothing happened to would have taken.
    pub fn taken_afresh(&self) -> String {
        let fresh = D::new();
        block_on(Runner::new(self.store.clone(), fresh.project(self.notes.clone())).catch_up()).unwrap();
        taken(&fresh)
    }
}

pub fn taken(database: &impl Database) -> String {
    let rows = database.rows("SELECT stream, taken FROM notes ORDER BY stream").into_iter().map(|mut row| {
        let (stream, taken) = (row.text(0).unwrap(), row.text(1).unwrap());
        format!("{}:{}", stream.trim_start_matches("note-"), taken.trim_end_matches(','))
    });
    rows.collect::<Vec<_>>().join(" ")
}
