//! What a store keeps beside its log, snapshots and cursors, from outside the crate and on real files.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use factlog::{
    Action, CodecId, CursorName, Error, EventType, ExpectedVersion, NewEvent, Options, Position, SkipReason,
    SkippedSnapshot, Snapshot, Store, StreamName, Version, limits, verify,
};
use tempfile::TempDir;

fn name(text: &str) -> StreamName {
    StreamName::new(text).unwrap()
}

fn cursor_name(text: &str) -> CursorName {
    CursorName::new(text).unwrap()
}

fn at(version: u64) -> Version {
    Version::new(version)
}

/// Appends so many events to a stream.
fn grow(store: &Store, stream: &str, events: usize) {
    let event = |_| NewEvent::new(EventType::new("Happened").unwrap(), &b"x"[..]);
    store.append(&name(stream), ExpectedVersion::Any, (0..events).map(event).collect()).unwrap();
}

fn snapshot(stream: &str, version: u64) -> Snapshot {
    Snapshot::new(&name(stream), at(version), CodecId::new(5000), 1, format!("{stream} at {version}"))
}

/// A store whose stream `s` has ten events.
fn store_of_ten(options: &Options) -> (TempDir, Store) {
    let dir = TempDir::new().unwrap();
    let store = options.open(dir.path()).unwrap();
    grow(&store, "s", 10);
    (dir, store)
}

/// All files below a directory of the store whose names end so, in order.
fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let (mut found, mut left) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if path.to_str().unwrap().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The version of the snapshot that is found, and how those were called that were skipped.
fn found(store: &Store, stream: &str, at_or_below: Version) -> (Option<u64>, Vec<(u64, &'static str)>) {
    let loaded = store.load_snapshot(&name(stream), at_or_below).unwrap();
    let kind = |skipped: &SkippedSnapshot| match &skipped.reason {
        SkipReason::Damaged(_) => "damaged",
        SkipReason::Misplaced(_) => "misplaced",
        SkipReason::Ahead { .. } => "ahead",
        other => panic!("{other}"),
    };
    let skipped = loaded.skipped.iter().map(|skipped| (skipped.version.get(), kind(skipped))).collect();
    (loaded.snapshot.map(|snapshot| snapshot.version.get()), skipped)
}

/// The files that are named in the faults that `verify` finds.
fn faults(store: &Store) -> Vec<PathBuf> {
    store.verify().unwrap().faults.into_iter().map(|fault| fault.place.file).collect()
}

fn copy(from: &Path, to: &Path) {
    for path in files(from, "") {
        let to = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(path, to).unwrap();
    }
}

#[test]
fn the_newest_snapshot_at_or_below_a_version_comes_back_after_reopening() {
    let (dir, store) = store_of_ten(&Options::new().snapshots_kept(9));
    for version in [3, 6, 9] {
        store.save_snapshot(snapshot("s", version)).unwrap();
    }
    store.close().unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.snapshots(&name("s")).unwrap(), [at(3), at(6), at(9)]);
    for (asked, expected) in [(2, None), (3, Some(3)), (5, Some(3)), (8, Some(6)), (u64::MAX, Some(9))] {
        assert_eq!(found(&store, "s", at(asked)), (expected, vec![]));
    }
    assert_eq!(found(&store, "other", Version::MAX), (None, vec![]));
    let loaded = store.load_snapshot(&name("s"), Version::MAX).unwrap().snapshot.unwrap();
    assert_eq!((loaded.codec, loaded.state_version, &loaded.state[..]), (CodecId::new(5000), 1, &b"s at 9"[..]));

    let verified = store.verify().unwrap();
    assert_eq!((verified.snapshots, verified.cursors, verified.faults), (3, 0, vec![]));
    assert_eq!(store.delete_snapshots(&name("s")).unwrap(), 3);
    assert_eq!(found(&store, "s", Version::MAX), (None, vec![]));
    assert_eq!(store.delete_snapshots(&name("s")).unwrap(), 0);
}

