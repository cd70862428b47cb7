//! Events and their names: what goes in ([`NewEvent`]) and what comes out ([`RecordedEvent`]).
//!
//! Invariants:
//!
//! - a [`StreamName`] and an [`EventType`] are within the limits of [`crate::limits`]; there is no other way to make one;
//! - payload and metadata are bytes that the store never looks into; absent metadata is empty metadata;
//! - a [`RecordedEvent`] is durable: no function of the store gives out one that a power cut could take back.
//!
//! The four variable parts of a recorded event lie behind each other in one buffer, so that an event read from a
//! mapped segment is a view of the map and nothing is copied:
//!
//! ```text
//! body: | stream name | event type | metadata | payload |
//! ```

mod input;
mod name;
mod new;
mod recorded;
mod time;

pub use input::InvalidInput;
pub use name::{EventId, EventType, StreamName};
pub use new::NewEvent;
pub use recorded::{Recorded, RecordedEvent};
pub use time::Timestamp;
