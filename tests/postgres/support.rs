//! Stores and events for these tests.

use std::{sync::Arc, time::Duration};

use factlog::{
    EventStore, EventSubscription, Position, ReadAll, RecordedEvent, Subscribe,
    backend::postgres::{PostgresOptions, PostgresStore},
    block_on,
};
use tokio::runtime::{Builder, Runtime};

pub use crate::disturbed::{append, event, events, stream};

/// Longer than anything here takes: a test that waits so long fails.
pub const LONG: Duration = Duration::from_secs(60);

pub fn patient(address: &str) -> PostgresStore {
    PostgresOptions::new(address).unwrap().connect_time(LONG).request_time(LONG).connect().unwrap()
}

/// The payloads of a read of the log.
pub fn log(store: &PostgresStore, read: ReadAll) -> Vec<String> {
    block_on(store.read_all(read)).unwrap().iter().map(text).collect()
}

pub fn whole_log(store: &PostgresStore) -> Vec<String> {
    log(store, ReadAll::after(Position::START))
}

pub fn text(event: &RecordedEvent) -> String {
    String::from_utf8(event.payload().to_vec()).unwrap()
}

pub fn subscribe(store: &PostgresStore) -> Box<dyn EventSubscription> {
    block_on(store.subscribe(Subscribe::new())).unwrap()
}

/// A connection that the store knows nothing of.
pub struct Hand {
    runtime: Runtime,
    pub client: Arc<tokio_postgres::Client>,
}

impl Hand {
    pub fn at(address: &str) -> Hand {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (client, connection) = runtime.block_on(tokio_postgres::connect(address, tokio_postgres::NoTls)).unwrap();
        runtime.spawn(connection);
        Hand { runtime, client: Arc::new(client) }
    }

    pub fn run(&self, statements: &str) {
        self.runtime.block_on(self.client.batch_execute(statements)).unwrap();
    }

    pub fn number(&self, query: &str) -> i64 {
        self.runtime.block_on(self.client.query_one(query, &[])).unwrap().get(0)
    }
}

/// A transaction of a writer that has done everything but commit.
pub struct Held(Hand);

impl Held {
    /// Calls what the store calls, in a transaction that stays open.
    pub fn append(address: &str, name: &str, payload: &str) -> Held {
        let hand = Hand::at(address);
        let id = factlog::EventId::generate();
        hand.run("BEGIN");
        hand.run(&format!(
            "SELECT factlog_append(ARRAY['{name}'], ARRAY[-1], ARRAY[1], 1000, ARRAY[1], ARRAY['{id}'::uuid], \
             ARRAY['Noted'], ARRAY['{payload}'::bytea], ARRAY[''::bytea], ARRAY[NULL::bigint])"
        ));
        Held(hand)
    }

    pub fn end(self, how: &str) {
        self.0.run(how);
    }
}
