//! An append-only event store to embed.
pub mod error;
pub mod event;
pub mod event_store;
pub mod limits;
pub mod model;
#[cfg(feature = "orders")]
pub mod orders;
pub mod version;

pub use error::{Action, Damage, Error, Holder, Place, Result};
pub use event::{EventId, EventType, InvalidInput, NewEvent, Recorded, RecordedEvent, StreamName, Timestamp};
pub use event_store::{Appended, BoxFuture, EventStore, MemoryStore, ReadAll, ReadStream, block_on};
pub use version::{ExpectedVersion, Position, Version};
