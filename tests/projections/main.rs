//! Projections into SQLite and PostgreSQL: what fails, what is rebuilt, what waits for what, and what a kill leaves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]
#![allow(clippy::duplicate_mod, reason = "the same tests are made for each database")]

mod command;
#[path = "../support/databases.rs"]
mod databases;
#[cfg(feature = "postgres")]
mod in_postgres;
mod in_sqlite;
mod notes;
#[cfg(feature = "postgres")]
#[path = "../support/postgres.rs"]
mod postgres;
mod random;
#[path = "../support/mod.rs"]
mod support;
