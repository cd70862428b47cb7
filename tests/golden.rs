//! Stores that were written once and are kept: what opened when they were written opens for ever.
//!
//! ```text
//!   tests/golden/store-v1/          closed cleanly: segments, index runs, snapshots, a cursor
//!   tests/golden/store-v1.jsonl     its events, as the command printed them
//!   tests/golden/killed-v1/         as a killed writer leaves it
//!   tests/golden/killed-v1.jsonl    its events
//! ```
//!
//! They are replaced only as long as no release has written their format: `cargo test --test golden -- --ignored` does it.
//! A later format gets stores of its own beside these.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use factlog::{
    BincodeCodec, Codec, CursorName, EventId, EventType, ExpectedVersion, JsonCodec, NewEvent, Options, Position,
    ReadAll, RecordedEvent, Store, StreamAppend, StreamName, Timestamp, Version, block_on, load_state, save_state,
    verify,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use support::command;
use tempfile::TempDir;
use uuid::Uuid;

const EVENTS: u64 = 385;

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// A copy of a kept store. The kept one is never opened: that could change it.
fn copy_of(name: &str) -> TempDir {
    let copy = TempDir::new().unwrap();
    copy_files(&kept(name), copy.path());
    copy
}

fn copy_files(from: &Path, to: &Path) {
    for (path, bytes) in files(from) {
        let to = to.join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
    }
}

/// All files below a directory, by their paths in it.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut left) = (BTreeMap::new(), vec![dir.to_owned()]);
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                found.insert(path.strip_prefix(dir).unwrap().to_owned(), fs::read(path).unwrap());
            }
        }
    }
    found
}

