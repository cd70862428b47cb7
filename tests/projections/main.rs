//! Projections into SQLite: what fails, what is rebuilt, what waits for what, and what a kill leaves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

mod command;
mod consistency;
mod failing;
mod kills;
mod notes;
mod queries;
mod rebuilding;
mod running;
#[path = "../support/mod.rs"]
mod support;
