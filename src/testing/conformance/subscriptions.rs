//! Subscriptions and their cursors.

use std::{
    collections::HashMap,
    sync::Barrier,
    task::{Context, Poll, Waker},
    thread,
};

use super::suite::{Suite, kind_of};
use crate::{
    error::Error,
    event::{InvalidInput, RecordedEvent, StreamName},
    event_store::{ReadAll, Subscribe},
    version::{Position, Version},
};

/// There is no hand-over between what was there and what comes.
pub fn a_subscriber_that_catches_up_while_others_write_misses_nothing_and_sees_nothing_twice(suite: &Suite) {
    let stream = |name: &str, number: usize| suite.stream("followed", &format!("{name}{number}"));
    for number in 0..100 {
        suite.grow(&stream("old", number % 7), "T", 1);
    }
    let (writers, each) = (3, 60);
    let start = Barrier::new(writers + 2);
    let seen: Vec<Vec<RecordedEvent>> = thread::scope(|scope| {
        for writer in 0..writers {
            let (start, stream) = (&start, &stream);
            scope.spawn(move || {
                start.wait();
                for _ in 0..each {
                    suite.grow(&stream("new", writer), "T", 1);
                }
            });
        }
        let following: Vec<_> = (0..2)
            .map(|_| {
                let start = &start;
                scope.spawn(move || {
                    let mut subscription = suite.subscribe(Subscribe::new().category(suite.category("followed")));
                    start.wait();
                    (0..100 + writers * each).map(|_| suite.next(&mut *subscription)).collect()
                })
            })
            .collect();
        following.into_iter().map(|follower| follower.join().expect("a follower ended early")).collect()
    });
    let stored = suite.read_all(ReadAll::after(Position::START).category(suite.category("followed")));
    for seen in seen {
        assert!(seen == stored, "a follower saw something else than what is stored");
    }
}

/// By stream, category and type, and behind a position.
pub fn a_narrowed_subscription_gives_out_only_what_was_asked_for(suite: &Suite) {
    let [order, second, user] = [("order", "1"), ("order", "2"), ("user", "1")].map(|(of, id)| suite.stream(of, id));
    let before = suite.last_position();
    let mut half = before;
    for round in 0..10 {
        for stream in [&order, &second, &user] {
            for kind in ["Made", "Paid", "Sent"] {
                let position = suite.grow(stream, kind, 1);
                half = if round < 5 { position } else { half };
            }
        }
    }
    let orders = suite.category("order");
    for wanted in [
        Subscribe::new().category(orders.clone()),
        Subscribe::new().category(orders.clone()).event_type(kind_of("Paid")),
        Subscribe::new().category(orders.clone()).event_type(kind_of("Paid")).event_type(kind_of("Sent")),
        Subscribe::new().stream(order.clone()),
        Subscribe::new().stream(order.clone()).event_type(kind_of("Made")).after(half),
        Subscribe::new().stream(user).event_type(kind_of("Sent")),
        Subscribe::new().category(orders).after(half),
    ] {
        let start = if wanted.start == Subscribe::new().start { Position::START } else { half };
        let stored = suite.read_all(wanted.read_after(start));
        assert!(!stored.is_empty());
        let mut subscription = suite.subscribe(wanted.clone());
        for event in stored {
            assert_eq!(suite.next(&mut *subscription), event, "{wanted:?}");
            assert!(subscription.position() >= event.position());
        }
    }
}

/// A future that is dropped has taken nothing with it.
pub fn a_subscription_waits_for_what_comes_and_loses_nothing_when_it_stops_waiting(suite: &Suite) {
    let stream = suite.stream("waited", "1");
    let mut subscription = suite.subscribe(Subscribe::new().stream(stream.clone()));
    for version in 1..=20 {
        suite.wait(async {
            // Looked at once, and dropped.
            let mut next = subscription.next();
            let looked = next.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(looked, Poll::Pending), "nothing was there: {looked:?}");
        });
        let event = thread::scope(|scope| {
            scope.spawn(|| suite.grow(&stream, "T", 1));
            suite.next(&mut *subscription)
        });
        assert_eq!((event.stream(), event.version()), (stream.clone(), Version::new(version)));
    }
}

/// What was given out and never acknowledged comes again.
pub fn a_cursor_goes_on_behind_what_was_acknowledged(suite: &Suite) {
    let (stream, other) = (suite.stream("mail", "1"), suite.stream("mail", "2"));
    let positions: Vec<_> = (0..6).map(|number| suite.grow([&stream, &other][number % 2], "T", 1)).collect();
    let mailer = || Subscribe::new().category(suite.category("mail")).cursor(suite.cursor("mailer"));
    let next = |subscribe: Subscribe| {
        let mut subscription = suite.subscribe(subscribe);
        suite.next(&mut *subscription).position()
    };
    let mut subscription = suite.subscribe(mailer());
    let ahead = suite.wait(subscription.acknowledge(positions[0]));
    assert!(matches!(ahead, Err(Error::Invalid(InvalidInput::NotGivenOut { .. }))), "{ahead:?}");
    let given: Vec<_> = (0..3).map(|_| suite.next(&mut *subscription).position()).collect();
    assert_eq!(given, positions[..3]);
    assert_eq!(next(mailer()), positions[0], "nothing was acknowledged");
    suite.wait(subscription.acknowledge(given[1])).expect("an acknowledgement");
    drop(subscription);
    assert_eq!(next(mailer()), positions[2]);
    let other_cursor = Subscribe::new().category(suite.category("mail")).cursor(suite.cursor("printer"));
    assert_eq!(next(other_cursor), positions[0], "each cursor is its own");

    let mut without = suite.subscribe(Subscribe::new().category(suite.category("mail")));
    let position = suite.next(&mut *without).position();
    let uncursored = suite.wait(without.acknowledge(position));
    assert!(matches!(uncursored, Err(Error::Invalid(InvalidInput::NoCursor))), "{uncursored:?}");
}

/// A subscriber is never ahead of the log.
pub fn what_a_subscription_gives_out_can_be_read(suite: &Suite) {
    let stream = |number: usize| suite.stream("seen", &number.to_string());
    thread::scope(|scope| {
        for writer in 0..2 {
            let stream = stream(writer);
            scope.spawn(move || {
                for _ in 0..50 {
                    suite.grow(&stream, "T", 2);
                }
            });
        }
        let mut subscription = suite.subscribe(Subscribe::new().category(suite.category("seen")));
        let mut versions: HashMap<StreamName, Version> = HashMap::new();
        for _ in 0..200 {
            let event = suite.next(&mut *subscription);
            let version = versions.entry(event.stream()).or_default();
            *version = version.next();
            assert_eq!(event.version(), *version);
            assert!(suite.last_position() >= event.position());
            assert!(suite.version(&event.stream()) >= event.version());
            let read = ReadAll::after(event.position().previous()).stream(event.stream()).limit(1);
            assert_eq!(suite.read_all(read), [event]);
        }
    });
}
