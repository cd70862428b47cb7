//! Reading a store that another process has open, as a process of its own would: through a store that was opened to be read.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{fs, sync::mpsc, thread, time::Duration};

use factlog::{
    CursorName, Error, EventType, ExpectedVersion, NewEvent, Options, Position, ReadAll, Store, StreamName, Subscribe,
    Version, verify,
};
use tempfile::TempDir;

fn name(text: &str) -> StreamName {
    StreamName::new(text).unwrap()
}

fn append(store: &Store, stream: &str) -> Position {
    let event = NewEvent::new(EventType::new("T").unwrap(), vec![7; 100]);
    store.append(&name(stream), ExpectedVersion::Any, vec![event]).unwrap().position
}

fn writer(dir: &TempDir) -> Store {
    Options::new().first_segment_bytes(8 << 10).segment_bytes(16 << 10).open(dir.path()).unwrap()
}

fn reader(dir: &TempDir) -> Store {
    Options::new().read_only(true).segment_bytes(16 << 10).open(dir.path()).unwrap()
}

fn positions(store: &Store) -> Vec<u64> {
    store.read_all(ReadAll::after(Position::START)).map(|event| event.unwrap().position().get()).collect()
}

#[test]
fn a_reader_sees_what_the_writer_has_acknowledged_from_segment_to_segment() {
    let dir = TempDir::new().unwrap();
    let store = writer(&dir);
    append(&store, "a-0");
    let reader = reader(&dir);
    for round in 1..1500 {
        let last = append(&store, &format!("a-{}", round % 5));
        if round % 50 == 0 {
            assert_eq!(reader.last_position(), last);
            assert_eq!(positions(&reader), (1..=last.get()).collect::<Vec<_>>());
            let stream = name(&format!("a-{}", round % 5));
            assert_eq!(reader.stream_version(&stream).unwrap(), store.stream_version(&stream).unwrap());
            let events: Vec<_> = reader.read_stream(&stream).collect::<Result<_, _>>().unwrap();
            assert_eq!(Version::new(events.len() as u64), store.stream_version(&stream).unwrap());
            assert_eq!(reader.streams().count(), 5);
            assert_eq!(reader.stats().events, last.get());
        }
    }
    assert_eq!(verify(dir.path(), &mut |_| {}).unwrap().faults, []);
    assert_eq!(reader.verify().unwrap().events, 1500);
}

#[test]
fn a_subscriber_in_another_process_is_woken_by_what_comes() {
    let dir = TempDir::new().unwrap();
    let store = writer(&dir);
    append(&store, "a-0");
    let reader = reader(&dir);
    let (sender, receiver) = mpsc::channel();
    let following = thread::spawn(move || {
        let mut subscription = reader.subscribe(Subscribe::new().category("a")).unwrap();
        for _ in 0..300 {
            sender.send(subscription.next().unwrap().position()).unwrap();
        }
        assert!(subscription.next_within(Duration::from_millis(30)).unwrap().is_none());
    });
    assert_eq!(receiver.recv().unwrap(), Position::FIRST);
    for _ in 1..300 {
        let last = append(&store, "a-1");
        append(&store, "b-1");
        assert_eq!(receiver.recv().unwrap(), last);
    }
    following.join().unwrap();
}

#[test]
fn a_reader_changes_nothing_and_keeps_nobody_out() {
    let dir = TempDir::new().unwrap();
    let store = writer(&dir);
    (0..200).for_each(|_| assert!(append(&store, "a-1") > Position::START));
    store.close().unwrap();
    let sizes = |dir: &TempDir| {
        let entries = fs::read_dir(dir.path()).unwrap().map(Result::unwrap);
        let mut found: Vec<_> =
            entries.map(|entry| (entry.file_name(), entry.metadata().unwrap().modified().unwrap())).collect();
        found.sort();
        found
    };
    let before = sizes(&dir);
    let reader = reader(&dir);
    assert_eq!(positions(&reader).len(), 200);
    let refused = |error: Error| assert!(matches!(error, Error::ReadOnly { .. }), "{error}");
    refused(
        reader
            .append(&name("a"), ExpectedVersion::Any, vec![NewEvent::new(EventType::new("T").unwrap(), "")])
            .unwrap_err(),
    );
    refused(reader.save_cursor(&CursorName::new("c").unwrap(), Position::FIRST).unwrap_err());
    refused(reader.delete_snapshots(&name("a")).unwrap_err());
    assert_eq!(sizes(&dir), before);
    let store = writer(&dir);
    assert_eq!(append(&store, "a-1"), Position::new(201));
    assert_eq!(reader.last_position(), Position::new(201), "a writer that came later is followed too");
    drop(reader);
    assert!(Options::new().read_only(true).open(dir.path().join("none")).is_err());
}

#[test]
fn a_killed_writer_leaves_a_store_that_can_be_read() {
    let dir = TempDir::new().unwrap();
    let store = writer(&dir);
    (0..20).for_each(|_| assert!(append(&store, "a-1") > Position::START));
    let copy = TempDir::new().unwrap();
    fs::create_dir(copy.path().join("log")).unwrap();
    for folder in ["", "log"] {
        for entry in fs::read_dir(dir.path().join(folder)).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), copy.path().join(folder).join(entry.file_name())).unwrap();
            }
        }
    }
    assert_eq!(positions(&reader(&copy)), (1..=20).collect::<Vec<_>>());
}

#[test]
fn a_reader_that_cannot_tell_how_far_a_writer_is_says_so_and_does_not_see_less() {
    let dir = TempDir::new().unwrap();
    let store = writer(&dir);
    (0..20).for_each(|_| assert!(append(&store, "a-1") > Position::START));
    let path = dir.path().join("POSITION");
    let whole = fs::read(&path).unwrap();
    for damaged in [None, Some(whole[..100].to_vec()), Some([b"x", &whole[1..]].concat())] {
        // In place of the file: the writer has the old one mapped.
        fs::remove_file(&path).unwrap();
        if let Some(bytes) = damaged {
            fs::write(&path, bytes).unwrap();
        } else {
            assert!(!verify(dir.path(), &mut |_| {}).unwrap().faults.is_empty());
        }
        match Options::new().read_only(true).open(dir.path()) {
            Err(Error::Damaged(damage)) => assert!(damage.place.file.ends_with("POSITION"), "{damage}"),
            other => panic!("{other:?}"),
        }
        fs::write(&path, &whole).unwrap();
    }
    drop(store);
    fs::remove_file(&path).unwrap();
    assert_eq!(positions(&reader(&dir)).len(), 20, "without a writer nothing is missing");
}
