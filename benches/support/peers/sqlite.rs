//! SQLite: a table whose rows are the events in order of position, with a unique pair of stream and version.

use std::{hint::black_box, path::Path};

use parking_lot::Mutex;
use rusqlite::{Connection, Row, TransactionBehavior, params};

use super::Indexes;
use crate::support::peer::{Answer, Append, Peer, Read, Sum};

/// One connection: a database in WAL mode takes one writer at a time, and waiting for a lock in this process is
/// quicker than for the one in the file.
pub struct Sqlite(Mutex<Connection>);

impl Sqlite {
    pub fn open(dir: &Path, indexes: Indexes) -> Sqlite {
        let connection = Connection::open(dir.join("events.db")).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL;
                 PRAGMA synchronous = FULL;
                 PRAGMA cache_size = -65536;
                 PRAGMA mmap_size = 17179869184;
                 CREATE TABLE IF NOT EXISTS events (
                     position INTEGER PRIMARY KEY,
                     stream TEXT NOT NULL,
                     version INTEGER NOT NULL,
                     type TEXT NOT NULL,
                     id BLOB NOT NULL,
                     time INTEGER NOT NULL,
                     metadata BLOB NOT NULL,
                     payload BLOB NOT NULL,
                     UNIQUE (stream, version)
                 );",
            )
            .unwrap();
        if indexes == Indexes::All {
            connection
                .execute_batch(
                    "CREATE INDEX IF NOT EXISTS by_type ON events (type);
                     CREATE INDEX IF NOT EXISTS by_category ON events (substr(stream, 1, instr(stream, '-') - 1));",
                )
                .unwrap();
        }
        connection.set_prepared_statement_cache_capacity(32);
        Sqlite(Mutex::new(connection))
    }

    fn sum(&self, choice: &str, of: &str) -> Sum {
        let connection = self.0.lock();
        let columns = "position, stream, version, type, id, time, metadata, payload";
        let mut query = connection.prepare_cached(&format!("SELECT {columns} FROM events {choice}")).unwrap();
        let mut rows = if of.is_empty() { query.query([]) } else { query.query([of]) }.unwrap();
        let mut sum = Sum::default();
        while let Some(row) = rows.next().unwrap() {
            add(&mut sum, row);
        }
        sum
    }
}

fn add(sum: &mut Sum, row: &Row<'_>) {
    let number = |column| row.get_ref(column).unwrap().as_i64().unwrap() as u64;
    let [stream, event_type, payload] = [1, 3, 7].map(|column| row.get_ref(column).unwrap().as_bytes().unwrap());
    black_box((stream, event_type));
    sum.add_read(&Read {
        version: number(2),
        time: number(5),
        id: row.get_ref(4).unwrap().as_blob().unwrap().try_into().unwrap(),
        payload: 0,
        body: payload,
    });
}

impl Peer for Sqlite {
    fn name(&self) -> &'static str {
        "SQLite"
    }

    fn commit(&self, appends: &[Append]) -> Vec<Answer> {
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as i64;
        let mut connection = self.0.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        let answers = {
            let newest = "SELECT coalesce(max(version), 0) FROM events WHERE stream = ?";
            let mut newest = transaction.prepare_cached(newest).unwrap();
            let insert = "INSERT INTO events (stream, version, type, id, time, metadata, payload)
                          VALUES (?, ?, ?, ?, ?, x'', ?)";
            let mut insert = transaction.prepare_cached(insert).unwrap();
            let mut append = |append: &Append| {
                let actual = newest.query_row([&append.stream], |row| row.get::<_, i64>(0)).unwrap() as u64;
                if actual != append.expected {
                    return Err(actual);
                }
                for (version, event) in (actual as i64 + 1..).zip(&append.events) {
                    let id = event.id.as_uuid().into_bytes();
                    insert.execute(params![append.stream, version, event.event_type, id, time, event.payload]).unwrap();
                }
                Ok(())
            };
            appends.iter().map(&mut append).collect()
        };
        transaction.commit().unwrap();
        answers
    }

    fn relax(&self) {
        self.0.lock().execute_batch("PRAGMA synchronous = OFF").unwrap();
    }

    fn sync(&self) {
        // Copies what is left in the WAL and syncs both files, whole.
        let sync = "PRAGMA synchronous = FULL; PRAGMA wal_checkpoint(TRUNCATE)";
        self.0.lock().execute_batch(sync).unwrap();
    }

    fn read_stream(&self, stream: &str) -> Sum {
        self.sum("WHERE stream = ? ORDER BY version", stream)
    }

    fn read_all(&self, backwards: bool) -> Sum {
        self.sum(if backwards { "ORDER BY position DESC" } else { "ORDER BY position" }, "")
    }

    fn read_type(&self, event_type: &str) -> Sum {
        self.sum("WHERE type = ? ORDER BY position", event_type)
    }

    fn read_category(&self, category: &str) -> Sum {
        self.sum("WHERE substr(stream, 1, instr(stream, '-') - 1) = ? ORDER BY position", category)
    }
}