#[test]
fn a_snapshot_replaces_the_one_of_its_version_and_only_the_last_few_are_kept() {
    let (dir, store) = store_of_ten(&Options::new());
    for version in 1..=10 {
        store.save_snapshot(snapshot("s", version)).unwrap();
    }
    assert_eq!(store.snapshots(&name("s")).unwrap(), [at(9), at(10)]);
    let mut other = snapshot("s", 10);
    other.state = "other".into();
    store.save_snapshot(other.clone()).unwrap();
    assert_eq!(store.load_snapshot(&name("s"), Version::MAX).unwrap().snapshot, Some(other));
    // Lower than all that are kept.
    store.save_snapshot(snapshot("s", 4)).unwrap();
    assert_eq!(store.snapshots(&name("s")).unwrap(), [at(9), at(10)]);
    // What a crash in the middle of saving leaves is no snapshot, and goes with the next one.
    let left = files(dir.path(), ".snap")[0].with_file_name("00000000000000000004.snap.new");
    fs::write(&left, "half").unwrap();
    assert_eq!(found(&store, "s", Version::MAX), (Some(10), vec![]));
    assert!(faults(&store).is_empty());
    store.save_snapshot(snapshot("s", 10)).unwrap();
    assert!(!left.exists());
}

#[test]
fn a_snapshot_ahead_of_its_stream_too_large_or_of_nothing_is_refused_and_nothing_is_written() {
    let (dir, store) = store_of_ten(&Options::new());
    let error = store.save_snapshot(snapshot("s", 11)).unwrap_err();
    assert_eq!(error.to_string(), "cannot save a snapshot of stream `s` at version 11: the stream is at version 10");
    assert!(matches!(error, Error::SnapshotAhead { .. }) && error.action() == Action::FixInput);
    assert!(matches!(store.save_snapshot(snapshot("none", 1)), Err(Error::SnapshotAhead { .. })));
    assert!(matches!(store.save_snapshot(snapshot("s", 0)), Err(Error::Invalid(_))));
    let mut large = snapshot("s", 1);
    large.state = vec![0; limits::SNAPSHOT_BYTES + 1].into();
    assert!(matches!(store.save_snapshot(large), Err(Error::Invalid(_))));
    let position = store.last_position().next();
    let error = store.save_cursor(&cursor_name("c"), position).unwrap_err();
    assert_eq!(error.to_string(), "cannot save cursor `c` at position 11: the last position is 10");
    assert!(matches!(error, Error::CursorAhead { .. }));
    assert!(!dir.path().join("snapshots").exists() && !dir.path().join("cursors").exists());
}

#[test]
fn every_flipped_byte_and_every_cut_of_a_snapshot_is_skipped_reported_and_found_by_verify() {
    let (dir, store) = store_of_ten(&Options::new());
    store.save_snapshot(snapshot("s", 5)).unwrap();
    store.save_snapshot(snapshot("s", 10)).unwrap();
    let path = files(dir.path(), "10.snap").pop().unwrap();
    let bytes = fs::read(&path).unwrap();
    let flipped = (0..bytes.len()).map(|at| {
        let mut changed = bytes.clone();
        changed[at] ^= 0x04;
        changed
    });
    let cut = (0..bytes.len()).map(|len| bytes[..len].to_vec());
    for changed in flipped.chain(cut).chain([[&bytes[..], b"\0"].concat()]) {
        fs::write(&path, &changed).unwrap();
        assert_eq!(found(&store, "s", Version::MAX), (Some(5), vec![(10, "damaged")]));
        assert_eq!(faults(&store), [path.strip_prefix(dir.path()).unwrap()]);
        assert_eq!(fs::read(&path).unwrap(), changed, "a reader changes nothing");
    }
    let skipped = store.load_snapshot(&name("s"), Version::MAX).unwrap().skipped.pop().unwrap().to_string();
    assert!(skipped.starts_with("skipped the snapshot of stream `s` at version 10: snapshots/"), "{skipped}");
    // Too long to be read at all; made without taking room.
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(found(&store, "s", Version::MAX), (Some(5), vec![(10, "damaged")]));
    assert_eq!(faults(&store).len(), 1);
    store.save_snapshot(snapshot("s", 10)).unwrap();
    assert_eq!(found(&store, "s", Version::MAX), (Some(10), vec![]));
}

