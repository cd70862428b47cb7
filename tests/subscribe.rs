//! Subscriptions: each event once, in order, from the past into the present, and on from where it was acknowledged.

#![allow(clippy::unwrap_used)]

use std::{
    collections::HashMap,
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use factlog::{
    CursorName, Error, EventType, ExpectedVersion, InvalidInput, NewEvent, Options, Position, RecordedEvent, Store,
    StreamName, Subscribe, Version,
};
use tempfile::TempDir;

fn name(text: &str) -> StreamName {
    StreamName::new(text).unwrap()
}

fn kind(text: &str) -> EventType {
    EventType::new(text).unwrap()
}

fn append(store: &Store, stream: &str, event_type: &str) -> Position {
    let event = NewEvent::new(kind(event_type), "x");
    store.append(&name(stream), ExpectedVersion::Any, vec![event]).unwrap().position
}

/// The last position.
fn append_many(store: &Store, streams: impl Iterator<Item = String>) -> Position {
    streams.fold(Position::START, |_, stream| append(store, &stream, "T"))
}

fn small(dir: &TempDir) -> Store {
    Options::new().first_segment_bytes(8 << 10).segment_bytes(16 << 10).open(dir.path()).unwrap()
}

#[test]
fn a_subscriber_that_catches_up_while_others_append_misses_nothing_and_sees_nothing_twice() {
    let dir = TempDir::new().unwrap();
    let store = small(&dir);
    append_many(&store, (0..300).map(|number| format!("old-{}", number % 7)));
    let (writers, each) = (4, 200);
    let barrier = Arc::new(Barrier::new(writers + 3));
    let writing: Vec<_> = (0..writers)
        .map(|writer| {
            let (store, barrier) = (store.clone(), barrier.clone());
            thread::spawn(move || {
                barrier.wait();
                append_many(&store, (0..each).map(|_| format!("new-{writer}")));
            })
        })
        .collect();
    let total = 300 + writers * each;
    let following: Vec<_> = (0..3)
        .map(|start| {
            let (store, barrier) = (store.clone(), barrier.clone());
            thread::spawn(move || {
                let start = Position::new(start * 100);
                let mut subscription = store.subscribe(Subscribe::new().after(start)).unwrap();
                barrier.wait();
                let mut expected = start;
                let mut versions: HashMap<StreamName, Version> = HashMap::new();
                while expected.get() < total as u64 {
                    let event = subscription.next().unwrap();
                    expected = expected.next();
                    assert_eq!(event.position(), expected);
                    assert!(store.last_position() >= event.position(), "given out before it was durable");
                    if let Some(before) = versions.insert(event.stream(), event.version()) {
                        assert_eq!(event.version(), before.next());
                    }
                }
                assert!(subscription.try_next().unwrap().is_none());
            })
        })
        .collect();
    writing.into_iter().chain(following).for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_narrowed_subscription_gives_out_just_what_was_asked_for() {
    let dir = TempDir::new().unwrap();
    let store = small(&dir);
    let all = |subscribe: &Subscribe| {
        let mut subscription = store.subscribe(subscribe.clone()).unwrap();
        std::iter::from_fn(|| subscription.try_next().unwrap())
            .map(|event: RecordedEvent| (event.stream().to_string(), event.event_type().to_string()))
            .collect::<Vec<_>>()
    };
    let wanted = [
        Subscribe::new().category("order"),
        Subscribe::new().event_type(kind("Paid")),
        Subscribe::new().category("order").event_type(kind("Paid")).event_type(kind("Sent")),
        Subscribe::new().stream(name("order-1")),
        Subscribe::new().stream(name("order-1")).event_type(kind("Made")),
        Subscribe::new().stream(name("order-1")).category("user"),
    ];
    // Live subscriptions were begun before anything was there.
    let mut live: Vec<_> = wanted.iter().map(|subscribe| store.subscribe(subscribe.clone()).unwrap()).collect();
    let mut expected = vec![Vec::new(); wanted.len()];
    for round in 0..40 {
        for stream in ["order-1", "order-2", "order", "user-1"] {
            for event_type in ["Made", "Paid", "Sent"] {
                append(&store, stream, event_type);
                let order = stream.starts_with("order");
                let matches = [
                    order,
                    event_type == "Paid",
                    order && event_type != "Made",
                    stream == "order-1",
                    stream == "order-1" && event_type == "Made",
                    false,
                ];
                for (index, _) in matches.iter().enumerate().filter(|(_, matches)| **matches) {
                    expected[index].push((stream.to_owned(), event_type.to_owned()));
                    if round % 10 == 0 {
                        let event = live[index].next().unwrap();
                        assert_eq!((event.stream().as_str(), event.event_type().as_str()), (stream, event_type));
                    }
                }
            }
        }
        if round % 10 == 0 {
            live.iter_mut().for_each(|subscription| assert!(subscription.try_next().unwrap().is_none()));
        } else {
            live.iter_mut().for_each(|subscription| while subscription.try_next().unwrap().is_some() {});
        }
    }
    for (subscribe, expected) in wanted.iter().zip(expected) {
        assert_eq!(all(subscribe), expected, "{subscribe:?}");
    }
}

#[test]
fn a_cursor_resumes_behind_what_was_acknowledged_also_after_reopening() {
    let dir = TempDir::new().unwrap();
    let mailer = Subscribe::new().category("order").cursor(CursorName::new("mailer").unwrap());
    {
        let store = small(&dir);
        append_many(&store, (0..10).map(|number| ["order-1", "user-1"][number % 2].to_owned()));
        let mut subscription = store.subscribe(mailer.clone()).unwrap();
        let ahead = subscription.acknowledge(Position::new(1)).unwrap_err();
        assert!(matches!(ahead, Error::Invalid(InvalidInput::NotGivenOut { .. })), "{ahead}");
        let given: Vec<_> = (0..3).map(|_| subscription.next().unwrap().position()).collect();
        assert_eq!(given, [1, 3, 5].map(Position::new));
        subscription.acknowledge(given[1]).unwrap();
    }
    let store = small(&dir);
    let mut subscription = store.subscribe(mailer).unwrap();
    assert_eq!(subscription.next().unwrap().position(), Position::new(5), "given out, but never acknowledged");
    let uncursored = store.subscribe(Subscribe::new()).unwrap().acknowledge(Position::START).unwrap_err();
    assert!(matches!(uncursored, Error::Invalid(InvalidInput::NoCursor)), "{uncursored}");
}

#[test]
fn a_subscriber_that_finds_nothing_it_wants_still_gets_ahead() {
    let dir = TempDir::new().unwrap();
    let store = small(&dir);
    let cursor = CursorName::new("audit").unwrap();
    let mut subscription = store.subscribe(Subscribe::new().category("none").cursor(cursor.clone())).unwrap();
    let last = append_many(&store, (0..50).map(|_| "other-1".to_owned()));
    assert!(subscription.try_next().unwrap().is_none());
    assert_eq!(subscription.position(), last);
    subscription.acknowledge(last).unwrap();
    assert_eq!(store.cursor(&cursor).unwrap().position(), last);
}

#[test]
fn waiting_ends_with_the_event_or_with_the_time_given() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut subscription = store.subscribe(Subscribe::new()).unwrap();
    assert!(subscription.next_within(Duration::from_millis(1)).unwrap().is_none());
    let waiting = thread::spawn(move || subscription.next().unwrap().position());
    assert_eq!(append(&store, "s", "T"), waiting.join().unwrap());
}