fn exported(store: &Path) -> Vec<u8> {
    let output = command(store, &["export"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn lines(name: &str) -> Vec<u8> {
    fs::read(kept(name)).unwrap()
}

fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

fn events(store: &Store, read: ReadAll) -> Vec<RecordedEvent> {
    store.read_all(read).collect::<Result<_, _>>().unwrap()
}

/// The state in the snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Meter {
    place: String,
    readings: u64,
    last: Option<i32>,
    faults: Vec<(u16, String)>,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Water,
    Heat { celsius: bool },
}

fn meter(readings: u64) -> Meter {
    let faults = vec![(7, "frozen".to_owned()), (65535, "überlaufen".to_owned())];
    Meter { place: "지하실".to_owned(), readings, last: Some(-20), faults, kind: Kind::Heat { celsius: true } }
}

mod written {
    //! How the kept stores were written.

    use super::*;

    fn id(number: u64) -> EventId {
        Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(number)).into()
    }

    /// The event of this number, of a second of its own.
    fn event(number: u64, event_type: &str, payload: impl Into<Vec<u8>>, metadata: &[u8]) -> NewEvent {
        let time = Timestamp::from_micros(1_767_225_600_000_000 + number as i64 * 1_000_001);
        NewEvent::new(EventType::new(event_type).unwrap(), payload.into())
            .with_metadata(metadata.to_vec())
            .with_id(id(number))
            .with_timestamp(time)
    }

    fn append(store: &Store, name: &str, events: Vec<NewEvent>) {
        store.append(&stream(name), ExpectedVersion::Any, events).unwrap();
    }

    fn options() -> Options {
        Options::new().first_segment_bytes(8 << 10).segment_bytes(16 << 10)
    }

    /// Every kind of payload, metadata, name and time.
    fn all_kinds(store: &Store) -> u64 {
        let payloads: [&[u8]; 8] = [
            b"{\"a\": 1.0}",
            b"{\n  \"a\": [1,\r\n2]\n}\n",
            b"\xff\x00",
            b"",
            b"null",
            b" 1 ",
            b"1e400",
            b"\"\\ud800\"",
        ];
        let metadatas: [&[u8]; 5] = [b"", b"null", b"{\"by\":\"me\"}", b"\xfe", b"[\n]"];
        let long = "n".repeat(512);
        let names = ["order-1", "order-2-b", "order", "주문-1", "-", "a stream", &long];
        let types = ["Opened", "주문됨", "Kind \"é\""];
        let mut number = 0;
        for payload in payloads {
            for metadata in metadatas {
                number += 1;
                let at = number as usize;
                append(store, names[at % names.len()], vec![event(number, types[at % 3], payload, metadata)]);
            }
        }
        for (micros, length) in [(-377_705_023_201_000_000, 5_000), (253_402_207_199_999_999, 17_000), (-1, 1)] {
            number += 1;
            let far = event(number, "Far", "x".repeat(length), b"").with_timestamp(Timestamp::from_micros(micros));
            append(store, "times", vec![far]);
        }
        number
    }

    fn golden_store(dir: &Path) {
        let store = options().open(dir).unwrap();
        let mut number = all_kinds(&store);
        let mut next = |event_type: &str| {
            number += 1;
            event(number, event_type, format!("{{\"value\":{number}}}"), b"{\"unit\":\"kWh\"}")
        };
        // One stream of many, in appends of many sizes; between them one append to several streams.
        for size in [1, 2, 3, 50, 94] {
            append(&store, "meter-1", (0..size).map(|_| next("Read")).collect());
            let streams = ["meter-2", "meter-3", "order-2-b"];
            let part = |name: &&str| StreamAppend::new(stream(name), ExpectedVersion::Any, vec![next("Moved")]);
            store.append_streams(streams.iter().map(part).collect()).unwrap();
        }
        for _ in 0..177 {
            append(&store, "meter-1", vec![next("Read")]);
        }
        assert_eq!(store.last_position(), Position::new(EVENTS));
        for version in [100, 200] {
            let (at, state) = (Version::new(version), meter(version));
            block_on(save_state(&store, &stream("meter-1"), at, &BincodeCodec, 3, &state)).unwrap();
        }
        block_on(save_state(&store, &stream("meter-2"), Version::new(4), &JsonCodec, 1, &meter(4))).unwrap();
        store.save_cursor(&CursorName::new("mailer").unwrap(), Position::new(123)).unwrap();
        store.close().unwrap();
    }

    fn killed_store(dir: &Path) {
        let open = TempDir::new().unwrap();
        let store = options().open(open.path()).unwrap();
        for number in 1..=60 {
            append(&store, "s", vec![event(number, "Noted", format!("{number}"), b"")]);
        }
        // What a kill leaves is what lies there while the store is open.
        copy_files(open.path(), dir);
    }

    #[test]
    #[ignore = "replaces the stores that are kept"]
    fn write_the_kept_stores() {
        for (name, write) in [("store-v1", golden_store as fn(&Path)), ("killed-v1", killed_store)] {
            let dir = kept(name);
            let _ = fs::remove_dir_all(&dir);
            fs::create_dir_all(&dir).unwrap();
            write(&dir);
            // It only holds the id of this process.
            let _ = fs::remove_file(dir.join("LOCK"));
            let copy = copy_of(name);
            fs::write(kept(&format!("{name}.jsonl")), exported(copy.path())).unwrap();
        }
    }
}

#[test]
fn a_kept_store_is_whole_and_holds_what_was_written() {
    let copy = copy_of("store-v1");
    let runs = |dir: &Path| -> Vec<(PathBuf, Vec<u8>)> {
        files(dir).into_iter().filter(|(path, _)| path.starts_with("index")).collect()
    };
    let kept_runs = runs(copy.path());
    assert!(!kept_runs.is_empty());

    let verified = verify(copy.path(), &mut |_| {}).unwrap();
    assert_eq!(verified.faults, []);
    assert_eq!((verified.events, verified.snapshots, verified.cursors, verified.torn_bytes), (EVENTS, 3, 1, 0));
    assert!(verified.segments > 3);
    assert_eq!(exported(copy.path()), lines("store-v1.jsonl"));
    // The runs were read as they are, and not made anew.
    Store::open(copy.path()).unwrap().close().unwrap();
    assert!(runs(copy.path()).starts_with(&kept_runs));
}

#[test]
fn a_kept_store_without_its_index_is_the_same() {
    let (with, without) = (copy_of("store-v1"), copy_of("store-v1"));
    fs::remove_dir_all(without.path().join("index")).unwrap();
    let stores = [with, without].map(|dir| (Store::open(dir.path()).unwrap(), dir));
    let [(with, _), (without, _)] = &stores;
    let all = || ReadAll::after(Position::START);
    let mut reads = vec![all(), all().backwards(), all().since(Timestamp::from_micros(1_767_225_700_000_000))];
    reads.extend(["order", "주문", "meter", "", "nobody"].map(|category| all().category(category)));
    reads.extend(["Read", "주문됨", "Far", "Never"].map(|name| all().event_type(EventType::new(name).unwrap())));
    reads.extend(["meter-1", "order-2-b", "times", "-"].map(|name| all().stream(stream(name)).backwards()));
    let mut found = 0;
    for read in reads {
        let events = [events(with, read.clone()), events(without, read.clone())];
        assert_eq!(events[0], events[1], "{read:?}");
        found += events[0].len();
    }
    assert!(found > 1000);
    for listed in with.streams() {
        let (name, version) = listed.unwrap();
        assert_eq!(without.stream_version(&name).unwrap(), version);
        let events: Vec<_> = without.read_stream(&name).collect::<Result<_, _>>().unwrap();
        assert_eq!(events.len() as u64, version.get());
        assert_eq!(events, with.read_stream(&name).collect::<Result<Vec<_>, _>>().unwrap());
    }
    assert_eq!(with.streams().count(), without.streams().count());
    for (store, dir) in stores {
        store.close().unwrap();
        assert_eq!(verify(dir.path(), &mut |_| {}).unwrap().faults, []);
        assert_eq!(exported(dir.path()), lines("store-v1.jsonl"));
    }
}

fn state<T: DeserializeOwned>(store: &Store, name: &str, below: u64, codec: &impl Codec) -> (Version, T) {
    let version = if codec.id() == BincodeCodec.id() { 3 } else { 1 };
    let loaded = block_on(load_state(store, &stream(name), Version::new(below), codec, version)).unwrap();
    assert!(loaded.skipped.is_empty(), "{:?}", loaded.skipped);
    loaded.state.unwrap()
}

#[test]
fn the_snapshots_and_the_cursor_of_a_kept_store_can_be_used() {
    let copy = copy_of("store-v1");
    let store = Store::open(copy.path()).unwrap();
    assert_eq!(state(&store, "meter-1", u64::MAX, &BincodeCodec), (Version::new(200), meter(200)));
    assert_eq!(state(&store, "meter-1", 199, &BincodeCodec), (Version::new(100), meter(100)));
    assert_eq!(state(&store, "meter-2", u64::MAX, &JsonCodec), (Version::new(4), meter(4)));
    let cursor = CursorName::new("mailer").unwrap();
    assert_eq!(store.cursors().unwrap(), std::slice::from_ref(&cursor));
    assert_eq!(store.cursor(&cursor).unwrap().position(), Position::new(123));
}

#[test]
fn a_kept_store_takes_appends_and_opens_again() {
    for (name, count) in [("store-v1", EVENTS), ("killed-v1", 60)] {
        let copy = copy_of(name);
        for round in 1..=3 {
            let store = Store::open(copy.path()).unwrap();
            assert_eq!(store.last_position(), Position::new(count + round - 1));
            assert_eq!(store.dropped_bytes(), 0);
            let more = NewEvent::new(EventType::new("More").unwrap(), "{}");
            let appended = store.append(&stream("meter-1"), ExpectedVersion::Any, vec![more]).unwrap();
            assert_eq!(appended.position, Position::new(count + round));
            store.close().unwrap();
        }
        assert_eq!(verify(copy.path(), &mut |_| {}).unwrap().faults, []);
        assert!(exported(copy.path()).starts_with(&lines(&format!("{name}.jsonl"))));
    }
}

#[test]
fn a_kept_store_of_a_killed_writer_has_every_event() {
    let copy = copy_of("killed-v1");
    let verified = verify(copy.path(), &mut |_| {}).unwrap();
    assert_eq!((verified.events, verified.faults), (60, vec![]));
    assert_eq!(exported(copy.path()), lines("killed-v1.jsonl"));
}

#[test]
fn kept_lines_can_be_imported() {
    for name in ["store-v1.jsonl", "killed-v1.jsonl"] {
        let dir = TempDir::new().unwrap();
        let store = dir.path().join("store");
        let imported = command(&store, &["import", kept(name).to_str().unwrap()]).output().unwrap();
        assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
        assert_eq!(exported(&store), lines(name));
    }
}
