//! The databases of read models, so that the same tests run on each.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::sync::Arc;

use factlog::{
    block_on,
    model::{Checkpoint, ModelError, Projection, ReadModel, Row, Select, SqliteViews, Views},
};
use rusqlite::Connection;
use tempfile::TempDir;

/// A projection into any of them.
#[cfg(not(feature = "postgres"))]
pub trait Everywhere: Projection<Connection> + 'static {}
#[cfg(not(feature = "postgres"))]
impl<P: Projection<Connection> + 'static> Everywhere for P {}

/// A place for read models, empty at first.
pub trait Database: Sized + 'static {
    type Views: Views + Clone;

    fn new() -> Self;

    /// What `--views` names.
    fn named(&self) -> String;

    fn views(&self) -> Self::Views;

    /// Opened once more, as another process would.
    fn reopened(&self) -> Self::Views;

    fn try_project<P: Everywhere>(views: &Self::Views, projection: P) -> Result<Arc<dyn ReadModel>, ModelError>;

    fn checkpoint(&self, projection: &str) -> Checkpoint;

    /// Does something behind the back of all projections.
    fn execute(&self, sql: &str);

    /// Everything is gone, as if nothing had ever been there.
    fn clear(&self);

    /// How often what is drawn by lot is done.
    const ROUNDS: u64;

    /// As SQL has it: a text for an id, and one for a payload.
    const ID: &'static str;
    const DATA: &'static str;

    fn project<P: Everywhere>(&self, projection: P) -> Arc<dyn ReadModel> {
        Self::try_project(&self.views(), projection).unwrap()
    }

    fn rows(&self, sql: &str) -> Vec<Row> {
        block_on(self.views().select(&[Select { sql, values: &[] }])).unwrap().remove(0)
    }

    /// Everything that the events have made of `order_view`, of the checkpoints, and of the failed events.
    fn order_contents(&self) -> Vec<String> {
        let (id, data) = (Self::ID, Self::DATA);
        [
            "SELECT order_id, user_id, status, total_amount, shipping_address, items, payment_id, tracking_number,
                cancelled_at, cancellation_reason, created_at, updated_at, version
             FROM order_view ORDER BY order_id",
            &format!("SELECT name, position, {id} FROM projections WHERE position > 0 ORDER BY name"),
            &format!(
                "SELECT projection, position, {id}, stream, version, event_type, {data}, error_message, attempts
                 FROM failed_events ORDER BY projection, position"
            ),
        ]
        .into_iter()
        .flat_map(|sql| self.rows(sql))
        .map(|row| format!("{row:?}"))
        .collect()
    }
}

/// An SQLite file.
pub struct Sqlite(TempDir);

impl Sqlite {
    pub fn file(&self) -> std::path::PathBuf {
        self.0.path().join("views")
    }
}

impl Database for Sqlite {
    type Views = SqliteViews;

    const ROUNDS: u64 = 20;
    const ID: &'static str = "lower(hex(event_id))";
    const DATA: &'static str = "CAST(event_data AS TEXT)";

    fn new() -> Sqlite {
        Sqlite(TempDir::new().unwrap())
    }

    fn named(&self) -> String {
        self.file().to_str().unwrap().to_owned()
    }

    fn views(&self) -> SqliteViews {
        SqliteViews::open(self.file()).unwrap()
    }

    fn reopened(&self) -> SqliteViews {
        self.views()
    }

    fn try_project<P: Everywhere>(views: &SqliteViews, projection: P) -> Result<Arc<dyn ReadModel>, ModelError> {
        Ok(Arc::new(views.project(projection)?))
    }

    fn checkpoint(&self, projection: &str) -> Checkpoint {
        self.views().checkpoint(projection).unwrap()
    }

    fn execute(&self, sql: &str) {
        Connection::open(self.file()).unwrap().execute_batch(sql).unwrap();
    }

    fn clear(&self) {
        for suffix in ["", "-wal", "-shm"] {
            let file = self.0.path().join(format!("views{suffix}"));
            if file.exists() {
                std::fs::remove_file(file).unwrap();
            }
        }
    }
}

#[cfg(feature = "postgres")]
pub use in_postgres::{Everywhere, Postgres};

#[cfg(feature = "postgres")]
mod in_postgres {
    use std::sync::OnceLock;

    use factlog::model::{PostgresTables, PostgresViews};

    use super::*;
    use crate::postgres::Postgres as Server;

    pub trait Everywhere: Projection<Connection> + Projection<PostgresTables> + 'static {}
    impl<P: Projection<Connection> + Projection<PostgresTables> + 'static> Everywhere for P {}

    /// A database on the server that the tests of a binary share.
    pub struct Postgres {
        address: String,
        views: OnceLock<PostgresViews>,
    }

    impl Postgres {
        /// One on another server.
        pub fn on(server: &Server) -> Postgres {
            Postgres { address: server.database(), views: OnceLock::new() }
        }

        /// Its name on the server.
        pub fn name(&self) -> &str {
            self.address.rsplit('/').next().unwrap()
        }
    }

    impl Database for Postgres {
        type Views = PostgresViews;

        const ROUNDS: u64 = 5;
        const ID: &'static str = "replace(event_id::text, '-', '')";
        const DATA: &'static str = "convert_from(event_data, 'UTF8')";

        fn new() -> Postgres {
            Postgres::on(Server::shared())
        }

        fn named(&self) -> String {
            self.address.clone()
        }

        fn views(&self) -> PostgresViews {
            self.views.get_or_init(|| self.reopened()).clone()
        }

        fn reopened(&self) -> PostgresViews {
            block_on(PostgresViews::connect(&self.address)).unwrap()
        }

        fn try_project<P: Everywhere>(views: &PostgresViews, projection: P) -> Result<Arc<dyn ReadModel>, ModelError> {
            Ok(Arc::new(block_on(views.project(projection))?))
        }

        fn checkpoint(&self, projection: &str) -> Checkpoint {
            block_on(self.views().checkpoint(projection)).unwrap()
        }

        fn execute(&self, sql: &str) {
            Server::shared().execute(self.name(), sql);
        }

        fn clear(&self) {
            self.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
            // Makes its tables anew.
            self.reopened();
        }
    }
}
