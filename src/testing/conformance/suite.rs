//! A store under test, and what every check does with it.

use std::{any::Any, fmt, future::Future, sync::Arc};

use crate::{
    error::Result,
    event::{EventId, EventType, NewEvent, RecordedEvent, StreamName},
    event_store::{
        Appended, BoxFuture, Capabilities, CursorName, EventStore, EventSubscription, ReadAll, ReadStream,
        StreamAppend, Subscribe, block_on,
    },
    version::{ExpectedVersion, Position, Version},
};

type Drive = dyn Fn(BoxFuture<'_, ()>) + Send + Sync;

/// A store that is to be held to the contract.
pub struct Suite {
    store: Arc<dyn EventStore>,
    drive: Box<Drive>,
    /// In the names of everything that the suite makes.
    mark: String,
    kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suite").field("mark", &self.mark).finish_non_exhaustive()
    }
}

impl Suite {
    /// A store whose futures need no runtime. It may hold events already, and others may write to it meanwhile.
    pub fn new(store: impl EventStore + 'static) -> Suite {
        let mark = EventId::generate().as_uuid().simple().to_string();
        let drive = |future: BoxFuture<'_, ()>| block_on(future);
        Suite { store: Arc::new(store), drive: Box::new(drive), mark, kept: Vec::new() }
    }

    /// Drives the store's futures by this, for a store that needs a runtime. It is called by several threads at once.
    pub fn driven_by(mut self, drive: impl Fn(BoxFuture<'_, ()>) + Send + Sync + 'static) -> Suite {
        self.drive = Box::new(drive);
        self
    }

    /// Keeps something for as long as the store is used, such as its directory.
    pub fn keeping(mut self, kept: impl Any + Send + Sync) -> Suite {
        self.kept.push(Box::new(kept));
        self
    }

    pub(super) fn store(&self) -> &dyn EventStore {
        &*self.store
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    /// Drives a future to its end.
    pub(super) fn wait<T: Send>(&self, future: impl Future<Output = T> + Send) -> T {
        let mut output = None;
        (self.drive)(Box::pin(async { output = Some(future.await) }));
        output.expect("what drives the futures ended before the future did")
    }

    /// A category that nothing else uses.
    pub(super) fn category(&self, name: &str) -> String {
        format!("{name}_{}", self.mark)
    }

    /// A stream of such a category.
    pub(super) fn stream(&self, category: &str, id: &str) -> StreamName {
        StreamName::new(format!("{}-{id}", self.category(category))).expect("a name of letters")
    }

    pub(super) fn cursor(&self, name: &str) -> CursorName {
        CursorName::new(format!("{name}-{}", self.mark)).expect("a name of letters")
    }

    pub(super) fn append(
        &self,
        stream: &StreamName,
        expected: impl Into<ExpectedVersion>,
        events: &[NewEvent],
    ) -> Result<Appended> {
        self.wait(self.store.append(stream, expected.into(), events.to_vec()))
    }

    pub(super) fn append_streams(&self, appends: &[StreamAppend]) -> Result<Vec<Appended>> {
        self.wait(self.store.append_streams(appends.to_vec()))
    }

    /// Appends so many events of one type, in one append if the store takes so many at once, and returns the position of the last.
    pub(super) fn grow(&self, stream: &StreamName, kind: &str, count: usize) -> Position {
        let events: Vec<_> = (0..count).map(|number| typed(kind, &number.to_string())).collect();
        let mut position = Position::START;
        for events in events.chunks(self.capabilities().append_events) {
            let appended = self.append(stream, ExpectedVersion::Any, events).expect("an append without a condition");
            position = appended.position;
        }
        position
    }

    pub(super) fn version(&self, stream: &StreamName) -> Version {
        self.wait(self.store.stream_version(stream)).expect("the version of a stream")
    }

    pub(super) fn last_position(&self) -> Position {
        self.wait(self.store.last_position()).expect("the last position")
    }

    /// All that a read of a stream gives, page by page.
    pub(super) fn read(&self, mut read: ReadStream) -> Vec<RecordedEvent> {
        let mut events: Vec<RecordedEvent> = Vec::new();
        while read.limit > 0 {
            let page = self.wait(self.store.read_stream(read.clone())).expect("a read of a stream");
            let Some(last) = page.last().map(RecordedEvent::version) else { break };
            read.limit -= page.len();
            if read.backwards {
                read.to = last.previous();
            } else {
                read.from = last.next();
            }
            events.extend(page);
        }
        events
    }

    /// All events of a stream.
    pub(super) fn events(&self, stream: &StreamName) -> Vec<RecordedEvent> {
        self.read(ReadStream::new(stream))
    }

    /// All that a read of the log gives, page by page.
    pub(super) fn read_all(&self, mut read: ReadAll) -> Vec<RecordedEvent> {
        let mut events: Vec<RecordedEvent> = Vec::new();
        while read.limit > 0 {
            let page = self.wait(self.store.read_all(read.clone())).expect("a read of the log");
            let Some(last) = page.last().map(RecordedEvent::position) else { break };
            read.limit -= page.len();
            if read.backwards {
                read.before = last;
            } else {
                read.after = last;
            }
            events.extend(page);
        }
        events
    }

    pub(super) fn subscribe(&self, subscribe: Subscribe) -> Box<dyn EventSubscription> {
        self.wait(self.store.subscribe(subscribe)).expect("a subscription")
    }

    pub(super) fn next(&self, subscription: &mut dyn EventSubscription) -> RecordedEvent {
        self.wait(subscription.next()).expect("the next event")
    }
}

/// An event with this payload.
pub(super) fn event(payload: &str) -> NewEvent {
    typed("Happened", payload)
}

pub(super) fn typed(kind: &str, payload: &str) -> NewEvent {
    NewEvent::new(kind_of(kind), payload.to_owned())
}

pub(super) fn kind_of(kind: &str) -> EventType {
    EventType::new(kind).expect("a type of letters")
}

pub(super) fn exact(version: u64) -> ExpectedVersion {
    ExpectedVersion::Exact(Version::new(version))
}
