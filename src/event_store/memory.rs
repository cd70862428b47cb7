//! A store in memory, for tests of applications and as the plainest statement of the contract.

use std::{
    collections::{BTreeMap, HashMap},
    future::{poll_fn, ready},
    sync::Arc,
};

use parking_lot::RwLock;

use super::{
    Appended, BoxFuture, Capabilities, CursorName, EventStore, EventSubscription, Followed, Following, LoadedSnapshot,
    ReadAll, ReadStream, Snapshot, StreamAppend, Subscribe, Watchers, judge,
};
use crate::{
    error::Result,
    event::{NewEvent, Recorded, RecordedEvent, StreamName, Timestamp},
    limits,
    version::{ExpectedVersion, Position, Version},
};

/// How many events a read answers with at most.
const PAGE_EVENTS: usize = 4096;

/// A store that keeps its events in memory and loses them when it is dropped. Otherwise it behaves like the real one.
/// Cheap to clone: all clones are the same store.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    state: Arc<RwLock<State>>,
    watchers: Arc<Watchers>,
}

#[derive(Debug, Default)]
struct State {
    /// In order of position.
    log: Vec<RecordedEvent>,
    /// Where in `log` the events of each stream are, in order of version.
    streams: HashMap<StreamName, Vec<usize>>,
    /// The newest of each stream.
    snapshots: HashMap<StreamName, BTreeMap<Version, Snapshot>>,
    cursors: HashMap<CursorName, Position>,
}

impl State {
    fn version(&self, stream: &StreamName) -> Version {
        Version::new(self.streams.get(stream).map_or(0, Vec::len) as u64)
    }
}

impl State {
    /// Appends what was judged fit to be.
    fn append(&mut self, append: &StreamAppend, now: Timestamp) -> Appended {
        let State { log, streams, .. } = self;
        let StreamAppend { stream, events, .. } = append;
        let places = streams.entry(stream.clone()).or_default();
        let first_version = Version::new(places.len() as u64 + 1);
        for event in events {
            places.push(log.len());
            let recorded = Recorded {
                position: Position::new(log.len() as u64 + 1),
                version: Version::new(places.len() as u64),
                id: event.id,
                timestamp: event.timestamp.unwrap_or(now),
            };
            log.push(RecordedEvent::new(recorded, stream, &event.event_type, &event.metadata, &event.payload));
        }
        let (version, position) = (Version::new(places.len() as u64), Position::new(log.len() as u64));
        Appended { first_version, version, position }
    }

    fn read_stream(&self, read: &ReadStream, most: usize) -> Vec<RecordedEvent> {
        let places = self.streams.get(&read.stream).map_or(&[][..], |places| places);
        let from = index_after(read.from.get().saturating_sub(1)).min(places.len());
        let to = index_after(read.to.get()).clamp(from, places.len());
        let events = places[from..to].iter().map(|place| &self.log[*place]);
        page(events, read.backwards, read.limit.min(most))
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    fn append_now(&self, appends: &[StreamAppend]) -> Result<Vec<Appended>> {
        StreamAppend::check(appends)?;
        let mut state = self.state.write();
        let before = judge(
            appends,
            |append| Ok(state.version(&append.stream)),
            |append, from, to| Ok(state.read_stream(&ReadStream::new(&append.stream).from(from).to(to), usize::MAX)),
        )?;
        if let Some(first_answers) = before {
            return Ok(first_answers);
        }
        let now = Timestamp::now();
        let appended = appends.iter().map(|append| state.append(append, now)).collect();
        drop(state);
        // Who waits for one stream in memory can as well look at every event.
        self.watchers.wake_all();
        Ok(appended)
    }

    fn save_snapshot_now(&self, snapshot: Snapshot) -> Result<()> {
        snapshot.check()?;
        let mut state = self.state.write();
        snapshot.check_not_ahead(state.version(&snapshot.stream))?;
        let kept = state.snapshots.entry(snapshot.stream.clone()).or_default();
        kept.insert(snapshot.version, snapshot);
        while kept.len() > limits::SNAPSHOTS_KEPT {
            kept.pop_first();
        }
        Ok(())
    }

    fn load_snapshot_now(&self, stream: &StreamName, at_or_below: Version) -> LoadedSnapshot {
        let state = self.state.read();
        let newest = state.snapshots.get(stream).and_then(|kept| kept.range(..=at_or_below).next_back());
        LoadedSnapshot { snapshot: newest.map(|(_, snapshot)| snapshot.clone()), skipped: Vec::new() }
    }

    fn read_all_now(&self, read: &ReadAll) -> Vec<RecordedEvent> {
        let log = &self.state.read().log;
        page(log.iter().filter(|event| read.wants(event)), read.backwards, read.limit.min(PAGE_EVENTS))
    }
}

fn page<'a>(
    events: impl DoubleEndedIterator<Item = &'a RecordedEvent>,
    backwards: bool,
    limit: usize,
) -> Vec<RecordedEvent> {
    if backwards { events.rev().take(limit).cloned().collect() } else { events.take(limit).cloned().collect() }
}

