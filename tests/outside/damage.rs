//! Damage to what was acknowledged: the store does not open, names the place, and changes nothing.

use std::fs::{self, File};

use serde_json::{Value, json};

use crate::{
    format::{self, HEADER_BYTES, Record, Segment},
    support::{Factlog, event},
    torn_tails::killed,
};

/// Enough events of some 12 kB for several segments, the last of them far from full.
const EVENTS: u64 = 100;

fn data(number: u64) -> String {
    format!("\"{number} {}\"", "x".repeat(12_000))
}

/// The same events in a store that was closed.
fn closed() -> Factlog {
    let factlog = Factlog::new();
    let input: String = (1..=EVENTS).map(|number| event(data(number))).collect();
    factlog.lines(&["append", "s", "--each"], input);
    factlog
}

/// Stores whose log is whole, one that was closed and one whose writer was killed.
fn stores() -> Vec<(&'static str, Factlog)> {
    vec![("closed", closed()), ("killed", killed(EVENTS, data))]
}

/// Where damage is expected to be reported.
struct Place<'a> {
    segment: &'a str,
    offset: Option<u64>,
    position: Option<u64>,
}

/// Damages a store, sees what every command says of it, and mends it again.
fn expect_damage(what: &str, factlog: &Factlog, place: &Place, damage: impl Fn()) {
    let store = factlog.store();
    let whole = format::contents(&store);
    damage();
    let damaged = format::contents(&store);
    assert!(whole != damaged, "{what}: not damaged at all");
    for command in [&["append", "s"][..], &["read"], &["stats"]] {
        let run = factlog.run(command, if command[0] == "append" { event(0) } else { String::new() });
        assert_eq!((run.code, run.stdout.len()), (Some(4), 0), "{what}: {command:?}: {run:?}");
        for part in [Some(place.segment.to_owned()), named("offset", place.offset), named("position", place.position)] {
            assert!(part.is_some_and(|part| run.stderr.contains(&part)), "{what}: {command:?}: {}", run.stderr);
        }
        assert!(damaged == format::contents(&store), "{what}: {command:?} changed files");
    }
    let run = factlog.run(&["verify"], "");
    assert_eq!(run.code, Some(4), "{what}: {run:?}");
    let faults: Vec<Value> = run.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(faults[0]["segment"], json!(place.segment), "{what}");
    assert!(place.offset.is_none_or(|offset| faults[0]["offset"] == json!(offset)), "{what}: {faults:?}");
    assert!(place.position.is_none_or(|position| faults[0]["position"] == json!(position)), "{what}: {faults:?}");
    let Value::String(fault) = &faults[0]["fault"] else { panic!("{what}: {faults:?}") };
    let line = format!(
        r#"{{"segment":"{}","offset":{},"position":{},"fault":{}}}"#,
        place.segment,
        faults[0]["offset"],
        faults[0]["position"],
        json!(fault)
    );
    assert_eq!(run.lines()[0], line, "{what}");
    assert!(damaged == format::contents(&store), "{what}: verify changed files");
    format::restore(&store, &whole);
}

/// How a message names a number; any number, when none is expected.
fn named(what: &str, number: Option<u64>) -> Option<String> {
    Some(number.map_or(format!("{what} "), |number| format!("{what} {number}")))
}

fn flip(segment: &Segment, offset: u64) {
    let mut bytes = fs::read(&segment.path).unwrap();
    bytes[offset as usize] ^= 0x10;
    fs::write(&segment.path, bytes).unwrap();
}

fn at<'a>(segment: &'a Segment, record: &Record) -> Place<'a> {
    Place { segment: &segment.name, offset: Some(record.offset), position: Some(record.position) }
}

#[test]
fn the_stores_of_these_tests_have_several_segments() {
    for (how, factlog) in stores() {
        let segments = format::segments(&factlog.store());
        let events: usize = segments.iter().map(|segment| segment.records.len()).sum();
        assert_eq!(events as u64, EVENTS, "{how}");
        let used = segments.iter().filter(|segment| segment.records.len() > 2).count();
        assert!(used >= 3, "{how}: {used} segments with more than two records");
    }
}

