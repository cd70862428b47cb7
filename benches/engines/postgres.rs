//! What an application does with PostgreSQL by hand to promise the same: the same tables, the same function for an append, one statement for a
//! read, a notification behind appends. Connections are shared by those who ask at the same time. Each append is a call of its own. No second attempt, no
//! bound of a page's bytes; readers do not look how far the log is settled.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use factlog::BoxFuture;
use tokio::{
    runtime::{Builder, Runtime},
    sync::Notify,
    time::sleep,
};
use tokio_postgres::{Client, NoTls, Statement};

use super::Work;
use crate::support::peer::Append;

/// As many as the pool of the store has.
const CONNECTIONS: usize = 20;
/// Events in a page of the log.
const PAGE: i64 = 1_000;

/// The tables and the function of the store: what numbers appends so that readers of the log miss none, and recognises repeats.
const TABLES: &str = include_str!("../../src/backend/postgres/schema_1.sql");

const APPEND: &str = "SELECT first_position FROM factlog_append(ARRAY[$1::text], ARRAY[$2::bigint], ARRAY[1], 1000, \
    ARRAY[1], ARRAY[$3::uuid], ARRAY[$4::text], ARRAY[$5::bytea], ARRAY[''::bytea], ARRAY[NULL::bigint])";

/// Who waits for events is told at most once in so long, as by the store.
const TELL: Duration = Duration::from_millis(5);

const READ: &str = "SELECT position, version, event_id, event_type, event_data, metadata, created_at
    FROM events WHERE stream_id = $1 ORDER BY version";

const READ_LOG: &str = "SELECT position, stream_id, version, event_id, event_type, event_data, metadata, created_at
    FROM events WHERE position > $1 ORDER BY position LIMIT $2";

struct Connection {
    /// Requests that are under way.
    busy: AtomicUsize,
    client: Client,
    append: Statement,
    read: Statement,
    read_log: Statement,
}

pub struct Database {
    connections: Vec<Connection>,
    appended: Arc<Notify>,
    _runtime: Runtime,
}

impl Database {
    pub fn open(address: &str) -> Database {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let appended = Arc::new(Notify::new());
        let connections = runtime.block_on(async {
            let mut connections = Vec::new();
            for number in 0..CONNECTIONS {
                let (client, connection) = tokio_postgres::connect(address, NoTls).await.unwrap();
                tokio::spawn(connection);
                if number == 0 {
                    client.batch_execute(TABLES).await.unwrap();
                }
                let append = client.prepare(APPEND).await.unwrap();
                let read = client.prepare(READ).await.unwrap();
                let read_log = client.prepare(READ_LOG).await.unwrap();
                connections.push(Connection { busy: AtomicUsize::new(0), client, append, read, read_log });
            }
            tokio::spawn(tell(address.to_owned(), Arc::clone(&appended)));
            connections
        });
        Database { connections, appended, _runtime: runtime }
    }

    /// The first of those on which least is under way: so few writers use few connections, which stay warm.
    fn connection(&self) -> Lent<'_> {
        let least = self.connections.iter().min_by_key(|connection| connection.busy.load(Ordering::Relaxed)).unwrap();
        least.busy.fetch_add(1, Ordering::Relaxed);
        Lent(least)
    }
}

struct Lent<'a>(&'a Connection);

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn tell(address: String, appended: Arc<Notify>) {
    let (client, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
    tokio::spawn(connection);
    loop {
        appended.notified().await;
        // The server may be gone already when the bench ends.
        let _ = client.batch_execute("NOTIFY by_hand").await;
        sleep(TELL).await;
    }
}

impl Work for Database {
    fn append(&self, append: Append) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let lent = self.connection();
            let Connection { client, append: statement, .. } = lent.0;
            let (event, expected) = (&append.events[0], append.expected as i64);
            let id = event.id.as_uuid();
            let stored = client
                .query_one(statement, &[&append.stream, &expected, &id, &event.event_type, &event.payload])
                .await
                .unwrap();
            assert!(stored.get::<_, Option<i64>>(0).is_some());
            self.appended.notify_one();
        })
    }

    fn read_stream(&self, stream: String) -> BoxFuture<'_, u64> {
        Box::pin(async move {
            let lent = self.connection();
            let Connection { client, read, .. } = lent.0;
            let rows = client.query(read, &[&stream]).await.unwrap();
            let bytes: usize = rows.iter().map(|row| row.get::<_, &[u8]>(4).to_vec().len()).sum();
            std::hint::black_box(bytes);
            rows.len() as u64
        })
    }

    fn read_log(&self) -> BoxFuture<'_, u64> {
        Box::pin(async move {
            let lent = self.connection();
            let Connection { client, read_log, .. } = lent.0;
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
