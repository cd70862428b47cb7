//! Repositories: loading, saving, snapshots, the past, and metadata, over any store.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use factlog::{
    Appended, BoxFuture, Capabilities, Error, EventStore, EventSubscription, ExpectedVersion, LoadedSnapshot,
    MemoryStore, NewEvent, Position, ReadAll, ReadStream, RecordedEvent, Result, Snapshot, StreamAppend, StreamName,
    Subscribe, Timestamp, Version, block_on,
    model::{
        Aggregate, AggregateCommand, AggregateRoot, CommandBus, DomainEvent, Metadata, ModelError, Repository, Retry,
        Snapshots,
    },
    testing::FakeSleep,
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
enum CounterEvent {
    Opened,
    Counted { by: u64 },
}

impl DomainEvent for CounterEvent {}

/// Its state is of the version `STATE`.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counter<const STATE: u32> {
    events: u64,
    sum: u64,
}

impl<const STATE: u32> Aggregate for Counter<STATE> {
    type Event = CounterEvent;

    const CATEGORY: &'static str = "counter";

    fn apply(&mut self, event: &CounterEvent) {
        self.events += 1;
        if let CounterEvent::Counted { by } = event {
            self.sum += by;
        }
    }

    fn snapshots() -> Option<Snapshots<Self>> {
        Some(Snapshots::of_version(STATE))
    }
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("There is nothing to count")]
struct Nothing;

/// Opens the counter, or counts.
enum Count {
    Open,
    By(u64),
}

impl AggregateCommand for Count {
    type Aggregate = Counter<1>;
    type Refusal = Nothing;

    fn aggregate_id(&self) -> &str {
        "1"
    }

    fn creates(&self) -> bool {
        matches!(self, Count::Open)
    }

    fn decide(&self, _: &Counter<1>) -> Result<Vec<CounterEvent>, Nothing> {
        match self {
            Count::Open => Ok(vec![CounterEvent::Opened]),
            Count::By(0) => Err(Nothing),
            Count::By(by) => Ok(vec![CounterEvent::Counted { by: *by }]),
        }
    }
}

/// A store in memory that fails where it is told to, and counts what it is asked for.
#[derive(Clone, Default)]
struct Faulty {
    store: MemoryStore,
    /// So many appends to come are unavailable.
    unavailable: Arc<AtomicU32>,
    /// Before so many appends to come another writer appends.
    overtaken: Arc<AtomicU32>,
    /// Snapshots cannot be saved.
    snapshots_fail: bool,
    appends: Arc<AtomicUsize>,
    read: Arc<AtomicUsize>,
}

/// Counts one down, if there is one.
fn one_of(left: &AtomicU32) -> bool {
    left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
}

fn unavailable(operation: &'static str) -> Error {
    Error::Io { operation, path: "elsewhere".into(), source: Arc::new(io::Error::other("unavailable")) }
}

impl EventStore for Faulty {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn append<'a>(
        &'a self,
        stream: &'a StreamName,
        expected: ExpectedVersion,
        events: Vec<NewEvent>,
    ) -> BoxFuture<'a, Result<Appended>> {
        Box::pin(async move {
            self.appends.fetch_add(1, Relaxed);
            if one_of(&self.unavailable) {
                return Err(unavailable("append"));
            }
            if one_of(&self.overtaken) {
                let other = CounterEvent::Counted { by: 1000 }.to_new_event().unwrap();
                self.store.append(stream, ExpectedVersion::Any, vec![other]).await?;
            }
            self.store.append(stream, expected, events).await
        })
    }

    fn append_streams(&self, appends: Vec<StreamAppend>) -> BoxFuture<'_, Result<Vec<Appended>>> {
        self.store.append_streams(appends)
    }

    fn read_stream(&self, read: ReadStream) -> BoxFuture<'_, Result<Vec<RecordedEvent>>> {
        Box::pin(async move {
            let page = self.store.read_stream(read).await?;
            self.read.fetch_add(page.len(), Relaxed);
            Ok(page)
        })
    }

    fn read_all(&self, read: ReadAll) -> BoxFuture<'_, Result<Vec<RecordedEvent>>> {
        self.store.read_all(read)
    }

    fn stream_version<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Result<Version>> {
        self.store.stream_version(stream)
    }

    fn last_position(&self) -> BoxFuture<'_, Result<Position>> {
        self.store.last_position()
    }

    fn save_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<()>> {
        match self.snapshots_fail {
            true => Box::pin(std::future::ready(Err(unavailable("save")))),
            false => self.store.save_snapshot(snapshot),
        }
    }

    fn load_snapshot<'a>(&'a self, stream: &'a StreamName, most: Version) -> BoxFuture<'a, Result<LoadedSnapshot>> {
        self.store.load_snapshot(stream, most)
    }

    fn subscribe(&self, subscribe: Subscribe) -> BoxFuture<'_, Result<Box<dyn EventSubscription>>> {
        self.store.subscribe(subscribe)
    }
}

