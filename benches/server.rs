//! The store over TCP: server and clients in this process, each with threads of their own, over loopback; beside the same load on the
//! embedded store, and on bare sockets with as many bytes.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use criterion::Criterion;
use factlog::{EventStore, Options, ReadStream, Store, StreamName, Subscribe, client::Client};
use tokio::{runtime, task::JoinSet};

use crate::support::{
    case::{Case, Role, Run, Turn},
    data::{EVENTS_IN_STREAM, PAYLOAD_BYTES, Walk, grown, stream_name},
    figure::{Figure, Target, median},
    library::{fill, order},
    loopback::{Echo, Served, Sizes, copy, lone_echo},
    place::place,
    writers::{Writer, alone, turn},
};

const GROUP: &str = "server";
const BATCH: u64 = 100;
const WRITERS: usize = 64;
const READERS: usize = 16;

/// An event with its stream's name and its type: in an append, and as it is read.
const NEW_EVENT: usize = 35 + 11 + PAYLOAD_BYTES;
const RECORDED_EVENT: usize = 52 + 16 + 11 + PAYLOAD_BYTES;

const APPEND: Sizes = Sizes { request: 18 + 33 + NEW_EVENT, answer: 18 + 26 };
const READ: Sizes = Sizes { request: 18 + 48, answer: 18 + 13 + EVENTS_IN_STREAM as usize * RECORDED_EVENT };

pub const CASES: [(&str, Run); 6] = [
    ("lone append", lone),
    ("64 appends in flight", in_flight),
    ("64 connections", connections),
    ("batches of 100", batches),
    ("stream reads, 16 in flight", reads),
    ("a million events behind", behind),
];

fn append(writer: &mut Writer, client: &Client) {
    let (stream, expected, events) = writer.next_new();
    client.append(&stream, expected, events).unwrap();
}

/// As many operations as there is time for, each as long as the median of each of their parts, one behind the other.
fn medians<const N: usize>(time: Duration, mut parts: [&mut dyn FnMut(); N]) -> Turn {
    let mut taken: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    let turn = alone(time, || {
        for (part, taken) in parts.iter_mut().zip(&mut taken) {
            let begun = Instant::now();
            part();
            taken.push(begun.elapsed().as_secs_f64());
        }
    });
    let one: f64 = taken.iter_mut().map(|taken| median(taken)).sum();
    Turn::new(turn.operations, Duration::from_secs_f64(one * turn.operations as f64))
}

/// One client, one append at a time. The limit is an append to the embedded store, and a bare round trip.
fn lone(criterion: &mut Criterion) -> Figure {
    let place = place();
    let (store, embedded) =
        (grown(Options::new(), &place.path().join("served")), grown(Options::new(), &place.path().join("embedded")));
    let served = Served::new(&store);
    let (client, mut echo) = (served.client(), lone_echo(APPEND));
    let (mut own, mut bare) = (Writer::new(1), Writer::new(1));
    Case::time(GROUP, "lone append")
        .target(Target::AtMost(1.15))
        .rounds(60, 25)
        .contestant(Role::Factlog, "factlog", |time| medians(time, [&mut || append(&mut own, &client)]))
        .contestant(Role::Limit, "embedded + round trip", |time| {
            medians(time, [&mut || bare.append(&embedded), &mut || echo.round()])
        })
        .run(criterion)
}

