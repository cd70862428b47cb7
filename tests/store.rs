//! The embedded store, from outside the crate: what it promises, on real files.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Barrier},
    thread,
};

use factlog::{
    Action, Error, EventId, EventType, ExpectedVersion, Holder, NewEvent, Options, Position, ReadAll, ReadStream,
    RecordedEvent, Store, StreamName, Timestamp, Version, limits, verify,
};
use tempfile::TempDir;

fn name(text: &str) -> StreamName {
    StreamName::new(text).unwrap()
}

fn event(payload: impl Into<Vec<u8>>) -> NewEvent {
    NewEvent::new(EventType::new("Happened").unwrap(), payload.into())
}

fn all(store: &Store) -> Vec<RecordedEvent> {
    store.read_all(ReadAll::after(Position::START)).collect::<Result<_, _>>().unwrap()
}

/// Segments so small that they are begun and ended all the time.
fn small() -> Options {
    Options::new().first_segment_bytes(8 << 10).segment_bytes(32 << 10)
}

/// Every file below a directory with its bytes, but for what processes tell each other: the lock and the published position.
fn files(dir: &Path) -> HashMap<PathBuf, Vec<u8>> {
    let mut found = HashMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if !path.ends_with("LOCK") && !path.ends_with("POSITION") {
                // Files of the index come and go in the background.
                if let Ok(bytes) = fs::read(&path) {
                    found.insert(path.clone(), bytes);
                }
            }
        }
    }
    found
}

/// The segment files in order.
fn segments(dir: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(dir.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = names.filter(|path| path.extension().is_some_and(|ending| ending == "seg")).collect();
    found.sort();
    found
}

/// As `kill -9` leaves it: a copy of the files while the store is open.
fn killed_copy(dir: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for (path, bytes) in files(dir) {
        let to = copy.path().join(path.strip_prefix(dir).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
    }
    copy
}

#[test]
fn what_was_appended_is_read_back_after_reopening_with_everything_it_had() {
    let dir = TempDir::new().unwrap();
    let id = EventId::generate();
    let time: Timestamp = "2011-12-09T12:50:00.123456Z".parse().unwrap();
    let first = NewEvent::json("Placed", &serde_json::json!({"total": 59.98}))
        .unwrap()
        .with_id(id)
        .with_timestamp(time)
        .with_json_metadata(&serde_json::json!({"by": "me"}))
        .unwrap();
    for open in 0..2 {
        let store = Store::open(dir.path()).unwrap();
        if open == 0 {
            let appended =
                store.append(&name("order-1"), ExpectedVersion::NoStream, vec![first.clone(), event("x")]).unwrap();
            assert_eq!((appended.first_version, appended.version), (Version::FIRST, Version::new(2)));
            assert_eq!(appended.position, Position::new(2));
        }
        let events = all(&store);
        assert_eq!(events.len(), 2);
        assert_eq!((events[0].id(), events[0].timestamp()), (id, time));
        assert_eq!((events[0].stream(), events[0].event_type().as_str()), (name("order-1"), "Placed"));
        assert_eq!(events[0].json::<serde_json::Value>().unwrap()["total"], 59.98);
        assert_eq!(events[0].json_metadata::<serde_json::Value>().unwrap().unwrap()["by"], "me");
        assert_eq!((events[1].position(), events[1].version()), (Position::new(2), Version::new(2)));
        assert!(events[1].metadata().is_empty());
        assert_eq!(store.dropped_bytes(), 0);
        store.close().unwrap();
    }
}

#[test]
fn a_repetition_is_recognised_after_reopening_too() {
    let dir = TempDir::new().unwrap();
    let (one, two) = (event("1"), event("2"));
    let answer = {
        let store = Store::open(dir.path()).unwrap();
        store.append(&name("s"), ExpectedVersion::Any, vec![one.clone()]).unwrap()
    };
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.append(&name("s"), ExpectedVersion::Any, vec![one]).unwrap(), answer);
    store.append(&name("s"), ExpectedVersion::Any, vec![two]).unwrap();
    assert_eq!(store.last_position(), Position::new(2));
}

#[test]
fn input_beyond_a_limit_is_refused_before_anything_is_written() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let refuse = |events| {
        let error = store.append(&name("s"), ExpectedVersion::Any, events).unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{error}");
        assert_eq!(error.action(), Action::FixInput);
    };
    refuse(vec![]);
    refuse(vec![event(vec![0; limits::EVENT_BYTES])]);
    refuse(vec![event(vec![0; 12 << 20]); 3]);
    refuse(vec![event(""); limits::APPEND_EVENTS + 1]);
    assert_eq!(store.last_position(), Position::START);
    assert!(segments(dir.path()).is_empty(), "no segment was begun");
}