fn counters(store: &Faulty) -> Repository<Counter<1>> {
    Repository::new(Arc::new(store.clone()))
}

fn none() -> Metadata {
    Metadata::none()
}

/// A counter with so many events, each its own append.
fn counted(store: &Faulty, events: u64) {
    let counters = counters(store);
    block_on(counters.execute(&Count::Open, &none())).unwrap();
    for _ in 1..events {
        block_on(counters.execute(&Count::By(1), &none())).unwrap();
    }
}

/// The version of the newest snapshot.
fn newest_snapshot(store: &Faulty) -> Option<u64> {
    let stream = Counter::<1>::stream("1").unwrap();
    let loaded = block_on(store.load_snapshot(&stream, Version::MAX)).unwrap();
    loaded.snapshot.map(|snapshot| snapshot.version.get())
}

/// How many events loading the counter reads, and what it gives.
fn load<const STATE: u32>(store: &Faulty) -> (usize, AggregateRoot<Counter<STATE>>) {
    let before = store.read.load(Relaxed);
    let root = block_on(Repository::new(Arc::new(store.clone())).load("1")).unwrap();
    (store.read.load(Relaxed) - before, root)
}

#[test]
fn a_snapshot_is_taken_every_hundred_events_and_loading_goes_on_behind_it() {
    let store = Faulty::default();
    counted(&store, 99);
    assert_eq!(newest_snapshot(&store), None);
    block_on(counters(&store).execute(&Count::By(1), &none())).unwrap();
    assert_eq!(newest_snapshot(&store), Some(100));
    for _ in 0..130 {
        block_on(counters(&store).execute(&Count::By(1), &none())).unwrap();
    }
    assert_eq!(newest_snapshot(&store), Some(200));
    let (read, root) = load::<1>(&store);
    assert_eq!((read, root.version(), root.snapshot_version()), (30, Version::new(230), Version::new(200)));
    assert_eq!(*root.state(), Counter { events: 230, sum: 229 });
}

#[test]
fn how_often_a_snapshot_is_taken_is_for_the_repository_to_say() {
    let store = Faulty::default();
    counted(&store, 5);
    let often = counters(&store).snapshot_every(3);
    block_on(often.execute(&Count::By(1), &none())).unwrap();
    assert_eq!(newest_snapshot(&store), Some(6));
    let never = counters(&store).without_snapshots();
    for _ in 0..200 {
        block_on(never.execute(&Count::By(1), &none())).unwrap();
    }
    assert_eq!(newest_snapshot(&store), Some(6));
    let before = store.read.load(Relaxed);
    assert_eq!(block_on(never.load("1")).unwrap().snapshot_version(), Version::NONE);
    assert_eq!(store.read.load(Relaxed) - before, 206);
}

#[test]
fn a_snapshot_of_another_version_of_the_state_is_passed_over_and_the_events_tell_the_same() {
    let store = Faulty::default();
    counted(&store, 120);
    let (read, root) = load::<2>(&store);
    assert_eq!((read, root.snapshot_version()), (120, Version::NONE));
    assert_eq!(*root.state(), Counter { events: 120, sum: 119 });
    let counters = Repository::<Counter<2>>::new(Arc::new(store.clone()));
    let count = |root: &mut AggregateRoot<Counter<2>>| root.record(&CounterEvent::Counted { by: 1 });
    block_on(counters.change("1", &none(), count)).unwrap();
    assert_eq!(newest_snapshot(&store), Some(121), "the one that cannot be used counts for none");
    assert_eq!(load::<2>(&store).0, 0);
    let (read, root) = load::<1>(&store);
    assert_eq!((read, root.state().events), (21, 121), "a program of the old version goes on from its own");
}

