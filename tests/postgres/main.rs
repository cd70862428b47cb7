//! The store over PostgreSQL, on servers of the tests' own.

#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

#[path = "../support/postgres.rs"]
mod postgres;

mod server;