/// Where in a list that begins with number 1 the element behind `number` stands.
fn index_after(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl EventStore for MemoryStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::full()
    }

    fn append<'a>(
        &'a self,
        stream: &'a StreamName,
        expected: ExpectedVersion,
        events: Vec<NewEvent>,
    ) -> BoxFuture<'a, Result<Appended>> {
        let appended = self.append_now(&[StreamAppend::new(stream.clone(), expected, events)]);
        Box::pin(ready(appended.map(|appended| appended[0])))
    }

    fn append_streams(&self, appends: Vec<StreamAppend>) -> BoxFuture<'_, Result<Vec<Appended>>> {
        Box::pin(ready(self.append_now(&appends)))
    }

    fn read_stream(&self, read: ReadStream) -> BoxFuture<'_, Result<Vec<RecordedEvent>>> {
        Box::pin(ready(Ok(self.state.read().read_stream(&read, PAGE_EVENTS))))
    }

    fn read_all(&self, read: ReadAll) -> BoxFuture<'_, Result<Vec<RecordedEvent>>> {
        Box::pin(ready(Ok(self.read_all_now(&read))))
    }

    fn stream_version<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Result<Version>> {
        Box::pin(ready(Ok(self.state.read().version(stream))))
    }

    fn last_position(&self) -> BoxFuture<'_, Result<Position>> {
        Box::pin(ready(Ok(Position::new(self.state.read().log.len() as u64))))
    }

    fn save_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<()>> {
        Box::pin(ready(self.save_snapshot_now(snapshot)))
    }

    fn load_snapshot<'a>(
        &'a self,
        stream: &'a StreamName,
        at_or_below: Version,
    ) -> BoxFuture<'a, Result<LoadedSnapshot>> {
        Box::pin(ready(Ok(self.load_snapshot_now(stream, at_or_below))))
    }

    fn subscribe(&self, subscribe: Subscribe) -> BoxFuture<'_, Result<Box<dyn EventSubscription>>> {
        let watcher = self.watchers.register(Vec::new());
        let following = Following::new(self.clone(), subscribe, watcher);
        Box::pin(ready(following.map(|following| Box::new(following) as Box<dyn EventSubscription>)))
    }
}

impl Followed for MemoryStore {
    fn page(&self, read: ReadAll) -> Result<Vec<RecordedEvent>> {
        Ok(self.read_all_now(&read))
    }

    fn newest(&self) -> Position {
        Position::new(self.state.read().log.len() as u64)
    }

    fn is_going_on(&self) -> Result<()> {
        Ok(())
    }

    fn load_cursor(&self, name: &CursorName) -> Result<Position> {
        Ok(self.state.read().cursors.get(name).copied().unwrap_or_default())
    }

    fn save_cursor(&self, name: &CursorName, position: Position) -> Result<()> {
        self.state.write().cursors.insert(name.clone(), position);
        Ok(())
    }
}

impl EventSubscription for Following<MemoryStore> {
    fn next(&mut self) -> BoxFuture<'_, Result<RecordedEvent>> {
        Box::pin(poll_fn(|context| self.poll_next(context)))
    }

    fn acknowledge(&mut self, position: Position) -> BoxFuture<'_, Result<()>> {
        Box::pin(ready(Following::acknowledge(self, position)))
    }

    fn position(&self) -> Position {
        Following::position(self)
    }
}
