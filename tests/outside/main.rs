//! The store from outside its process: the real binary on real files, killed, damaged and watched.
//!
//! What these tests know of the files they have from the documentation of the format, not from the engine's code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

/// Tells something also where the output of tests that succeed is kept back: numbers, and what was skipped.
macro_rules! say {
    ($($words:tt)*) => { $crate::setting::say(format_args!($($words)*)) };
}

mod damage;
#[cfg(target_os = "linux")]
mod faults;
mod format;
#[cfg(target_os = "linux")]
mod full_disk;
mod kills;
mod ledger;
#[cfg(target_os = "linux")]
mod power;
mod refusals;
mod setting;
#[path = "../support/mod.rs"]
mod support;
#[cfg(target_os = "linux")]
mod system_calls;
mod torn_tails;
#[cfg(target_os = "linux")]
mod trace;
mod worker;
