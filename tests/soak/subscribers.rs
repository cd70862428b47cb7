//! Subscribers and snapshots.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use factlog::{
    CodecId, CursorName, Error, Position, ReadAll, ReadStream, RecordedEvent, Result, Snapshot, Start, Store,
    Subscribe, Subscription, Version,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    World,
    batch::{Rng, event_type, stream_name},
    ledger::Done,
    readers::{Page, whole},
};

/// An event comes at the end of each round. Whoever has not heard of it by then was never woken.
const NEVER: Duration = Duration::from_secs(60);

struct Awake {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Awake {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// The next event. Only looks again when it was woken, so that a wake-up that is lost is not made good by chance.
pub fn next(subscription: &mut Subscription) -> Result<RecordedEvent> {
    let awake = Arc::new(Awake { thread: thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(awake.clone());
    let mut next = pin!(subscription.next_async());
    loop {
        if let Poll::Ready(event) = next.as_mut().poll(&mut Context::from_waker(&waker)) {
            return event;
        }
        let asleep = Instant::now();
        while !awake.woken.swap(false, Ordering::AcqRel) {
            let left = NEVER.checked_sub(asleep.elapsed()).expect("a subscription was not woken");
            thread::park_timeout(left);
        }
    }
}

/// One who follows, over all openings of the store.
pub struct Subscriber {
    subscribe: Subscribe,
    rng: Rng,
    /// Where the next subscription begins.
    next: Position,
}

impl Subscriber {
    /// Some that follow everything, some a part, with and without cursors.
    pub fn all(seed: &mut Rng) -> Vec<Subscriber> {
        let kinds = [
            Subscribe::new(),
            Subscribe::new().category("order"),
            Subscribe::new().event_type(event_type(2)),
            Subscribe::new().stream(stream_name(0)),
            Subscribe::new().category("account").event_type(event_type(0)).event_type(event_type(3)),
        ];
        let cursors = kinds
            .clone()
            .into_iter()
            .zip(0..)
            .map(|(subscribe, number)| subscribe.cursor(CursorName::new(format!("subscriber-{number}")).unwrap()));
        let subscribers = kinds[1..4].iter().cloned().chain(cursors);
        subscribers.map(|subscribe| Subscriber { subscribe, rng: Rng(seed.next()), next: Position::START }).collect()
    }

    /// Follows until the bell rings that ends the round.
    pub fn run(&mut self, world: &World, store: &Store) {
        while !self.follow(world, store) {}
    }

    /// One subscription, until it is dropped. Whether the bell has rung.
    fn follow(&mut self, world: &World, store: &Store) -> bool {
        let begin = self.next;
        let cursor = match &self.subscribe.start {
            Start::Cursor(name) => Some(name.clone()),
            _ => None,
        };
        match &cursor {
            Some(name) => assert_eq!(store.cursor(name).unwrap().position(), begin, "not what was acknowledged"),
            None => self.subscribe.start = Start::After(begin),
        }
        let mut subscription = store.subscribe(self.subscribe.clone()).unwrap();
        world.counts.add(Done::Subscriptions, 1);
        assert_eq!(subscription.position(), begin);
        let (mut page, mut rung) = (Page::new(), false);
        while !rung && !self.rng.one_in(2000) {
            let event = next(&mut subscription).unwrap();
            assert!(store.last_position() >= event.position(), "given out before it was visible");
            assert!(subscription.position() >= event.position());
            let mark = world.ledger.observe(&event);
            let position = event.position();
            rung = mark.batch.number == world.bell().number;
            page.push((event, mark));
            if cursor.is_some() && self.rng.one_in(200) {
                subscription.acknowledge(position).unwrap();
                self.next = position;
                world.counts.add(Done::Acknowledgements, 1);
            } else if cursor.is_none() {
                self.next = position;
            }
        }
        drop(subscription);
        world.counts.add(Done::Deliveries, page.len() as u64);
        self.compare(store, &page, begin);
        rung
    }

    /// What was given out is what a read finds: nothing is missing, nothing twice, all in order.
    fn compare(&self, store: &Store, page: &Page, begin: Position) {
        let Some((last, _)) = page.last() else { return };
        let mut read = ReadAll::after(begin).before(last.position().next());
        (read.category, read.stream) = (self.subscribe.category.clone(), self.subscribe.stream.clone());
        read.types.clone_from(&self.subscribe.types);
        let wanted = store.read_all(read.clone()).map(Result::unwrap);
        assert!(wanted.eq(page.iter().map(|(event, _)| event.clone())), "{:?} from {begin}", self.subscribe);
        // Of the last append it may have got a part only because it was dropped.
        let end = page.iter().rposition(|(event, mark)| {
            event.position() != last.position() && mark.batch.number != page[page.len() - 1].1.batch.number
        });
        whole(&page[..end.map_or(0, |end| end + 1)].to_vec(), &read);
    }
}

/// The state of a stream: what it has come to, and a digest of all.
fn fold(store: &Store, stream: u32, version: Version) -> Vec<u8> {
    let mut state = Vec::new();
    for event in store.read_stream(ReadStream::new(&stream_name(stream)).to(version)) {
        let event = event.unwrap();
        state.extend(event.id().as_uuid().as_bytes());
        state.extend(event.version().get().to_le_bytes());
        let digest = xxh3_64(&state);
        state.clear();
        state.extend(digest.to_le_bytes());
    }
    state
}

/// Saves snapshots and loads them, until the round ends.
pub fn snapshots(world: &World, store: &Store, rng: &mut Rng) {
    while world.is_going_on() {
        let Some((_, entry)) = world.ledger.any(rng) else { continue };
        let name = stream_name(entry.stream);
        let version = Version::new(entry.version);
        let state = fold(store, entry.stream, version);
        let snapshot = |version| Snapshot::new(&name, version, CodecId::FIRST_CUSTOM, 1, state.clone());
        store.save_snapshot(snapshot(version)).unwrap();
        let ahead = store.save_snapshot(snapshot(version.plus(1_000_000)));
        assert!(matches!(ahead, Err(Error::SnapshotAhead { .. })));
        let below = Version::new(version.get() + rng.below(3));
        loaded(store, entry.stream, below);
        loaded(store, entry.stream, Version::MAX);
        world.counts.add(Done::Snapshots, 1);
    }
}

/// Loads a snapshot and compares it with its events.
pub fn loaded(store: &Store, stream: u32, at_or_below: Version) {
    let name = stream_name(stream);
    let loaded = store.load_snapshot(&name, at_or_below).unwrap();
    assert!(loaded.skipped.is_empty(), "{:?}", loaded.skipped);
    if let Some(snapshot) = loaded.snapshot {
        assert!(snapshot.version <= at_or_below && snapshot.version <= store.stream_version(&name).unwrap());
        assert_eq!(snapshot.state, fold(store, stream, snapshot.version));
    }
}
