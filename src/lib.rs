//! An append-only event store to embed.
pub mod codec;
mod disk;
pub mod error;
pub mod event;
pub mod event_store;
mod index;
mod layout;
pub mod limits;
mod log;
pub mod model;
#[cfg(feature = "orders")]
pub mod orders;
pub mod store;
pub mod version;

pub use codec::{BincodeCodec, Codec, CodecError, CodecId, JsonCodec};
pub use error::{Action, Damage, Error, Holder, Place, Result};
pub use event::{EventId, EventType, InvalidInput, NewEvent, Recorded, RecordedEvent, StreamName, Timestamp};
pub use event_store::{
    Appended, BoxFuture, CursorName, EventStore, EventSubscription, LoadedSnapshot, LoadedState, MemoryStore, ReadAll,
    ReadStream, SkipReason, SkippedSnapshot, Snapshot, Start, StreamAppend, Subscribe, block_on, load_state,
    save_state,
};
pub use store::{
    Cursor, Durability, OpenProgress, Options, Pending, Stats, Store, Subscription, Verified, VerifyProgress, verify,
};
pub use version::{ExpectedVersion, Position, Version};

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
