//! What a repaired store answers where events are lost, and what a repair gets back when little is left.

use std::{convert::Infallible, fs, sync::Arc};

use factlog::{
    CodecId, CursorName, Error, EventType, ExpectedVersion, Lost, NewEvent, Position, ReadAll, ReadStream,
    RecordedEvent, RepairMode, Snapshot, Store, StreamName, Subscribe, Version, block_on,
    model::{
        Aggregate, AggregateCommand, DomainEvent, EventBus, EventHandler, ModelError, Repository, RetryPolicy, Stop,
    },
    repair,
};
use std::sync::Mutex;
use tempfile::TempDir;

use super::sample::{Left, Sample, directory, files, is_segment, line, options, stream, write};

fn name(text: &str) -> StreamName {
    StreamName::new(text).unwrap()
}

fn append(store: &Store, stream: &str, count: usize) {
    let event = |_| NewEvent::new(EventType::new("Noted").unwrap(), vec![b'x'; 90]);
    store.append(&name(stream), ExpectedVersion::Any, (0..count).map(event).collect()).unwrap();
}

/// A closed store whose stream `short` has three events, positions 2 to 4, in the first segment, and nothing behind them, and
/// whose stream `long` has all others.
fn two_streams() -> TempDir {
    let dir = directory();
    let store = options().open(dir.path()).unwrap();
    append(&store, "long", 1);
    append(&store, "short", 3);
    (0..200).for_each(|_| append(&store, "long", 1));
    store.save_cursor(&CursorName::new("mailer").unwrap(), Position::new(3)).unwrap();
    store.save_snapshot(Snapshot::new(&name("short"), Version::new(2), CodecId::JSON, 1, &b"2"[..])).unwrap();
    store.close().unwrap();
    dir
}

/// Flips a byte of the event that lies at this place of the first segment.
fn damage_event(dir: &TempDir, number: usize) {
    let segment = dir.path().join("log/00000000000000000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let mut at = 4096;
    for _ in 1..number {
        at += u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()).next_multiple_of(8) as usize;
    }
    bytes[at + 50] ^= 1;
    fs::write(segment, bytes).unwrap();
}

fn mend(dir: &TempDir) -> factlog::RepairReport {
    repair(dir.path(), RepairMode::Repair, &mut |_| {}).unwrap()
}

fn versions(store: &Store, stream: &str) -> Vec<Result<u64, u64>> {
    let version = |event: factlog::Result<factlog::RecordedEvent>| match event {
        Ok(event) => Ok(event.version().get()),
        Err(Error::Lost(Lost::Version { version, .. })) => Err(version.get()),
        Err(error) => panic!("{error}"),
    };
    store.read_stream(&name(stream)).map(version).collect()
}

#[test]
fn versions_behind_the_last_event_that_is_left_of_a_stream_stay_taken_where_the_index_knows_of_them() {
    let dir = two_streams();
    damage_event(&dir, 3);
    damage_event(&dir, 4);
    let report = mend(&dir);
    assert_eq!(report.lost, [Lost::Positions { first: Position::new(3), last: Position::new(4) }]);
    assert_eq!(report.unknown, 0);
    let lost = &report.versions[0];
    let found = (lost.stream.clone(), lost.first.get(), lost.last.get());
    assert_eq!(found, (Some(name("short")), 2, 3));

    let store = options().open(dir.path()).unwrap();
    assert_eq!(versions(&store, "short"), [Ok(1), Err(2), Err(3)]);
    let event = || vec![NewEvent::new(EventType::new("Noted").unwrap(), "{}")];
    let stale = store.append(&name("short"), ExpectedVersion::Exact(Version::FIRST), event());
    assert!(matches!(stale, Err(Error::WrongExpectedVersion { actual, .. }) if actual == Version::new(3)), "{stale:?}");
    let appended = store.append(&name("short"), ExpectedVersion::Exact(Version::new(3)), event()).unwrap();
    assert_eq!(appended.version, Version::new(4));
    let any = store.append(&name("short"), ExpectedVersion::Any, event()).unwrap();
    assert_eq!(any.version, Version::new(5));
    let backwards = store.read_stream(ReadStream::new(&name("short")).backwards());
    assert_eq!(backwards.map(|event| event.is_ok()).collect::<Vec<_>>(), [true, true, false, false, true]);
}

