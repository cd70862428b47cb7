//! The contract of an event store, [`EventStore`], and a store in memory that keeps it.
//!
//! Everything above the engine is written against this trait: aggregates, repositories, projections. It is
//! object-safe, and its futures are boxed, so that a store reached over a network can implement it as well. The futures
//! of the embedded store need no runtime: code without one drives them with [`block_on`].
//!
//! The contract:
//!
//! 1. An append is all or nothing. When its future is ready, its events are durable by the store's own standard.
//! 2. Of two appends to a stream that expect the same version, at most one is accepted.
//! 3. Versions of a stream are 1, 2, 3 and so on. Positions grow with every event, whatever its stream.
//! 4. What a read gives out is durable, and a later read of the same place gives the same.
//! 5. A snapshot is never ahead of its stream, and one that cannot be used is passed over and reported. A store may forget
//!    snapshots, the oldest first.

mod block_on;
mod cursor;
mod memory;
mod snapshot;

use std::{future::Future, pin::Pin};

pub use block_on::block_on;
pub use cursor::CursorName;
pub use memory::MemoryStore;
pub use snapshot::{LoadedSnapshot, LoadedState, SkipReason, SkippedSnapshot, Snapshot, load_state, save_state};

use crate::{
    error::Result,
    event::{EventType, NewEvent, RecordedEvent, StreamName, Timestamp},
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

/// Which events of one stream to read: all of them, unless narrowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadStream {
    /// The stream.
    pub stream: StreamName,
    /// The first version wanted.
    pub from: Version,
    /// The last version wanted.
    pub to: Version,
    /// At most so many events.
    pub limit: usize,
    /// From the newest wanted to the oldest.
    pub backwards: bool,
}

impl ReadStream {
    /// All events of a stream, in order.
    pub fn new(stream: &StreamName) -> ReadStream {
        let (from, to) = (Version::FIRST, Version::MAX);
        ReadStream { stream: stream.clone(), from, to, limit: usize::MAX, backwards: false }
    }

    /// Only events from this version on, itself included.
    pub fn from(mut self, version: Version) -> ReadStream {
        self.from = version;
        self
    }

    /// Only events up to this version, itself included.
    pub fn to(mut self, version: Version) -> ReadStream {
        self.to = version;
        self
    }

    /// At most so many events.
    pub fn limit(mut self, events: usize) -> ReadStream {
        self.limit = events;
        self
    }

    /// From the newest of them to the oldest.
    pub fn backwards(mut self) -> ReadStream {
        self.backwards = true;
        self
    }
}

impl From<&StreamName> for ReadStream {
    fn from(stream: &StreamName) -> Self {
        ReadStream::new(stream)
    }
}

/// Which events of the whole log to read: all of them, unless narrowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadAll {
    /// Only events behind this position.
    pub after: Position,
    /// Only events before this position.
    pub before: Position,
    /// At most so many events.
    pub limit: usize,
    /// From the newest wanted to the oldest.
    pub backwards: bool,
    /// Only events of one of these types; of all types when there are none here.
    pub types: Vec<EventType>,
    /// Only events of streams of this category: the part of the name before the first `-`, or the whole name.
    pub category: Option<String>,
    /// Only events whose time is not before this.
    pub since: Option<Timestamp>,
}

impl ReadAll {
    /// All events behind a position; [`Position::START`] for the whole log.
    pub fn after(position: Position) -> ReadAll {
        ReadAll {
            after: position,
            before: Position::MAX,
            limit: usize::MAX,
            backwards: false,
            types: Vec::new(),
            category: None,
            since: None,
        }
    }

    /// Only events before a position.
    pub fn before(mut self, position: Position) -> ReadAll {
        self.before = position;
        self
    }

    /// From the newest of them to the oldest.
    pub fn backwards(mut self) -> ReadAll {
        self.backwards = true;
        self
    }

    /// Only events of this type, or of another that was named the same way.
    pub fn event_type(mut self, event_type: EventType) -> ReadAll {
        self.types.push(event_type);
        self
    }

    /// Only events of streams of this category.
    pub fn category(mut self, category: impl Into<String>) -> ReadAll {
        self.category = Some(category.into());
        self
    }

    /// Only events whose time is not before this one.
    pub fn since(mut self, time: Timestamp) -> ReadAll {
        self.since = Some(time);
        self
    }

    /// Whether an event is among those asked for, the limit aside.
    pub fn wants(&self, event: &RecordedEvent) -> bool {
        let position = event.position();
        position > self.after
            && position < self.before
            && (self.types.is_empty() || self.types.contains(&event.event_type()))
            && self.category.as_deref().is_none_or(|category| event.stream().category() == category)
            && self.since.is_none_or(|since| event.timestamp() >= since)
    }

    /// At most so many events.
    pub fn limit(mut self, events: usize) -> ReadAll {
        self.limit = events;
        self
    }
}

/// A store of events: appends with optimistic concurrency, and reads by stream and of the whole log.
///
/// Reads answer with at most a page of events, as many as `limit` asks for and the store finds reasonable: an answer
/// with fewer events than asked for is no sign of the end. The end is an empty answer.
pub trait EventStore: Send + Sync {
    /// Appends `events` to `stream`, all or none, if the stream is at the expected version. Ready when they are durable.
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
    /// standard. [`save_state`] does this for a typed state.
    ///
    /// # Errors
    ///
    /// When the stream has not reached its version, when it is too large, or when it cannot be written.
    fn save_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<()>>;

    /// The newest usable snapshot of a stream at or below a version; [`Version::MAX`] for the newest of all. [`load_state`]
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
}
