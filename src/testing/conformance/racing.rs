//! Writers that meet each other.

use std::{collections::HashMap, sync::Barrier, thread};

use super::suite::{Suite, event, exact};
use crate::{
    error::Error,
    event::StreamName,
    event_store::{ReadAll, StreamAppend},
    version::{ExpectedVersion, Position, Version},
};

const WRITERS: usize = 8;
const ROUNDS: u64 = 30;

/// Runs the same on many threads at once, and returns what each returned.
fn race<T: Send>(run: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let (start, run) = (Barrier::new(WRITERS), &run);
    thread::scope(|scope| {
        let running: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    run(writer)
                })
            })
            .collect();
        running.into_iter().map(|writer| writer.join().expect("a writer ended early")).collect()
    })
}

/// The others are refused with the version that the winner made.
pub fn of_writers_that_expect_one_version_exactly_one_gets_it(suite: &Suite) {
    let stream = suite.stream("race", "1");
    for round in 0..ROUNDS {
        let expected = if round == 0 { ExpectedVersion::NoStream } else { exact(round) };
        let results = race(|writer| suite.append(&stream, expected, &[event(&writer.to_string())]));
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        for refused in results.into_iter().filter_map(|result| result.err()) {
            assert!(
                matches!(refused, Error::WrongExpectedVersion { actual, .. } if actual == Version::new(round + 1)),
                "{refused}"
            );
        }
        assert_eq!(suite.version(&stream), Version::new(round + 1));
    }
}

/// As when a client sends again what is still on its way.
pub fn of_the_same_append_sent_at_once_one_is_stored_and_all_get_its_answer(suite: &Suite) {
    let stream = suite.stream("same", "1");
    for round in 0..ROUNDS {
        let events = [event("a"), event("b")];
        let answers = race(|writer| {
            let expected = if writer % 2 == 0 { ExpectedVersion::Any } else { exact(round * 2) };
            suite.append(&stream, expected, &events).expect("the same append")
        });
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        assert_eq!(suite.version(&stream), Version::new(round * 2 + 2));
    }
}

/// Each transfer takes from one stream and gives to another.
pub fn writers_to_overlapping_streams_never_leave_a_half(suite: &Suite) {
    if suite.capabilities().append_streams < 2 {
        return;
    }
    let account = |number: usize| suite.stream("account", &number.to_string());
    let transfers = 15;
    race(|writer| {
        for number in 0..transfers {
            let streams = [account(number % 3), account(3 + writer % 2)];
            loop {
                let appends = streams.clone().map(|stream| {
                    let version = suite.version(&stream);
                    StreamAppend::new(stream, version, vec![event(&format!("{writer}/{number}"))])
                });
                match suite.append_streams(&appends) {
                    Ok(_) => break,
                    Err(Error::WrongExpectedVersion { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        }
    });
    let mut halves: HashMap<_, Vec<Position>> = HashMap::new();
    for event in suite.read_all(ReadAll::after(Position::START).category(suite.category("account"))) {
        halves.entry(event.payload()).or_default().push(event.position());
    }
    assert_eq!(halves.len(), WRITERS * transfers);
    assert!(halves.values().all(|places| places.len() == 2), "{halves:?}");
}

/// What is acknowledged is there, in an order that never changes.
pub fn versions_have_no_gaps_and_positions_grow_whoever_writes(suite: &Suite) {
    let before = suite.last_position();
    let own = |writer: usize| suite.stream("dense", &writer.to_string());
    let shared = suite.stream("dense", "shared");
    race(|writer| {
        let stream = own(writer);
        for round in 0..ROUNDS {
            let pair = [event("1"), event("2")];
            let appended = suite.append(&stream, exact(round * 2), &pair).expect("a stream of one writer");
            assert!(suite.last_position() >= appended.position);
            assert_eq!(suite.version(&stream), appended.version);
            suite.append(&shared, ExpectedVersion::Any, &[event("3")]).expect("an append without a condition");
        }
    });
    let everything = suite.read_all(ReadAll::after(before).category(suite.category("dense")));
    assert_eq!(everything.len() as u64, WRITERS as u64 * ROUNDS * 3);
    let mut versions: HashMap<StreamName, Version> = HashMap::new();
    let mut last = before;
    for event in &everything {
        assert!(event.position() > last);
        last = event.position();
        let version = versions.entry(event.stream()).or_default();
        *version = version.next();
        assert_eq!(event.version(), *version, "{event:?}");
    }
    assert!(suite.last_position() >= last);
    let again = suite.read_all(ReadAll::after(before).category(suite.category("dense")));
    assert!(again == everything, "the same read gave something else");
}
