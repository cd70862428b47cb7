//! Subscriptions: catching up, how fast an event gets from its writer to a subscriber, and what those cost that it does not
//! concern.

use std::{
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use criterion::Criterion;
use factlog::{Options, StreamName, Subscribe};

use crate::support::{
    case::{Case, Role, Run, Turn},
    data::{EVENTS_IN_STREAM, grown},
    figure::{Figure, Target},
    library::{fill, order},
    place::place,
    raw_log::RawLog,
    writers::{Writer, alone},
};

const GROUP: &str = "subscribe";

pub const CASES: [(&str, Run); 3] =
    [("catching up", catching_up), ("to and fro", to_and_fro), ("1,000 others asleep", others_asleep)];

/// From the first event to the last of those that are there.
fn catching_up(criterion: &mut Criterion) -> Figure {
    const STREAMS: u64 = 10_000;
    let events = STREAMS * EVENTS_IN_STREAM;
    let place = place();
    let store = fill(Options::new(), &place.path().join("factlog"), order(STREAMS));
    let raw = RawLog::new(place.path(), events);
    let passes = |time: Duration, pass: &dyn Fn()| {
        let Turn { operations, elapsed, .. } = alone(time, pass);
        Turn::new(operations * events, elapsed)
    };
    Case::rate(GROUP, "catching up", "events/s")
        .rounds(15, 60)
        .contestant(Role::Factlog, "factlog", |time| {
            passes(time, &|| {
                let mut subscription = store.subscribe(Subscribe::new()).unwrap();
                let mut seen = 0;
                while subscription.try_next().unwrap().is_some() {
                    seen += 1;
                }
                assert_eq!(seen, events);
            })
        })
        .contestant(Role::Limit, "map + CRC", |time| {
            passes(time, &|| assert_ne!((0..events).map(|number| raw.visit(number)).sum::<u64>(), 0))
        })
        .run(criterion)
}

/// A writer appends an event, a subscriber on another thread gets it and says so, and only then comes the next. The limit is the
/// same with a channel in place of the subscription.
fn to_and_fro(criterion: &mut Criterion) -> Figure {
    let place = place();
    let store = grown(Options::new(), &place.path().join("factlog"));
    let (mut own, mut bare) = (Writer::new(1), Writer::new(1));
    Case::rate(GROUP, "to and fro", "events/s")
        .rounds(25, 60)
        .contestant(Role::Factlog, "factlog", |time| {
            let mut subscription = store.subscribe(Subscribe::new().after(store.last_position())).unwrap();
            let (sender, answers) = mpsc::channel();
            let over = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    let sender = sender;
                    while !over.load(Ordering::Relaxed) {
                        if let Some(event) = subscription.next_within(Duration::from_millis(10)).unwrap() {
                            sender.send(event.position()).unwrap();
                        }
                    }
                });
                let turn = alone(time, || {
                    own.append(&store);
                    assert_eq!(answers.recv().unwrap(), store.last_position());
                });
                over.store(true, Ordering::Relaxed);
                turn
            })
        })
        .contestant(Role::Limit, "append + channel", |time| {
            let (sender, events) = mpsc::channel::<Instant>();
            let (answer, answers) = mpsc::channel();
            let (store, bare) = (&store, &mut bare);
            thread::scope(|scope| {
                scope.spawn(move || events.into_iter().for_each(|event| answer.send(event).unwrap()));
                // The thread ends when the sender goes.
                let sender = sender;
                alone(time, || {
                    bare.append(store);
                    sender.send(Instant::now()).unwrap();
                    answers.recv().unwrap();
                })
            })
        })
        .run(criterion)
}

/// A lone writer, while a thousand subscribers wait for events of other streams; the limit is without them.
fn others_asleep(criterion: &mut Criterion) -> Figure {
    let place = place();
    let store = grown(Options::new(), &place.path().join("factlog"));
    let quiet = grown(Options::new(), &place.path().join("quiet"));
    let subscribe = |number| {
        let stream = StreamName::new(format!("other-{number}")).unwrap();
        let mut subscription = store.subscribe(Subscribe::new().stream(stream)).unwrap();
        assert!(subscription.try_next().unwrap().is_none());
        subscription
    };
    let _asleep: Vec<_> = (0..1_000).map(subscribe).collect();
    let (mut own, mut alone_there) = (Writer::new(1), Writer::new(1));
    Case::rate(GROUP, "1,000 others asleep", "appends/s")
        .target(Target::AtLeast(0.95))
        .rounds(60, 25)
        .contestant(Role::Factlog, "factlog", |time| alone(time, || own.append(&store)))
        .contestant(Role::Limit, "without them", |time| alone(time, || alone_there.append(&quiet)))
        .run(criterion)
}
