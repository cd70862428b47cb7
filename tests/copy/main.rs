//! `factlog copy` between stores of every kind, killed and cut off at every moment.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

#[cfg(any(feature = "postgres", feature = "jetstream"))]
mod engines;
mod interrupted;
#[cfg(feature = "jetstream")]
#[path = "../support/nats.rs"]
mod nats;
#[cfg(any(feature = "postgres", feature = "jetstream"))]
mod orders;
#[cfg(feature = "postgres")]
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/mod.rs"]
mod support;

use std::{fs, path::Path};

use factlog::{EventType, ExpectedVersion, NewEvent, Store, StreamAppend, StreamName, Timestamp, Version};
use process::Process;
use serde_json::{Value, json};
use support::{Factlog, Run, event, finish};

/// Runs the command, which may name its stores as it likes.
fn factlog(arguments: &[&str]) -> Run {
    finish(process::factlog().args(arguments), b"")
}

fn copy(from: &str, to: &str) -> Run {
    factlog(&["copy", "--from", from, "--to", to])
}

/// What `copy` printed, when it ended well.
fn copied(from: &str, to: &str) -> Value {
    let run = copy(from, to);
    assert_eq!(run.code, Some(0), "{run:?}");
    serde_json::from_str(&run.lines()[0]).unwrap()
}

fn exported(store: &str) -> Vec<String> {
    let run = factlog(&["--store", store, "export"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    run.lines()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Events of every shape, and so many more, in streams that alternate and follow each other.
fn filled(directory: &Path, more: u64) {
    let store = Store::open(directory).unwrap();
    let stream = |name: &str| StreamName::new(name).unwrap();
    let kind = |name: &str| EventType::new(name).unwrap();
    let whole = NewEvent::new(kind("Placed"), "{\"total\": 59.980}").with_metadata("{\"by\" : \"me\"}");
    let bytes = NewEvent::new(kind("Измерено"), vec![0u8, 255, 10]).with_metadata(vec![254u8]);
    let old = NewEvent::new(kind("Old"), "").with_timestamp(Timestamp::from_micros(-1));
    let appends = vec![
        StreamAppend::new(stream("order-1"), Version::NONE, vec![whole, old]),
        StreamAppend::new(stream("주문 > *.%"), ExpectedVersion::Any, vec![bytes]),
    ];
    store.append_streams(appends).unwrap();
    let large = NewEvent::new(kind("Large"), vec![b'x'; 600 << 10]);
    store.append(&stream("order-1"), ExpectedVersion::Any, vec![large]).unwrap();
    let mut last = None;
    for number in 0..more {
        let count = if number % 50 == 0 { 30 } else { 1 };
        let events = (0..count).map(|_| NewEvent::new(kind("Noted"), number.to_string())).collect();
        let to = stream(&format!("note-{}", number * 7919 % 17));
        last = Some(store.submit(&to, ExpectedVersion::Any, events).unwrap());
    }
    last.into_iter().for_each(|last| {
        last.wait().unwrap();
    });
    store.close().unwrap();
}

#[test]
fn a_copy_has_everything_in_the_same_order_and_a_second_run_adds_what_came_since() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    filled(&from, 3000);
    let source = exported(text(&from));
    let line = copied(text(&from), text(&to));
    assert_eq!((&line["copied"], &line["events"]), (&json!(source.len()), &json!(source.len())));
    assert!(exported(text(&to)) == source);

    let again = copied(text(&from), text(&to));
    assert_eq!((&again["copied"], &again["events"]), (&json!(0), &json!(source.len())));
    assert_eq!(again["checksum"], line["checksum"]);
    let two = "{\"type\":\"Late\",\"data\":1}\n{\"type\":\"Late\",\"data\":2}\n";
    finish(process::factlog().args(["--store", text(&from), "append", "order-1"]), two.as_bytes());
    let more = copied(text(&from), text(&to));
    assert_eq!((&more["copied"], &more["events"]), (&json!(2), &json!(source.len() + 2)));
    assert_ne!(more["checksum"], line["checksum"]);
    assert!(exported(text(&to)) == exported(text(&from)));
}

#[test]
fn a_store_goes_into_a_server_and_out_of_it_into_another_directory() {
    let directory = tempfile::tempdir().unwrap();
    let [from, served, to] = ["from", "served", "to"].map(|name| directory.path().join(name));
    filled(&from, 2000);
    let server = Process::on(&served, "127.0.0.1:0");
    let there = copied(text(&from), &server.url());
    let back = copied(&server.url(), text(&to));
    assert_eq!(there, back);
    assert!(exported(text(&to)) == exported(text(&from)));
}

#[test]
fn an_empty_store_is_copied_as_an_empty_one() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    Store::open(&from).unwrap().close().unwrap();
    assert_eq!(copied(text(&from), text(&to))["events"], 0);
    assert_eq!(exported(text(&to)), [""; 0]);
    let missing = copy(text(&directory.path().join("nowhere")), text(&to));
    assert_eq!(missing.code, Some(2), "{missing:?}");
}

#[test]
fn a_store_with_other_events_is_refused_and_left_as_it_is() {
    let (source, other) = (Factlog::new(), Factlog::new());
    let [from, to] = [&source, &other].map(|factlog| text(&factlog.store()).to_owned());
    source.lines(&["append", "s", "--each"], (1..=5).map(event).collect::<String>());
    let refused = |said: &str| {
        let before = exported(&to);
        let run = copy(&from, &to);
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains("has other events") && run.stderr.contains(said), "{}", run.stderr);
        assert!(exported(&to) == before);
    };
    other.lines(&["append", "s"], event(1));
    refused("its first event at position 1, version 1 of stream `s`");
    fs::remove_dir_all(&to).unwrap();
    copied(&from, &to);
    other.lines(&["append", "own"], event(1));
    refused("its last event at position 6, version 1 of stream `own`");
}

