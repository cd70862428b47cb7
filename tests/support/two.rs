//! Two handles of one store, as two processes have them: each call is made by another one than the call before.

use std::sync::atomic::{AtomicUsize, Ordering};

use factlog::{
    Appended, BoxFuture, Capabilities, EventStore, EventSubscription, ExpectedVersion, LoadedSnapshot, NewEvent,
    Position, ReadAll, ReadStream, RecordedEvent, Result, Snapshot, StreamAppend, StreamName, Subscribe, Version,
};

pub struct Two<S> {
    handles: [S; 2],
    calls: AtomicUsize,
}

impl<S: EventStore> Two<S> {
    pub fn new(open: impl Fn() -> S) -> Two<S> {
        Two { handles: [open(), open()], calls: AtomicUsize::new(0) }
    }

    fn next(&self) -> &S {
        &self.handles[self.calls.fetch_add(1, Ordering::Relaxed) % 2]
    }
}

impl<S: EventStore> EventStore for Two<S> {
    fn capabilities(&self) -> Capabilities {
        self.next().capabilities()
    }

    fn append<'a>(
        &'a self,
        stream: &'a StreamName,
        expected: ExpectedVersion,
        events: Vec<NewEvent>,
    ) -> BoxFuture<'a, Result<Appended>> {
        self.next().append(stream, expected, events)
    }

    fn append_streams(&self, appends: Vec<StreamAppend>) -> BoxFuture<'_, Result<Vec<Appended>>> {
        self.next().append_streams(appends)
    }

    fn read_stream(&self, read: ReadStream) -> BoxFuture<'_, Result<Vec<RecordedEvent>>> {
        self.next().read_stream(read)
    }

    fn read_all(&self, read: ReadAll) -> BoxFuture<'_, Result<Vec<RecordedEvent>>> {
        self.next().read_all(read)
    }

    fn stream_version<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Result<Version>> {
        self.next().stream_version(stream)
    }

    fn last_position(&self) -> BoxFuture<'_, Result<Position>> {
        self.next().last_position()
    }

    fn save_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<()>> {
        self.next().save_snapshot(snapshot)
    }

    fn load_snapshot<'a>(
        &'a self,
        stream: &'a StreamName,
        at_or_below: Version,
    ) -> BoxFuture<'a, Result<LoadedSnapshot>> {
        self.next().load_snapshot(stream, at_or_below)
    }

    fn subscribe(&self, subscribe: Subscribe) -> BoxFuture<'_, Result<Box<dyn EventSubscription>>> {
        self.next().subscribe(subscribe)
    }
}
