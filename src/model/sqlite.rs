//! Read models in an SQLite file.
//!
//! Each projection has a checkpoint: the position and the id of the newest event that it has taken. A page of events and
//! the checkpoint behind it are written in one transaction.
//!
//! ```text
//! checkpoints: | projection (primary key) | position | event_id (16 bytes; NULL before the first event) |
//! ```
//!
//! Invariants:
//!
//! - the tables are what the events up to the checkpoint make them, at every moment that another connection or a later
//!   process can see: a process that is killed leaves the last whole transaction;
//! - a page is applied only if the checkpoint, read inside its transaction, is the one that the page was read behind. So
//!   several processes may catch up the same file at once, and each event still takes effect once;
//! - a file is never caught up from a store whose event at the checkpoint is another than the file's.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};
use uuid::Uuid;

use super::{error::ModelError, projection::Projection};
use crate::{
    error::{Error, Lost},
    event::{EventId, RecordedEvent},
    event_store::{EventStore, ReadAll},
    version::Position,
};

/// Marks a database as made here: the letters `flog`.
const APPLICATION_ID: i32 = 0x666c_6f67;

/// How long a transaction waits for another process's.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a new file is switched to its mode of journal at most, while others do the same.
const WAL_ATTEMPTS: usize = 1000;

/// A projection's place in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The position of the newest event taken; [`Position::START`] before the first.
    pub position: Position,
    /// That event's id, which tells one store from another.
    pub event: Option<EventId>,
}

impl From<&RecordedEvent> for Checkpoint {
    fn from(event: &RecordedEvent) -> Self {
        Checkpoint { position: event.position(), event: Some(event.id()) }
    }
}

/// An SQLite file of read models. What is in it can always be made again from the store: it may be deleted.
#[derive(Debug)]
pub struct SqliteViews {
    path: PathBuf,
    connection: Connection,
}

impl SqliteViews {
    /// Opens the file, and creates it when there is none.
    ///
    /// # Errors
    ///
    /// [`ModelError::ForeignViews`] for a file of another program, [`ModelError::Sqlite`] when it cannot be opened.
    pub fn open(path: impl Into<PathBuf>) -> Result<SqliteViews, ModelError> {
        let path = path.into();
        let connection = Connection::open(&path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let mut views = SqliteViews { path, connection };
        views.check_is_ours()?;
        views.switch_to_wal()?;
        // A power cut may take back the newest transactions, each with its checkpoint, which are then made again.
        views.connection.pragma_update(None, "synchronous", "normal")?;
        let transaction = views.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.execute(
            "CREATE TABLE IF NOT EXISTS checkpoints (
                projection TEXT PRIMARY KEY, position INTEGER NOT NULL, event_id BLOB
            ) WITHOUT ROWID",
            [],
        )?;
        transaction.commit()?;
        Ok(views)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The connection, for queries.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The place in the log of the projection with this name.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn checkpoint(&self, projection: &str) -> Result<Checkpoint, ModelError> {
        Ok(read_checkpoint(&self.connection, projection)?.unwrap_or_default())
    }

    /// Takes every event of the store that the projection has not taken yet, and returns the position of the last.
    ///
    /// # Errors
    ///
    /// [`ModelError::ForeignViews`] when the file was made from another store, or from a longer life of this one; what the
    /// projection returns for an event, with everything before that event's page kept; errors of the store and of SQLite.
    pub async fn catch_up(
        &mut self,
        store: &dyn EventStore,
        projection: &impl Projection<Connection>,
    ) -> Result<Position, ModelError> {
        self.set_up(projection)?;
        let mut known = self.checkpoint(projection.name())?;
        self.check_belongs_to(store, known).await?;
        let mut behind = known.position;
        loop {
            let page = match store.read_all(ReadAll::after(behind)).await {
                // What the store has lost, no read model can have.
                Err(Error::Lost(Lost::Positions { last, .. })) => {
                    behind = last;
                    continue;
                }
                page => page?,
            };
            let Some(last) = page.last().map(Checkpoint::from) else {
                return Ok(known.position);
            };
            known = self.apply(projection, known, &page)?;
            behind = known.position;
            if known != last {
                self.check_belongs_to(store, known).await?;
            }
        }
    }

    /// Lets the projection take `events`, which must be those behind the checkpoint `known`, in one transaction. Returns
    /// the checkpoint afterwards; when another process has moved it in the meantime, nothing is taken and what it is now
    /// is returned.
    ///
    /// # Errors
    ///
    /// What the projection returns, with nothing taken, and errors of SQLite.
    pub fn apply(
        &mut self,
        projection: &impl Projection<Connection>,
        known: Checkpoint,
        events: &[RecordedEvent],
    ) -> Result<Checkpoint, ModelError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found = read_checkpoint(&transaction, projection.name())?.unwrap_or_default();
        let (true, Some(last)) = (found == known, events.last()) else {
            return Ok(found);
        };
        for event in events {
            projection.handle(&transaction, event)?;
        }
        let reached = Checkpoint::from(last);
        write_checkpoint(&transaction, projection.name(), reached)?;
        transaction.commit()?;
        Ok(reached)
    }

