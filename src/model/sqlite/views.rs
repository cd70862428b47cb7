//! The file: its connections, and what marks it as made here.

use std::{
    ops::Deref,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::{bookkeeping::SCHEMA, projected::SqliteProjection, tables::ask_one};
use crate::{
    event_store::{BoxFuture, Watchers},
    model::{
        Consistency, Dialect, ModelError, Row, Select, Tables, Views,
        projection::{Checkpoint, Projection},
        sql::bookkeeping::place,
    },
};

/// Marks a database as made here: the letters `flog`.
const APPLICATION_ID: i32 = 0x666c_6f67;

/// Which tables [`SCHEMA`] makes.
const SCHEMA_VERSION: i32 = 1;

/// How long a transaction waits for another process's.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a new file is switched to its mode of journal at most, while others do the same.
const WAL_ATTEMPTS: usize = 1000;

/// Prepared statements that a connection keeps: those of a few projections and of the bookkeeping.
const STATEMENTS_KEPT: usize = 128;

/// Connections that are kept for queries to come.
const READERS_KEPT: usize = 16;

/// How often a query that waits for a projection looks what other processes have done.
const LOOK: Duration = Duration::from_millis(5);

/// An SQLite file of read models. What is in it can always be made again from the store: it may be deleted. Cheap to clone:
/// all clones are the same file and share its connections.
#[derive(Clone, Debug)]
pub struct SqliteViews {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    /// Those who wait for a projection of this file to come farther.
    waiting: Arc<Watchers>,
}

/// A connection to read with, for as long as this lives. It sees the newest state that was committed when a statement or
/// transaction begins, and never waits for who writes.
#[derive(Debug)]
pub struct Reading {
    connection: Option<Connection>,
    views: SqliteViews,
}

impl SqliteViews {
    /// Opens the file, and creates it when there is none.
    ///
    /// # Errors
    ///
    /// [`ModelError::ForeignViews`] for a file of another program, [`ModelError::Sqlite`] when it cannot be opened.
    pub fn open(path: impl Into<PathBuf>) -> Result<SqliteViews, ModelError> {
        let path = path.into();
        let mut connection = connect(&path)?;
        if !is_ours(&connection, &path)? {
            switch_to_wal(&mut connection)?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            transaction.execute_batch(SCHEMA)?;
            transaction.commit()?;
        }
        // A power cut may take back the newest transactions, each with its checkpoint, which are then made again.
        connection.pragma_update(None, "synchronous", "normal")?;
        Ok(SqliteViews::over(path, connection))
    }

    /// A database that no other connection sees, and that is gone with this: it lies in SQLite's temporary directory once it
    /// no longer fits the cache.
    pub(super) fn temporary() -> Result<SqliteViews, ModelError> {
        let connection = connect(Path::new(""))?;
        connection.pragma_update(None, "journal_mode", "memory")?;
        connection.pragma_update(None, "synchronous", "off")?;
        // Some 64 MiB.
        connection.pragma_update(None, "cache_size", -65_536)?;
        connection.execute_batch(SCHEMA)?;
        Ok(SqliteViews::over(PathBuf::new(), connection))
    }

    fn over(path: PathBuf, writer: Connection) -> SqliteViews {
        let (writer, readers, waiting) = (Mutex::new(writer), Mutex::default(), Arc::default());
        SqliteViews { inner: Arc::new(Inner { path, writer, readers, waiting }) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// A projection with its tables in this file. They are made if there are none yet, so that queries find them empty before
    /// anything was projected.
    ///
    /// # Errors
    ///
    /// When the file cannot be written, and what [`Projection::set_up`] returns.
    pub fn project<P: Projection<Connection>>(&self, projection: P) -> Result<SqliteProjection<P>, ModelError> {
        let projected = SqliteProjection::new(self.clone(), projection);
        projected.prepare_now()?;
        Ok(projected)
    }

    /// A connection for queries.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened once more.
    pub fn read(&self) -> Result<Reading, ModelError> {
        let kept = self.inner.readers.lock().pop();
        let connection = match kept {
            Some(connection) => connection,
            None => {
                let connection = connect(self.path())?;
                connection.pragma_update(None, "query_only", true)?;
                connection
            }
        };
        Ok(Reading { connection: Some(connection), views: self.clone() })
    }

    /// Waits until the projection with this name is as recent as asked for.
    ///
    /// # Errors
    ///
    /// [`ModelError::NotYetProjected`] when it did not come so far in time: nobody runs it, it is paused, stopped, or slow.
    pub async fn wait_until(&self, projection: &str, consistency: Consistency) -> Result<(), ModelError> {
        let look = || Box::pin(async { Ok(self.checkpoint(projection)?.position) }) as BoxFuture<'_, _>;
        consistency.wait(projection, &self.inner.waiting, LOOK, look).await
    }

    /// The place in the log of the projection with this name.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn checkpoint(&self, projection: &str) -> Result<Checkpoint, ModelError> {
        let place = ask_one(&*self.read()?, place(projection))?;
        Ok(place.map(|(checkpoint, _)| checkpoint).unwrap_or_default())
    }

    /// The connection that writes; one at a time in a process.
    pub(super) fn write(&self) -> MutexGuard<'_, Connection> {
        self.inner.writer.lock()
    }

    /// A projection of this file has come farther.
    pub(super) fn has_changed(&self) {
        self.inner.waiting.wake_all();
    }
}

impl Views for SqliteViews {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn wait_until<'a>(
        &'a self,
        projection: &'a str,
        consistency: Consistency,
    ) -> BoxFuture<'a, Result<(), ModelError>> {
        Box::pin(self.wait_until(projection, consistency))
    }

    fn select<'a>(&'a self, queries: &'a [Select<'a>]) -> BoxFuture<'a, Result<Vec<Vec<Row>>, ModelError>> {
        Box::pin(async move {
            let reading = self.read()?;
            // One statement is of one state by itself.
            let _state = if queries.len() > 1 { Some(reading.unchecked_transaction()?) } else { None };
            queries.iter().map(|select| reading.query(select.sql, select.values)).collect()
        })
    }
}

