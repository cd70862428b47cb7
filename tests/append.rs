//! Appends that are repeated, and appends to several streams at once.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{sync::Arc, thread};

use factlog::{
    Appended, Error, EventStore, EventType, ExpectedVersion, InvalidInput, MemoryStore, NewEvent, Options, Position,
    ReadAll, Store, StreamAppend, StreamName, Version, block_on, limits,
};
use tempfile::TempDir;

fn name(text: &str) -> StreamName {
    StreamName::new(text).unwrap()
}

fn event(payload: &str) -> NewEvent {
    NewEvent::new(EventType::new("T").unwrap(), payload.to_owned())
}

fn exact(version: u64) -> ExpectedVersion {
    ExpectedVersion::Exact(Version::new(version))
}

/// Runs a test on every store that is in this process.
fn on_each(test: impl Fn(&dyn EventStore)) {
    let dir = TempDir::new().unwrap();
    test(&MemoryStore::new());
    test(&Options::new().first_segment_bytes(8 << 10).segment_bytes(16 << 10).open(dir.path()).unwrap());
}

fn append(
    store: &dyn EventStore,
    stream: &str,
    expected: ExpectedVersion,
    events: &[NewEvent],
) -> Result<Appended, Error> {
    block_on(store.append(&name(stream), expected, events.to_vec()))
}

fn last(store: &dyn EventStore) -> Position {
    block_on(store.last_position()).unwrap()
}

#[track_caller]
fn assert_duplicate(result: Result<Appended, Error>, of: &NewEvent, at: u64) {
    match result.unwrap_err() {
        Error::DuplicateEventId { id, version, .. } => assert_eq!((id, version), (of.id, Version::new(at))),
        other => panic!("{other}"),
    }
}

#[test]
fn the_same_append_again_gets_the_first_answer_and_stores_nothing() {
    on_each(|store| {
        let (one, two, three) = (event("1"), event("2"), event("3"));
        let pair = [one.clone(), two.clone()];
        for expected in [ExpectedVersion::NoStream, exact(0), ExpectedVersion::Any, ExpectedVersion::StreamExists] {
            let stream = format!("s-{expected:?}").replace(['(', ')'], "");
            if expected == ExpectedVersion::StreamExists {
                append(store, &stream, ExpectedVersion::Any, &[event("0")]).unwrap();
            }
            let first = append(store, &stream, expected, &pair).unwrap();
            append(store, &stream, ExpectedVersion::Any, std::slice::from_ref(&three)).unwrap();
            let before = last(store);
            for _ in 0..3 {
                assert_eq!(append(store, &stream, expected, &pair).unwrap(), first);
            }
            assert_eq!(append(store, &stream, ExpectedVersion::Any, &pair).unwrap(), first);
            assert_eq!(last(store), before);
        }
    });
}

#[test]
fn an_id_that_is_taken_by_another_event_or_a_partial_repetition_is_refused() {
    on_each(|store| {
        let (one, two) = (event("1"), event("2"));
        append(store, "s", ExpectedVersion::NoStream, &[one.clone(), two.clone()]).unwrap();
        let before = last(store);
        let changed = NewEvent { payload: "else".into(), ..one.clone() };
        let retyped = NewEvent { event_type: EventType::new("U").unwrap(), ..one.clone() };
        let remembered = one.clone().with_metadata("{}");
        for other in [&changed, &retyped, &remembered] {
            for expected in [ExpectedVersion::Any, ExpectedVersion::NoStream] {
                assert_duplicate(append(store, "s", expected, &[other.clone(), two.clone()]), &one, 1);
            }
        }
        for expected in [ExpectedVersion::Any, exact(1)] {
            assert_duplicate(append(store, "s", expected, &[two.clone(), event("3")]), &two, 2);
        }
        assert_duplicate(append(store, "s", ExpectedVersion::Any, &[event("0"), two.clone()]), &two, 2);
        assert_duplicate(append(store, "s", ExpectedVersion::NoStream, &[one.clone(), event("x")]), &one, 1);
        let refused = append(store, "s", ExpectedVersion::NoStream, &[event("x")]).unwrap_err();
        assert!(matches!(refused, Error::WrongExpectedVersion { actual, .. } if actual == Version::new(2)));
        assert_eq!(last(store), before);
        append(store, "other", ExpectedVersion::Any, &[one]).unwrap();
    });
}