#[test]
fn the_largest_append_is_stored_and_read_back() {
    let dir = TempDir::new().unwrap();
    let largest = limits::EVENT_BYTES - "s".len() - "Happened".len();
    let store = Store::open(dir.path()).unwrap();
    store.append(&name("s"), ExpectedVersion::Any, vec![event(vec![7; largest]), event(vec![8; largest])]).unwrap();
    let most = (0..limits::APPEND_EVENTS).map(|_| event("x")).collect();
    store.append(&name("s"), ExpectedVersion::Any, most).unwrap();
    store.close().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let events = all(&store);
    assert_eq!(events.len(), 2 + limits::APPEND_EVENTS);
    assert!(events[1].payload().iter().all(|byte| *byte == 8) && events[1].payload().len() == largest);
}

#[test]
fn reads_are_bounded_by_version_position_and_limit() {
    let dir = TempDir::new().unwrap();
    let store = small().open(dir.path()).unwrap();
    for round in 0..600 {
        for stream in ["a", "b"] {
            store.append(&name(stream), ExpectedVersion::Any, vec![event(format!("{stream}{round}"))]).unwrap();
        }
    }
    let versions = |read: ReadStream| -> Vec<u64> {
        let events: Vec<_> = store.read_stream(read).collect::<Result<_, _>>().unwrap();
        assert!(events.iter().all(|event| event.stream() == "a"));
        events.iter().map(|event| event.version().get()).collect::<Vec<_>>()
    };
    let a = ReadStream::new(&name("a"));
    assert_eq!(versions(a.clone()), (1..=600).collect::<Vec<_>>());
    assert_eq!(versions(a.clone().from(Version::new(599))), [599, 600]);
    assert_eq!(versions(a.clone().from(Version::NONE).to(Version::new(2))), [1, 2]);
    assert_eq!(versions(a.clone().from(Version::new(300)).to(Version::new(700)).limit(2)), [300, 301]);
    assert_eq!(versions(a.clone().from(Version::new(601))), [0u64; 0]);
    assert_eq!(versions(a.clone().from(Version::new(5)).to(Version::new(4))), [0u64; 0]);
    assert_eq!(versions(a.limit(0)), [0u64; 0]);
    assert_eq!(store.read_stream(&name("none")).count(), 0);
    let positions =
        |read: ReadAll| store.read_all(read).map(|event| event.unwrap().position().get()).collect::<Vec<_>>();
    assert_eq!(positions(ReadAll::after(Position::START)), (1..=1200).collect::<Vec<_>>());
    assert_eq!(positions(ReadAll::after(Position::new(1198))), [1199, 1200]);
    assert_eq!(positions(ReadAll::after(Position::new(7)).limit(1)), [8]);
    assert_eq!(positions(ReadAll::after(Position::new(1200))), [0u64; 0]);
    assert_eq!(positions(ReadAll::after(Position::new(u64::MAX))), [0u64; 0]);
    let streams: Vec<_> = store.streams().collect::<Result<_, _>>().unwrap();
    assert_eq!(streams, [(name("a"), Version::new(600)), (name("b"), Version::new(600))]);
}