#[test]
fn a_snapshot_that_cannot_be_saved_fails_no_command_and_is_a_warning() {
    let store = Faulty { snapshots_fail: true, ..Faulty::default() };
    let warnings = Warnings::default();
    tracing::subscriber::with_default(warnings.clone(), || counted(&store, 102));
    assert_eq!((warnings.0.load(Relaxed), newest_snapshot(&store)), (3, None), "tried again behind each event");
    let store = Faulty { snapshots_fail: false, ..store };
    block_on(counters(&store).execute(&Count::By(1), &none())).unwrap();
    assert_eq!(newest_snapshot(&store), Some(103));
    assert_eq!(load::<1>(&store).1.state().events, 103);
}

/// Counts the warnings that `tracing` is told.
#[derive(Clone, Default)]
struct Warnings(Arc<AtomicUsize>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Relaxed);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn an_aggregate_can_be_seen_as_it_was_at_any_version() {
    let store = Faulty::default();
    counted(&store, 230);
    let counters = counters(&store);
    for (version, sum) in [(1, 0), (2, 1), (99, 98), (100, 99), (101, 100), (150, 149), (230, 229), (1000, 229)] {
        let root = block_on(counters.load_as_of("1", Version::new(version))).unwrap();
        assert_eq!((root.version().get(), root.state().sum), (version.min(230), sum));
    }
    assert!(matches!(
        block_on(counters.load_as_of("1", Version::NONE)).unwrap_err(),
        ModelError::AggregateNotFound { id } if id == "1"
    ));
    let mut past = block_on(counters.load_as_of("1", Version::new(7))).unwrap();
    past.record(&CounterEvent::Counted { by: 1 }).unwrap();
    let error = block_on(counters.save(&mut past, &none())).unwrap_err();
    assert_eq!(error.to_string(), "Expected version 7, but current version is 230");
}

#[test]
fn an_aggregate_can_be_seen_as_it_was_at_any_time() {
    let store = Faulty::default();
    let counters = counters(&store);
    let second = |number: i64| Timestamp::from_micros(number * 1_000_000);
    let mut root = AggregateRoot::<Counter<1>>::new("1").unwrap();
    for number in 1..=150 {
        let event = CounterEvent::Counted { by: 1 };
        root.record_as(&event, factlog::EventId::generate(), second(number * 10)).unwrap();
    }
    block_on(counters.save(&mut root, &none())).unwrap();
    assert_eq!(newest_snapshot(&store), Some(150));
    for (time, events) in [(10, 1), (19, 1), (20, 2), (1499, 149), (1500, 150), (9999, 150)] {
        let root = block_on(counters.load_at("1", second(time))).unwrap();
        assert_eq!((root.version().get(), root.state().events), (events, events), "at {time} s");
    }
    let before = block_on(counters.load_at("1", second(9))).unwrap_err();
    assert!(matches!(before, ModelError::AggregateNotFound { .. }));
}

#[test]
fn what_does_not_exist_is_not_found_and_can_be_asked_for() {
    let store = Faulty::default();
    let counters = counters(&store);
    assert!(!block_on(counters.exists("1")).unwrap());
    let missing = block_on(counters.execute(&Count::By(1), &none())).unwrap_err();
    assert_eq!((missing.to_string().as_str(), missing.is_retryable()), ("Aggregate not found: 1", false));
    block_on(counters.execute(&Count::Open, &none())).unwrap();
    assert!(block_on(counters.exists("1")).unwrap());
    assert!(block_on(counters.exists("")).is_err());
}

#[test]
fn an_event_of_an_unknown_type_is_an_error_unless_it_is_to_be_passed_over() {
    let store = Faulty::default();
    counted(&store, 2);
    let stranger = NewEvent::json("Lost", &()).unwrap();
    block_on(store.append(&Counter::<1>::stream("1").unwrap(), ExpectedVersion::Any, vec![stranger])).unwrap();
    block_on(counters(&store).skip_unknown_events().execute(&Count::By(5), &none())).unwrap();
    let error = block_on(counters(&store).load("1")).unwrap_err();
    assert!(error.to_string().contains("event 3 of stream `counter-1`") && !error.is_retryable(), "{error}");
    let root = block_on(counters(&store).skip_unknown_events().load("1")).unwrap();
    assert_eq!((root.version(), root.state().sum), (Version::new(4), 6));
}

