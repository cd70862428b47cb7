//! Backups: a copy made while the store is written, brought up to date, interrupted, and opened.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use factlog::{
    CodecId, CursorName, Error, EventType, ExpectedVersion, NewEvent, Options, Position, ReadAll, Snapshot, Store,
    StreamName, Version, verify,
};
use tempfile::TempDir;

fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { TempDir::new().unwrap() }
}

fn open(dir: &Path) -> Store {
    Options::new().first_segment_bytes(8 << 10).segment_bytes(16 << 10).open(dir).unwrap()
}

fn stream(number: u64) -> StreamName {
    StreamName::new(format!("writer-{number}")).unwrap()
}

fn append(store: &Store, number: u64) -> u64 {
    let event = || NewEvent::new(EventType::new("Noted").unwrap(), vec![b'x'; 60]);
    let events = vec![event(), event()];
    store.append(&stream(number), ExpectedVersion::Any, events).unwrap().position.get()
}

fn fill(store: &Store, appends: u64) {
    for number in 0..appends {
        append(store, number % 5);
    }
}

fn lines(store: &Store) -> Vec<String> {
    let line = |event: factlog::Result<factlog::RecordedEvent>| {
        let event = event.unwrap();
        format!("{} {} {} {}", event.position(), event.stream(), event.version(), event.id())
    };
    store.read_all(ReadAll::after(Position::START)).map(line).collect()
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left: Vec<_> = dir.is_dir().then(|| dir.to_owned()).into_iter().collect();
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => left.push(path),
                false => drop(found.insert(path.strip_prefix(dir).unwrap().to_owned(), fs::read(&path).unwrap())),
            }
        }
    }
    found
}

fn write(files: &BTreeMap<PathBuf, Vec<u8>>, dir: &Path) {
    for (path, bytes) in files {
        fs::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
        fs::write(dir.join(path), bytes).unwrap();
    }
}

fn backup(store: &Store, to: &Path) -> factlog::BackupReport {
    store.backup(to, &mut |_| {}).unwrap()
}

#[test]
fn a_backup_is_a_store_with_everything_that_was_acknowledged_before_it_began() {
    let (dir, copy) = (directory(), directory());
    let store = open(dir.path());
    fill(&store, 200);
    let mailer = CursorName::new("mailer").unwrap();
    store.save_cursor(&mailer, Position::new(77)).unwrap();
    let version = store.stream_version(&stream(1)).unwrap();
    store.save_snapshot(Snapshot::new(&stream(1), version, CodecId::JSON, 1, &b"{}"[..])).unwrap();
    let report = backup(&store, copy.path());
    assert_eq!((report.last_position, report.verified.events), (Position::new(400), 400));
    assert_eq!(report.segments, report.copied_segments);
    let wanted = lines(&store);
    append(&store, 0);
    let restored = open(copy.path());
    assert_eq!(lines(&restored), wanted);
    assert_eq!(restored.cursor(&mailer).unwrap().position(), Position::new(77));
    assert_eq!(restored.load_snapshot(&stream(1), Version::MAX).unwrap().snapshot.unwrap().version, version);
    assert_eq!(append(&restored, 3), 402);
    restored.close().unwrap();
    assert_eq!(verify(copy.path(), &mut |_| {}).unwrap().faults, []);
}

