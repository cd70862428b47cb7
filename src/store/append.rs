//! Appending, and the store as an [`EventStore`].

use std::future::ready;

use super::{Store, recorded};
use crate::{
    error::{Error, Result},
    event::{NewEvent, RecordedEvent, StreamName},
    event_store::{Appended, BoxFuture, EventStore, LoadedSnapshot, ReadAll, ReadStream, Snapshot},
    index::Indexed,
    version::{ExpectedVersion, Position, Version},
};

/// How many events a read through the trait answers with at most.
const PAGE_EVENTS: usize = 1024;
/// How many bytes of payload and metadata it answers with, if one event does not have more.
const PAGE_BYTES: usize = 4 << 20;

impl Store {
    /// Appends events to a stream, all or none, if it is at the expected version. When this returns they are on the disk.
    ///
    /// # Errors
    ///
    /// - [`Error::WrongExpectedVersion`]: the stream is not at the expected version; nothing was stored;
    /// - [`Error::Invalid`]: no events, or beyond a limit; nothing was stored;
    /// - [`Error::NoSpace`]: the disk is full; nothing was stored, and the same append can succeed later;
    /// - [`Error::OutcomeUnknown`]: a write or sync failed; open the store again to see what it holds.
    pub fn append(&self, stream: &StreamName, expected: ExpectedVersion, events: Vec<NewEvent>) -> Result<Appended> {
        NewEvent::check_append(stream, &events)?;
        let inner = &*self.inner;
        let now = inner.disk.now();
        let mut draft = recorded::draft(stream, &events, now);

        let index = &inner.index;
        let list = index.stream(stream.as_str());
        index.hold_up();
        index.warm(list)?;
        let mut sequencing = inner.log.sequence(draft.footprint())?;
        if sequencing.is_new_segment() {
            index.freeze();
        }
        let (version, newest) = index.newest(list, Position::MAX)?;
        if !expected.accepts(version) {
            // Only durable facts are reported: not the version of an event that could still be lost.
            sequencing.wait(newest)?;
            return Err(Error::WrongExpectedVersion { stream: stream.clone(), expected, actual: version });
        }
        recorded::place(&mut draft, version, newest, sequencing.next());
        let sequenced = sequencing.push(&mut draft);
        let category = recorded::category_list(index, stream);
        index.add(events.iter().enumerate().map(|(at, event)| {
            let start = draft.offset(at);
            let indexed = Indexed {
                position: sequenced.first.plus(at as u64),
                offset: sequenced.offset + start as u64,
                version: version.plus(at as u64 + 1),
                time: event.timestamp.unwrap_or(now).as_micros(),
                stream: list,
                event_type: index.event_type(event.event_type.as_str()),
                category,
            };
            (indexed, (draft.offset(at + 1) - start) as u64)
        }));
        sequencing.wait(sequenced.last)?;
        Ok(Appended {
            first_version: version.next(),
            version: version.plus(draft.len() as u64),
            position: sequenced.last,
        })
    }

    fn page(&self, events: impl Iterator<Item = Result<RecordedEvent>>, limit: usize) -> Result<Vec<RecordedEvent>> {
        let mut page = Vec::new();
        let mut bytes = 0;
        for event in events.take(limit.min(PAGE_EVENTS)) {
            let event = event?;
            bytes += event.payload().len() + event.metadata().len();
            page.push(event);
            if bytes > PAGE_BYTES {
                break;
            }
        }
        Ok(page)
    }
}

/// The futures do their work when they are first polled, and are ready then: they need no runtime, and block the thread
/// that polls them for as long as the disk takes.
impl EventStore for Store {
    fn append<'a>(
        &'a self,
        stream: &'a StreamName,
        expected: ExpectedVersion,
        events: Vec<NewEvent>,
    ) -> BoxFuture<'a, Result<Appended>> {
        Box::pin(async move { Store::append(self, stream, expected, events) })
    }

    fn read_stream(&self, read: ReadStream) -> BoxFuture<'_, Result<Vec<RecordedEvent>>> {
        Box::pin(async move { self.page(Store::read_stream(self, read), usize::MAX) })
    }

    fn read_all(&self, read: ReadAll) -> BoxFuture<'_, Result<Vec<RecordedEvent>>> {
        Box::pin(async move { self.page(Store::read_all(self, read), usize::MAX) })
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
}
