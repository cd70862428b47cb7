//! The trait that every store implements. See the [module](super) for what it promises.

use std::{future::Future, pin::Pin};

use super::{Capabilities, EventSubscription, LoadedSnapshot, ReadAll, ReadStream, Snapshot, Subscribe};
use crate::{
    error::Result,
    event::{EventId, InvalidInput, NewEvent, RecordedEvent, StreamName},
    version::{ExpectedVersion, Position, Version},
};

/// A future that an [`EventStore`] returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What an accepted append wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Version of the first event of the append.
    pub first_version: Version,
    /// Version of its last event, and so of the stream.
    pub version: Version,
    /// Position of its last event.
    pub position: Position,
}

/// Events for one stream, as a part of an append to several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamAppend {
    /// The stream.
    pub stream: StreamName,
    /// The condition that it must meet.
    pub expected: ExpectedVersion,
    /// What is to be appended to it.
    pub events: Vec<NewEvent>,
}

impl StreamAppend {
    /// Events for a stream.
    pub fn new(stream: StreamName, expected: impl Into<ExpectedVersion>, events: Vec<NewEvent>) -> StreamAppend {
        StreamAppend { stream, expected: expected.into(), events }
    }

    /// Checks that no two events have the same id.
    fn check_ids(&self) -> Result<(), InvalidInput> {
        // Ids that were made one after the other are in order, and so seen to differ.
        if self.events.windows(2).all(|pair| pair[0].id < pair[1].id) {
            return Ok(());
        }
        let mut ids: Vec<EventId> = self.events.iter().map(|event| event.id).collect();
        ids.sort_unstable();
        match ids.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(InvalidInput::IdTwice { stream: self.stream.to_string(), id: pair[0] }),
            None => Ok(()),
        }
    }

    /// Checks the rules for an append to several streams.
    pub(crate) fn check(appends: &[StreamAppend]) -> Result<()> {
        StreamAppend::check_events(appends)?;
        StreamAppend::check_streams(appends)
    }

    /// Checks that the events are within the limits, and that no two of a stream have the same id.
    pub(crate) fn check_events(appends: &[StreamAppend]) -> Result<()> {
        NewEvent::check_append(appends.iter().map(|append| (&append.stream, &append.events[..])))?;
        Ok(appends.iter().try_for_each(StreamAppend::check_ids)?)
    }

    /// Checks that no stream is named twice.
    pub(crate) fn check_streams(appends: &[StreamAppend]) -> Result<()> {
        let mut streams: Vec<&StreamName> = appends.iter().map(|append| &append.stream).collect();
        streams.sort_unstable();
        match streams.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(InvalidInput::StreamTwice { stream: pair[0].to_string() }.into()),
            None => Ok(()),
        }
    }
}

/// A store of events: appends with optimistic concurrency, and reads by stream and of the whole log.
///
/// Reads answer with at most a page of events, as many as `limit` asks for and the store finds reasonable: an answer
/// with fewer events than asked for is no sign of the end. The end is an empty answer.
pub trait EventStore: Send + Sync {
    /// What this store promises beyond the contract, and how much it takes. It stays the same for as long as the store is open.
    fn capabilities(&self) -> Capabilities;

    /// Appends `events` to `stream`, all or none, if the stream is at the expected version. Ready when they are durable.
    ///
    /// The same again, with the same event ids, is answered as it was the first time, and stored once.
    ///
    /// # Errors
    ///
    /// See [`crate::Error::action`] for what each leaves to do.
    fn append<'a>(
        &'a self,
        stream: &'a StreamName,
        expected: ExpectedVersion,
        events: Vec<NewEvent>,
    ) -> BoxFuture<'a, Result<Appended>>;

    /// Appends to several streams, all or none, if each is at its expected version: as one commit, in the order given. Ready
    /// when all is durable. The answers are in the same order.
    ///
    /// # Errors
    ///
    /// As for [`EventStore::append`]; and [`crate::Error::Unsupported`] from a store whose [`Capabilities`] have no appends to several
    /// streams.
    fn append_streams(&self, appends: Vec<StreamAppend>) -> BoxFuture<'_, Result<Vec<Appended>>>;

    /// Reads the next events of a stream, in order of version. None for a stream that does not exist.
    ///
    /// # Errors
    ///
    /// When the events cannot be read or are damaged.
    fn read_stream(&self, read: ReadStream) -> BoxFuture<'_, Result<Vec<RecordedEvent>>>;

    /// Reads the next events of the whole log, in order of position.
    ///
    /// # Errors
    ///
    /// When the events cannot be read or are damaged.
    fn read_all(&self, read: ReadAll) -> BoxFuture<'_, Result<Vec<RecordedEvent>>>;

    /// The version of a stream: that of its newest event, or [`Version::NONE`].
    ///
    /// # Errors
    ///
    /// When the store cannot be reached.
    fn stream_version<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Result<Version>>;

    /// The position of the newest event, or [`Position::START`].
    ///
    /// # Errors
    ///
    /// When the store cannot be reached.
    fn last_position(&self) -> BoxFuture<'_, Result<Position>>;

    /// Keeps a snapshot, in place of one of the same stream and version. Ready when it is durable by the store's own
    /// standard. [`crate::save_state`] does this for a typed state.
    ///
    /// # Errors
    ///
    /// When the stream has not reached its version, when it is too large, or when it cannot be written.
    fn save_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<()>>;

    /// The newest usable snapshot of a stream at or below a version; [`Version::MAX`] for the newest of all. [`crate::load_state`]
    /// does this for a typed state.
    ///
    /// # Errors
    ///
    /// When the store cannot be reached or its events cannot be read. A snapshot that cannot be used is no error: it is skipped.
    fn load_snapshot<'a>(
        &'a self,
        stream: &'a StreamName,
        at_or_below: Version,
    ) -> BoxFuture<'a, Result<LoadedSnapshot>>;

    /// Follows the log: what is asked for and already there first, and then what comes.
    ///
    /// # Errors
    ///
    /// When the cursor to start from cannot be read, or the store cannot be reached.
    fn subscribe(&self, subscribe: Subscribe) -> BoxFuture<'_, Result<Box<dyn EventSubscription>>>;
}
