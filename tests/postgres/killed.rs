//! A server that is killed in the middle of appends, and started again.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use factlog::{
    Error, EventId, EventStore, ExpectedVersion, StreamAppend, Version, backend::postgres::PostgresStore, block_on,
};

use crate::{
    postgres::Postgres,
    support::{event, events, patient, stream, subscribe},
};

const WRITERS: usize = 6;
const KILLS: usize = 3;

/// A stream, the id of an event that was acknowledged, and its version.
type Entry = (String, EventId, Version);

/// Appends to a stream of its own and to one of all, until told to stop. Gives what was acknowledged.
fn write(store: &PostgresStore, writer: usize, stop: impl Fn() -> bool, acknowledged: &AtomicU64) -> Vec<Entry> {
    let (own, shared) = (format!("own-{writer}"), "shared-1".to_owned());
    let mut ledger = Vec::new();
    let mut version = Version::NONE;
    while !stop() {
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

#[test]
fn what_was_acknowledged_is_there_once_after_the_server_was_killed_in_the_middle_of_appends() {
    let server = Postgres::new();
    let store = patient(&server.database());
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut subscription = subscribe(&store);
    let ledgers: Vec<Vec<Entry>> = thread::scope(|scope| {
        let writing: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (store, stop, acknowledged) = (&store, &stop, &acknowledged);
                scope.spawn(move || write(store, writer, || stop.load(Ordering::SeqCst), acknowledged))
            })
            .collect();
        for _ in 0..KILLS {
            let before = acknowledged.load(Ordering::SeqCst);
            while acknowledged.load(Ordering::SeqCst) < before + 50 {
                thread::yield_now();
            }
            server.kill();
            server.start();
        }
        let before = acknowledged.load(Ordering::SeqCst);
        while acknowledged.load(Ordering::SeqCst) < before + 50 {
            thread::yield_now();
        }
        stop.store(true, Ordering::SeqCst);
        writing.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let ledger: Vec<_> = ledgers.into_iter().flatten().collect();
    let mut stored: HashMap<(String, EventId), Version> = HashMap::new();
    let names = (0..WRITERS).map(|writer| format!("own-{writer}")).chain(["shared-1".to_owned()]);
    for name in names {
        for (number, event) in (1..).zip(events(&store, &name)) {
            assert_eq!(event.version(), Version::new(number));
            assert_eq!(stored.insert((name.clone(), event.id()), event.version()), None, "stored twice");
        }
    }
    assert_eq!(stored.len(), ledger.len(), "each writer ended with an acknowledged append");
    for (name, id, version) in ledger {
        assert_eq!(stored.get(&(name, id)), Some(&version));
    }
    // Who followed it all has seen it all, once and in order.
    let mut seen: HashMap<(String, EventId), Version> = HashMap::new();
    let mut position = factlog::Position::START;
    for _ in 0..stored.len() {
        let event = block_on(subscription.next()).unwrap();
        assert!(event.position() > position);
        position = event.position();
        seen.insert((event.stream().to_string(), event.id()), event.version());
    }
    assert!(seen == stored);
}
