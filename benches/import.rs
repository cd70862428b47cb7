//! Import: a million events of a hundred thousand streams, a thousand events of as many streams in an append. Nobody waits
//! for the disk in between; one sync at the end covers it all.

use std::{fs::File, io::Write, time::Instant};

use criterion::Criterion;
use factlog::{Durability, ExpectedVersion, Options, StreamAppend, StreamName, Version};

use crate::support::{
    case::{Case, Role, Run, Turn},
    data::{EVENTS_IN_STREAM, Event, record_bytes, stream_name},
    figure::{Figure, Target},
    library::order,
    peer::Append,
    peers::{self, Indexes},
    place::place,
};

pub const CASES: [(&str, Run); 1] = [("relaxed", relaxed)];

const STREAMS: u64 = 100_000;
const EVENTS: u64 = STREAMS * EVENTS_IN_STREAM;
const TOGETHER: usize = 1_000;

fn relaxed(criterion: &mut Criterion) -> Figure {
    let mut case = Case::rate("import", "relaxed", "events/s")
        .target(Target::AtLeast(0.5))
        .ahead(2.0)
        .whole(3)
        .contestant(Role::Factlog, "factlog", |_| factlog())
        .contestant(Role::Limit, "buffered write", |_| bare());
    for name in peers::NAMES {
        case = case.contestant(Role::Peer, name, move |_| peer(name));
    }
    case.run(criterion)
}

/// The appends, made before the clock starts.
fn prepared<A>(make: impl Fn(u64, u64) -> A) -> Vec<Vec<A>> {
    let mut all = Vec::new();
    let mut left = order(STREAMS).map(|(stream, version)| make(stream, version)).peekable();
    while left.peek().is_some() {
        all.push(left.by_ref().take(TOGETHER).collect());
    }
    all
}

fn factlog() -> Turn {
    let place = place();
    let store = Options::new().durability(Durability::OnDemand).open(place.path().join("store")).unwrap();
    let appends = prepared(|stream, version| {
        let name = StreamName::new(stream_name(stream)).unwrap();
        let expected = ExpectedVersion::Exact(Version::new(version - 1));
        StreamAppend::new(name, expected, vec![Event::new(stream, version).to_new()])
    });
    let begin = Instant::now();
    for together in appends {
        store.append_streams(together).unwrap();
    }
    store.sync().unwrap();
    let elapsed = begin.elapsed();
    store.close().unwrap();
    Turn::new(EVENTS, elapsed)
}

fn bare() -> Turn {
    let place = place();
    let bytes = vec![7; record_bytes() * TOGETHER];
    let mut file = File::create_new(place.path().join("bare")).unwrap();
    let begin = Instant::now();
    for _ in 0..EVENTS / TOGETHER as u64 {
        file.write_all(&bytes).unwrap();
    }
    file.sync_data().unwrap();
    Turn::new(EVENTS, begin.elapsed())
}

fn peer(name: &str) -> Turn {
    let place = place();
    let peer = peers::open(name, place.path(), Indexes::Streams);
    peer.relax();
    let appends = prepared(|stream, version| Append {
        stream: stream_name(stream),
        expected: version - 1,
        events: vec![Event::new(stream, version)],
    });
    let begin = Instant::now();
    for together in appends {
        assert!(peer.commit(&together).iter().all(Result::is_ok));
    }
    peer.sync();
    Turn::new(EVENTS, begin.elapsed())
}
