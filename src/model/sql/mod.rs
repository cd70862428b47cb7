//! What projections and queries of an application say to a database, whichever of ours it is.
//!
//! SQLite and PostgreSQL understand most SQL alike. So a projection that writes through [`Tables`] and queries that ask through
//! [`Views`] are written once: statements name their values `$1`, `$2` and so on, and where the databases differ, as in the
//! types of columns, the [`Dialect`] says which one it is.
//!
//! ```text
//!   Projection<T: Tables> --- define, change, query --->  rusqlite::Connection   or  PostgresTables
//!   queries               --- select --------------->     SqliteViews            or  PostgresViews
//! ```
//!
//! What is known of a projection stands in tables of ours, `projections` and `failed_events`. Their columns have other types in
//! each database, so each makes them itself; what is said to them is written once, as a [`Statement`].
//!
//! Invariants:
//!
//! - a value is bound by its number, and a text is never part of a statement;
//! - the answers of one [`Views::select`] are of one state of the database.

pub(in crate::model) mod bookkeeping;
pub(in crate::model) mod failed;
mod pattern;
mod row;
mod statement;
mod tables;
mod value;
mod views;

pub use pattern::containing;
pub use row::Row;
pub(in crate::model) use statement::Statement;
pub use tables::{Dialect, Tables};
pub use value::Value;
pub use views::{Select, Views};
