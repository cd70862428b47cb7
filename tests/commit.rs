//! Appending in every way there is, from outside the crate, on real files.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{sync::Arc, thread, time::Duration};

use factlog::{
    Appended, Durability, Error, EventStore, EventType, ExpectedVersion, NewEvent, Options, Pending, Position, ReadAll,
    RecordedEvent, Result, Store, StreamName, Version, block_on,
};
use tempfile::TempDir;

fn name(text: &str) -> StreamName {
    StreamName::new(text).unwrap()
}

fn event(payload: impl Into<Vec<u8>>) -> NewEvent {
    NewEvent::new(EventType::new("Happened").unwrap(), payload.into())
}

fn exact(version: u64) -> ExpectedVersion {
    ExpectedVersion::Exact(Version::new(version))
}

/// Segments so small that they are begun and ended all the time.
fn small() -> Options {
    Options::new().first_segment_bytes(8 << 10).segment_bytes(32 << 10)
}

fn all(store: &Store) -> Vec<RecordedEvent> {
    store.read_all(ReadAll::after(Position::START)).collect::<Result<_>>().unwrap()
}

#[test]
fn pipelined_appends_build_on_versions_that_are_not_durable_and_survive_reopening() {
    let dir = TempDir::new().unwrap();
    let store = small().open(dir.path()).unwrap();
    let mut last = None;
    for version in 0..500 {
        let pending = store.submit(&name("s"), exact(version), vec![event(format!("{version}"))]).unwrap();
        let appended = pending.appended();
        assert_eq!((appended.version.get(), appended.position.get()), (version + 1, version + 1));
        last = Some(pending);
    }
    assert!(matches!(
        store.submit(&name("s"), exact(3), vec![event("no")]),
        Err(Error::WrongExpectedVersion { actual, .. }) if actual.get() == 500
    ));
    assert_eq!(store.last_position().get(), 500, "a refusal reports only what is durable");
    last.unwrap().wait().unwrap();
    store.close().unwrap();
    let store = small().open(dir.path()).unwrap();
    let payloads: Vec<_> = all(&store).iter().map(|event| event.payload()).collect();
    assert_eq!(payloads, (0..500).map(|version| format!("{version}")).collect::<Vec<_>>());
}

#[test]
fn an_append_that_is_submitted_and_dropped_is_durable_after_a_sync() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for _ in 0..100 {
        drop(store.submit(&name("s"), ExpectedVersion::Any, vec![event("x")]).unwrap());
    }
    store.sync().unwrap();
    assert_eq!(store.stream_version(&name("s")).unwrap().get(), 100);
}

#[test]
fn an_append_may_be_waited_for_when_the_store_is_closed() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let [waited, awaited] = ["a", "b"].map(|stream| store.submit(&name(stream), exact(0), vec![event("x")]).unwrap());
    store.close().unwrap();
    assert_eq!(waited.wait().unwrap().version.get(), 1);
    assert_eq!(block_on(awaited).unwrap().version.get(), 1);
    assert_eq!(all(&Store::open(dir.path()).unwrap()).len(), 2);
}

#[test]
fn a_pipeline_takes_no_more_memory_than_its_bound_and_everything_arrives() {
    let dir = TempDir::new().unwrap();
    let store = Options::new().durability(Durability::OnDemand).open(dir.path()).unwrap();
    let pending: Vec<Pending> = (0..60)
        .map(|version| store.submit(&name("s"), exact(version), vec![event(vec![1; 1 << 20])]).unwrap())
        .collect();
    for pending in pending {
        pending.wait().unwrap();
    }
    assert_eq!(store.last_position().get(), 60);
}

