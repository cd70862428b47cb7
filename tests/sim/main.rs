//! The store on a disk that lies: see `docs/testing.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

mod check;
mod damage;
mod exhaustive;
mod failing;
mod ledger;
mod numbers;
mod planted;
mod random;
mod workload;

use std::{
    env,
    time::{Duration, Instant},
};

use factlog::sim::FaultKind;
use numbers::Numbers;

fn number_in(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

fn seed() -> u64 {
    number_in("SIM_SEED").unwrap_or(1)
}

/// Whether to take more time: `SIM_SECONDS` for what is drawn by lot, and everything else in full.
fn in_full() -> bool {
    env::var("SIM_SECONDS").is_ok()
}

/// A seed that was named is one that is run again.
fn is_replay() -> bool {
    env::var("SIM_SEED").is_ok()
}

fn seconds(default: u64) -> Duration {
    Duration::from_secs(number_in("SIM_SECONDS").unwrap_or(default))
}

/// Says what was done, or what was broken.
fn report(suite: &str, started: Instant, checked: Result<Numbers, String>) -> Numbers {
    match checked {
        Ok(numbers) => {
            println!("{suite}, SIM_SEED={}: {numbers}; {:.1} s", seed(), started.elapsed().as_secs_f64());
            numbers
        }
        Err(error) => panic!("{suite}, SIM_SEED={}: {error}", seed()),
    }
}

#[test]
fn whatever_a_crash_leaves_of_a_few_operations_is_what_was_acknowledged() {
    let whole = if in_full() { 2 } else { 1 };
    let started = Instant::now();
    let begins = exhaustive::Begin::all();
    let numbers = report("crashes", started, exhaustive::check_all(&begins, whole, seconds(5), seed()));
    assert!(numbers.power_cuts > 5_000 && numbers.kills > 500 && numbers.acknowledged > 30, "too little: {numbers}");
    assert!(numbers.tally.torn_sectors > 500 && numbers.tally.names_lost > 100, "too little: {numbers}");
}

#[test]
fn whichever_operation_fails_nothing_is_acknowledged_that_is_not_there() {
    let started = Instant::now();
    let mut numbers = Numbers::default();
    for kind in FaultKind::ERRORS {
        for relaxed in [false, true] {
            let stride = if in_full() {
                1
            } else if kind == FaultKind::Io {
                13
            } else {
                5
            };
            numbers.add(report(&format!("{kind:?}"), started, failing::check_kind(kind, relaxed, stride, seed())));
        }
    }
    assert!(numbers.faults > 200, "too little: {numbers}");
}

#[test]
fn long_lives_with_faults_and_crashes_keep_what_was_acknowledged() {
    let started = Instant::now();
    let numbers = report("lives", started, random::check_histories(seed(), seconds(8)));
    if is_replay() {
        return;
    }
    assert!(numbers.acknowledged > 50 && numbers.power_cuts > 10 && numbers.kills > 10, "too little: {numbers}");
    assert!(numbers.faults > 2 && numbers.tally.torn_sectors > 5 && numbers.flipped > 10, "too little: {numbers}");
}

#[test]
fn a_write_that_goes_astray_never_reads_as_something_else() {
    for kind in [FaultKind::LostWrite, FaultKind::MisdirectedWrite] {
        let numbers = report(&format!("{kind:?}"), Instant::now(), damage::lead_astray(kind));
        assert!(numbers.faults > 20, "too little: {numbers}");
    }
}

#[test]
fn the_same_seed_does_the_same() {
    assert!((1..6).all(random::repeats));
}

#[test]
fn each_flipped_bit_of_a_record_is_named_or_changes_nothing() {
    let stride = if in_full() { 1 } else { 5 };
    let flipped = damage::flip_each(false, stride).and_then(|killed| Ok(killed + damage::flip_each(true, stride)?));
    println!("{} flipped bits", flipped.unwrap());
}