#[test]
fn snapshots_that_were_swapped_or_come_from_another_store_are_skipped_and_reported() {
    let (dir, store) = store_of_ten(&Options::new());
    grow(&store, "t", 10);
    for (stream, version) in [("s", 5), ("s", 10), ("t", 5)] {
        store.save_snapshot(snapshot(stream, version)).unwrap();
    }
    let own = |stream: &str, version: u64| {
        let of = |path: &PathBuf| fs::read(path).unwrap().ends_with(format!("{stream} at {version}").as_bytes());
        files(dir.path(), ".snap").into_iter().find(of).unwrap()
    };
    let (s5, s10, t5) = (own("s", 5), own("s", 10), own("t", 5));
    let bytes = fs::read(&s10).unwrap();

    fs::copy(&s5, &s10).unwrap();
    assert_eq!(found(&store, "s", Version::MAX), (Some(5), vec![(10, "misplaced")]));
    fs::copy(&t5, &s10).unwrap();
    assert_eq!(found(&store, "s", Version::MAX), (Some(5), vec![(10, "misplaced")]));
    assert_eq!(faults(&store), [s10.strip_prefix(dir.path()).unwrap()]);

    let (foreign_dir, foreign) = store_of_ten(&Options::new());
    foreign.save_snapshot(snapshot("s", 10)).unwrap();
    fs::copy(files(foreign_dir.path(), ".snap").pop().unwrap(), &s10).unwrap();
    assert_eq!(found(&store, "s", Version::MAX), (Some(5), vec![(10, "misplaced")]));
    assert_eq!(faults(&store).len(), 1);

    fs::write(&s10, bytes).unwrap();
    assert_eq!(found(&store, "s", Version::MAX), (Some(10), vec![]));
    fs::remove_dir_all(dir.path().join("snapshots")).unwrap();
    assert_eq!(found(&store, "s", Version::MAX), (None, vec![]));
    store.save_snapshot(snapshot("s", 7)).unwrap();
    assert_eq!(found(&store, "s", Version::MAX), (Some(7), vec![]));
}

#[test]
fn snapshots_and_cursors_of_a_log_that_was_put_back_are_not_taken_for_those_of_the_one_there_is() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    grow(&store, "s", 4);
    store.save_snapshot(snapshot("s", 4)).unwrap();
    store.save_cursor(&cursor_name("early"), Position::new(4)).unwrap();
    store.close().unwrap();
    let older = TempDir::new().unwrap();
    copy(dir.path(), older.path());

    let store = Store::open(dir.path()).unwrap();
    grow(&store, "s", 4);
    store.save_snapshot(snapshot("s", 8)).unwrap();
    store.save_cursor(&cursor_name("late"), Position::new(8)).unwrap();
    store.close().unwrap();
    for of in ["snapshots", "cursors"] {
        copy(&dir.path().join(of), &older.path().join(of));
    }

    let store = Store::open(older.path()).unwrap();
    assert_eq!(found(&store, "s", Version::MAX), (Some(4), vec![(8, "ahead")]));
    let ahead = store.cursor(&cursor_name("late")).unwrap_err();
    assert!(ahead.to_string().contains("it is ahead of the log, whose last position is 4"), "{ahead}");
    let named = faults(&store);
    assert!(named.len() == 2 && named.contains(&"cursors/late.cursor".into()), "{named:?}");
    // Those ahead are of no use, and do not push out those that are.
    grow(&store, "s", 2);
    for version in [5, 6] {
        store.save_snapshot(snapshot("s", version)).unwrap();
    }
    assert_eq!(store.snapshots(&name("s")).unwrap(), [at(5), at(6), at(8)]);

    // The log has gone on, with other events.
    grow(&store, "s", 4);
    assert_eq!(found(&store, "s", Version::MAX), (Some(6), vec![(8, "misplaced")]));
    let other = store.cursor(&cursor_name("late")).unwrap_err();
    assert!(matches!(&other, Error::Damaged(damage) if damage.place.position == Position::new(8)), "{other}");
    assert!(other.to_string().contains("another history"), "{other}");
    assert_eq!(store.cursor(&cursor_name("early")).unwrap().position(), Position::new(4));
    assert_eq!(faults(&store).len(), 2);
    store.close().unwrap();
    assert_eq!(verify(older.path(), &mut |_| {}).unwrap().faults.len(), 2);
}