#[test]
fn many_threads_share_commits_and_positions_stay_dense() {
    let dir = TempDir::new().unwrap();
    let store = small().open(dir.path()).unwrap();
    let (threads, appends) = (16, 100);
    let barrier = Arc::new(Barrier::new(threads));
    let writers: Vec<_> = (0..threads)
        .map(|writer| {
            let (store, barrier) = (store.clone(), barrier.clone());
            thread::spawn(move || {
                barrier.wait();
                let stream = name(&format!("w-{writer}"));
                for append in 0..appends {
                    let expected = ExpectedVersion::Exact(Version::new(append * 2));
                    let events = vec![event(format!("{append}")), event(vec![writer as u8; append as usize * 7])];
                    let appended = store.append(&stream, expected, events).unwrap();
                    assert!(store.last_position() >= appended.position, "acknowledged before it was durable");
                    assert_eq!(store.stream_version(&stream).unwrap(), appended.version);
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    for reopened in [false, true] {
        let copy = killed_copy(dir.path());
        let store = if reopened { small().open(copy.path()).unwrap() } else { store.clone() };
        let events = all(&store);
        assert_eq!(events.len(), threads * appends as usize * 2);
        let mut versions: HashMap<StreamName, u64> = HashMap::new();
        for (index, event) in events.iter().enumerate() {
            assert_eq!(event.position().get(), index as u64 + 1);
            let version = versions.entry(event.stream()).or_default();
            *version += 1;
            assert_eq!(event.version().get(), *version);
        }
    }
}

#[test]
fn a_store_of_three_events_takes_less_than_two_mebibytes() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for _ in 0..3 {
        store.append(&name("s"), ExpectedVersion::Any, vec![event("x")]).unwrap();
    }
    store.close().unwrap();
    let bytes: usize = files(dir.path()).values().map(Vec::len).sum();
    assert!(bytes < 2 << 20, "{bytes} bytes");
}

#[test]
fn segments_double_in_size_up_to_the_full_size_and_larger_appends_get_their_own() {
    let dir = TempDir::new().unwrap();
    let store = small().open(dir.path()).unwrap();
    for _ in 0..40 {
        store.append(&name("s"), ExpectedVersion::Any, vec![event(vec![1; 3000])]).unwrap();
    }
    store.append(&name("s"), ExpectedVersion::Any, vec![event(vec![1; 100_000])]).unwrap();
    store.append(&name("s"), ExpectedVersion::Any, vec![event(vec![1; 7000])]).unwrap();
    let sizes: Vec<_> = segments(dir.path()).iter().map(|path| fs::metadata(path).unwrap().len() >> 10).collect();
    assert_eq!(sizes[..3], [8, 16, 32]);
    assert_eq!(sizes[3..sizes.len() - 1].iter().max(), Some(&104));
    assert_eq!(sizes.last(), Some(&32));
    assert_eq!(all(&store).len(), 42);
    assert_eq!(store.verify().unwrap().faults, []);
}

#[test]
fn a_second_opening_is_refused_and_names_the_process_and_succeeds_after_the_first_is_dropped() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    match Store::open(dir.path()).unwrap_err() {
        Error::InUse { holder, .. } => assert_eq!(holder, Holder::Process(std::process::id())),
        other => panic!("{other}"),
    }
    assert_eq!(verify(dir.path(), &mut |_| {}).unwrap().faults, [], "it only reads");
    drop(store);
    Store::open(dir.path()).unwrap();
}

#[test]
fn a_path_that_is_no_store_is_refused_and_left_as_it_is() {
    let dir = TempDir::new().unwrap();
    let refused = |options: &Options, path: &Path| {
        let error = options.open(path).unwrap_err();
        assert!(matches!(error, Error::NotAStore { .. }), "{error}");
    };
    let file = dir.path().join("file");
    fs::write(&file, "text").unwrap();
    refused(&Options::new(), &file);
    refused(&Options::new(), dir.path());
    assert_eq!(files(dir.path()).len(), 1);
    let missing = dir.path().join("missing");
    refused(&Options::new().create(false), &missing);
    assert!(!missing.exists());
    fs::create_dir(&missing).unwrap();
    refused(&Options::new().create(false), &missing);
    assert_eq!(fs::read_dir(&missing).unwrap().count(), 0);
    Store::open(dir.path().join("a/b/c")).unwrap();
}

#[test]
fn a_store_of_a_newer_format_is_refused_as_such() {
    let dir = TempDir::new().unwrap();
    Store::open(dir.path()).unwrap().close().unwrap();
    let path = dir.path().join("MANIFEST");
    let mut manifest = fs::read(&path).unwrap();
    manifest[8] = 2;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&manifest[..12]);
    hasher.update(&manifest[16..]);
    manifest[12..16].copy_from_slice(&hasher.finalize().to_le_bytes());
    fs::write(&path, manifest).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(&error, Error::NotAStore { reason, .. } if reason.contains("format 2")), "{error}");
}

/// A store with `events` events in one stream, all in the first segment, as a kill leaves it; the offset of each record
/// and of the end.
fn killed(events: usize) -> (TempDir, Vec<usize>) {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for number in 0..events {
        store.append(&name("s"), ExpectedVersion::Any, vec![event(format!("event {number}"))]).unwrap();
    }
    let copy = killed_copy(dir.path());
    let bytes = fs::read(&segments(copy.path())[0]).unwrap();
    let mut offsets = vec![4096];
    for _ in 0..events {
        let at = offsets[offsets.len() - 1];
        let length = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        offsets.push(at + length.next_multiple_of(8));
    }
    (copy, offsets)
}

/// Opening fails with damage at this offset and position, and so does every other reading; and nothing is changed.
fn assert_damaged(dir: &Path, offset: u64, position: u64) {
    let before = files(dir);
    match Store::open(dir) {
        Err(Error::Damaged(damage)) => {
            assert_eq!((damage.place.offset, damage.place.position.get()), (offset, position), "{damage}");
        }
        other => panic!("{other:?}"),
    }
    let verified = verify(dir, &mut |_| {}).unwrap();
    assert_eq!(verified.faults[0].place.offset, offset, "{:?}", verified.faults);
    assert!(files(dir) == before, "a refused opening changed a file");
}

#[test]
fn a_tail_torn_anywhere_in_the_last_record_of_a_killed_store_is_dropped_and_appends_go_on() {
    let (killed, offsets) = killed(3);
    let segment = segments(killed.path())[0].clone();
    let whole = fs::read(&segment).unwrap();
    for torn_at in offsets[2]..offsets[3] {
        let mut torn = whole.clone();
        torn[torn_at..].fill(0);
        // What the checksum does not see is the padding, and that is zero anyway.
        let intact = torn == whole;
        fs::write(&segment, &torn).unwrap();
        let copy = killed_copy(killed.path());
        let store = Store::open(copy.path()).unwrap();
        let left = if intact { 3 } else { 2 };
        assert_eq!(store.last_position().get(), left, "torn at {torn_at}");
        let appended = store.append(&name("s"), ExpectedVersion::Exact(Version::new(left)), vec![event("on")]).unwrap();
        assert_eq!(appended.position.get(), left + 1);
        assert_eq!(store.dropped_bytes() > 0, !intact && torn_at > offsets[2]);
        // Behind torn bytes nothing is appended: a new segment was begun.
        assert_eq!(segments(copy.path()).len(), if store.dropped_bytes() > 0 { 2 } else { 1 });
        store.close().unwrap();
        let store = Store::open(copy.path()).unwrap();
        assert_eq!(store.last_position().get(), left + 1);
        assert_eq!(store.verify().unwrap().faults, []);
    }
}

#[test]
fn the_same_tail_is_damage_after_a_clean_close() {
    let (killed, offsets) = killed(3);
    Store::open(killed.path()).unwrap().close().unwrap();
    let segment = segments(killed.path())[0].clone();
    let whole = fs::read(&segment).unwrap();
    for torn_at in offsets[2]..offsets[3] {
        let mut torn = whole.clone();
        torn[torn_at..].fill(0);
        if torn != whole {
            fs::write(&segment, &torn).unwrap();
            assert_damaged(killed.path(), offsets[2] as u64, 3);
        }
    }
}

#[test]
fn a_flipped_byte_in_an_acknowledged_record_is_damage_and_names_the_place() {
    let (killed, offsets) = killed(3);
    let segment = segments(killed.path())[0].clone();
    let whole = fs::read(&segment).unwrap();
    for at in offsets[1]..offsets[2] {
        let mut changed = whole.clone();
        changed[at] ^= 0x20;
        fs::write(&segment, &changed).unwrap();
        assert_damaged(killed.path(), offsets[1] as u64, 2);
    }
}

#[test]
fn a_zeroed_record_with_acknowledged_ones_behind_it_is_damage() {
    let (killed, offsets) = killed(4);
    let segment = segments(killed.path())[0].clone();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[offsets[1]..offsets[2]].fill(0);
    fs::write(&segment, &bytes).unwrap();
    assert_damaged(killed.path(), offsets[1] as u64, 2);
}

#[test]
fn a_missing_or_shortened_segment_is_damage() {
    let dir = TempDir::new().unwrap();
    let store = small().open(dir.path()).unwrap();
    for _ in 0..60 {
        store.append(&name("s"), ExpectedVersion::Any, vec![event(vec![5; 900])]).unwrap();
    }
    let count = segments(dir.path()).len();
    assert!(count >= 3);
    for closed in [false, true] {
        for index in 0..count {
            for shortened in [false, true] {
                let copy = killed_copy(dir.path());
                if closed {
                    small().open(copy.path()).unwrap().close().unwrap();
                }
                let segment = segments(copy.path())[index].clone();
                let base = Path::new(segment.file_stem().unwrap()).to_str().unwrap().parse().unwrap();
                if shortened {
                    let len = fs::metadata(&segment).unwrap().len();
                    fs::File::options().write(true).open(&segment).unwrap().set_len(len - 4096).unwrap();
                } else {
                    fs::remove_file(&segment).unwrap();
                }
                assert_damaged(copy.path(), 0, base);
            }
        }
    }
}

#[test]
fn a_missing_or_damaged_manifest_is_damage() {
    let (killed, _) = killed(1);
    let path = killed.path().join("MANIFEST");
    let mut bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert_damaged(killed.path(), 0, 0);
    bytes[20] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_damaged(killed.path(), 0, 0);
}

#[test]
fn a_crash_while_a_segment_without_records_is_replaced_leaves_a_store_that_opens() {
    // The only append ever made is torn; reopened, and closed or not, the next append begins a larger segment in its place.
    for closed in [false, true] {
        let (killed, offsets) = killed(1);
        let segment = segments(killed.path())[0].clone();
        let mut bytes = fs::read(&segment).unwrap();
        bytes[offsets[0] + 20..offsets[1]].fill(0);
        fs::write(&segment, bytes).unwrap();
        if closed {
            Store::open(killed.path()).unwrap().close().unwrap();
        }
        let store = Store::open(killed.path()).unwrap();
        let before = fs::read(killed.path().join("MANIFEST")).unwrap();
        store.append(&name("s"), ExpectedVersion::Any, vec![event(vec![1; 600_000])]).unwrap();
        drop(store);
        // The crash: the new file has its name, and the manifest is the one from before.
        fs::write(killed.path().join("MANIFEST"), before).unwrap();
        let mut bytes = fs::read(&segment).unwrap();
        bytes[4096..].fill(0);
        fs::write(&segment, bytes).unwrap();
        let store = Store::open(killed.path()).unwrap();
        assert_eq!(store.last_position(), Position::START);
        store.append(&name("s"), ExpectedVersion::NoStream, vec![event("x")]).unwrap();
        assert_eq!(store.verify().unwrap().faults, []);
    }
}

#[test]
fn what_lies_behind_the_end_of_a_segment_is_watched_too() {
    let dir = TempDir::new().unwrap();
    let store = small().open(dir.path()).unwrap();
    for _ in 0..30 {
        store.append(&name("s"), ExpectedVersion::Any, vec![event(vec![5; 900])]).unwrap();
    }
    store.close().unwrap();
    let sealed = segments(dir.path())[0].clone();
    let mut bytes = fs::read(&sealed).unwrap();
    let last = bytes.len() - 1;
    assert_eq!(bytes[last], 0);
    bytes[last] = 1;
    fs::write(&sealed, bytes).unwrap();
    let verified = verify(dir.path(), &mut |_| {}).unwrap();
    assert!(verified.faults[0].fault.contains("unused rest"), "{:?}", verified.faults);
}

#[test]
fn opening_again_and_again_without_an_append_writes_nothing() {
    let (killed, _) = killed(2);
    Store::open(killed.path()).unwrap().close().unwrap();
    let before = files(killed.path());
    for _ in 0..3 {
        Store::open(killed.path()).unwrap().close().unwrap();
    }
    assert!(files(killed.path()) == before);
}
