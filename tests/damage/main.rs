//! Damage of every kind to every file of small stores: nothing passes silently, and a repair keeps what can be proved good.
//!
//! Each kind is done to every file. By default a sample of the bytes is taken, by a seed that is printed;
//! `DAMAGE=full` takes every byte and every length, and `DAMAGE_SEED=n` another sample.

#![allow(clippy::unwrap_used, clippy::panic)]

mod check;
mod lost;
mod misplaced;
mod sample;

use std::{
    fs,
    path::{Path, PathBuf},
};

use check::{faults, reads_as_written, repairs};
use sample::{Left, Sample, directory, is_segment, write};

/// Chooses what is sampled.
struct Choice {
    state: u64,
    full: bool,
}

impl Choice {
    fn new(salt: u64) -> Choice {
        let seed = std::env::var("DAMAGE_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
        let full = std::env::var("DAMAGE").is_ok_and(|value| value == "full");
        println!("DAMAGE_SEED={seed}{}", if full { " DAMAGE=full" } else { "" });
        Choice { state: seed ^ salt, full }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.state >> 33
    }

    /// True once in `of`, and always when everything is to be done.
    fn once_in(&mut self, of: u64) -> bool {
        self.next().is_multiple_of(of) || self.full
    }
}

/// The session in the file of the published position is a random number, and the position itself is set with every commit:
/// neither is under a checksum.
fn is_unchecked(file: &Path, at: usize, left: Left) -> bool {
    file == Path::new("POSITION") && ((72..80).contains(&at) || left == Left::Killed && (64..72).contains(&at))
}

/// What is written over, or left alone, before anything is made of it.
fn is_unused(file: &Path, at: usize) -> bool {
    file == Path::new("LOCK") || file == Path::new("log/prepared") && at < 4096
}

/// Files that may be missing: they are made anew, or only work is repeated.
fn may_be_missing(file: &Path) -> bool {
    ["POSITION", "LOCK", "log/prepared"].iter().any(|name| file == Path::new(name))
        || ["index", "snapshots", "cursors"].iter().any(|dir| file.starts_with(dir))
}

/// How seldom a byte of this file is flipped when only a sample is taken.
fn rarity(sample: &Sample, file: &Path, at: usize) -> u64 {
    match file {
        file if is_segment(file) => match (at, sample.events_in(file, at..at + 1).is_empty()) {
            (0..80, _) => 6,
            (_, true) => 200,
            (_, false) => 24,
        },
        file if file.starts_with("index") => 150,
        file if file == Path::new("log/prepared") => 1000,
        file if file == Path::new("POSITION") && at >= 80 => 100,
        _ => 3,
    }
}

fn flip(left: Left, salt: u64, least: usize, least_repairs: usize) {
    let (sample, mut choice) = (Sample::new(left, salt), Choice::new(salt));
    let (mut flips, mut repaired, mut named_by_reads, mut lost) = (0, 0, 0, 0);
    for (file, bytes) in &sample.files {
        let path = sample.path().join(file);
        for at in 0..bytes.len() {
            if is_unchecked(file, at, left) || !choice.once_in(rarity(&sample, file, at)) {
                continue;
            }
            let what = format!("{left:?}: byte {at} of {} flipped", file.display());
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (choice.next() % 8);
            fs::write(&path, &changed).unwrap();
            let named = faults(sample.path());
            let whole = reads_as_written(&sample, sample.path(), &what);
            fs::write(&path, bytes).unwrap();
            flips += 1;
            named_by_reads += usize::from(!whole);
            let may_lose = sample.events_in(file, at..at + 1);
            let in_tail = left == Left::Killed
                && (may_lose.iter().any(|position| *position >= sample.last_batch)
                    || is_segment(file) && at >= 4096 && may_lose.is_empty());
            if named.is_empty() {
                assert!(in_tail || is_unused(file, at), "{what}: `verify` says nothing");
                continue;
            }
            if choice.once_in(12) {
                let copy = sample.copy();
                fs::write(copy.path().join(file), &changed).unwrap();
                lost += repairs(&sample, copy.path(), &may_lose, &what).lost_events();
                repaired += 1;
            }
        }
    }
    println!("{left:?}: {flips} flips, {named_by_reads} met by reads, {repaired} repaired, {lost} events lost");
    assert!(flips >= least && repaired >= least_repairs && lost > 0 && named_by_reads > flips / 10);
}

#[test]
fn a_flipped_byte_after_a_clean_close_is_named_and_costs_at_most_its_own_event() {
    flip(Left::Closed, 1, 800, 50);
}

#[test]
fn a_flipped_byte_after_a_kill_is_named_or_costs_the_last_batch_alone() {
    flip(Left::Killed, 2, 800, 50);
}

#[test]
fn a_file_that_is_cut_is_named_and_what_lies_before_the_cut_is_kept() {
    let (sample, mut choice) = (Sample::new(Left::Closed, 3), Choice::new(3));
    let (mut cuts, mut repaired) = (0, 0);
    for (file, bytes) in &sample.files {
        let path = sample.path().join(file);
        for len in 0..bytes.len() {
            let rare = match bytes.len() {
                0..300 => 2,
                _ if len == 0 || len == 4096 => 1,
                _ => 400,
            };
            if !choice.once_in(rare) {
                continue;
            }
            let what = format!("{} cut at {len}", file.display());
            fs::write(&path, &bytes[..len]).unwrap();
            let named = faults(sample.path());
            reads_as_written(&sample, sample.path(), &what);
            fs::write(&path, bytes).unwrap();
            cuts += 1;
            assert!(!named.is_empty() || is_unused(file, 0), "{what}: `verify` says nothing");
            if choice.once_in(4) {
                let copy = sample.copy();
                fs::write(copy.path().join(file), &bytes[..len]).unwrap();
                let header = len < 4096;
                let may_lose = sample.events_in(file, if header { 0 } else { len }..bytes.len());
                repairs(&sample, copy.path(), &may_lose, &what);
                repaired += 1;
            }
        }
    }
    println!("{cuts} cuts, {repaired} repaired");
    assert!(cuts >= 250 && repaired >= 40);
}

/// The files of one kind, such as the segments.
fn kind(file: &Path) -> (PathBuf, Option<&std::ffi::OsStr>) {
    let top = file.components().next().map(|part| PathBuf::from(part.as_os_str())).unwrap();
    (top, file.extension())
}

#[test]
fn files_that_are_deleted_or_swapped_or_of_another_store_are_named() {
    let (sample, twin) = (Sample::new(Left::Closed, 4), Sample::new(Left::Closed, 5));
    let (mut deleted, mut swapped, mut foreign) = (0, 0, 0);
    for (file, bytes) in &sample.files {
        let may_lose = sample.events_in(file, 0..bytes.len());
        let copy = sample.copy();
        fs::remove_file(copy.path().join(file)).unwrap();
        let what = format!("{} deleted", file.display());
        let named = !faults(copy.path()).is_empty();
        assert!(named || may_be_missing(file), "{what}: `verify` says nothing");
        reads_as_written(&sample, copy.path(), &what);
        repairs(&sample, copy.path(), &may_lose, &what);
        deleted += 1;

        for (other, other_bytes) in sample.files.range(file.clone()..).skip(1) {
            if kind(other) != kind(file) || other_bytes == bytes {
                continue;
            }
            let copy = sample.copy();
            fs::write(copy.path().join(file), other_bytes).unwrap();
            fs::write(copy.path().join(other), bytes).unwrap();
            let what = format!("{} and {} swapped", file.display(), other.display());
            assert!(!faults(copy.path()).is_empty(), "{what}: `verify` says nothing");
            reads_as_written(&sample, copy.path(), &what);
            repairs(&sample, copy.path(), &[], &what);
            swapped += 1;
        }

        let Some(other_bytes) = twin.files.get(file).filter(|other| *other != bytes) else { continue };
        let copy = sample.copy();
        fs::write(copy.path().join(file), other_bytes).unwrap();
        let what = format!("{} of another store", file.display());
        assert!(!faults(copy.path()).is_empty(), "{what}: `verify` says nothing");
        reads_as_written(&sample, copy.path(), &what);
        repairs(&sample, copy.path(), &may_lose, &what);
        foreign += 1;
    }
    println!("{deleted} deleted, {swapped} swapped, {foreign} of another store");
    assert!(deleted >= 15 && swapped >= 15 && foreign >= 8);
}

#[test]
fn files_that_are_replaced_by_older_copies_are_named_or_only_repeat_work() {
    let sample = Sample::new(Left::Closed, 6);
    let mut replaced = 0;
    for (file, bytes) in &sample.files {
        let Some(older) = sample.older_files.get(file).filter(|older| *older != bytes) else { continue };
        let copy = sample.copy();
        fs::write(copy.path().join(file), older).unwrap();
        let what = format!("{} replaced by an older copy", file.display());
        let named = !faults(copy.path()).is_empty();
        let beside = file.starts_with("cursors") || file.starts_with("snapshots");
        assert!(named || beside, "{what}: `verify` says nothing");
        reads_as_written(&sample, copy.path(), &what);
        let kept = older.iter().zip(bytes).take_while(|(a, b)| a == b).count().max(4096);
        let may_lose = sample.events_in(file, kept..bytes.len());
        repairs(&sample, copy.path(), &may_lose, &what);
        replaced += 1;
    }
    println!("{replaced} replaced by older copies");
    assert!(replaced >= 4);
}

#[test]
fn a_healthy_store_is_left_as_it_is() {
    for left in [Left::Closed, Left::Killed] {
        let sample = Sample::new(left, 7);
        let copy = directory();
        write(&sample.files, copy.path());
        let report = repairs(&sample, copy.path(), &[], "healthy");
        assert!(report.faults.is_empty() && report.directory.is_none(), "{report:?}");
    }
}

/// One of the kinds of damage, done to a copy; the events that it may cost.
fn damage_somewhere(sample: &Sample, dir: &Path, choice: &mut Choice) -> (String, Vec<u64>) {
    let files: Vec<_> = sample.files.keys().filter(|file| dir.join(file).exists()).collect();
    let file = files[choice.next() as usize % files.len()];
    let (path, mut bytes) = (dir.join(file), fs::read(dir.join(file)).unwrap());
    let at = choice.next() as usize % bytes.len().max(1);
    match choice.next() % 8 {
        0 => {
            fs::remove_file(&path).unwrap();
            (format!("{} deleted", file.display()), sample.events_in(file, 0..usize::MAX))
        }
        1 => {
            bytes.truncate(at);
            fs::write(&path, &bytes).unwrap();
            let from = if at < 4096 { 0 } else { at };
            (format!("{} cut at {at}", file.display()), sample.events_in(file, from..usize::MAX))
        }
        2 | 3 => {
            let end = (at + 512).min(bytes.len());
            bytes[at..end].fill(0);
            fs::write(&path, &bytes).unwrap();
            (format!("{at} to {end} of {} zeroed", file.display()), sample.events_in(file, at..end))
        }
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (choice.next() % 8);
            }
            fs::write(&path, &bytes).unwrap();
            (format!("byte {at} of {} flipped", file.display()), sample.events_in(file, at..at + 1))
        }
    }
}

#[test]
fn damage_in_several_places_at_once_is_repaired_and_every_position_accounted_for() {
    let (sample, mut choice) = (Sample::new(Left::Closed, 11), Choice::new(11));
    let rounds = if choice.full { 3000 } else { 50 };
    let (mut repaired, mut lost) = (0, 0);
    for round in 0..rounds {
        let copy = sample.copy();
        let (mut what, mut may_lose) = (format!("round {round}"), Vec::new());
        for _ in 0..2 + choice.next() % 4 {
            let (done, cost) = damage_somewhere(&sample, copy.path(), &mut choice);
            what = format!("{what}; {done}");
            may_lose.extend(cost);
        }
        if faults(copy.path()).is_empty() {
            continue;
        }
        lost += repairs(&sample, copy.path(), &may_lose, &what).lost_events();
        repaired += 1;
    }
    println!("{repaired} repaired that were damaged in several places, {lost} events lost");
    assert!(repaired > rounds / 2 && lost > 0);
}