    /// Creates the projection's tables with its first checkpoint; later calls only read.
    fn set_up(&mut self, projection: &impl Projection<Connection>) -> Result<(), ModelError> {
        if read_checkpoint(&self.connection, projection.name())?.is_some() {
            return Ok(());
        }
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if read_checkpoint(&transaction, projection.name())?.is_none() {
            projection.set_up(&transaction)?;
            write_checkpoint(&transaction, projection.name(), Checkpoint::default())?;
        }
        Ok(transaction.commit()?)
    }

    fn check_is_ours(&self) -> Result<(), ModelError> {
        // Both are read from one state of the file: another process may be setting it up.
        let read = || -> rusqlite::Result<(i64, i64)> {
            let transaction = self.connection.unchecked_transaction()?;
            let read = |sql: &str| transaction.query_row(sql, [], |row| row.get(0));
            Ok((read("SELECT count(*) FROM sqlite_schema")?, read("PRAGMA application_id")?))
        };
        match read() {
            Ok((0, _)) => Ok(()),
            Ok((_, application)) if application == i64::from(APPLICATION_ID) => Ok(()),
            Ok((_, application)) => Err(self.foreign(format!(
                "belongs to another program: its application id is {application}, not {APPLICATION_ID}"
            ))),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
                Err(self.foreign("is no SQLite database".to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Lets readers see the last committed state while a writer works.
    fn switch_to_wal(&mut self) -> Result<(), ModelError> {
        let mut attempts = 1;
        loop {
            match self.connection.pragma_update(None, "journal_mode", "wal") {
                // SQLite does not wait here for others that switch a new file at the same moment; for its turn to
                // write it does.
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && attempts < WAL_ATTEMPTS => {
                    attempts += 1;
                    self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?.commit()?;
                }
                switched => return Ok(switched?),
            }
        }
    }

    async fn check_belongs_to(&self, store: &dyn EventStore, known: Checkpoint) -> Result<(), ModelError> {
        let Checkpoint { position, event: Some(id) } = known else {
            return Ok(());
        };
        let advice = "delete the file, with those of its name and `-wal` and `-shm`, to have it built again";
        let found = match store.read_all(ReadAll::after(position.previous()).limit(1)).await {
            // Its own event is what the store has lost.
            Err(Error::Lost(Lost::Positions { first, .. })) if first == position => return Ok(()),
            found => found?,
        };
        let reason = match found.first() {
            Some(event) if Checkpoint::from(event) == known => return Ok(()),
            Some(event) => format!(
                "was built from another store: its event at position {position} is {id}, and this store's is {} at {}; \
                 {advice}",
                event.id(),
                event.position()
            ),
            None => format!(
                "is ahead of the store: it was built up to position {position}, and the store ends at {}; {advice}",
                store.last_position().await?
            ),
        };
        Err(self.foreign(reason))
    }

    fn foreign(&self, reason: String) -> ModelError {
        ModelError::ForeignViews { path: self.path.clone(), reason }
    }
}

/// `None` for a projection that has not been set up.
fn read_checkpoint(connection: &Connection, projection: &str) -> rusqlite::Result<Option<Checkpoint>> {
    connection
        .prepare_cached("SELECT position, event_id FROM checkpoints WHERE projection = ?1")?
        .query_row([projection], |row| {
            let position = u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default();
            let event = row.get::<_, Option<[u8; 16]>>(1)?;
            let event = event.map(|bytes| EventId::from(Uuid::from_bytes(bytes)));
            Ok(Checkpoint { position: Position::new(position), event })
        })
        .optional()
}

fn write_checkpoint(connection: &Connection, projection: &str, checkpoint: Checkpoint) -> rusqlite::Result<()> {
    let position = i64::try_from(checkpoint.position.get()).unwrap_or(i64::MAX);
    let event = checkpoint.event.map(|id| id.as_uuid().into_bytes());
    connection
        .prepare_cached("INSERT OR REPLACE INTO checkpoints (projection, position, event_id) VALUES (?1, ?2, ?3)")?
        .execute(params![projection, position, event])?;
    Ok(())
}