#[test]
fn the_same_id_twice_in_one_append_is_refused() {
    on_each(|store| {
        let one = event("1");
        let other = NewEvent { payload: "else".into(), ..one.clone() };
        for twice in [[one.clone(), one.clone()], [one.clone(), other]] {
            let refused = append(store, "s", ExpectedVersion::Any, &twice).unwrap_err();
            assert!(matches!(refused, Error::Invalid(InvalidInput::IdTwice { id, .. }) if id == one.id), "{refused}");
        }
        append(store, "s", ExpectedVersion::Any, &[event("2"), one]).unwrap();
    });
}

#[test]
fn without_a_version_the_newest_thousand_ids_count_and_with_one_those_behind_it_for_ever() {
    on_each(|store| {
        let many: Vec<NewEvent> = (0..limits::RECENT_EVENTS + 1).map(|number| event(&number.to_string())).collect();
        append(store, "s", ExpectedVersion::NoStream, &many).unwrap();
        let again = append(store, "s", ExpectedVersion::Any, &many[1..2]).unwrap();
        assert_eq!(again.version, Version::new(2));
        append(store, "s", ExpectedVersion::Any, &many[..1]).unwrap();
        assert_eq!(append(store, "s", exact(0), &many[..1]).unwrap().version, Version::FIRST);
        assert_eq!(last(store).get() as usize, many.len() + 1);
    });
}

#[test]
fn a_repetition_is_recognised_after_reopening_too() {
    let dir = TempDir::new().unwrap();
    let (one, two) = (event("1"), event("2"));
    let answer = {
        let store = Store::open(dir.path()).unwrap();
        append(&store, "s", ExpectedVersion::Any, std::slice::from_ref(&one)).unwrap()
    };
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(append(&store, "s", ExpectedVersion::Any, &[one]).unwrap(), answer);
    append(&store, "s", ExpectedVersion::Any, &[two]).unwrap();
    assert_eq!(store.last_position(), Position::new(2));
}

#[test]
fn of_threads_that_send_the_same_append_one_stores_it_and_all_get_its_answer() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for round in 0..50 {
        let events = vec![event("a"), event("b")];
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let (store, events) = (store.clone(), events.clone());
                let expected = if number % 2 == 0 { ExpectedVersion::Any } else { exact(round * 2) };
                thread::spawn(move || store.append(&name("s"), expected, events).unwrap())
            })
            .collect();
        let answers: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]));
        assert_eq!(store.last_position().get(), round * 2 + 2);
    }
}

#[test]
fn appends_that_name_no_version_build_on_each_other_before_they_are_durable() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let pending: Vec<_> = (0..3000)
        .map(|number| store.submit(&name("s"), ExpectedVersion::Any, vec![event(&number.to_string())]).unwrap())
        .collect();
    assert!(pending.iter().zip(1..).all(|(pending, version)| pending.appended().version == Version::new(version)));
    drop(pending);
    store.sync().unwrap();
    assert_eq!(store.last_position().get(), 3000);
}

