//! What an application does with PostgreSQL by hand: a table with the same columns and indexes, one statement for an append, one for a read.

use std::sync::atomic::{AtomicUsize, Ordering};

use factlog::BoxFuture;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, NoTls, Statement};

use super::Work;
use crate::support::peer::Append;

/// As many as the pool of the store has.
const CONNECTIONS: usize = 20;
/// Events in a page of the log.
const PAGE: i64 = 1_000;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS events (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream_id text COLLATE \"C\" NOT NULL,
    version bigint NOT NULL,
    event_id uuid NOT NULL,
    event_type text COLLATE \"C\" NOT NULL,
    event_data bytea NOT NULL,
    metadata bytea NOT NULL,
    created_at bigint NOT NULL,
    UNIQUE (stream_id, version)
);
CREATE INDEX events_event_id ON events (event_id);
CREATE INDEX events_category ON events (split_part(stream_id, '-', 1), position);
CREATE INDEX events_event_type ON events (event_type, position);
CREATE INDEX events_created_at ON events USING brin (created_at);";

const APPEND: &str = "INSERT INTO events (stream_id, version, event_id, event_type, event_data, metadata, created_at)
    SELECT $1::text, $2::bigint + 1, $3::uuid, $4::text, $5::bytea, '', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
    WHERE (SELECT coalesce(max(version), 0) FROM events WHERE stream_id = $1::text) = $2::bigint";

const READ: &str = "SELECT position, version, event_id, event_type, event_data, metadata, created_at
    FROM events WHERE stream_id = $1 ORDER BY version";

const READ_LOG: &str = "SELECT position, stream_id, version, event_id, event_type, event_data, metadata, created_at
    FROM events WHERE position > $1 ORDER BY position LIMIT $2";

struct Connection {
    client: Client,
    append: Statement,
    read: Statement,
    read_log: Statement,
}

pub struct Database {
    connections: Vec<Connection>,
    next: AtomicUsize,
    _runtime: Runtime,
}

impl Database {
    pub fn open(address: &str) -> Database {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let connections = runtime.block_on(async {
            let mut connections = Vec::new();
            for number in 0..CONNECTIONS {
                let (client, connection) = tokio_postgres::connect(address, NoTls).await.unwrap();
                tokio::spawn(connection);
                if number == 0 {
                    client.batch_execute(TABLE).await.unwrap();
                }
                let append = client.prepare(APPEND).await.unwrap();
                let read = client.prepare(READ).await.unwrap();
                let read_log = client.prepare(READ_LOG).await.unwrap();
                connections.push(Connection { client, append, read, read_log });
            }
            connections
        });
        Database { connections, next: AtomicUsize::new(0), _runtime: runtime }
    }

    fn connection(&self) -> &Connection {
        &self.connections[self.next.fetch_add(1, Ordering::Relaxed) % CONNECTIONS]
    }
}

impl Work for Database {
    fn append(&self, append: Append) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let Connection { client, append: statement, .. } = self.connection();
            let (event, expected) = (&append.events[0], append.expected as i64);
            let id = event.id.as_uuid();
            let stored = client
                .execute(statement, &[&append.stream, &expected, &id, &event.event_type, &event.payload])
                .await
                .unwrap();
            assert_eq!(stored, 1);
        })
    }

    fn read_stream(&self, stream: String) -> BoxFuture<'_, u64> {
        Box::pin(async move {
            let Connection { client, read, .. } = self.connection();
            let rows = client.query(read, &[&stream]).await.unwrap();
            let bytes: usize = rows.iter().map(|row| row.get::<_, &[u8]>(4).to_vec().len()).sum();
            std::hint::black_box(bytes);
            rows.len() as u64
        })
    }

    fn read_log(&self) -> BoxFuture<'_, u64> {
        Box::pin(async move {
            let Connection { client, read_log, .. } = self.connection();
            let (mut after, mut count) = (0i64, 0);
            loop {
                let rows = client.query(read_log, &[&after, &PAGE]).await.unwrap();
                let Some(last) = rows.last() else { return count };
                let bytes: usize = rows.iter().map(|row| row.get::<_, &[u8]>(5).to_vec().len()).sum();
                std::hint::black_box(bytes);
                (after, count) = (last.get(0), count + rows.len() as u64);
            }
        })
    }
}
