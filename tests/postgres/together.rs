//! Appends that have to wait and go together: each is an append of its own all the same.

use std::thread;

use factlog::{
    Appended, Error, EventStore, ExpectedVersion, NewEvent, Result, StreamAppend, Version,
    backend::postgres::{PostgresOptions, PostgresStore},
    block_on,
};

use crate::{
    postgres::Postgres,
    support::{Hand, Held, LONG, append, event, events, patient, stream},
};

/// Connections, and so calls that may be under way.
const CALLS: usize = 2;

/// A store all of whose calls wait for others, so that what comes next has to wait, and then goes together.
struct Busy {
    store: PostgresStore,
    hand: Hand,
    held: Vec<Held>,
}

impl Busy {
    fn at(address: &str) -> Busy {
        let options = PostgresOptions::new(address).unwrap().connect_time(LONG).request_time(LONG);
        let store = options.pool_size(CALLS).connect().unwrap();
        let held = (0..CALLS).map(|number| Held::append(address, &format!("held-{number}"), "by another")).collect();
        Busy { store, hand: Hand::at(address), held }
    }

    /// Makes these appends while all calls wait, and then lets them go on.
    fn append(self, appends: Vec<Vec<StreamAppend>>) -> Vec<Result<Vec<Appended>>> {
        let Busy { store, hand, held } = self;
        let store = &store;
        thread::scope(|scope| {
            let first: Vec<_> = (0..CALLS)
                .map(|number| scope.spawn(move || append(store, &format!("held-{number}"), "ours")))
                .collect();
            let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = \
                           (SELECT oid FROM pg_database WHERE datname = current_database())";
            while hand.number(waiting) < CALLS as i64 {
                thread::yield_now();
            }
            let mut coming = appends.into_iter().map(|appends| store.append_streams(appends)).collect::<Vec<_>>();
            let mut answers: Vec<Option<_>> = coming.iter().map(|_| None).collect();
            let mut held = held.into_iter();
            block_on(std::future::poll_fn(|context| {
                for (one, answer) in coming.iter_mut().zip(&mut answers) {
                    if answer.is_none()
                        && let std::task::Poll::Ready(answered) = one.as_mut().poll(context)
                    {
                        *answer = Some(answered);
                    }
                }
                // By now all of them wait.
                held.by_ref().for_each(|held| held.end("COMMIT"));
                if answers.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            }));
            for first in first {
                assert_eq!(first.join().unwrap().unwrap().version, Version::new(2));
            }
            answers.into_iter().flatten().collect()
        })
    }
}

fn to(name: &str, expected: impl Into<ExpectedVersion>, events: Vec<NewEvent>) -> StreamAppend {
    StreamAppend::new(stream(name), expected, events)
}

#[test]
fn appends_that_wait_are_stored_by_few_calls_and_each_is_answered_with_what_is_its_own() {
    let address = Postgres::shared().database();
    let busy = Busy::at(&address);
    let appends: Vec<_> = (0..40)
        .map(|number| {
            let events = (0..=number % 3).map(|place| event(format!("{number}.{place}"))).collect();
            let mut appends = vec![to(&format!("single-{number}"), ExpectedVersion::NoStream, events)];
            if number % 5 == 0 {
                appends.push(to(&format!("second-{number}"), ExpectedVersion::Any, vec![event("second")]));
            }
            appends
        })
        .collect();
    let answers = busy.append(appends.clone());
    let store = patient(&address);
    for (appends, answers) in appends.iter().zip(&answers) {
        let answers = answers.as_ref().unwrap();
        assert_eq!(answers.len(), appends.len());
        for (append, answer) in appends.iter().zip(answers) {
            let stored = events(&store, append.stream.as_str());
            assert!(stored.iter().map(|event| event.id()).eq(append.events.iter().map(|event| event.id)));
            assert_eq!(answer.first_version, Version::FIRST);
            assert_eq!(answer.version, stored.last().unwrap().version());
            assert_eq!(answer.position, stored.last().unwrap().position());
        }
    }
    let of_calls = "SELECT count(DISTINCT position >> 14) FROM events WHERE stream_id NOT LIKE 'held-%'";
    let calls = Hand::at(&address).number(of_calls);
    assert!(calls <= CALLS as i64 * 2, "{calls} calls for {} appends", appends.len());
}

