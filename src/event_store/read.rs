//! What to read.

use crate::{
    event::{EventType, RecordedEvent, StreamName, Timestamp},
    version::{Position, Version},
};

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
    /// Only events of this stream.
    pub stream: Option<StreamName>,
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
            stream: None,
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

    /// Only events of this stream.
    pub fn stream(mut self, stream: StreamName) -> ReadAll {
        self.stream = Some(stream);
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
            && self.stream.as_ref().is_none_or(|stream| event.stream() == *stream)
            && self.category.as_deref().is_none_or(|category| event.stream().category() == category)
            && self.since.is_none_or(|since| event.timestamp() >= since)
    }

    /// At most so many events.
    pub fn limit(mut self, events: usize) -> ReadAll {
        self.limit = events;
        self
    }
}