impl Deref for Reading {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().unwrap_or_else(|| unreachable!("it is taken only when this is dropped"))
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut readers = self.views.inner.readers.lock();
        // One with a transaction left open would show its successor an old state.
        if let Some(connection) = self.connection.take()
            && connection.is_autocommit()
            && readers.len() < READERS_KEPT
        {
            readers.push(connection);
        }
    }
}

fn connect(path: &Path) -> Result<Connection, ModelError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(connection)
}

/// Whether the file has been set up; not yet when it is empty. Waits for nobody who writes.
fn is_ours(connection: &Connection, path: &Path) -> Result<bool, ModelError> {
    // All are read from one state of the file: another process may be setting it up.
    let read = || -> rusqlite::Result<(i64, i32, i32)> {
        let transaction = connection.unchecked_transaction()?;
        let read = |sql: &str| transaction.query_row(sql, [], |row| row.get(0));
        let tables = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok((tables, read("PRAGMA application_id")?, read("PRAGMA user_version")?))
    };
    let reason = match read() {
        Ok((0, ..)) => return Ok(false),
        Ok((_, APPLICATION_ID, SCHEMA_VERSION)) => return Ok(true),
        Ok((_, APPLICATION_ID, version)) => format!(
            "has tables of version {version}, and this program those of version {SCHEMA_VERSION}; delete the file to have \
             it built again"
        ),
        Ok((_, application, _)) => {
            format!("belongs to another program: its application id is {application}, not {APPLICATION_ID}")
        }
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => "is no SQLite database".to_owned(),
        Err(error) => return Err(error.into()),
    };
    Err(ModelError::ForeignViews { place: path.display().to_string(), reason })
}

/// Lets readers see the last committed state while a writer works.
fn switch_to_wal(connection: &mut Connection) -> Result<(), ModelError> {
    let mut attempts = 1;
    loop {
        match connection.pragma_update(None, "journal_mode", "wal") {
            // SQLite does not wait here for others that switch a new file at the same moment; for its turn to
            // write it does.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && attempts < WAL_ATTEMPTS => {
                attempts += 1;
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?.commit()?;
            }
            switched => return Ok(switched?),
        }
    }
}
