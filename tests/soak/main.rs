//! Everything at once, on one store, for a bounded time: writers, readers, subscribers, snapshots and a second process, with
//! the store being closed and opened again in between. What is checked is every promise that needs no fault; what was done is
//! printed at the end, and too little of it is a failure.
//!
//! `SOAK_SECONDS` says how long, `SOAK_SEED` gives the random choices of an earlier run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod batch;
mod beside;
mod ledger;
mod readers;
mod subscribers;
mod writers;

use std::{
    collections::HashSet,
    env, fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use batch::{Batch, Rng};
use beside::Other;
use factlog::{Error, ExpectedVersion, Options, Store};
use ledger::{Counts, Done, Ledger};
use readers::{Reader, everything};
use subscribers::{Subscriber, snapshots};
use tempfile::TempDir;
use writers::Writer;

/// Small, so that segments are begun, and runs written and merged, all the time.
const SEGMENT_BYTES: u64 = 64 << 10;

/// How long the store stays open.
const ROUND: Duration = Duration::from_millis(1200);

/// What all threads share.
pub struct World {
    /// What is known outside the store.
    pub ledger: Ledger,
    /// What was done.
    pub counts: Counts,
    /// Writers and readers are to stop.
    stop: AtomicBool,
    end_of_round: Mutex<Instant>,
    bell: Mutex<Batch>,
}

impl World {
    fn new() -> World {
        let (stop, end_of_round, bell) = (AtomicBool::new(false), Mutex::new(Instant::now()), Batch::bell(0, false));
        World { ledger: Ledger::default(), counts: Counts::default(), stop, end_of_round, bell: Mutex::new(bell) }
    }

    /// Whether the round goes on.
    pub fn is_going_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed) && Instant::now() < *self.end_of_round.lock().unwrap()
    }

    /// What ends this round for the subscribers.
    pub fn bell(&self) -> Batch {
        self.bell.lock().unwrap().clone()
    }
}

/// Those who work on the store.
struct People {
    writers: Vec<Writer>,
    readers: Vec<Rng>,
    subscribers: Vec<Subscriber>,
    snapshots: Rng,
}

impl People {
    fn new(seed: &mut Rng) -> People {
        let writers = writers::KINDS.iter().zip(0..).map(|(kind, number)| Writer::new(*kind, seed.next(), number));
        People {
            writers: writers.collect(),
            readers: (0..2).map(|_| Rng(seed.next())).collect(),
            subscribers: Subscriber::all(seed),
            snapshots: Rng(seed.next()),
        }
    }

    /// All of them at once, until the time is over and everybody has come to a halt.
    fn work(&mut self, world: &World, store: &Store) {
        thread::scope(|scope| {
            let mut working = Vec::new();
            for writer in &mut self.writers {
                working.push(scope.spawn(|| writer.run(world, store)));
            }
            for rng in &mut self.readers {
                working.push(scope.spawn(|| {
                    let reader = Reader { store, ledger: &world.ledger, counts: &world.counts };
                    while world.is_going_on() {
                        reader.step(rng);
                    }
                }));
            }
            let rng = &mut self.snapshots;
            working.push(scope.spawn(|| snapshots(world, store, rng)));
            for subscriber in &mut self.subscribers {
                scope.spawn(|| subscriber.run(world, store));
            }
            let ended: Vec<_> = working.into_iter().map(|worker| worker.join()).collect();
            world.stop.store(true, Ordering::Relaxed);
            let bell = world.bell();
            let rung = store.append_streams(bell.appends(|_| ExpectedVersion::Any)).unwrap();
            world.ledger.acknowledge(&bell, &rung);
            assert!(ended.iter().all(Result::is_ok), "a thread has failed");
        });
    }
}

fn open(path: &Path) -> Store {
    loop {
        match Options::new().first_segment_bytes(8 << 10).segment_bytes(SEGMENT_BYTES).open(path) {
            Ok(store) => return store,
            // The other process is verifying, and nobody may write meanwhile.
            Err(Error::InUse { .. }) => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// The files as a crash would leave them.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        // A run that is being merged, or a segment that is being prepared, may be gone meanwhile.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => copy(&entry.path(), &target),
            Ok(_) => drop(fs::copy(entry.path(), target)),
            Err(_) => {}
        }
    }
}

/// A copy that was made while the store is open has everything that was acknowledged.
fn check_copy(world: &World, path: &Path) {
    let place = TempDir::new().unwrap();
    copy(path, place.path());
    let store = open(place.path());
    everything(&store, &world.ledger);
    let verified = store.verify().unwrap();
    assert!(verified.faults.is_empty(), "{:?}", verified.faults);
    world.counts.add(Done::Copies, 1);
}

/// The names of the runs in the index.
fn runs(path: &Path) -> HashSet<String> {
    let Ok(entries) = fs::read_dir(path.join("index")) else { return HashSet::new() };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".run")).collect()
}

/// The events with the index and without it.
fn check_without_index(world: &World, path: &Path) {
    let before = everything(&open(path), &world.ledger);
    fs::remove_dir_all(path.join("index")).unwrap();
    let store = open(path);
    let after = everything(&store, &world.ledger);
    assert!(before.iter().map(|(event, _)| event).eq(after.iter().map(|(event, _)| event)));
    let (reader, mut rng) = (Reader { store: &store, ledger: &world.ledger, counts: &world.counts }, Rng(7));
    (0..20).for_each(|_| reader.step(&mut rng));
    let verified = store.verify().unwrap();
    assert!(verified.faults.is_empty() && verified.cursors > 0 && verified.snapshots > 0, "{verified:?}");
    store.close().unwrap();
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn soak() {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = number("SOAK_SEED").unwrap_or(clock.as_nanos() as u64);
    println!("SOAK_SEED={seed}");
    let mut rng = Rng(seed);
    let place = TempDir::new().unwrap();
    let path = place.path().join("store");
    let world = Arc::new(World::new());
    let mut people = People::new(&mut rng);
    let mut seen = HashSet::new();
    let end = Instant::now() + Duration::from_secs(number("SOAK_SECONDS").unwrap_or(8));
    let mut other = None;
    for round in 0.. {
        let store = open(&path);
        let last = round >= 3 && Instant::now() + ROUND >= end;
        *world.bell.lock().unwrap() = Batch::bell(round, last);
        *world.end_of_round.lock().unwrap() = Instant::now() + ROUND;
        world.stop.store(false, Ordering::Relaxed);
        other.get_or_insert_with(|| Other::start(&world, &path, rng.next()));
        people.work(&world, &store);
        seen.extend(runs(&path));
        if last || rng.one_in(4) {
            let faults = store.verify().unwrap().faults;
            assert!(faults.is_empty(), "{faults:?}");
        }
        if last || round == 1 || rng.one_in(6) {
            check_copy(&world, &path);
        }
        if rng.one_in(2) {
            store.close().unwrap()
        } else {
            drop(store)
        }
        if last {
            break;
        }
        world.counts.add(Done::Reopenings, 1);
    }
    other.unwrap().finish();
    world.counts.add(Done::Runs, seen.len() as u64);
    world.counts.add(Done::RunsMerged, seen.difference(&runs(&path)).count() as u64);
    check_without_index(&world, &path);
    println!("{}", world.counts);
    world.counts.check();
}

/// Does nothing, unless it is the second process: see [`beside`].
#[test]
fn other_process() {
    beside::other_process();
}