#[test]
fn a_copy_that_differs_in_the_middle_is_found_and_the_place_is_named() {
    let (source, other) = (Factlog::new(), Factlog::new());
    source.lines(&["append", "s", "--each"], (1..=5).map(event).collect::<String>());
    let lines = source.lines(&["read"], "").join("\n");
    assert!(lines.contains("\"data\":3,"));
    other.run(&["import"], lines.replace("\"data\":3,", "\"data\":33,"));
    let run = copy(text(&source.store()), text(&other.store()));
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.stderr.contains("the stores differ at event 3: where the source has version 3 of stream `s`"),
        "{run:?}"
    );
}

#[test]
fn a_copy_ends_before_lost_events_and_says_which() {
    let (source, other) = (Factlog::new(), Factlog::new());
    source.lines(&["append", "s", "--each"], (1..=10).map(event).collect::<String>());
    source.damage(6);
    assert_eq!(source.run(&["repair"], "").code, Some(0));
    for _ in 0..2 {
        let run = copy(text(&source.store()), text(&other.store()));
        assert_eq!(run.code, Some(4), "{run:?}");
        assert!(run.stderr.contains("the event at position 6 is lost"), "{}", run.stderr);
        assert_eq!(other.lines(&["read"], "").len(), 5);
    }
}

#[test]
fn commands_on_files_do_not_work_on_an_engine_and_say_so() {
    for store in ["postgres://me:secret@127.0.0.1/shop", "nats://127.0.0.1:1"] {
        for arguments in [&["verify"][..], &["repair"], &["backup", "x"], &["serve"]] {
            let run = factlog(&[&["--store", store], arguments].concat());
            assert_eq!(run.code, Some(2), "{arguments:?}: {run:?}");
            assert!(run.stderr.contains("give it their directory") && !run.stderr.contains("secret"), "{}", run.stderr);
        }
    }
}

#[cfg(not(any(feature = "postgres", feature = "jetstream")))]
#[test]
fn a_command_without_an_engine_says_that_it_is_without() {
    for (store, feature) in [("postgres://127.0.0.1/shop", "postgres"), ("nats://127.0.0.1:1", "jetstream")] {
        for arguments in [&["read"][..], &["export"], &["stats"], &["streams"], &["orders", "history", "1"]] {
            let run = factlog(&[&["--store", store], arguments].concat());
            assert_eq!(run.code, Some(2), "{arguments:?}: {run:?}");
            assert!(run.stderr.contains(&format!("without the feature `{feature}`")), "{}", run.stderr);
        }
    }
}
