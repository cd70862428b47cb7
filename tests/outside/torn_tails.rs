//! The end of the log cut at each byte: a torn tail after a kill, damage after a clean close.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
};

use serde_json::json;

use crate::{
    format::{self, Record},
    support::{Factlog, event},
};

const EVENTS: u64 = 5;

/// A store of [`EVENTS`] acknowledged events whose writer was killed.
pub fn killed(events: u64, data: impl Fn(u64) -> String) -> Factlog {
    let factlog = Factlog::new();
    let mut child = factlog.spawn(&["append", "s", "--each"]);
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for number in 1..=events {
        stdin.write_all(event(data(number)).as_bytes()).unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert!(line.contains(&format!("\"position\":{number}}}")), "{line}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    factlog
}

/// The last record, and the bytes of its segment.
fn last(factlog: &Factlog) -> (format::Segment, Record, Vec<u8>) {
    let segment = format::segments(&factlog.store()).pop().unwrap();
    let record = *segment.records.last().unwrap();
    let bytes = fs::read(&segment.path).unwrap();
    assert!(bytes[record.end() as usize..].iter().all(|byte| *byte == 0));
    (segment, record, bytes)
}

#[test]
fn a_tail_torn_at_any_byte_is_dropped_and_appends_go_on() {
    let factlog = killed(EVENTS, |number| number.to_string());
    let (segment, record, bytes) = last(&factlog);
    let before = format::contents(&factlog.store());
    let expected = factlog.run(&["read"], "").lines();
    assert_eq!(expected.len() as u64, EVENTS);
    for from in record.offset..record.end() {
        let mut torn = bytes.clone();
        torn[from as usize..].fill(0);
        let whole = torn == bytes;
        let kept = if whole { EVENTS } else { EVENTS - 1 };
        format::restore(&factlog.store(), &before);
        fs::write(&segment.path, torn).unwrap();

        let opened = factlog.run(&["read"], "");
        assert_eq!(opened.lines(), expected[..kept as usize], "torn from {from}: {}", opened.stderr);
        // Where only zeros are left of the record, there is nothing to drop.
        let remains = bytes[record.offset as usize..from as usize].iter().any(|byte| *byte != 0);
        assert_eq!(opened.stderr.contains("dropped "), !whole && remains, "torn from {from}");
        let next = kept + 1;
        let appended = factlog.json(&["append", "s", "--expect", &kept.to_string()], event("\"more\""));
        assert_eq!(appended, [json!({"stream": "s", "version": next, "position": next})], "torn from {from}");
        let lines = factlog.lines(&["read"], "");
        assert_eq!(lines[..kept as usize], expected[..kept as usize], "torn from {from}");
        assert_eq!(lines.len() as u64, next, "torn from {from}");
        assert_eq!(factlog.run(&["verify"], "").code, Some(0), "torn from {from}");
    }
}

#[test]
fn the_same_after_a_clean_close_is_damage() {
    let factlog = Factlog::new();
    for number in 1..=EVENTS {
        factlog.lines(&["append", "s"], event(number));
    }
    let (segment, record, bytes) = last(&factlog);
    let mut refused = 0;
    for from in record.offset..record.end() {
        let mut torn = bytes.clone();
        torn[from as usize..].fill(0);
        if torn == bytes {
            continue;
        }
        fs::write(&segment.path, torn).unwrap();
        let before = format::contents(&factlog.store());
        let run = factlog.run(&["append", "s"], event(0));
        assert_eq!((run.code, run.stdout.len()), (Some(4), 0), "torn from {from}: {run:?}");
        let place = format!("{}, offset {}, position {}", segment.name, record.offset, record.position);
        assert!(run.stderr.contains(&place), "torn from {from}: {}", run.stderr);
        assert!(before == format::contents(&factlog.store()), "torn from {from}: files were changed");
        refused += 1;
    }
    assert!(refused > 70, "only {refused} of a record's bytes");
    fs::write(&segment.path, bytes).unwrap();
    assert_eq!(factlog.lines(&["read"], "").len() as u64, EVENTS);
}
