//! What claims, with a checksum that fits, that the log was longer than it can have been.

use std::{fs, path::Path};

use super::{Options, RepairMode, Store, cursor_file::CursorFile, repair, snapshot_file::SnapshotFile};
use crate::{
    disk::OsDisk,
    event::{EventType, NewEvent, StreamName, Timestamp},
    event_store::{CursorName, Snapshot},
    log::Manifest,
    version::{ExpectedVersion, Position, Version},
};

/// Farther than any log has come.
const FAR: u64 = 1 << 40;

fn stream() -> StreamName {
    StreamName::new("a-1").unwrap()
}

/// A closed store with ten events, and its identity.
fn store() -> (tempfile::TempDir, [u8; 16]) {
    let dir = tempfile::TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for _ in 0..10 {
        let event = NewEvent::new(EventType::new("Noted").unwrap(), "{}");
        store.append(&stream(), ExpectedVersion::Any, vec![event]).unwrap();
    }
    store.close().unwrap();
    let id = Manifest::load(&OsDisk, dir.path()).unwrap().unwrap().store;
    (dir, id)
}

/// Damages the log, so that a repair asks how far it went.
fn damage_first_event(dir: &Path) {
    let segment = dir.join("log/00000000000000000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[4096 + 50] ^= 1;
    fs::write(segment, bytes).unwrap();
}

fn put(dir: &Path, file: &Path, bytes: Vec<u8>) {
    fs::create_dir_all(dir.join(file).parent().unwrap()).unwrap();
    fs::write(dir.join(file), bytes).unwrap();
}

/// Repairs it; what is at fault is this file, and all events but so many are there.
fn repairs(dir: &Path, file: &Path, lost: u64) {
    let plan = repair(dir, RepairMode::DryRun, &mut |_| {}).unwrap();
    assert!(plan.faults.iter().any(|damage| damage.place.file == file), "{plan:?}");
    assert_eq!(plan.lost_events(), lost);
    assert_eq!(repair(dir, RepairMode::Repair, &mut |_| {}).unwrap().lost_events(), lost);
    let store = Options::new().open(dir).unwrap();
    assert_eq!(store.last_position(), Position::new(10));
    assert_eq!(store.stream_version(&stream()).unwrap(), Version::new(10));
}

#[test]
fn a_manifest_that_says_that_the_log_was_durable_farther_than_its_segments_reach_is_no_proof() {
    for position in [FAR, u64::MAX] {
        let (dir, _) = store();
        let mut manifest = Manifest::load(&OsDisk, dir.path()).unwrap().unwrap();
        manifest.durable = Position::new(position);
        manifest.store(&OsDisk, dir.path()).unwrap();
        let log = Path::new("log/00000000000000000001.seg");
        repairs(dir.path(), log, 0);
    }
}

#[test]
fn a_cursor_farther_than_the_log_can_have_come_is_set_aside_and_no_proof() {
    for damaged in [false, true] {
        let (dir, store) = store();
        let name = CursorName::new("view").unwrap();
        let (event, timestamp) = (uuid::Uuid::from_u128(1).into(), Timestamp::from_micros(0));
        let cursor = CursorFile { store, position: Position::new(FAR), event, timestamp, name };
        put(dir.path(), &CursorFile::path(&cursor.name), cursor.encode());
        if damaged {
            damage_first_event(dir.path());
        }
        repairs(dir.path(), &CursorFile::path(&cursor.name), u64::from(damaged));
    }
}

#[test]
fn a_snapshot_farther_than_the_log_or_its_stream_can_have_come_is_set_aside_and_no_proof() {
    for (position, version) in [(FAR, FAR), (FAR, 11), (1, FAR), (11, FAR)] {
        let (dir, store) = store();
        let version = Version::new(version);
        let snapshot = Snapshot::new(&stream(), version, crate::CodecId::JSON, 1, &b"1"[..]);
        let event = uuid::Uuid::from_u128(1).into();
        let file = SnapshotFile { store, position: Position::new(position), event, snapshot };
        let path = SnapshotFile::path(SnapshotFile::hash(&stream()), version);
        put(dir.path(), &path, file.encode());
        damage_first_event(dir.path());
        // Position 11 may have been: it is lost then.
        let plan = repair(dir.path(), RepairMode::DryRun, &mut |_| {}).unwrap();
        assert!(plan.lost_events() <= 2, "{plan:?}");
        repair(dir.path(), RepairMode::Repair, &mut |_| {}).unwrap();
        let store = Options::new().open(dir.path()).unwrap();
        assert!(store.stream_version(&stream()).unwrap() <= Version::new(11));
    }
}

#[test]
fn a_segment_that_would_begin_farther_than_can_be_marked_is_refused_and_not_waited_for() {
    let (dir, store) = store();
    let base = Position::new(FAR);
    let header = crate::log::SegmentHeader {
        store,
        base,
        bytes: 8192,
        salt: 1,
        previous: (Position::FIRST, crate::log::End { offset: 8192, checksum: 1 }),
    };
    let mut bytes = header.encode();
    bytes.resize(8192, 0);
    put(dir.path(), &crate::log::Segment::name(base), bytes);
    let refused = repair(dir.path(), RepairMode::Repair, &mut |_| {}).unwrap_err();
    assert!(refused.to_string().contains("only a backup helps"), "{refused}");
    assert!(!dir.path().join("damaged").exists());
}