#[test]
fn a_cursor_is_where_it_was_saved_after_reopening() {
    let (dir, store) = store_of_ten(&Options::new());
    let view = cursor_name("view");
    let mut cursor = store.cursor(&view).unwrap();
    assert_eq!((cursor.position(), cursor.name()), (Position::START, &view));
    assert!(store.cursors().unwrap().is_empty());
    for position in [3, 10, 7] {
        cursor.save(Position::new(position)).unwrap();
        assert_eq!(cursor.position(), Position::new(position));
        assert_eq!(store.cursor(&view).unwrap().position(), cursor.position());
    }
    assert!(matches!(cursor.save(Position::new(11)), Err(Error::CursorAhead { .. })));
    assert_eq!(cursor.position(), Position::new(7));
    store.save_cursor(&cursor_name("other"), Position::START).unwrap();
    drop(cursor);
    store.close().unwrap();

    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.cursor(&view).unwrap().position(), Position::new(7));
    assert_eq!(store.cursor(&cursor_name("other")).unwrap().position(), Position::START);
    assert_eq!(store.cursors().unwrap(), [cursor_name("other"), view.clone()]);
    let verified = store.verify().unwrap();
    assert_eq!((verified.cursors, verified.faults), (2, vec![]));
    assert!(store.delete_cursor(&view).unwrap());
    assert!(!store.delete_cursor(&view).unwrap());
    assert_eq!(store.cursor(&view).unwrap().position(), Position::START);
}

#[test]
fn every_flipped_byte_and_every_cut_of_a_cursor_is_an_error_that_names_the_file() {
    let (dir, store) = store_of_ten(&Options::new());
    let view = cursor_name("view");
    store.save_cursor(&view, Position::new(3)).unwrap();
    let path = dir.path().join("cursors/view.cursor");
    let older = fs::read(&path).unwrap();
    store.save_cursor(&view, Position::new(7)).unwrap();
    let bytes = fs::read(&path).unwrap();
    let flipped = (0..bytes.len()).map(|at| {
        let mut changed = bytes.clone();
        changed[at] ^= 0x20;
        changed
    });
    let cut = (0..bytes.len()).map(|len| bytes[..len].to_vec());
    for changed in flipped.chain(cut).chain([vec![0; 4096]]) {
        fs::write(&path, &changed).unwrap();
        let error = store.cursor(&view).unwrap_err();
        let Error::Damaged(damage) = &error else { panic!("{error}") };
        assert_eq!(damage.place.file, Path::new("cursors/view.cursor"));
        assert_eq!(faults(&store), [Path::new("cursors/view.cursor")]);
        assert_eq!(store.cursors().unwrap(), std::slice::from_ref(&view));
    }
    // Once it is clear where to go on, it can be saved again.
    store.save_cursor(&view, Position::new(5)).unwrap();
    assert_eq!(store.cursor(&view).unwrap().position(), Position::new(5));
    // An older copy only repeats work.
    fs::write(&path, older).unwrap();
    assert_eq!(store.cursor(&view).unwrap().position(), Position::new(3));

    store.save_cursor(&cursor_name("other"), Position::new(9)).unwrap();
    fs::copy(dir.path().join("cursors/other.cursor"), &path).unwrap();
    let swapped = store.cursor(&view).unwrap_err();
    assert!(swapped.to_string().contains("it is the cursor `other`"), "{swapped}");
    assert_eq!(faults(&store).len(), 1);
    let (foreign_dir, foreign) = store_of_ten(&Options::new());
    foreign.save_cursor(&view, Position::new(9)).unwrap();
    fs::copy(foreign_dir.path().join("cursors/view.cursor"), &path).unwrap();
    assert!(store.cursor(&view).unwrap_err().to_string().contains("another store"));
    fs::rename(&path, path.with_file_name("a b.cursor")).unwrap();
    assert_eq!(faults(&store), [Path::new("cursors/a b.cursor")]);
}

#[test]
fn many_threads_may_save_and_load_at_once() {
    let (dir, store) = store_of_ten(&Options::new());
    thread::scope(|scope| {
        for thread in 0..4u64 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..20 {
                    let version = 1 + (thread + round) % 10;
                    store.save_snapshot(snapshot("s", version)).unwrap();
                    let loaded = store.load_snapshot(&name("s"), Version::MAX).unwrap();
                    assert!(loaded.skipped.is_empty(), "{:?}", loaded.skipped);
                    store.save_cursor(&cursor_name("view"), Position::new(version)).unwrap();
                    store.cursor(&cursor_name("view")).unwrap();
                }
            });
        }
    });
    assert!(faults(&store).is_empty());
    assert_eq!(store.snapshots(&name("s")).unwrap(), [at(9), at(10)]);
    assert!(files(dir.path(), ".new").is_empty());
}
