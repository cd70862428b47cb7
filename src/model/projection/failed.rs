//! Events that a projection could not take.

use std::{fmt, str::FromStr};

use bytes::Bytes;

use crate::{
    event::{EventId, EventType, StreamName, Timestamp},
    version::{Position, Version},
};

/// What a projection does when an event fails for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It stops before the event.
    #[default]
    Stop,
    /// It goes on behind the event, and parks later events of the same stream.
    GoOn,
}

/// The number of a row in `failed_events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FailedId(i64);

impl FailedId {
    /// The row with this number.
    pub const fn new(number: i64) -> FailedId {
        FailedId(number)
    }

    /// The number.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for FailedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for FailedId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(FailedId)
    }
}

/// An event that has not taken effect in a projection: it failed, it is parked behind one of its stream that did, or its
/// owner declared that it is not to take effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedEvent {
    /// The row.
    pub id: FailedId,
    /// The projection.
    pub projection: String,
    /// The event's position.
    pub position: Position,
    /// The event's id.
    pub event: EventId,
    /// The event's stream.
    pub stream: StreamName,
    /// Its version there.
    pub version: Version,
    /// The event's type.
    pub event_type: EventType,
    /// The event's payload.
    pub data: Bytes,
    /// Why it has not taken effect.
    pub error: String,
    /// How often it was tried; never when it is parked.
    pub attempts: u32,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// When it was tried last.
    pub updated_at: Timestamp,
    /// When its owner declared that it is not to take effect; `None` while it waits for that or for another attempt.
    pub resolved_at: Option<Timestamp>,
}

impl FailedEvent {
    /// Whether it was never tried, as an event before it in its stream has failed.
    pub fn is_parked(&self) -> bool {
        self.attempts == 0
    }
}