#[test]
fn one_flipped_byte_in_an_acknowledged_record_with_others_behind_it_is_damage() {
    for (how, factlog) in stores() {
        for segment in &format::segments(&factlog.store()) {
            // Every record but the very last has acknowledged ones behind it.
            let records: Vec<&Record> = segment.records.iter().filter(|record| record.position < EVENTS).collect();
            let [first, .., last] = records[..] else { continue };
            for (record, byte) in
                [(first, 0), (first, 5), (first, 40), (last, last.length / 2), (last, last.length - 1)]
            {
                let what = format!("{how}: byte {byte} of record {} in {}", record.position, segment.name);
                expect_damage(&what, &factlog, &at(segment, record), || flip(segment, record.offset + byte));
            }
        }
    }
}

#[test]
fn a_zeroed_record_with_acknowledged_ones_behind_it_is_damage() {
    for (how, factlog) in stores() {
        for segment in &format::segments(&factlog.store()) {
            for record in segment.records.iter().filter(|record| record.position < EVENTS).step_by(7) {
                let what = format!("{how}: zeroed record {} in {}", record.position, segment.name);
                expect_damage(&what, &factlog, &at(segment, record), || {
                    let mut bytes = fs::read(&segment.path).unwrap();
                    bytes[record.offset as usize..record.end() as usize].fill(0);
                    fs::write(&segment.path, bytes).unwrap();
                });
            }
        }
    }
}

#[test]
fn a_shortened_or_missing_segment_is_damage() {
    for (how, factlog) in stores() {
        for segment in format::segments(&factlog.store()).iter().filter(|segment| !segment.records.is_empty()) {
            let anywhere = Place { segment: &segment.name, offset: None, position: None };
            let length = fs::metadata(&segment.path).unwrap().len();
            let middle = segment.records[segment.records.len() / 2].offset + 17;
            for cut in [0, 100, HEADER_BYTES, middle, length - 1] {
                let what = format!("{how}: {} cut to {cut} of {length} bytes", segment.name);
                expect_damage(&what, &factlog, &anywhere, || {
                    File::options().write(true).open(&segment.path).unwrap().set_len(cut).unwrap();
                });
            }
            let what = format!("{how}: {} missing", segment.name);
            expect_damage(&what, &factlog, &anywhere, || fs::remove_file(&segment.path).unwrap());
        }
    }
}

#[test]
fn a_log_that_goes_on_behind_the_end_that_an_older_manifest_names_is_damage() {
    let factlog = Factlog::new();
    factlog.lines(&["append", "s"], event(1));
    let [segment] = &format::segments(&factlog.store())[..] else { panic!("more than one segment") };
    let first = &segment.records[0];
    // As it was when the segment had been begun, and the store closed before anything was appended.
    let manifest = factlog.store().join("MANIFEST");
    let mut bytes = fs::read(&manifest).unwrap();
    bytes[40..48].fill(0);
    bytes[48..56].copy_from_slice(&HEADER_BYTES.to_le_bytes());
    bytes[56..60].fill(0);
    let checksum = [&bytes[..12], &bytes[16..]].concat();
    bytes[12..16].copy_from_slice(&crc32fast::hash(&checksum).to_le_bytes());
    expect_damage("an older manifest", &factlog, &Place { position: Some(1), ..at(segment, first) }, || {
        fs::write(&manifest, &bytes).unwrap();
    });
}

#[test]
fn an_empty_segment_file_that_a_crash_left_is_none_also_when_the_log_has_gone_on_since() {
    let factlog = killed(3, |number| number.to_string());
    let file = |base: u64| factlog.store().join(format!("log/{base:020}.seg"));
    let empty = vec![0; 8192];
    // About to be begun behind the last event; and one that came back, since removing it was never synced.
    for base in [4, 2] {
        fs::write(file(base), &empty).unwrap();
        assert_eq!(factlog.run(&["verify"], "").code, Some(0), "{base}");
        let before = factlog.lines(&["read"], "").len();
        assert_eq!(factlog.run(&["append", "s"], event(0)).code, Some(0), "{base}");
        assert_eq!(factlog.lines(&["read"], "").len(), before + 1, "{base}");
        assert_eq!(factlog.run(&["verify"], "").code, Some(0), "{base}");
        assert!(!file(base).exists(), "{base}: it takes up room");
    }
    // One farther on says that there were events which are gone.
    let anywhere = Place { segment: "log/00000000000000000009.seg", offset: None, position: None };
    expect_damage("events are missing", &factlog, &anywhere, || fs::write(file(9), &empty).unwrap());
}
