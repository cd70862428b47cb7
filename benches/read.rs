//! Reading: a stream, the whole log in both directions, and by type and category.
//!
//! Everything is in the page cache, for every contestant, and each lends what it reads where it can: nobody copies an event.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::Criterion;
use factlog::{
    EventType, Options, Position, ReadAll, RecordedEvent, Store,
    store::{AllEvents, StreamEvents},
};

use crate::support::{
    case::{Case, Role, Turn},
    data::{CATEGORY, EVENTS_IN_STREAM, TYPE, Walk},
    figure::{Figure, Target},
    library::{Library, fill, order},
    peer::{Peer, Sum},
    place::place,
    writers::alone,
};

const GROUP: &str = "read";
const SEED: u64 = 0x5eed;

type Run = fn(&mut Criterion, &Library) -> Figure;

pub const CASES: [(&str, Run); 5] = [
    ("stream of ten", stream),
    ("whole log", |criterion, library| scan(criterion, library, false)),
    ("whole log, backwards", |criterion, library| scan(criterion, library, true)),
    ("by type", by_type),
    ("by category", by_category),
];

fn add(sum: &mut Sum, event: &RecordedEvent) {
    black_box((event.timestamp(), event.id()));
    sum.add(event.version().get(), event.payload_slice());
}

fn sum(mut events: AllEvents<'_>) -> Sum {
    let mut sum = Sum::default();
    while let Some(event) = events.lend().unwrap() {
        add(&mut sum, event);
    }
    sum
}

fn sum_of_stream(mut events: StreamEvents<'_>) -> Sum {
    let mut sum = Sum::default();
    while let Some(event) = events.lend().unwrap() {
        add(&mut sum, event);
    }
    sum
}

/// Whole passes, until the time is over; an operation is an event.
fn passes(time: Duration, events: u64, mut pass: impl FnMut() -> Sum) -> Turn {
    let begin = Instant::now();
    let mut read = 0;
    loop {
        let sum = pass();
        assert_eq!(sum.events, events);
        read += sum.events;
        let elapsed = begin.elapsed();
        if elapsed >= time {
            return Turn::new(read, elapsed);
        }
    }
}

/// A random stream of ten events that lie far apart.
fn stream(criterion: &mut Criterion, library: &Library) -> Figure {
    let Library { streams, names, store, raw, .. } = library;
    let walk = || Walk::new(SEED);
    let (mut own, mut bare) = (walk(), walk());
    let mut case = Case::rate(GROUP, "stream of ten", "streams/s")
        .target(Target::AtLeast(0.5))
        .ahead(3.0)
        .rounds(25, 30)
        .contestant(Role::Factlog, "factlog", |time| {
            alone(time, || {
                let name = &names[own.below(*streams) as usize];
                assert_eq!(sum_of_stream(store.read_stream(name)).events, EVENTS_IN_STREAM);
            })
        })
        .contestant(Role::Limit, "map + CRC", |time| {
            alone(time, || {
                let stream = bare.below(*streams);
                let sum: u64 = (0..EVENTS_IN_STREAM).map(|version| raw.visit(version * streams + stream)).sum();
                assert_ne!(sum, 0);
            })
        });
    for peer in &library.peers {
        let mut walk = walk();
        case = case.contestant(Role::Peer, peer.name(), move |time| {
            alone(time, || {
                let name = &names[walk.below(*streams) as usize];
                assert_eq!(peer.read_stream(name.as_str()).events, EVENTS_IN_STREAM);
            })
        });
    }
    case.run(criterion)
}

fn all(backwards: bool) -> ReadAll {
    let read = ReadAll::after(Position::START);
    if backwards { read.backwards() } else { read }
}

fn scan(criterion: &mut Criterion, library: &Library, backwards: bool) -> Figure {
    let Library { store, raw, .. } = library;
    let events = raw.records();
    let name = if backwards { "whole log, backwards" } else { "whole log" };
    let mut case = Case::rate(GROUP, name, "events/s")
        .target(if backwards { Target::None } else { Target::AtLeast(0.6) })
        .ahead(if backwards { 1.0 } else { 3.0 })
        .rounds(7, 100)
        .contestant(Role::Factlog, "factlog", |time| passes(time, events, || sum(store.read_all(all(backwards)))))
        .contestant(Role::Limit, "map + CRC", |time| {
            passes(time, events, || {
                let visit = |number| raw.visit(if backwards { events - 1 - number } else { number });
                Sum { events, sum: (0..events).map(visit).sum() }
            })
        });
    for peer in &library.peers {
        case = case.contestant(Role::Peer, peer.name(), move |time| passes(time, events, || peer.read_all(backwards)));
    }
    case.run(criterion)
}

/// A tenth of the events, found by what they are; the limit is the scan of a store that holds only those.
fn chosen(
    criterion: &mut Criterion,
    library: &Library,
    name: &str,
    read: impl Fn(&Store) -> Sum,
    read_peer: impl Fn(&dyn Peer) -> Sum,
    wanted: impl Fn(&(u64, u64)) -> bool,
) -> Figure {
    let place = place();
    let only = fill(Options::new(), &place.path().join("only"), order(library.streams).filter(wanted));
    let events = library.raw.records() / 10;
    let mut case = Case::rate(GROUP, name, "events/s")
        .target(Target::AtLeast(0.5))
        .rounds(9, 60)
        .contestant(Role::Factlog, "factlog", |time| passes(time, events, || read(&library.store)))
        .contestant(Role::Limit, "scan of only these", |time| passes(time, events, || sum(only.read_all(all(false)))));
    let read_peer = &read_peer;
    for peer in &library.peers {
        case = case.contestant(Role::Peer, peer.name(), move |time| passes(time, events, || read_peer(&**peer)));
    }
    case.run(criterion)
}

fn by_type(criterion: &mut Criterion, library: &Library) -> Figure {
    let read = || all(false).event_type(EventType::new(TYPE).unwrap());
    let of_type =
        |(stream, version): &(u64, u64)| crate::support::data::Event::new(*stream, *version).event_type == TYPE;
    chosen(criterion, library, "by type", |store| sum(store.read_all(read())), |peer| peer.read_type(TYPE), of_type)
}

fn by_category(criterion: &mut Criterion, library: &Library) -> Figure {
    let read = || all(false).category(CATEGORY);
    let of_category = |(stream, _): &(u64, u64)| stream.is_multiple_of(10);
    let of_peer = |peer: &dyn Peer| peer.read_category(CATEGORY);
    chosen(criterion, library, "by category", |store| sum(store.read_all(read())), of_peer, of_category)
}