#[test]
fn cursors_and_snapshots_at_lost_positions_are_as_good_as_before() {
    let dir = two_streams();
    damage_event(&dir, 3);
    mend(&dir);
    let store = options().open(dir.path()).unwrap();
    let mailer = CursorName::new("mailer").unwrap();
    assert_eq!(store.cursor(&mailer).unwrap().position(), Position::new(3));
    store.save_cursor(&mailer, Position::new(3)).unwrap();
    assert_eq!(store.cursor(&mailer).unwrap().position(), Position::new(3));
    let loaded = store.load_snapshot(&name("short"), Version::MAX).unwrap();
    assert_eq!(loaded.snapshot.unwrap().version, Version::new(2));
}

#[test]
fn a_subscription_names_lost_events_once_and_goes_on_behind_them() {
    let dir = two_streams();
    damage_event(&dir, 3);
    damage_event(&dir, 4);
    mend(&dir);
    let store = options().open(dir.path()).unwrap();
    let mut subscription = store.subscribe(Subscribe::new()).unwrap();
    assert_eq!(subscription.next().unwrap().position(), Position::new(1));
    assert_eq!(subscription.next().unwrap().position(), Position::new(2));
    match subscription.next() {
        Err(Error::Lost(Lost::Positions { first, last })) => assert_eq!((first.get(), last.get()), (3, 4)),
        other => panic!("{other:?}"),
    }
    assert_eq!(subscription.position(), Position::new(4));
    assert_eq!(subscription.next().unwrap().position(), Position::new(5));
    let mut of_type = store.subscribe(Subscribe::new().event_type(EventType::new("Other").unwrap())).unwrap();
    assert!(matches!(of_type.next(), Err(Error::Lost(_))), "it may have been one of these");
}

/// Notes the positions that it is handed, up to the last.
struct Noting {
    seen: Mutex<Vec<u64>>,
    last: Position,
    stop: Stop,
}

impl EventHandler for Noting {
    fn cursor(&self) -> Result<CursorName, ModelError> {
        Ok(CursorName::new("noting")?)
    }

    async fn handle(&self, event: &RecordedEvent) -> Result<(), ModelError> {
        self.seen.lock().unwrap().push(event.position().get());
        if event.position() == self.last {
            self.stop.stop();
        }
        Ok(())
    }
}

#[test]
fn a_handler_of_events_goes_on_behind_lost_ones() {
    let dir = two_streams();
    damage_event(&dir, 3);
    damage_event(&dir, 4);
    mend(&dir);
    let store = options().open(dir.path()).unwrap();
    let noting = Noting { seen: Mutex::default(), last: store.last_position(), stop: Stop::new() };
    let bus = EventBus::new(Arc::new(store.clone())).retry_policy(RetryPolicy::once());
    block_on(bus.run(&noting, &noting.stop)).unwrap();
    let left: Vec<u64> = (1..=204).filter(|position| ![3, 4].contains(position)).collect();
    assert_eq!(*noting.seen.lock().unwrap(), left);
}

#[derive(serde::Serialize, serde::Deserialize)]
enum Reacted {
    Reacted,
}

impl DomainEvent for Reacted {}

#[derive(Default)]
struct Reaction;

impl Aggregate for Reaction {
    type Event = Reacted;

    const CATEGORY: &'static str = "reaction";

    fn apply(&mut self, _: &Reacted) {}
}

struct React;

impl AggregateCommand for React {
    type Aggregate = Reaction;
    type Refusal = Infallible;

    fn aggregate_id(&self) -> &str {
        "1"
    }

    fn creates(&self) -> bool {
        true
    }

    fn decide(&self, _: &Reaction) -> Result<Vec<Reacted>, Infallible> {
        Ok(vec![Reacted::Reacted])
    }
}

#[test]
fn an_event_with_lost_ones_behind_it_is_reacted_to_once() {
    let dir = two_streams();
    damage_event(&dir, 3);
    mend(&dir);
    let store = options().open(dir.path()).unwrap();
    let cause = store.read_all(ReadAll::after(Position::START)).next().unwrap().unwrap();
    let reactions = Repository::<Reaction>::new(Arc::new(store));
    let carried_out = || block_on(reactions.execute_once(&React, &cause, "react")).map(|committed| committed.is_some());
    assert!(carried_out().unwrap());
    assert!(!carried_out().unwrap());
}

