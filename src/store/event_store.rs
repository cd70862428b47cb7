//! The store as an [`EventStore`].

use std::future::ready;

use super::Store;
use crate::{
    error::{Error, Result},
    event::{NewEvent, RecordedEvent, StreamName},
    event_store::{
        Appended, BoxFuture, Capabilities, EventStore, EventSubscription, LoadedSnapshot, ReadAll, ReadStream,
        Snapshot, StreamAppend, Subscribe,
    },
    version::{ExpectedVersion, Position, Version},
};

/// How many events a read through the trait answers with at most.
const PAGE_EVENTS: usize = 1024;
/// How many bytes of payload and metadata it answers with, if one event does not have more.
const PAGE_BYTES: usize = 4 << 20;

fn page(events: impl Iterator<Item = Result<RecordedEvent>>) -> Result<Vec<RecordedEvent>> {
    let mut page = Vec::new();
    let mut bytes = 0;
    for event in events.take(PAGE_EVENTS) {
        let event = match event {
            // What lies before lost events is given out first; the next read names them.
            Err(Error::Lost(_)) if !page.is_empty() => break,
            event => event?,
        };
        bytes += event.payload_slice().len() + event.metadata_slice().len();
        page.push(event);
        if bytes > PAGE_BYTES {
            break;
        }
    }
    Ok(page)
}

impl Store {
    pub(super) fn read_all_page(&self, read: ReadAll) -> Result<Vec<RecordedEvent>> {
        page(self.read_all(read))
    }
}

/// The futures need no runtime. An append never blocks the thread that polls it: see [`Store::append_async`]. A read does its
/// work when it is first polled, and is ready then: what is not in memory, that thread waits for.
impl EventStore for Store {
    fn capabilities(&self) -> Capabilities {
        Capabilities::full()
    }

    fn append<'a>(
        &'a self,
        stream: &'a StreamName,
        expected: ExpectedVersion,
        events: Vec<NewEvent>,
    ) -> BoxFuture<'a, Result<Appended>> {
        Box::pin(self.append_async(stream, expected, events))
    }

    fn append_streams(&self, appends: Vec<StreamAppend>) -> BoxFuture<'_, Result<Vec<Appended>>> {
        Box::pin(self.append_streams_async(appends))
    }

    fn read_stream(&self, read: ReadStream) -> BoxFuture<'_, Result<Vec<RecordedEvent>>> {
        Box::pin(async move { page(Store::read_stream(self, read)) })
    }

    fn read_all(&self, read: ReadAll) -> BoxFuture<'_, Result<Vec<RecordedEvent>>> {
        Box::pin(async move { self.read_all_page(read) })
    }

    fn stream_version<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Result<Version>> {
        Box::pin(ready(Store::stream_version(self, stream)))
    }

    fn last_position(&self) -> BoxFuture<'_, Result<Position>> {
        Box::pin(ready(Ok(Store::last_position(self))))
    }

    fn save_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { Store::save_snapshot(self, snapshot) })
    }

    fn load_snapshot<'a>(
        &'a self,
        stream: &'a StreamName,
        at_or_below: Version,
    ) -> BoxFuture<'a, Result<LoadedSnapshot>> {
        Box::pin(async move { Store::load_snapshot(self, stream, at_or_below) })
    }

    fn subscribe(&self, subscribe: Subscribe) -> BoxFuture<'_, Result<Box<dyn EventSubscription>>> {
        Box::pin(async move {
            let subscription = Store::subscribe(self, subscribe)?;
            Ok(Box::new(subscription) as Box<dyn EventSubscription>)
        })
    }
}
