//! A projection that is easy to look through: for each stream the payloads that it has taken, in the order in which it did.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use factlog::{
    EventStore, EventType, ExpectedVersion, MemoryStore, NewEvent, RecordedEvent, StreamName, block_on,
    model::{ModelError, OnFailure, Projection, RetryPolicy, Runner, SqliteProjection, SqliteViews},
};
use rusqlite::{Connection, ErrorCode, ffi};
use tempfile::TempDir;

/// Appends the payload to its stream's row, between commas. An event whose payload begins with `bad` fails until this is
/// mended, and one that begins with `busy` as if the database were.
#[derive(Clone, Default)]
pub struct Notes {
    pub mended: Arc<AtomicBool>,
    /// Stands before each payload, so that rows of one version of the projection are told from those of another.
    pub mark: &'static str,
}

impl Projection<Connection> for Notes {
    fn name(&self) -> &'static str {
        "notes"
    }

    fn set_up(&self, context: &Connection) -> Result<(), ModelError> {
        Ok(context.execute_batch(
            "CREATE TABLE IF NOT EXISTS notes (stream TEXT PRIMARY KEY, taken TEXT NOT NULL);
             CREATE INDEX IF NOT EXISTS notes_by_taken ON notes (taken);
             CREATE VIEW IF NOT EXISTS longest AS SELECT max(length(taken)) AS length FROM notes;
             CREATE TABLE IF NOT EXISTS changes (n INTEGER NOT NULL);
             CREATE TRIGGER IF NOT EXISTS count_changes AFTER UPDATE ON notes BEGIN
                INSERT INTO changes VALUES (1);
             END;",
        )?)
    }

    fn handle(&self, context: &Connection, event: &RecordedEvent) -> Result<(), ModelError> {
        let payload = String::from_utf8(event.payload().to_vec()).unwrap();
        // Written before it fails, to be taken back.
        context
            .prepare_cached("INSERT INTO notes VALUES (?1, '') ON CONFLICT DO NOTHING")?
            .execute([event.stream().as_str()])?;
        context
            .prepare_cached("UPDATE notes SET taken = taken || ?2 || ',' WHERE stream = ?1")?
            .execute([event.stream().as_str(), &format!("{}{payload}", self.mark)])?;
        match self.mended.load(Ordering::SeqCst) {
            false if payload.starts_with("bad") => Err(ModelError::unreadable(event, "it is bad")),
            false if payload.starts_with("busy") => {
                let busy = ffi::Error { code: ErrorCode::OperationInterrupted, extended_code: ffi::SQLITE_BUSY };
                Err(factlog::Error::Io {
                    operation: "ask",
                    path: PathBuf::from("elsewhere"),
                    source: Arc::new(std::io::Error::other(busy)),
                }
                .into())
            }
            false if payload.starts_with("full") => {
                let full = ffi::Error { code: ErrorCode::DiskFull, extended_code: ffi::SQLITE_FULL };
                Err(rusqlite::Error::SqliteFailure(full, None).into())
            }
            _ => Ok(()),
        }
    }
}

/// A store, a views file, and the projection between them.
pub struct Scene {
    pub store: Arc<MemoryStore>,
    pub directory: TempDir,
    pub notes: Notes,
}

impl Scene {
    pub fn new() -> Scene {
        let (store, directory) = (Arc::new(MemoryStore::new()), tempfile::tempdir().unwrap());
        Scene { store, directory, notes: Notes::default() }
    }

    /// With these events: `a1 b1` are two, of the streams `note-a` and `note-b`.
    pub fn of(events: &str) -> Scene {
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

    pub fn file(&self) -> PathBuf {
        self.directory.path().join("views")
    }

    /// Opened once more, as another process would.
    pub fn views(&self) -> SqliteViews {
        SqliteViews::open(self.file()).unwrap()
    }

    pub fn projection(&self) -> SqliteProjection<Notes> {
        self.views().project(self.notes.clone()).unwrap()
    }

    /// Tries again without waiting.
    pub fn runner(&self, on_failure: OnFailure) -> Runner {
        let policy = RetryPolicy::default().base_delay(std::time::Duration::ZERO);
        Runner::new(self.store.clone(), Arc::new(self.projection())).on_failure(on_failure).retry_policy(policy)
    }

    pub fn mend(&self) {
        self.notes.mended.store(true, Ordering::SeqCst);
    }

    /// What was taken: `a:1,2 b:1`.
    pub fn taken(&self) -> String {
        taken(&self.file())
    }

    /// What a projection that nothing happened to would have taken.
    pub fn taken_afresh(&self) -> String {
        let (directory, notes) = (tempfile::tempdir().unwrap(), self.notes.clone());
        let file = directory.path().join("fresh");
        let views = SqliteViews::open(&file).unwrap();
        block_on(Runner::new(self.store.clone(), Arc::new(views.project(notes).unwrap())).catch_up()).unwrap();
        taken(&file)
    }
}

pub fn taken(file: &Path) -> String {
    let connection = Connection::open(file).unwrap();
    let mut statement = connection.prepare("SELECT stream, taken FROM notes ORDER BY stream").unwrap();
    let rows = statement.query_map([], |row| {
        let (stream, taken): (String, String) = (row.get(0)?, row.get(1)?);
        Ok(format!("{}:{}", stream.trim_start_matches("note-"), taken.trim_end_matches(',')))
    });
    rows.unwrap().map(Result::unwrap).collect::<Vec<_>>().join(" ")
}