#[test]
fn a_stream_whose_first_event_is_lost_is_listed_under_its_name() {
    let dir = two_streams();
    damage_event(&dir, 2);
    mend(&dir);
    let store = options().open(dir.path()).unwrap();
    let found: Vec<_> = store.streams().map(|found| found.unwrap()).collect();
    assert_eq!(found, [(name("long"), Version::new(201)), (name("short"), Version::new(3))]);
    assert_eq!(store.stats().streams, 2);
}

#[test]
fn a_repair_of_a_repaired_store_keeps_what_the_first_has_found() {
    let dir = two_streams();
    damage_event(&dir, 3);
    mend(&dir);
    damage_event(&dir, 10);
    let report = mend(&dir);
    assert_eq!(report.lost, [Lost::Positions { first: Position::new(10), last: Position::new(10) }]);
    let store = options().open(dir.path()).unwrap();
    assert_eq!(versions(&store, "short"), [Ok(1), Err(2), Ok(3)]);
    assert_eq!(versions(&store, "long").iter().filter(|version| version.is_err()).count(), 1);
    store.close().unwrap();
    assert_eq!(fs::read_dir(dir.path().join("damaged")).unwrap().count(), 2);
}

#[test]
fn without_manifest_index_and_every_header_all_events_are_kept() {
    let sample = Sample::new(Left::Closed, 8);
    let copy = sample.copy();
    fs::remove_file(copy.path().join("MANIFEST")).unwrap();
    fs::remove_dir_all(copy.path().join("index")).unwrap();
    for (file, bytes) in sample.files.iter().filter(|(path, _)| is_segment(path)) {
        let mut bytes = bytes.clone();
        bytes[..4096].fill(0);
        fs::write(copy.path().join(file), bytes).unwrap();
    }
    let report = repair(copy.path(), RepairMode::Repair, &mut |_| {}).unwrap();
    assert_eq!(report.lost, []);
    let store = options().open(copy.path()).unwrap();
    let found: Vec<_> = store.read_all(ReadAll::after(Position::START)).map(|event| line(&event.unwrap())).collect();
    assert_eq!(found, sample.events);
}

#[test]
fn a_missing_piece_of_the_log_without_a_manifest_is_told_by_the_segments_around_it() {
    let sample = Sample::new(Left::Closed, 9);
    let segments: Vec<_> = sample.files.keys().filter(|path| is_segment(path)).collect();
    let copy = sample.copy();
    fs::remove_file(copy.path().join("MANIFEST")).unwrap();
    fs::remove_file(copy.path().join(segments[0])).unwrap();
    fs::remove_file(copy.path().join(segments[2])).unwrap();
    fs::remove_file(copy.path().join(segments[3])).unwrap();
    let report = repair(copy.path(), RepairMode::Repair, &mut |_| {}).unwrap();
    let base = |number: usize| sample.records[segments[number]][0].0;
    let range = |first: u64, last: u64| Lost::Positions { first: Position::new(first), last: Position::new(last) };
    assert_eq!(report.lost, [range(1, base(1) - 1), range(base(2), base(4) - 1)]);
    let store = options().open(copy.path()).unwrap();
    for (name, version) in sample.versions() {
        assert_eq!(store.stream_version(&name).unwrap(), version, "{name}");
    }
    let after = store.append(&stream(1), ExpectedVersion::Any, vec![NewEvent::new(EventType::new("T").unwrap(), "")]);
    assert_eq!(after.unwrap().position.get(), sample.events.len() as u64 + 1);
}

#[test]
fn the_events_of_a_store_whose_log_is_gone_stay_taken_and_without_any_trace_nothing_is_repaired() {
    let sample = Sample::new(Left::Closed, 10);
    let mut left = sample.files.clone();
    left.retain(|path, _| !is_segment(path));
    let copy = directory();
    write(&left, copy.path());
    let report = repair(copy.path(), RepairMode::Repair, &mut |_| {}).unwrap();
    assert_eq!(report.lost_events(), sample.events.len() as u64);
    assert_eq!(options().open(copy.path()).unwrap().last_position().get(), sample.events.len() as u64);

    let copy = directory();
    left.retain(|path, _| path.starts_with("snapshots"));
    left.insert("MANIFEST".into(), b"factman\0 and nothing that can be read".to_vec());
    write(&left, copy.path());
    let before = files(copy.path());
    let refused = repair(copy.path(), RepairMode::DryRun, &mut |_| {});
    assert!(matches!(&refused, Err(Error::Damaged(damage)) if damage.fault.contains("backup")), "{refused:?}");
    assert_eq!(before, files(copy.path()));
}