#[test]
fn what_one_of_them_is_refused_for_is_its_own_and_the_others_are_stored_once() {
    let address = Postgres::shared().database();
    let store = patient(&address);
    let (known, other) = (event("known"), event("other"));
    block_on(store.append(&stream("repeated"), ExpectedVersion::Any, vec![known.clone()])).unwrap();
    let mut altered = known.clone();
    altered.payload = b"altered".to_vec().into();
    let appends = vec![
        vec![to("fresh-1", ExpectedVersion::NoStream, vec![event("x")])],
        vec![to("stale", Version::new(7), vec![event("x")])],
        vec![to("repeated", ExpectedVersion::NoStream, vec![known.clone()])],
        vec![to("missing", ExpectedVersion::StreamExists, vec![event("x")])],
        vec![to("fresh-2", ExpectedVersion::Any, vec![event("x"), event("y")])],
        vec![to("repeated", ExpectedVersion::Any, vec![altered])],
        // Whole or not at all.
        vec![to("beside", ExpectedVersion::Any, vec![event("x")]), to("stale", Version::new(7), vec![event("x")])],
        vec![to("crowded", ExpectedVersion::NoStream, vec![event("x")])],
        vec![to("crowded", ExpectedVersion::NoStream, vec![event("y")])],
        vec![to("crowded", ExpectedVersion::Any, vec![other.clone()])],
    ];
    let answers = Busy::at(&address).append(appends);
    let refused = |at: usize| matches!(&answers[at], Err(Error::WrongExpectedVersion { .. }));
    assert_eq!(answers[0].as_ref().unwrap()[0].version, Version::FIRST);
    assert!(refused(1) && refused(3) && refused(6), "{answers:?}");
    assert_eq!(answers[2].as_ref().unwrap()[0].version, Version::FIRST);
    assert_eq!(answers[4].as_ref().unwrap()[0].version, Version::new(2));
    assert!(matches!(&answers[5], Err(Error::DuplicateEventId { .. })), "{answers:?}");
    assert_eq!([7, 8].map(refused).iter().filter(|refused| **refused).count(), 1, "{answers:?}");
    assert!(answers[9].is_ok());
    let count = |name: &str| events(&store, name).len();
    let names = ["fresh-1", "stale", "repeated", "missing", "fresh-2", "beside", "crowded"];
    assert_eq!(names.map(count), [1, 0, 1, 0, 2, 0, 2]);
}

#[test]
fn an_append_that_is_given_up_while_it_waits_holds_up_nobody() {
    let address = Postgres::shared().database();
    let options = PostgresOptions::new(&address).unwrap().pool_size(1).request_time(LONG);
    let store = options.connect().unwrap();
    let held = Held::append(&address, "held", "by another");
    let name = stream("held");
    let give_up = |name| {
        let mut given_up = store.append(name, ExpectedVersion::Any, vec![event("x")]);
        let mut polled = false;
        block_on(std::future::poll_fn(|context| {
            let answer = given_up.as_mut().poll(context);
            assert!(answer.is_pending());
            if std::mem::replace(&mut polled, true) {
                std::task::Poll::Ready(())
            } else {
                context.waker().wake_by_ref();
                std::task::Poll::Pending
            }
        }));
    };
    // The first is under way, and the one connection waits for it; the second waits.
    give_up(&name);
    give_up(&stream("other"));
    append(&store, "another", "y").unwrap();
    held.end("ROLLBACK");
    assert_eq!(events(&store, "another").len(), 1);
}
