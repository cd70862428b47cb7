//! The same events on each engine, durably, through the trait: in this process, over TCP, in PostgreSQL, and on JetStream with one node and with
//! three. PostgreSQL and JetStream stand beside the same work written by hand against their drivers.
//!
//! The servers are this bench's own, on this machine, and end with it.

mod jetstream;
#[path = "../../tests/support/nats.rs"]
mod nats;
mod postgres;
#[path = "../../tests/support/postgres.rs"]
mod postgres_server;
#[path = "../../tests/support/serving.rs"]
mod serving;

use std::{
    any::Any,
    mem,
    sync::{Arc, atomic::AtomicU64, atomic::Ordering},
    time::{Duration, Instant},
};

use criterion::Criterion;
use factlog::{
    BoxFuture, EventStore, Position, ReadAll, ReadStream, Store, StreamName, Version, backend::postgres::PostgresStore,
};
use tokio::{
    runtime::{Builder, Runtime},
    task::{JoinSet, LocalSet},
};

use crate::support::{
    case::{Case, Role, Turn},
    data::{EVENTS_IN_STREAM, Event, stream_name},
    figure::{Figure, Target},
    peer::Append,
    place::place,
    writers::Writer,
};

const GROUP: &str = "engines";

/// How many append side by side.
const WRITERS: [usize; 3] = [1, 16, 64];
/// How many read streams side by side.
const READERS: usize = 16;
/// Streams that are there to be read, of [`EVENTS_IN_STREAM`] events each.
const STREAMS: u64 = 1_000;
/// Their numbers lie apart from those that writers count up.
const READ_FROM: u64 = 1 << 40;

/// What an application does with a store.
pub trait Work: Send + Sync {
    /// Appends under an expected version.
    fn append(&self, append: Append) -> BoxFuture<'_, ()>;

    /// Reads a stream; how many events it has.
    fn read_stream(&self, stream: String) -> BoxFuture<'_, u64>;

    /// Reads the log from its first event to its last; how many it has.
    fn read_log(&self) -> BoxFuture<'_, u64>;
}

/// Through the trait.
struct Through(Arc<dyn EventStore>);

impl Work for Through {
    fn append(&self, append: Append) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let stream = StreamName::new(append.stream).unwrap();
            let events = append.events.into_iter().map(Event::to_new).collect();
            self.0.append(&stream, Version::new(append.expected).into(), events).await.unwrap();
        })
    }

    fn read_stream(&self, stream: String) -> BoxFuture<'_, u64> {
        Box::pin(async move {
            let read = ReadStream::new(&StreamName::new(stream).unwrap()).limit(EVENTS_IN_STREAM as usize);
            self.0.read_stream(read).await.unwrap().len() as u64
        })
    }

    fn read_log(&self) -> BoxFuture<'_, u64> {
        Box::pin(async move {
            let (mut after, mut count) = (Position::START, 0);
            loop {
                let page = self.0.read_all(ReadAll::after(after)).await.unwrap();
                let Some(last) = page.last() else { return count };
                (after, count) = (last.position(), count + page.len() as u64);
            }
        })
    }
}

struct Engine {
    store: Arc<dyn Work>,
    /// The same written against the driver.
    by_hand: Option<Arc<dyn Work>>,
    _kept: Box<dyn Any>,
}

impl Engine {
    fn new(store: impl EventStore + 'static, by_hand: Option<Arc<dyn Work>>, kept: impl Any) -> Engine {
        Engine { store: Arc::new(Through(Arc::new(store))), by_hand, _kept: Box::new(kept) }
    }
}

type Start = fn() -> Engine;

const ENGINES: [(&str, Start); 5] = [
    ("embedded", embedded),
    ("TCP", served),
    ("PostgreSQL", in_postgres),
    ("JetStream, 1 node", || on_jetstream(1)),
    ("JetStream, 3 nodes", || on_jetstream(3)),
];

fn embedded() -> Engine {
    let place = place();
    Engine::new(Store::open(place.path()).unwrap(), None, place)
}

fn served() -> Engine {
    let place = place();
    let serving = serving::Serving::new(Store::open(place.path()).unwrap());
    Engine::new(serving.client(), None, (serving, place))
}

fn in_postgres() -> Engine {
    let server = postgres_server::Postgres::within(place().keep());
    let store = PostgresStore::connect(&server.database()).unwrap();
    let by_hand = postgres::Database::open(&server.database());
    Engine::new(store, Some(Arc::new(by_hand)), server)
}

fn on_jetstream(nodes: usize) -> Engine {
    let servers = nats::Nats::within(place().keep(), nodes, nats::USUAL);
    let by_hand = jetstream::Log::open(servers.nodes.iter().map(|node| node.port), nodes);
    Engine::new(servers.fresh(), Some(Arc::new(by_hand)), servers)
}

/// What is measured of each.
#[derive(Clone, Copy)]
enum What {
    /// Appends a second with so many writers.
    Appends(usize),
    /// The time in which so many percent of the appends are done, with so many writers.
    Append(usize, usize),
    StreamReads,
    CatchingUp,
}

impl What {
    fn all() -> impl Iterator<Item = What> {
        let latencies = |writers| [50, 99].map(|percent| What::Append(writers, percent));
        let appends = WRITERS.into_iter().map(What::Appends).chain(WRITERS.into_iter().flat_map(latencies));
        appends.chain([What::StreamReads, What::CatchingUp])
    }

