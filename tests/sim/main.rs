//! The store on a disk that lies: see `docs/testing.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

mod check;
mod exhaustive;
mod ledger;
mod numbers;
mod workload;

use std::{env, time::Duration};

fn number_in(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

fn seconds(default: u64) -> Duration {
    Duration::from_secs(number_in("SIM_SECONDS").unwrap_or(default))
}

#[test]
fn whatever_a_crash_leaves_of_a_few_operations_is_what_was_acknowledged() {
    let whole = number_in("SIM_DEPTH").unwrap_or(2) as u32;
    let started = std::time::Instant::now();
    let checked =
        exhaustive::check_all(&exhaustive::Begin::all(), whole, seconds(1), number_in("SIM_SEED").unwrap_or(1));
    println!("{:?}", started.elapsed());
    match checked {
        Ok(numbers) => println!("{numbers}"),
        Err(error) => panic!("{error}"),
    }
}
