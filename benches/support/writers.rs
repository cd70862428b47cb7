//! Threads that append, each to streams of its own, ten events a stream, or all to one.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use factlog::{Error, ExpectedVersion, NewEvent, Store, StreamName, Version};

use super::{
    case::Turn,
    data::{EVENTS_IN_STREAM, Event, stream_name},
    peer::Append,
};

/// Lets `count` threads work for about this long. `work` does one operation and says how many attempts were refused before.
pub fn turn<W: FnMut() -> u64 + Send>(workers: Vec<W>, time: Duration) -> Turn {
    let stop = AtomicBool::new(false);
    let (done, retries) = (AtomicU64::new(0), AtomicU64::new(0));
    let start = Barrier::new(workers.len() + 1);
    let elapsed = thread::scope(|scope| {
        for mut work in workers {
            let (start, stop, done, retries) = (&start, &stop, &done, &retries);
            scope.spawn(move || {
                let (mut own, mut refused) = (0, 0);
                start.wait();
                while !stop.load(Ordering::Relaxed) {
                    refused += work();
                    own += 1;
                }
                done.fetch_add(own, Ordering::Relaxed);
                retries.fetch_add(refused, Ordering::Relaxed);
            });
        }
        start.wait();
        let begin = Instant::now();
        thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        begin
    })
    .elapsed();
    Turn { operations: done.into_inner(), elapsed, retries: retries.into_inner() }
}

/// Does one operation after the other on this thread.
pub fn alone(time: Duration, mut work: impl FnMut()) -> Turn {
    let begin = Instant::now();
    let mut operations = 0;
    loop {
        work();
        operations += 1;
        let elapsed = begin.elapsed();
        if elapsed >= time {
            return Turn::new(operations, elapsed);
        }
    }
}

/// One writer: where it stands in its stream.
#[derive(Debug)]
pub struct Writer {
    stream: u64,
    name: String,
    version: u64,
    events: u64,
}

impl Writer {
    /// A writer that begins with a stream of its own and puts so many events into each append.
    pub fn new(events: u64) -> Writer {
        let mut writer = Writer { stream: 0, name: String::new(), version: u64::MAX, events };
        writer.advance();
        writer
    }

    /// On to the next append: another stream, once this one has its events.
    fn advance(&mut self) {
        // Beyond those of the stores that are filled before.
        static STREAMS: AtomicU64 = AtomicU64::new(1_000_000_000);
        self.version = self.version.saturating_add(self.events);
        if self.version >= EVENTS_IN_STREAM.max(self.events) {
            self.stream = STREAMS.fetch_add(1, Ordering::Relaxed);
            self.name = stream_name(self.stream);
            self.version = 0;
        }
    }

    fn events(&self) -> impl Iterator<Item = Event> {
        let (stream, version) = (self.stream, self.version);
        (1..=self.events).map(move |next| Event::new(stream, version + next))
    }

    /// The next append, to a peer.
    pub fn next(&mut self) -> Append {
        let next = Append { stream: self.name.clone(), expected: self.version, events: self.events().collect() };
        self.advance();
        next
    }

    /// The next append, to factlog.
    pub fn append(&mut self, store: &Store) {
        let (stream, expected, events) = self.next_new();
        store.append(&stream, expected, events).unwrap();
    }

    /// The next append, for whatever takes one.
    pub fn next_new(&mut self) -> (StreamName, ExpectedVersion, Vec<NewEvent>) {
        let stream = StreamName::new(self.name.as_str()).unwrap();
        let events = self.events().map(Event::to_new).collect();
        let expected = ExpectedVersion::Exact(Version::new(self.version));
        self.advance();
        (stream, expected, events)
    }
}

/// One of many writers that all append to one stream: it tries until it succeeds, and says how often it was refused.
#[derive(Debug, Default)]
pub struct Contender {
    /// The newest version that it knows of.
    known: u64,
}

impl Contender {
    pub fn with_peer(&mut self, mut append: impl FnMut(Append) -> Result<(), u64>) -> u64 {
        for refused in 0.. {
            let events = vec![Event::new(0, self.known + 1)];
            match append(Append { stream: "order-contended".to_owned(), expected: self.known, events }) {
                Ok(()) => {
                    self.known += 1;
                    return refused;
                }
                Err(actual) => self.known = actual,
            }
        }
        0
    }

    pub fn with_factlog(&mut self, store: &Store) -> u64 {
        let stream = StreamName::new("order-contended").unwrap();
        for refused in 0.. {
            let events: Vec<NewEvent> = vec![Event::new(0, self.known + 1).to_new()];
            match store.append(&stream, ExpectedVersion::Exact(Version::new(self.known)), events) {
                Ok(appended) => {
                    self.known = appended.version.get();
                    return refused;
                }
                Err(Error::WrongExpectedVersion { actual, .. }) => self.known = actual.get(),
                Err(error) => panic!("{error}"),
            }
        }
        0
    }
}