/// Drives as many tasks as there are writers, on this thread; each does one operation after the other.
fn tasks<W, F>(workers: Vec<W>, time: Duration, work: impl Fn(W) -> F + Clone + 'static) -> (Vec<W>, Turn)
where
    W: 'static,
    F: Future<Output = W> + 'static,
{
    let local = tokio::task::LocalSet::new();
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for mut worker in workers {
        let work = work.clone();
        running.spawn_local_on(
            async move {
                let mut done = 0;
                while begun.elapsed() < time {
                    worker = work(worker).await;
                    done += 1;
                }
                (worker, done)
            },
            &local,
        );
    }
    let ended = runtime.block_on(local.run_until(running.join_all()));
    let operations = ended.iter().map(|(_, done)| done).sum();
    (ended.into_iter().map(|(worker, _)| worker).collect(), Turn::new(operations, begun.elapsed()))
}

/// So many requests on their way over one bare connection.
fn bare_in_flight(echo: &Echo, time: Duration, requests: usize) -> Turn {
    let mut rounds = echo.connect();
    rounds.send(requests);
    let (begun, mut done) = (Instant::now(), 0);
    while begun.elapsed() < time {
        let answered = rounds.receive();
        done += answered as u64;
        rounds.send(answered);
    }
    Turn::new(done, begun.elapsed())
}

fn embedded(store: &Store, writers: &mut [Writer], time: Duration) -> Turn {
    let work = writers.iter_mut().map(|writer| {
        move || {
            writer.append(store);
            0
        }
    });
    turn(work.collect(), time)
}

fn writers() -> Vec<Writer> {
    (0..WRITERS).map(|_| Writer::new(1)).collect()
}

/// One connection, with many appends on their way.
fn in_flight(criterion: &mut Criterion) -> Figure {
    let place = place();
    let (store, beside) =
        (grown(Options::new(), &place.path().join("served")), grown(Options::new(), &place.path().join("embedded")));
    let served = Served::new(&store);
    let (client, echo) = (served.client(), Echo::new(APPEND));
    let (mut own, mut others) = (writers(), writers());
    Case::rate(GROUP, "64 appends in flight", "appends/s")
        .target(Target::AtLeast(0.6))
        .rounds(25, 60)
        .contestant(Role::Factlog, "factlog", |time| {
            let client = client.clone();
            let (back, turn) = tasks(std::mem::take(&mut own), time, move |mut writer: Writer| {
                let client = client.clone();
                async move {
                    let (stream, expected, events) = writer.next_new();
                    EventStore::append(&client, &stream, expected, events).await.unwrap();
                    writer
                }
            });
            own = back;
            turn
        })
        .contestant(Role::Limit, "64 embedded writers", |time| embedded(&beside, &mut others, time))
        .contestant(Role::Limit, "bare echo", |time| bare_in_flight(&echo, time, WRITERS))
        .run(criterion)
}

/// Many connections, each with one append at a time, by a thread of its own.
fn connections(criterion: &mut Criterion) -> Figure {
    let place = place();
    let (store, beside) =
        (grown(Options::new(), &place.path().join("served")), grown(Options::new(), &place.path().join("embedded")));
    let (served, echo) = (Served::new(&store), Echo::new(APPEND));
    let mut own: Vec<_> = writers().into_iter().map(|writer| (writer, served.client())).collect();
    let (mut others, mut bare) = (writers(), (0..WRITERS).map(|_| echo.connect()).collect::<Vec<_>>());
    Case::rate(GROUP, "64 connections", "appends/s")
        .target(Target::AtLeast(0.6))
        .rounds(25, 60)
        .contestant(Role::Factlog, "factlog", |time| {
            let work = own.iter_mut().map(|(writer, client)| {
                move || {
                    append(writer, client);
                    0
                }
            });
            turn(work.collect(), time)
        })
        .contestant(Role::Limit, "64 embedded writers", |time| embedded(&beside, &mut others, time))
        .contestant(Role::Limit, "bare echo", |time| {
            let work = bare.iter_mut().map(|rounds| {
                move || {
                    rounds.round();
                    0
                }
            });
            turn(work.collect(), time)
        })
        .run(criterion)
}

/// One client, appends of a hundred events.
fn batches(criterion: &mut Criterion) -> Figure {
    let place = place();
    let (store, beside) =
        (grown(Options::new(), &place.path().join("served")), grown(Options::new(), &place.path().join("embedded")));
    let served = Served::new(&store);
    let client = served.client();
    let (mut own, mut bare) = (Writer::new(BATCH), Writer::new(BATCH));
    Case::rate(GROUP, "batches of 100", "batches/s")
        .target(Target::AtLeast(0.7))
        .rounds(40, 40)
        .contestant(Role::Factlog, "factlog", |time| alone(time, || append(&mut own, &client)))
        .contestant(Role::Limit, "embedded", |time| alone(time, || bare.append(&beside)))
        .run(criterion)
}

/// Streams at random over one connection, ten events each.
fn reads(criterion: &mut Criterion) -> Figure {
    const STREAMS: u64 = 10_000;
    let place = place();
    // So that most events lie in segments that are full, as in a store in use.
    let store = fill(Options::new().segment_bytes(8 << 20), &place.path().join("factlog"), order(STREAMS));
    let served = Served::new(&store);
    let (client, echo) = (served.client(), Echo::new(READ));
    let names: Vec<StreamName> = (0..STREAMS).map(|number| StreamName::new(stream_name(number)).unwrap()).collect();
    let names = std::rc::Rc::new(names);
    let mut walks: Vec<Walk> = (0..READERS as u64).map(|reader| Walk::new(0x9e37_79b9 + reader * 2)).collect();
    Case::time(GROUP, "stream reads, 16 in flight")
        .target(Target::AtMost(3.0))
        .rounds(25, 60)
        .contestant(Role::Factlog, "factlog", |time| {
            let (client, names) = (client.clone(), names.clone());
            let (back, turn) = tasks(std::mem::take(&mut walks), time, move |mut walk: Walk| {
                let (client, names) = (client.clone(), names.clone());
                async move {
                    let stream = &names[walk.below(STREAMS) as usize];
                    let events = client.read_stream(ReadStream::new(stream)).await.unwrap();
                    assert_eq!(events.len() as u64, EVENTS_IN_STREAM);
                    walk
                }
            });
            walks = back;
            turn
        })
        .contestant(Role::Limit, "bare echo", |time| bare_in_flight(&echo, time, READERS))
        .run(criterion)
}

/// Does something while another client appends, one event at a time.
fn while_appending(client: &Client, writer: &mut Writer, work: impl FnOnce()) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                append(writer, client);
            }
        });
        work();
        over.store(true, Ordering::Relaxed);
    });
}

/// A subscriber that has a million events before it, while others append. The limit is a copy of as many bytes, beside the same appends.
fn behind(criterion: &mut Criterion) -> Figure {
    const STREAMS: u64 = 100_000;
    let events = STREAMS * EVENTS_IN_STREAM;
    let bytes = events as usize * RECORDED_EVENT;
    let place = place();
    let store = fill(Options::new().segment_bytes(32 << 20), &place.path().join("factlog"), order(STREAMS));
    let served = Served::new(&store);
    let (reader, appender) = (served.client(), served.client());
    let (mut own, mut other) = (Writer::new(1), Writer::new(1));
    let megabytes = |begun: Instant| Turn::new(bytes as u64 / 1_000_000, begun.elapsed());
    Case::rate(GROUP, "a million events behind", "MB/s")
        .target(Target::AtLeast(0.25))
        .whole(7)
        .contestant(Role::Factlog, "factlog", |_| {
            let begun = Instant::now();
            while_appending(&appender, &mut own, || {
                let mut subscription = reader.subscribe(Subscribe::new()).unwrap();
                for position in 1..=events {
                    assert_eq!(subscription.next().unwrap().position().get(), position);
                }
            });
            megabytes(begun)
        })
        .contestant(Role::Limit, "bare copy", |_| {
            let begun = Instant::now();
            while_appending(&appender, &mut other, || copy(bytes));
            megabytes(begun)
        })
        .run(criterion)
}
