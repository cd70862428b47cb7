//! What is known outside the store: what was acknowledged, and what anybody has read, at each position.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use factlog::{Appended, Position, RecordedEvent, Timestamp};

use crate::batch::{Batch, Mark, Rng};

/// What lies at a position.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub batch: u64,
    pub index: u16,
    pub stream: u32,
    pub version: u64,
    /// Known when it was first read.
    pub time: Option<Timestamp>,
}

#[derive(Default)]
struct Known {
    positions: Vec<Option<Entry>>,
    versions: HashMap<(u32, u64), u64>,
    /// The position of the first event of each append.
    batches: HashMap<u64, u64>,
}

#[derive(Default)]
pub struct Ledger {
    known: Mutex<Known>,
    /// Everything up to here has been acknowledged, as an append is only acknowledged with all before it.
    acknowledged: AtomicU64,
}

impl Known {
    /// The first to say what lies at a position settles it.
    fn settle(&mut self, position: u64, entry: Entry) {
        let first = position - u64::from(entry.index);
        let known = *self.batches.entry(entry.batch).or_insert(first);
        assert_eq!(known, first, "append {} is at two positions", entry.batch);
        let at = *self.versions.entry((entry.stream, entry.version)).or_insert(position);
        assert_eq!(at, position, "version {} of stream {} is at two positions", entry.version, entry.stream);
        if self.positions.len() <= position as usize {
            self.positions.resize(position as usize + 1, None);
        }
        let place = &mut self.positions[position as usize];
        let known = place.get_or_insert(entry);
        let same = (known.batch, known.index, known.stream, known.version);
        assert_eq!(same, (entry.batch, entry.index, entry.stream, entry.version), "position {position} has changed");
        if let Some(time) = entry.time {
            assert_eq!(*known.time.get_or_insert(time), time, "the time at position {position} has changed");
        }
    }
}

impl Ledger {
    /// Notes the answer to an append.
    pub fn acknowledge(&self, batch: &Batch, answers: &[Appended]) {
        assert_eq!(answers.len(), batch.parts.len());
        let last = answers[answers.len() - 1].position.get();
        let mut index = 0;
        let mut known = self.known.lock().unwrap();
        for ((stream, count), answer) in batch.parts.iter().zip(answers) {
            assert_eq!(answer.version.get() + 1 - answer.first_version.get(), u64::from(*count));
            for version in answer.first_version.get()..=answer.version.get() {
                let position = last + 1 + u64::from(index) - u64::from(batch.len());
                let entry = Entry { batch: batch.number, index, stream: *stream, version, time: None };
                known.settle(position, entry);
                index += 1;
                if version == answer.version.get() {
                    assert_eq!(answer.position.get(), position, "the events of an append lie behind each other");
                }
            }
        }
        self.acknowledged.fetch_max(last, Ordering::AcqRel);
    }

    /// Notes an event that was read, and compares it with what was appended and with what others have read.
    pub fn observe(&self, event: &RecordedEvent) -> Mark {
        let mark = Mark::of(event);
        let entry = Entry {
            batch: mark.batch.number,
            index: mark.index,
            stream: mark.stream(),
            version: event.version().get(),
            time: Some(event.timestamp()),
        };
        self.known.lock().unwrap().settle(event.position().get(), entry);
        mark
    }

    /// Notes what another process has read.
    pub fn observe_line(&self, line: &str) -> u64 {
        let mut fields = line.split(' ').map(|field| field.parse::<i64>().unwrap());
        let mut field = || fields.next().unwrap();
        let position = field() as u64;
        let (batch, index, stream, version) = (field() as u64, field() as u16, field() as u32, field() as u64);
        let entry = Entry { batch, index, stream, version, time: Some(Timestamp::from_micros(field())) };
        self.known.lock().unwrap().settle(position, entry);
        position
    }

    /// What is given out now, a store that is asked later must have.
    pub fn acknowledged(&self) -> Position {
        Position::new(self.acknowledged.load(Ordering::Acquire))
    }

    /// For one who only reads: what was there once stays.
    pub fn seen(&self, position: Position) {
        self.acknowledged.fetch_max(position.get(), Ordering::AcqRel);
    }

    pub fn entry(&self, position: Position) -> Option<Entry> {
        self.known.lock().unwrap().positions.get(position.get() as usize).copied().flatten()
    }

    /// Something that was acknowledged.
    pub fn any(&self, rng: &mut Rng) -> Option<(Position, Entry)> {
        let position = Position::new(1 + rng.below(self.acknowledged().get()));
        Some((position, self.entry(position)?))
    }

    /// How many different events are known.
    pub fn events(&self) -> u64 {
        self.known.lock().unwrap().positions.iter().flatten().count() as u64
    }
}

/// What was done, counted.
#[derive(Default)]
pub struct Counts([AtomicU64; KINDS.len()]);

/// What is counted, and the least of it that shows anything.
const KINDS: [(Done, u64); 18] = [
    (Done::Appends, 200),
    (Done::Conflicts, 5),
    (Done::Repeats, 20),
    (Done::Dropped, 5),
    (Done::SeveralStreams, 20),
    (Done::Events, 1000),
    (Done::Reads, 50),
    (Done::EventsRead, 2000),
    (Done::Subscriptions, 15),
    (Done::Deliveries, 2000),
    (Done::Acknowledgements, 20),
    (Done::Snapshots, 10),
    (Done::OtherProcess, 1000),
    (Done::OtherReads, 5),
    (Done::Reopenings, 2),
    (Done::Copies, 1),
    (Done::Runs, 8),
    (Done::RunsMerged, 4),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    Appends,
    Conflicts,
    Repeats,
    Dropped,
    SeveralStreams,
    Events,
    Reads,
    EventsRead,
    Subscriptions,
    Deliveries,
    Acknowledgements,
    Snapshots,
    OtherProcess,
    OtherReads,
    Reopenings,
    Copies,
    Runs,
    RunsMerged,
}

impl Counts {
    pub fn add(&self, done: Done, count: u64) {
        self.0[done as usize].fetch_add(count, Ordering::Relaxed);
    }

    pub fn get(&self, done: Done) -> u64 {
        self.0[done as usize].load(Ordering::Relaxed)
    }

    /// A soak that saw too little has shown nothing.
    pub fn check(&self) {
        for (done, least) in KINDS {
            assert!(self.get(done) >= least, "too few {done:?}: {}, not {least}; {self}", self.get(done));
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = KINDS.iter().map(|(done, _)| format!("{done:?} {}", self.get(*done)));
        f.write_str(&each.collect::<Vec<_>>().join(", "))
    }
}
