//! Read models in a PostgreSQL database.
//!
//! [`PostgresViews`] is the database: a pool of connections. [`PostgresProjection`] is a projection with its tables there, and
//! [`PostgresTables`] a transaction in which it writes them. Beside the tables of the projections stand those that SQLite's read
//! models have, too, in the schema that is the first of the search path:
//!
//! ```text
//! read_model:    | schema_version |                    one row: which tables these are
//! projections:   | name (primary key) | position | event_id (NULL before the first event) | paused | rate | taken_at |
//! failed_events: | id (primary key) | projection | position | event_id | stream | version | event_type | event_data
//!                | error_message | attempts | created_at | updated_at | resolved_at |
//! ```
//!
//! # A page
//!
//! ```text
//!   BEGIN; the projection's row FOR UPDATE         others who take events for this projection wait here
//!   handle, handle, handle ...                     changes are gathered, and sent one behind the other without waiting
//!   UPDATE projections; COMMIT
//! ```
//!
//! When a gathered change fails, or changes no row, the transaction is taken back, and the page is taken once more with each change
//! waited for. So a page in which nothing fails costs a few round trips, and a failing event is known exactly.
//!
//! # Locks
//!
//! A query locks nothing that a projection needs, and waits for none. A rebuild puts its tables in place while nobody reads: a
//! query of several statements holds `read_model` in the weakest mode from before its first look, and the rebuild takes it in the
//! strongest. It waits a tenth of a second at most, lets others pass, and tries again, so that queries are not kept waiting
//! behind it. The order of locks is: the projection's row, `read_model`, the projection's tables.
//!
//! Invariants: those of SQLite's read models. Besides:
//!
//! - a connection goes back to the pool without a transaction, or is closed;
//! - no text of an event is part of a statement.

mod bookkeeping;
mod error;
mod fresh;
mod projected;
mod server;
mod tables;
mod values;
mod views;

pub use error::PostgresError;
pub use projected::PostgresProjection;
pub use tables::PostgresTables;
pub use views::PostgresViews;