#[test]
fn no_snapshot_is_taken_of_a_state_that_misses_events_that_another_program_may_know() {
    let store = Faulty::default();
    counted(&store, 2);
    let stranger = NewEvent::json("Lost", &()).unwrap();
    block_on(store.append(&Counter::<1>::stream("1").unwrap(), ExpectedVersion::Any, vec![stranger])).unwrap();
    let skipping = counters(&store).snapshot_every(2).skip_unknown_events();
    for _ in 0..4 {
        block_on(skipping.execute(&Count::By(5), &none())).unwrap();
    }
    assert_eq!(newest_snapshot(&store), None);
    assert!(block_on(counters(&store).snapshot_every(2).load("1")).is_err(), "the unknown event is met");
}

#[test]
fn whoever_reads_the_whole_log_tells_its_own_events_by_category_and_type() {
    let store = Faulty::default();
    counted(&store, 2);
    let payload = serde_json::json!({ "by": 7 });
    for (stream, event_type) in [("counter-1-b", "Counted"), ("counters-1", "Counted"), ("counter-1", "Lost")] {
        let event = NewEvent::json(event_type, &payload).unwrap();
        block_on(store.append(&stream.parse().unwrap(), ExpectedVersion::Any, vec![event])).unwrap();
    }
    let log = block_on(store.read_all(ReadAll::after(Position::START))).unwrap();
    let told = |event| match Counter::<1>::event_of(event).unwrap() {
        Some((id, CounterEvent::Opened)) => format!("{id} opened"),
        Some((id, CounterEvent::Counted { by })) => format!("{id} counted {by}"),
        None => "another's".to_owned(),
    };
    let told: Vec<_> = log.iter().map(told).collect();
    assert_eq!(told, ["1 opened", "1 counted 1", "1-b counted 7", "another's", "another's"]);
    let broken = NewEvent::json("Counted", &serde_json::json!({})).unwrap();
    block_on(store.append(&"counter-1".parse().unwrap(), ExpectedVersion::Any, vec![broken])).unwrap();
    let last = block_on(store.read_all(ReadAll::after(Position::new(5)))).unwrap();
    assert!(matches!(Counter::<1>::event_of(&last[0]), Err(ModelError::UnreadableEvent { .. })));
}

#[test]
fn a_conflict_is_decided_again_at_once_and_then_after_short_waits() {
    let store = Faulty::default();
    counted(&store, 1);
    let sleep = FakeSleep::default();
    let counters = counters(&store).sleep(Arc::new(sleep.clone()));
    store.overtaken.store(1, Relaxed);
    block_on(counters.execute(&Count::By(1), &none())).unwrap();
    assert_eq!((sleep.waits().len(), load::<1>(&store).1.state().sum), (0, 1001));
    store.overtaken.store(4, Relaxed);
    block_on(counters.execute(&Count::By(1), &none())).unwrap();
    assert_eq!((sleep.waits().len(), load::<1>(&store).1.state().sum), (3, 5002));
    let bounds = Duration::from_millis(1)..=Duration::from_millis(50);
    assert!(sleep.waits().iter().all(|wait| bounds.contains(wait)), "{:?}", sleep.waits());
}

#[test]
fn a_writer_that_is_always_overtaken_gives_up_with_the_conflict() {
    let store = Faulty::default();
    counted(&store, 1);
    store.overtaken.store(u32::MAX, Relaxed);
    let before = store.appends.load(Relaxed);
    let counters = counters(&store).sleep(Arc::new(FakeSleep::default()));
    let error = block_on(counters.execute(&Count::By(1), &none())).unwrap_err();
    assert!(matches!(error, ModelError::Concurrency(_)) && error.is_retryable());
    assert_eq!(store.appends.load(Relaxed) - before, 100);
}

#[test]
fn a_creation_that_comes_second_is_never_decided_again() {
    let store = Faulty::default();
    counted(&store, 1);
    let before = store.appends.load(Relaxed);
    let sleep = FakeSleep::default();
    let bus = CommandBus::new().with(Retry::default().sleep(Arc::new(sleep.clone())));
    let bus = bus.register::<Count, _>(counters(&store).sleep(Arc::new(sleep.clone()))).unwrap();
    let error = block_on(bus.dispatch(Count::Open)).unwrap_err();
    assert_eq!(error.to_string(), "Expected version 0, but current version is 1");
    assert_eq!((store.appends.load(Relaxed) - before, sleep.waits().len()), (1, 0));
}

