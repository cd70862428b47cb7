//! The tables that a projection writes.

use super::{Row, Value};
use crate::model::ModelError;

/// Which database it is, for what has no SQL that all understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// The tables that a projection writes, in a transaction. A projection over any such tables is written once for every
/// database.
pub trait Tables {
    /// Which database it is.
    fn dialect(&self) -> Dialect;

    /// Carries out statements that make tables and indexes, with semicolons between them.
    ///
    /// # Errors
    ///
    /// When the database refuses.
    fn define(&self, sql: &str) -> Result<(), ModelError>;

    /// Changes rows, however many: none, too. Whoever carries it out may gather changes and send them together, so that an
    /// error shows at a later call, or behind the last. Then the events are handed over once more, each change being waited for.
    ///
    /// # Errors
    ///
    /// When the database refuses.
    fn run(&self, sql: &str, values: &[Value<'_>]) -> Result<(), ModelError>;

    /// The same, when one row at least is to change. `otherwise` says what it means that none has: nothing, or an error.
    ///
    /// # Errors
    ///
    /// When the database refuses, and what `otherwise` returns.
    fn change(
        &self,
        sql: &str,
        values: &[Value<'_>],
        otherwise: impl FnOnce() -> Result<(), ModelError>,
    ) -> Result<(), ModelError>;

    /// The rows that a query finds, with all changes made.
    ///
    /// # Errors
    ///
    /// When the database refuses.
    fn query(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, ModelError>;
}