#[test]
fn a_second_backup_copies_only_what_has_come_since_and_repairs_what_has_rotted() {
    let (dir, copy) = (directory(), directory());
    let store = open(dir.path());
    fill(&store, 300);
    let first = backup(&store, copy.path());
    assert!(first.segments > 5, "{first:?}");
    let nothing_new = backup(&store, copy.path());
    assert_eq!(nothing_new.copied_segments, 1, "only the one that is written to");
    fill(&store, 100);
    let second = backup(&store, copy.path());
    assert_eq!(second.copied_segments, second.segments - first.segments + 1, "{second:?}");

    let segment = copy.path().join("log/00000000000000000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[4200] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let mended = backup(&store, copy.path());
    assert_eq!((mended.verified.faults.len(), mended.last_position), (0, Position::new(800)));
    drop(store);
    assert_eq!(lines(&open(copy.path())).len(), 800);
}

#[test]
fn what_is_no_older_state_of_the_store_is_never_overwritten() {
    let (dir, copy, other) = (directory(), directory(), directory());
    let store = open(dir.path());
    fill(&store, 100);
    let refused = |to: &Path, why: &str| {
        let before = files(to);
        match store.backup(to, &mut |_| {}) {
            Err(Error::NotAStore { reason, .. }) => assert!(reason.contains(why), "{reason}"),
            Err(Error::InUse { .. }) => assert_eq!(why, "in use"),
            other => panic!("{why}: {other:?}"),
        }
        let but_lock = |files: BTreeMap<PathBuf, Vec<u8>>| -> Vec<_> {
            files.into_iter().filter(|(path, _)| path != Path::new("LOCK")).collect()
        };
        // A store that is open changes by itself, in the background.
        assert!(why == "in use" || but_lock(before) == but_lock(files(to)), "{why}: something was changed");
    };
    refused(dir.path(), "in use");
    drop(open(other.path()));
    refused(other.path(), "holds store");
    let foreign = directory();
    fs::write(foreign.path().join("letter.txt"), "Dear").unwrap();
    refused(foreign.path(), "holds `letter.txt`");
    refused(&foreign.path().join("letter.txt"), "is a file");

    backup(&store, copy.path());
    let restored = open(copy.path());
    refused(copy.path(), "in use");
    append(&restored, 1);
    restored.close().unwrap();
    refused(copy.path(), "is not what the store was earlier");

    let reader = Options::new().read_only(true).open(dir.path()).unwrap();
    store.close().unwrap();
    let itself = reader.backup(dir.path(), &mut |_| {});
    assert!(matches!(&itself, Err(Error::NotAStore { reason, .. }) if reason.contains("itself")), "{itself:?}");
    assert_eq!(lines(&reader).len(), 200);
    drop(reader);
    assert_eq!(verify(dir.path(), &mut |_| {}).unwrap().faults, []);
}

#[test]
fn a_backup_under_load_holds_whole_appends_and_all_that_was_acknowledged_before_it() {
    let (dir, copy) = (directory(), directory());
    let store = open(dir.path());
    append(&store, 0);
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    // How far the writers may go, so that the backups do not grow for ever.
    let limit = AtomicU64::new(400);
    let mut backups = 0;
    thread::scope(|scope| {
        for writer in 0..4 {
            let (store, stop, acknowledged, limit) = (&store, &stop, &acknowledged, &limit);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if acknowledged.load(Ordering::SeqCst) > limit.load(Ordering::SeqCst) {
                        thread::yield_now();
                        continue;
                    }
                    let position = append(store, writer);
                    acknowledged.fetch_max(position, Ordering::SeqCst);
                }
            });
        }
        let reader = Options::new().read_only(true).open(dir.path()).unwrap();
        let mailer = CursorName::new("mailer").unwrap();
        while backups < 12 || acknowledged.load(Ordering::SeqCst) < 1000 {
            let before = acknowledged.load(Ordering::SeqCst);
            if before > 0 {
                store.save_cursor(&mailer, Position::new(before)).unwrap();
            }
            // From the writing process and from another handle in turn.
            let from = if backups % 2 == 0 { &store } else { &reader };
            let report = backup(from, copy.path());
            assert!(report.last_position.get() >= before, "{report:?} misses {before}");
            assert_eq!(report.last_position.get() % 2, 0, "an append of two events is in it whole or not at all");
            assert_eq!(report.verified.events, report.last_position.get());
            backups += 1;
            limit.fetch_add(400, Ordering::SeqCst);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let last = backup(&store, copy.path());
    assert_eq!(lines(&open(copy.path())), lines(&store));
    println!("{backups} backups beside 4 writers, up to position {}", last.last_position);
}

#[test]
fn an_interrupted_backup_is_the_old_one_or_says_that_it_is_unfinished_and_the_next_completes_it() {
    let (dir, copy) = (directory(), directory());
    let store = open(dir.path());
    fill(&store, 100);
    let empty = files(copy.path());
    backup(&store, copy.path());
    let (older, old_lines) = (files(copy.path()), lines(&store));
    fill(&store, 300);
    let (mut interrupted, mut unfinished, mut still_old) = (0, 0, 0);
    for (start, begins_with) in [(&empty, Vec::new()), (&older, old_lines)] {
        // A step of the backup is a call of its progress: there it is taken as a kill would leave it.
        for step in 0.. {
            let place = directory();
            write(start, place.path());
            let (mut calls, mut left) = (0, None);
            store
                .backup(place.path(), &mut |_| {
                    if calls == step {
                        left = Some(files(place.path()));
                    }
                    calls += 1;
                })
                .unwrap();
            let Some(left) = left else { break };
            interrupted += 1;
            let killed = directory();
            write(&left, killed.path());
            match Options::new().create(false).read_only(true).open(killed.path()) {
                Ok(store) => {
                    assert!(!begins_with.is_empty());
                    assert_eq!(lines(&store), begins_with, "step {step}");
                    still_old += 1;
                }
                Err(Error::NotAStore { reason, .. }) => {
                    assert!(reason.contains("not finished"), "{reason}");
                    unfinished += 1;
                }
                Err(error) => panic!("step {step}: {error}"),
            }
            backup(&store, killed.path());
            assert_eq!(lines(&open(killed.path())), lines(&store), "step {step}");
        }
    }
    println!("{interrupted} interrupted: {still_old} still the old backup, {unfinished} unfinished");
    assert!(still_old > 5 && unfinished > 5);
}