#[test]
fn a_store_that_is_unavailable_for_a_while_costs_a_wait_and_no_command() {
    let store = Faulty::default();
    counted(&store, 1);
    let sleep = FakeSleep::default();
    let bus = CommandBus::new().with(Retry::default().sleep(Arc::new(sleep.clone())));
    let bus = bus.register::<Count, _>(counters(&store)).unwrap();
    store.unavailable.store(2, Relaxed);
    assert_eq!(block_on(bus.dispatch(Count::By(7))).unwrap().version, Version::new(2));
    assert_eq!((sleep.waits().len(), load::<1>(&store).1.state().sum), (2, 7));
    store.unavailable.store(3, Relaxed);
    let error = block_on(bus.dispatch(Count::By(7))).unwrap_err();
    assert!(matches!(error, ModelError::Store(Error::Io { .. })) && error.is_retryable());
    let refused = block_on(bus.dispatch(Count::By(0))).unwrap_err();
    assert_eq!((refused.to_string().as_str(), refused.is_retryable()), ("There is nothing to count", false));
    assert_eq!((sleep.waits().len(), load::<1>(&store).1.state().sum), (4, 7));
}

#[test]
fn what_was_not_saved_can_be_saved_again_and_is_stored_once() {
    let store = Faulty::default();
    let counters = counters(&store);
    let mut root = AggregateRoot::<Counter<1>>::new("1").unwrap();
    root.record(&CounterEvent::Opened).unwrap();
    root.record(&CounterEvent::Counted { by: 3 }).unwrap();
    store.unavailable.store(1, Relaxed);
    let metadata = Metadata::begin();
    assert!(block_on(counters.save(&mut root, &metadata)).is_err());
    // Its answer was lost: it is there, and is not known to be.
    let mut unheard = AggregateRoot::<Counter<1>>::new("1").unwrap();
    for (event, recorded) in [CounterEvent::Opened, CounterEvent::Counted { by: 3 }].iter().zip(root.uncommitted()) {
        unheard.record_as(event, recorded.id, Timestamp::now()).unwrap();
    }
    block_on(counters.save(&mut unheard, &metadata)).unwrap();
    let committed = block_on(counters.save(&mut root, &metadata)).unwrap();
    assert_eq!((committed.version, committed.position, committed.events), (Version::new(2), Position::new(2), 2));
    assert_eq!((root.version(), root.uncommitted().len()), (Version::new(2), 0));
    assert_eq!(block_on(store.last_position()).unwrap(), Position::new(2));
}

#[test]
fn every_event_that_comes_of_a_command_has_its_metadata() {
    let store = Faulty::default();
    let bus = CommandBus::new().register::<Count, _>(counters(&store)).unwrap();
    block_on(bus.dispatch(Count::Open)).unwrap();
    let opened = block_on(store.read_all(ReadAll::after(Position::START))).unwrap().remove(0);
    let begun = Metadata::of(&opened).unwrap();
    assert!(begun.correlation_id.is_some() && begun.correlation_id == begun.causation_id, "{begun:?}");

    let request = Metadata::correlated("request-1").with("userId", "u-1");
    block_on(bus.dispatch_with(Count::By(1), request.clone())).unwrap();
    let counted = block_on(store.read_all(ReadAll::after(opened.position()))).unwrap().remove(0);
    assert_eq!(Metadata::of(&counted).unwrap(), request);

    block_on(bus.dispatch_with(Count::By(2), Metadata::caused_by(&counted))).unwrap();
    let reaction = block_on(store.read_all(ReadAll::after(counted.position()))).unwrap().remove(0);
    let metadata = Metadata::of(&reaction).unwrap();
    assert_eq!(metadata.correlation_id.as_deref(), Some("request-1"));
    assert_eq!(metadata.causation_id, Some(counted.id().to_string()));
}

#[test]
fn a_command_that_has_nothing_to_do_answers_with_where_the_log_is() {
    let store = Faulty::default();
    counted(&store, 3);
    let committed = block_on(counters(&store).change("1", &none(), |_| Ok(()))).unwrap();
    assert_eq!((committed.version, committed.position, committed.events), (Version::new(3), Position::new(3), 0));
}
