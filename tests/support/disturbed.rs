//! Appends to a store whose servers are disturbed meanwhile, and a ledger of what it has acknowledged.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use factlog::{
    Appended, Error, EventId, EventStore, EventType, ExpectedVersion, NewEvent, Position, ReadStream, RecordedEvent,
    Result, StreamAppend, StreamName, Subscribe, Version, block_on,
};

pub fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

pub fn event(payload: impl Into<Vec<u8>>) -> NewEvent {
    NewEvent::new(EventType::new("Noted").unwrap(), payload.into())
}

pub fn append(store: &dyn EventStore, name: &str, payload: &str) -> Result<Appended> {
    block_on(store.append(&stream(name), ExpectedVersion::Any, vec![event(payload)]))
}

/// All events of a stream.
pub fn events(store: &dyn EventStore, name: &str) -> Vec<RecordedEvent> {
    let mut all: Vec<RecordedEvent> = Vec::new();
    loop {
        let from = all.last().map_or(Version::FIRST, |last| last.version().next());
        let page = block_on(store.read_stream(ReadStream::new(&stream(name)).from(from))).unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// A stream, the id of an event that was acknowledged, and its version.
type Ledger = Vec<(String, EventId, Version)>;

const WRITERS: usize = 4;
/// Appends that must have been acknowledged between two disturbances.
const BETWEEN: u64 = 50;
/// Longer than any of them takes to be over: a test that waits so long fails.
const LONG: Duration = Duration::from_secs(120);

/// Writers that are disturbed, and what they were acknowledged compared with what is there: all of it, and each event once. Each append is to
/// a stream of the writer's own and to one that they share.
pub fn disturbed(store: &dyn EventStore, mut disturb: Vec<Box<dyn FnMut() + '_>>) {
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut subscription = block_on(store.subscribe(Subscribe::new())).unwrap();
    let ledger: Ledger = thread::scope(|scope| {
        let (stop, acknowledged) = (&stop, &acknowledged);
        let writing: Vec<_> =
            (0..WRITERS).map(|writer| scope.spawn(move || write(store, writer, stop, acknowledged))).collect();
        let more = || {
            let before = acknowledged.load(Ordering::SeqCst);
            let end = Instant::now() + LONG;
            // One that has ended has failed, and says so when it is joined.
            while !writing.iter().any(thread::ScopedJoinHandle::is_finished)
                && acknowledged.load(Ordering::SeqCst) < before + BETWEEN
            {
                assert!(Instant::now() < end, "never: appends go on");
                thread::yield_now();
            }
        };
        for disturb in &mut disturb {
            more();
            disturb();
        }
        more();
        stop.store(true, Ordering::SeqCst);
        writing.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    let mut stored: HashMap<(String, EventId), Version> = HashMap::new();
    for name in (0..WRITERS).map(|writer| format!("own-{writer}")).chain(["shared-1".to_owned()]) {
        for (number, event) in (1..).zip(events(store, &name)) {
            assert_eq!(event.version(), Version::new(number));
            assert_eq!(stored.insert((name.clone(), event.id()), event.version()), None, "stored twice");
        }
    }
    assert_eq!(stored.len(), ledger.len(), "each writer ended with an acknowledged append");
    for (name, id, version) in ledger {
        assert_eq!(stored.get(&(name, id)), Some(&version));
    }
    // Who followed it all has seen it all, once and in order.
    let (mut seen, mut position) = (HashMap::new(), Position::START);
    for _ in 0..stored.len() {
        let event = block_on(subscription.next()).unwrap();
        assert!(event.position() > position);
        position = event.position();
        seen.insert((event.stream().to_string(), event.id()), event.version());
    }
    assert!(seen == stored);
}

/// Appends until it is told to stop; what was acknowledged.
fn write(store: &dyn EventStore, writer: usize, stop: &AtomicBool, acknowledged: &AtomicU64) -> Ledger {
    let (own, shared) = (format!("own-{writer}"), "shared-1".to_owned());
    let (mut ledger, mut version) = (Vec::new(), Version::NONE);
    while !stop.load(Ordering::SeqCst) {
        let (one, other) = (event("one"), event("other"));
        let ids = [one.id, other.id];
        let appends = vec![
            StreamAppend::new(stream(&own), version, vec![one]),
            StreamAppend::new(stream(&shared), ExpectedVersion::Any, vec![other]),
        ];
        // Sent again for as long as the store says that this is what to do.
        let answers = loop {
            match block_on(store.append_streams(appends.clone())) {
                Ok(answers) => break answers,
                Err(Error::Unavailable { .. } | Error::OutcomeUnknown { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        };
        version = version.next();
        assert_eq!(answers[0].version, version);
        ledger.push((own.clone(), ids[0], answers[0].version));
        ledger.push((shared.clone(), ids[1], answers[1].version));
        acknowledged.fetch_add(1, Ordering::SeqCst);
    }
    ledger
}
