//! Bugs that stores have had, switched on one at a time: the drivers find each of them.

use factlog::sim::{Bug, FaultKind, plant};

use super::{
    damage,
    exhaustive::{Begin, check_one},
    failing, in_full, random,
    workload::Do,
};

type Found = Result<(), String>;

fn crashes(begin: usize, workload: &[Do]) -> Found {
    check_one(&Begin::all()[begin], workload).map(|_| ())
}

/// Each bug, and the driver that must find it.
fn drivers() -> Vec<(Bug, Box<dyn Fn() -> Found>)> {
    vec![
        (Bug::AcknowledgeBeforeSync, Box::new(|| crashes(1, &[Do::Append]))),
        (Bug::SkipDirectorySync, Box::new(|| crashes(1, &[Do::Roll, Do::Roll]))),
        (Bug::SkipDirectorySyncOfFile, Box::new(|| crashes(1, &[Do::Cursor]))),
        (Bug::RetryFailedSync, Box::new(|| failing::check_kind(FaultKind::FailedSync, false, 1, 1).map(|_| ()))),
        (Bug::TruncateAtFirstBadRecord, Box::new(|| damage::flip_each(false, 5).map(|_| ()))),
        (Bug::CursorAhead, Box::new(|| crashes(3, &[Do::Append, Do::Cursor]))),
        (Bug::SnapshotAhead, Box::new(|| crashes(3, &[Do::Append, Do::Append, Do::Snapshot]))),
        (Bug::LengthOutOfChecksum, Box::new(|| damage::flip_each(true, 5).map(|_| ()))),
    ]
}

#[test]
fn every_planted_bug_is_found_and_without_it_the_same_driver_finds_nothing() {
    for (bug, driver) in drivers() {
        plant(Some(bug));
        let found = driver();
        plant(None);
        let said = found.expect_err(&format!("{bug:?} was not found"));
        println!("{bug:?}: {}", said.chars().take(160).collect::<String>());
        driver().unwrap_or_else(|error| panic!("without {bug:?}: {error}"));
    }
}

#[test]
fn random_lives_find_the_planted_bugs_too() {
    // One bit in thousands tells of the length; the others take some histories more.
    let soon = [Bug::AcknowledgeBeforeSync, Bug::SkipDirectorySync, Bug::SkipDirectorySyncOfFile];
    let is_looked_for = |bug: &Bug| soon.contains(bug) || in_full() && *bug != Bug::LengthOutOfChecksum;
    for bug in drivers().into_iter().map(|(bug, _)| bug).filter(is_looked_for) {
        plant(Some(bug));
        let found = (1..40).find(|seed| random::check_histories(*seed, std::time::Duration::ZERO).is_err());
        plant(None);
        println!("{bug:?}: found in history {}", found.unwrap_or_else(|| panic!("{bug:?} was not found")));
    }
}