#[test]
fn threads_tasks_and_pipelines_share_one_order() {
    for durability in [Durability::Always, Durability::OnDemand, Durability::Every(Duration::from_millis(1))] {
        let dir = TempDir::new().unwrap();
        let store = small().durability(durability).open(dir.path()).unwrap();
        let writers: Vec<_> = (0..9u64)
            .map(|writer| {
                let store = store.clone();
                thread::spawn(move || {
                    let stream = name(&format!("w-{writer}"));
                    let shared: Arc<dyn EventStore> = Arc::new(store.clone());
                    for append in 0..60 {
                        let events = vec![event(format!("{append}")), event(vec![1; append as usize * 7])];
                        let appended: Appended = match writer % 3 {
                            0 => store.append(&stream, exact(append * 2), events).unwrap(),
                            1 => block_on(shared.append(&stream, exact(append * 2), events)).unwrap(),
                            _ => {
                                let mut events = events.into_iter();
                                let first =
                                    events.next().map(|event| store.submit(&stream, exact(append * 2), vec![event]));
                                drop(first.unwrap().unwrap());
                                block_on(store.submit(&stream, exact(append * 2 + 1), events.collect()).unwrap())
                                    .unwrap()
                            }
                        };
                        assert!(store.last_position() >= appended.position, "acknowledged before it was visible");
                        assert_eq!(store.stream_version(&stream).unwrap(), appended.version);
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        store.close().unwrap();
        let store = small().open(dir.path()).unwrap();
        assert_eq!(store.dropped_bytes(), 0);
        let events = all(&store);
        assert_eq!(events.len(), 9 * 120);
        assert!(events.iter().zip(1..).all(|(event, position)| event.position().get() == position));
        assert_eq!(store.verify().unwrap().faults, []);
    }
}

#[test]
fn many_tasks_that_contend_for_one_stream_each_get_in_after_retries() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            thread::spawn(move || {
                for _ in 0..20 {
                    let mut expected = store.stream_version(&name("s")).unwrap();
                    while let Err(error) = block_on(store.append_async(&name("s"), expected.into(), vec![event("x")])) {
                        let Error::WrongExpectedVersion { actual, .. } = error else { panic!("{error}") };
                        assert!(store.stream_version(&name("s")).unwrap() >= actual, "told of what is not visible");
                        expected = actual;
                    }
                }
            })
        })
        .collect();
    tasks.into_iter().for_each(|task| task.join().unwrap());
    assert_eq!(store.stream_version(&name("s")).unwrap().get(), 160);
}

#[test]
fn a_bulk_load_without_a_sync_is_whole_after_a_clean_close() {
    let dir = TempDir::new().unwrap();
    let store = Options::new().durability(Durability::OnDemand).open(dir.path()).unwrap();
    for stream in 0..50 {
        let events = (0..1000).map(|number| event(format!("{stream} {number}"))).collect();
        store.append(&name(&format!("s-{stream}")), ExpectedVersion::NoStream, events).unwrap();
    }
    store.close().unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert_eq!((store.last_position().get(), store.stats().streams), (50_000, 50));
    assert_eq!(store.verify().unwrap().faults, []);
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_bulk_load_leaves_unused_of_its_segments_takes_up_no_room_and_can_be_appended_to() {
    use std::{fs, os::unix::fs::MetadataExt};
    let dir = TempDir::new().unwrap();
    let bulk = Options::new().first_segment_bytes(8 << 20).segment_bytes(8 << 20).durability(Durability::OnDemand);
    let store = bulk.open(dir.path()).unwrap();
    // The second append does not fit behind the first.
    for stream in ["a", "b"] {
        let events = (0..5).map(|_| event(vec![1; 1 << 20])).collect();
        store.append(&name(stream), ExpectedVersion::NoStream, events).unwrap();
    }
    store.close().unwrap();
    let room = || -> Vec<(u64, u64)> {
        let files = fs::read_dir(dir.path().join("log")).unwrap().map(|entry| entry.unwrap().path());
        // Not the next one, which is prepared meanwhile.
        let segments = files.filter(|file| file.extension().is_some_and(|end| end == "seg"));
        let sizes = segments.map(|file| fs::metadata(file).unwrap());
        sizes.map(|file| (file.len() >> 20, (file.blocks() * 512) >> 20)).collect()
    };
    assert_eq!(room(), [(8, 5), (8, 5)], "the length and what is taken up of it, in MiB");
    let store = Store::open(dir.path()).unwrap();
    store.append(&name("a"), exact(5), vec![event("x")]).unwrap();
    let mut taken: Vec<u64> = room().into_iter().map(|(_, taken)| taken).collect();
    taken.sort_unstable();
    assert_eq!(taken, [5, 8], "a segment has all the room that it may need");
    store.close().unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert_eq!((store.last_position().get(), store.verify().unwrap().faults), (11, vec![]));
}

#[test]
fn appends_that_name_no_version_build_on_each_other_before_they_are_durable() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let pending: Vec<_> = (0..3000)
        .map(|number| store.submit(&name("s"), ExpectedVersion::Any, vec![event(number.to_string())]).unwrap())
        .collect();
    assert!(pending.iter().zip(1..).all(|(pending, version)| pending.appended().version == Version::new(version)));
    drop(pending);
    store.sync().unwrap();
    assert_eq!(store.last_position().get(), 3000);
}
