//! Every kind of store, for tests of what is written against the trait.

use std::sync::Arc;

use factlog::{EventStore, MemoryStore, Options};
use tempfile::TempDir;

#[cfg(feature = "jetstream")]
#[path = "nats.rs"]
pub mod nats;
#[cfg(feature = "postgres")]
#[path = "postgres.rs"]
pub mod postgres;
#[cfg(all(feature = "server", feature = "client"))]
#[path = "serving.rs"]
mod serving;

/// Runs a test on each kind of store.
pub fn on_every_store(test: impl Fn(Arc<dyn EventStore>)) {
    test(Arc::new(MemoryStore::new()));
    let directory = TempDir::new().unwrap();
    let store = Options::new().open(directory.path()).unwrap();
    test(Arc::new(store.clone()));
    store.close().unwrap();
    #[cfg(all(feature = "server", feature = "client"))]
    {
        let directory = TempDir::new().unwrap();
        let serving = serving::Serving::new(Options::new().open(directory.path()).unwrap());
        test(Arc::new(serving.client()));
    }
    #[cfg(feature = "postgres")]
    {
        let database = postgres::Postgres::shared().database();
        test(Arc::new(factlog::backend::postgres::PostgresStore::connect(&database).unwrap()));
    }
    #[cfg(feature = "jetstream")]
    for servers in [nats::alone(), nats::cluster()] {
        test(Arc::new(servers.fresh()));
    }
}
