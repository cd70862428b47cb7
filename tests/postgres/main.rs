//! The store over PostgreSQL, on servers of the tests' own: what the conformance suite cannot see.

#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

mod durable;
mod failing;
#[cfg(feature = "cli")]
mod import;
mod killed;
mod pages;
mod proxy;
mod schema;
mod server;
mod settled;
mod support;
mod together;

#[path = "../support/disturbed.rs"]
mod disturbed;
#[path = "../support/postgres.rs"]
mod postgres;
