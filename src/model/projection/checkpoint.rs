//! How far a projection has come.

use crate::{
    event::{EventId, RecordedEvent},
    version::Position,
};

/// A projection's place in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The position of the newest event taken; [`Position::START`] before the first.
    pub position: Position,
    /// That event's id, which tells one store from another.
    pub event: Option<EventId>,
}

impl From<&RecordedEvent> for Checkpoint {
    fn from(event: &RecordedEvent) -> Self {
        Checkpoint { position: event.position(), event: Some(event.id()) }
    }
}
