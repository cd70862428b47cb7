//! The server and the client over real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

mod alone;
mod budgets;
mod client;
mod command;
mod copies;
mod ending;
mod idle;
#[path = "../support/process.rs"]
mod process;
mod python;
mod raw;
mod secure;
mod support;
