//! For tests: of aggregates, of what waits, and of stores.
//!
//! - [`given`] events, when a command, then events or a refusal: what an aggregate decides, with the difference shown when
//!   it is something else;
//! - [`FakeSleep`] is over at once, and notes how long it would have been;
//! - [`conformance`] holds any [`crate::EventStore`] to the trait's contract. [`crate::MemoryStore`] keeps it, so that what is
//!   tested on it behaves on a real store as it does there.
//!
//! Everything here panics when it does not find what it was told to find, as a test should.

#![allow(clippy::panic, clippy::expect_used, reason = "a failed test ends with a panic")]

pub mod conformance;
mod difference;
mod given;
mod sleep;

pub use given::{Decided, Given, given};
pub use sleep::FakeSleep;
