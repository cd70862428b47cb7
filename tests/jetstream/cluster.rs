//! Three servers, of which one or all are killed or silent.

use std::{cell::RefCell, collections::BTreeSet, sync::Barrier, thread, time::Duration};

use factlog::{
    Error, EventStore, ExpectedVersion, ReadAll, ReadStream, Version,
    backend::jetstream::{JetStreamOptions, JetStreamStore},
    block_on,
};

use crate::{
    nats::{self, Nats},
    support::{append, disturbed, event, events, stream},
};

/// A store that is connected to one of the servers.
fn through(nats: &Nats, node: usize, log: &str) -> JetStreamStore {
    let one = format!("nats://127.0.0.1:{}/{log}?accept-unsynced", nats.nodes[node].port);
    JetStreamOptions::new(&one).unwrap().connect().unwrap()
}

#[test]
fn whichever_server_a_reader_is_connected_to_it_sees_what_was_acknowledged_before() {
    let nats = nats::cluster();
    let stores: Vec<_> = (0..3).map(|node| through(nats, node, "fresh")).collect();
    for round in 0..150 {
        let name = format!("fresh-{}", round % 7);
        let appended = append(&stores[round % 3], &name, "x").unwrap();
        for reader in &stores {
            assert_eq!(block_on(reader.stream_version(&stream(&name))).unwrap(), appended.version);
            assert!(block_on(reader.last_position()).unwrap() >= appended.position);
            let last = ReadStream::new(&stream(&name)).backwards().limit(1);
            assert_eq!(block_on(reader.read_stream(last)).unwrap()[0].position(), appended.position);
            let whole = block_on(reader.read_stream(ReadStream::new(&stream(&name)))).unwrap();
            assert_eq!(whole.last().unwrap().position(), appended.position);
            for read in [
                ReadAll::after(appended.position.previous()),
                ReadAll::after(appended.position.previous()).category("fresh"),
            ] {
                assert_eq!(block_on(reader.read_all(read)).unwrap()[0].position(), appended.position);
            }
        }
    }
}

#[test]
fn of_fifty_writers_that_expect_one_version_exactly_one_gets_it() {
    for nats in [nats::alone(), nats::cluster()] {
        let (store, start) = (nats.fresh(), Barrier::new(50));
        let results: Vec<_> = thread::scope(|scope| {
            let racing = |number: usize| {
                let (store, start) = (&store, &start);
                scope.spawn(move || {
                    start.wait();
                    block_on(store.append(&stream("raced"), ExpectedVersion::NoStream, vec![event(number.to_string())]))
                })
            };
            let racing: Vec<_> = (0..50).map(racing).collect();
            racing.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        for refused in results.into_iter().filter_map(Result::err) {
            assert!(matches!(refused, Error::WrongExpectedVersion { actual: Version::FIRST, .. }), "{refused}");
        }
    }
}

#[test]
fn nothing_is_lost_or_stored_twice_when_the_leader_is_killed_in_the_middle_of_appends() {
    let nats = RefCell::new(Nats::cluster());
    let store = nats.borrow().open("killed");
    let kill = || {
        let leader = nats.borrow().leader("killed");
        nats.borrow_mut().nodes[leader].kill();
    };
    disturbed(&store, vec![Box::new(kill), Box::new(|| nats.borrow_mut().restart()), Box::new(kill)]);
}

#[test]
fn nothing_is_lost_or_stored_twice_when_the_leader_is_silent_for_ten_seconds() {
    let nats = Nats::cluster();
    let store = nats.open("silent");
    let silence = || {
        let leader = nats.leader("silent");
        nats.nodes[leader].pause();
        thread::sleep(Duration::from_secs(10));
        nats.nodes[leader].resume();
    };
    disturbed(&store, vec![Box::new(silence)]);
}

#[test]
fn nothing_is_lost_or_stored_twice_when_all_servers_are_killed_and_started_again() {
    let nats = RefCell::new(Nats::cluster());
    let store = nats.borrow().open("all");
    let all = || {
        nats.borrow_mut().nodes.iter_mut().for_each(nats::Node::kill);
        nats.borrow_mut().restart();
    };
    disturbed(&store, vec![Box::new(all), Box::new(all)]);
}

#[test]
fn nothing_is_lost_or_stored_twice_when_a_server_that_is_alone_is_killed_and_started_again() {
    let nats = RefCell::new(Nats::alone());
    let store = nats.borrow().open("one");
    let kill = || {
        nats.borrow_mut().nodes[0].kill();
        nats.borrow_mut().restart();
    };
    disturbed(&store, vec![Box::new(kill), Box::new(kill), Box::new(kill)]);
}

#[test]
fn without_a_majority_appends_are_unavailable_or_unknown_and_go_on_when_it_is_back() {
    let mut nats = Nats::cluster();
    let store = nats.options("few").request_time(Duration::from_secs(3)).connect().unwrap();
    append(&store, "kept-1", "before").unwrap();
    let leader = nats.leader("few");
    (0..3).filter(|node| *node != leader).for_each(|node| nats.nodes[node].kill());
    let sent = event("during");
    let lonely = block_on(store.append(&stream("kept-1"), ExpectedVersion::Any, vec![sent.clone()])).unwrap_err();
    assert!(matches!(lonely, Error::Unavailable { .. } | Error::OutcomeUnknown { .. }), "{lonely}");
    nats.restart();
    let patient = nats.open("few");
    block_on(patient.append(&stream("kept-1"), ExpectedVersion::Any, vec![sent])).unwrap();
    let stored = block_on(patient.read_stream(ReadStream::new(&stream("kept-1")))).unwrap();
    let payloads: BTreeSet<_> = stored.iter().map(|event| event.payload()).collect();
    assert_eq!((stored.len(), payloads.len()), (2, 2));
}

#[test]
fn a_store_is_opened_while_a_server_is_down_and_not_while_one_is_silent() {
    let mut nats = Nats::cluster();
    append(&nats.open("opened"), "a-1", "1").unwrap();
    let down = nats.leader("opened");
    nats.nodes[down].kill();
    append(&nats.open("opened"), "a-1", "2").unwrap();
    nats.restart();
    // Nobody knows what it is about to do.
    let leader = nats.leader("opened");
    nats.nodes[leader].pause();
    let error = nats.options("opened").connect().unwrap_err();
    assert!(matches!(error, Error::NotAStore { .. }) && error.to_string().contains("no answer within"), "{error}");
    nats.nodes[leader].resume();
    assert_eq!(events(&nats.open("opened"), "a-1").len(), 2);
}