#[test]
fn an_append_to_several_streams_is_all_or_nothing_and_lies_in_one_piece() {
    on_each(|store| {
        let to = |stream: &str, expected, payloads: &[&str]| {
            StreamAppend::new(name(stream), expected, payloads.iter().map(|payload| event(payload)).collect())
        };
        let both = vec![to("a", exact(0), &["a1", "a2"]), to("b", ExpectedVersion::Any, &["b1"])];
        let answers = block_on(store.append_streams(both.clone())).unwrap();
        let places: Vec<_> = answers.iter().map(|answer| (answer.version.get(), answer.position.get())).collect();
        assert_eq!(places, [(2, 2), (1, 3)]);
        assert_eq!(block_on(store.append_streams(both.clone())).unwrap(), answers, "the same again");

        let refused = block_on(store.append_streams(vec![to("b", exact(1), &["x"]), to("a", exact(1), &["x"])]));
        match refused.unwrap_err() {
            Error::WrongExpectedVersion { stream, actual, .. } => {
                assert_eq!((stream, actual), (name("a"), Version::new(2)));
            }
            other => panic!("{other}"),
        }
        let half = vec![both[0].clone(), to("c", ExpectedVersion::NoStream, &["c1"])];
        assert!(matches!(block_on(store.append_streams(half)), Err(Error::DuplicateEventId { .. })));
        let twice = block_on(store.append_streams(vec![to("c", exact(0), &["1"]), to("c", exact(1), &["2"])]));
        assert!(matches!(twice, Err(Error::Invalid(InvalidInput::StreamTwice { .. }))));
        assert!(matches!(block_on(store.append_streams(vec![])), Err(Error::Invalid(InvalidInput::NoEvents))));
        let halfway = vec![to("c", exact(0), &["1"]), to("d", exact(0), &[])];
        assert!(matches!(block_on(store.append_streams(halfway)), Err(Error::Invalid(InvalidInput::NoEvents))));

        let events = block_on(store.read_all(ReadAll::after(Position::START))).unwrap();
        let payloads: Vec<_> = events.iter().map(|event| event.payload()).collect();
        assert_eq!(payloads, ["a1", "a2", "b1"]);
    });
}

#[test]
fn writers_to_overlapping_streams_never_see_a_half() {
    let dir = TempDir::new().unwrap();
    let store = Options::new().first_segment_bytes(8 << 10).segment_bytes(16 << 10).open(dir.path()).unwrap();
    let transfers = 60;
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let store = store.clone();
            thread::spawn(move || {
                for number in 0..transfers {
                    let (from, to) =
                        (name(&format!("account-{}", number % 3)), name(&format!("account-{}", 3 + thread % 2)));
                    loop {
                        let versions = [store.stream_version(&from).unwrap(), store.stream_version(&to).unwrap()];
                        let appends = vec![
                            StreamAppend::new(from.clone(), versions[0], vec![event("out")]),
                            StreamAppend::new(to.clone(), versions[1], vec![event("in")]),
                        ];
                        match store.append_streams(appends) {
                            Ok(_) => break,
                            Err(Error::WrongExpectedVersion { .. }) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let payloads: Vec<_> =
        store.read_all(ReadAll::after(Position::START)).map(|event| event.unwrap().payload()).collect();
    assert_eq!(payloads.len(), 4 * transfers * 2);
    assert!(payloads.chunks(2).all(|pair| pair[0] == "out" && pair[1] == "in"));
    assert_eq!(store.verify().unwrap().faults, []);
    let _: Arc<dyn EventStore> = Arc::new(store);
}

#[test]
fn a_repetition_of_which_only_the_end_is_among_the_newest_thousand_is_recognised_whole() {
    on_each(|store| {
        let many: Vec<NewEvent> = (0..limits::RECENT_EVENTS + 50).map(|number| event(&number.to_string())).collect();
        append(store, "s", ExpectedVersion::Any, &[event("before")]).unwrap();
        let first = append(store, "s", ExpectedVersion::Any, &many).unwrap();
        assert_eq!(append(store, "s", ExpectedVersion::Any, &many).unwrap(), first);
        append(store, "s", ExpectedVersion::Any, &[event("later")]).unwrap();
        assert_eq!(append(store, "s", ExpectedVersion::StreamExists, &many).unwrap(), first);
        let mut changed = many.clone();
        changed[0].payload = "else".into();
        assert!(matches!(append(store, "s", ExpectedVersion::Any, &changed), Err(Error::DuplicateEventId { .. })));
    });
}

#[test]
fn a_repetition_in_one_of_several_streams_is_refused_and_names_that_stream_and_id() {
    on_each(|store| {
        let known = event("known");
        append(store, "b", ExpectedVersion::Any, &[event("0"), known.clone()]).unwrap();
        let both = [("a", event("new")), ("b", known.clone())];
        let appends = both.map(|(stream, event)| StreamAppend::new(name(stream), ExpectedVersion::Any, vec![event]));
        match block_on(store.append_streams(appends.to_vec())).unwrap_err() {
            Error::DuplicateEventId { stream, id, version } => {
                assert_eq!((stream, id, version), (name("b"), known.id, Version::new(2)));
            }
            other => panic!("{other}"),
        }
    });
}
