//! Following the log.
//!
//! A subscription pulls: it reads what is there, then waits until there is more, and reads on behind what it gave out last. So
//! there is no hand-over between catching up and following live at which an event could be lost or given out twice, and
//! a subscriber that is slow holds up nobody and fills no queue.

use super::{BoxFuture, CursorName, ReadAll};
use crate::{
    error::Result,
    event::{EventType, RecordedEvent, StreamName},
    version::Position,
};

/// Where a subscription begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With the first event of the log.
    #[default]
    Beginning,
    /// Behind a position.
    After(Position),
    /// Behind the last event that was acknowledged under this name; at the beginning if none was.
    Cursor(CursorName),
}

/// What to follow: the whole log from its beginning, unless narrowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscribe {
    /// Where to begin.
    pub start: Start,
    /// Only events of this stream.
    pub stream: Option<StreamName>,
    /// Only events of streams of this category.
    pub category: Option<String>,
    /// Only events of one of these types; of all types when there are none here.
    pub types: Vec<EventType>,
}

impl Subscribe {
    /// The whole log from its beginning.
    pub fn new() -> Subscribe {
        Subscribe::default()
    }

    /// Begins behind a position.
    pub fn after(mut self, position: Position) -> Subscribe {
        self.start = Start::After(position);
        self
    }

    /// Begins behind what was acknowledged last under this name, and keeps under it what is acknowledged from now on.
    pub fn cursor(mut self, name: CursorName) -> Subscribe {
        self.start = Start::Cursor(name);
        self
    }

    /// Only events of this stream.
    pub fn stream(mut self, stream: StreamName) -> Subscribe {
        self.stream = Some(stream);
        self
    }

    /// Only events of streams of this category.
    pub fn category(mut self, category: impl Into<String>) -> Subscribe {
        self.category = Some(category.into());
        self
    }

    /// Only events of this type, or of another that was named the same way.
    pub fn event_type(mut self, event_type: EventType) -> Subscribe {
        self.types.push(event_type);
        self
    }

    /// What to read next, behind a position.
    pub(crate) fn read_after(&self, position: Position) -> ReadAll {
        let mut read = ReadAll::after(position);
        read.stream.clone_from(&self.stream);
        read.category.clone_from(&self.category);
        read.types.clone_from(&self.types);
        read
    }
}

/// A subscription to a store.
pub trait EventSubscription: Send {
    /// The next event, as soon as there is one. Dropping the future loses nothing: the same event comes with the next call.
    ///
    /// # Errors
    ///
    /// When the events cannot be read, or the store takes no more.
    fn next(&mut self) -> BoxFuture<'_, Result<RecordedEvent>>;

    /// Notes durably, under the name of the cursor, that everything up to this position is done with.
    ///
    /// # Errors
    ///
    /// When the subscription has no cursor, the position has not been given out yet, or the note cannot be written.
    fn acknowledge(&mut self, position: Position) -> BoxFuture<'_, Result<()>>;

    /// Everything that was asked for up to this position has been given out.
    fn position(&self) -> Position;
}
