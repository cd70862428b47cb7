//! Read models in an SQLite file.
//!
//! [`SqliteViews`] is the file: one connection that writes, and as many as are needed that read. [`SqliteProjection`] is a
//! projection with its tables there. Beside the tables of the projections stands what is known of them:
//!
//! ```text
//! projections:   | name (primary key) | position | event_id (16 bytes; NULL before the first event) | paused | rate | taken_at |
//! failed_events: | id (primary key) | projection | position | event_id | stream | version | event_type | event_data
//!                | error_message | attempts | created_at | updated_at | resolved_at |
//! ```
//!
//! A row of `projections` is there once its tables are. In `failed_events` a row without `resolved_at` waits; one with
//! `attempts = 0` is parked behind another one of its stream; one whose position lies behind the projection's own stopped it.
//!
//! Invariants:
//!
//! - the tables are what the events up to the checkpoint make them, at every moment that another connection or a later
//!   process can see: a process that is killed leaves the last whole transaction;
//! - a page is applied only if the checkpoint, read inside its transaction, is the one that the page was read behind. So
//!   several processes may run the same projection at once, and each event still takes effect once;
//! - a query has a connection of its own, and never waits for one that writes.

mod bookkeeping;
mod fresh;
mod projected;
mod tables;
mod views;

pub use projected::SqliteProjection;
pub use views::{Reading, SqliteViews};