    fn of(self, engine: &str) -> String {
        match self {
            What::Appends(writers) => format!("{engine}: appends by {writers}"),
            What::Append(writers, percent) => format!("{engine}: append by one of {writers}, p{percent}"),
            What::StreamReads => format!("{engine}: stream reads, {READERS} at a time"),
            What::CatchingUp => format!("{engine}: catching up"),
        }
    }
}

/// Measures what is wanted of each engine.
pub fn measure(criterion: &mut Criterion, wanted: &dyn Fn(&str) -> bool, add: &mut dyn FnMut(Figure)) {
    // Drivers need its timers.
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    for (name, start) in ENGINES {
        let wanted: Vec<What> = What::all().filter(|what| wanted(&what.of(name))).collect();
        if wanted.is_empty() {
            continue;
        }
        let engine = start();
        fill(&runtime, &engine);
        for what in wanted {
            add(figure(criterion, &runtime, &engine, name, what));
        }
    }
}

/// What is read: the same on both sides.
fn fill(runtime: &Runtime, engine: &Engine) {
    for store in [Some(&engine.store), engine.by_hand.as_ref()].into_iter().flatten() {
        let filling = (READ_FROM..READ_FROM + STREAMS).map(|stream| {
            let store = Arc::clone(store);
            async move {
                for version in 1..=EVENTS_IN_STREAM {
                    let events = vec![Event::new(stream, version)];
                    store.append(Append { stream: stream_name(stream), expected: version - 1, events }).await;
                }
            }
        });
        let local = LocalSet::new();
        let mut running = JoinSet::new();
        filling.for_each(|one| {
            running.spawn_local_on(one, &local);
        });
        runtime.block_on(local.run_until(running.join_all()));
    }
}

fn figure(criterion: &mut Criterion, runtime: &Runtime, engine: &Engine, name: &str, what: What) -> Figure {
    let case = match what {
        What::Appends(_) => Case::rate(GROUP, what.of(name), "appends/s"),
        What::Append(..) => Case::time(GROUP, what.of(name)),
        What::StreamReads => Case::rate(GROUP, what.of(name), "streams/s"),
        What::CatchingUp => Case::rate(GROUP, what.of(name), "events/s"),
    };
    let case = case.rounds(9, 300).contestant(Role::Factlog, "factlog", work(runtime, &engine.store, what));
    let Some(by_hand) = &engine.by_hand else { return case.run(criterion) };
    let target = match what {
        What::Append(..) => Target::AtMost(1.1),
        _ => Target::AtLeast(0.9),
    };
    case.target(target).contestant(Role::Limit, "by hand", work(runtime, by_hand, what)).run(criterion)
}

/// What one contestant does in its turns.
fn work<'a>(runtime: &'a Runtime, store: &'a Arc<dyn Work>, what: What) -> impl FnMut(Duration) -> Turn + 'a {
    let mut writers: Vec<Writer> = Vec::new();
    if let What::Appends(count) | What::Append(count, _) = what {
        writers.resize_with(count, || Writer::new(1));
    }
    move |time| match what {
        What::Appends(_) => append(runtime, store, &mut writers, time).0,
        What::Append(_, percent) => {
            let (_, mut taken) = append(runtime, store, &mut writers, time);
            taken.sort_unstable();
            Turn::new(1, taken[(taken.len() - 1) * percent / 100])
        }
        What::StreamReads => read_streams(runtime, store, time),
        What::CatchingUp => {
            let begun = Instant::now();
            let count = runtime.block_on(store.read_log());
            Turn::new(count, begun.elapsed())
        }
    }
}

/// Lets each writer append, one append behind the other; how long each took.
fn append(
    runtime: &Runtime,
    store: &Arc<dyn Work>,
    writers: &mut Vec<Writer>,
    time: Duration,
) -> (Turn, Vec<Duration>) {
    let local = LocalSet::new();
    let mut running = JoinSet::new();
    let begun = Instant::now();
    for mut writer in mem::take(writers) {
        let store = Arc::clone(store);
        let appending = async move {
            let mut taken = Vec::new();
            while begun.elapsed() < time || taken.is_empty() {
                let (append, sent) = (writer.next(), Instant::now());
                store.append(append).await;
                taken.push(sent.elapsed());
            }
            (writer, taken)
        };
        running.spawn_local_on(appending, &local);
    }
    let ended = runtime.block_on(local.run_until(running.join_all()));
    let elapsed = begun.elapsed();
    let mut taken = Vec::new();
    for (writer, of_one) in ended {
        writers.push(writer);
        taken.extend(of_one);
    }
    (Turn::new(taken.len() as u64, elapsed), taken)
}

/// Reads streams of those that are there, so many at a time.
fn read_streams(runtime: &Runtime, store: &Arc<dyn Work>, time: Duration) -> Turn {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let local = LocalSet::new();
    let mut running = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..READERS {
        let store = Arc::clone(store);
        let reading = async move {
            let mut done = 0;
            while begun.elapsed() < time {
                let stream = READ_FROM + NEXT.fetch_add(1, Ordering::Relaxed) * 7919 % STREAMS;
                assert_eq!(store.read_stream(stream_name(stream)).await, EVENTS_IN_STREAM);
                done += 1;
            }
            done
        };
        running.spawn_local_on(reading, &local);
    }
    let done: Vec<u64> = runtime.block_on(local.run_until(running.join_all()));
    Turn::new(done.iter().sum(), begun.elapsed())
}
