//! **factlog**: an append-only event store that a program embeds, and the parts of event sourcing and CQRS on top of it.
//!
//! Events go into streams. An append states what it expects of its stream, is on the disk before it is acknowledged, and is
//! there whole or not at all. All events of a store have one order, too.
//!
//! ```
//! use factlog::{EventType, ExpectedVersion, NewEvent, Position, ReadAll, Store, StreamName, Subscribe};
//!
//! # let dir = tempfile::TempDir::new()?;
//! let store = Store::open(dir.path())?;
//! let order = StreamName::new("order-17")?;
//!
//! let placed = NewEvent::new(EventType::new("Placed")?, r#"{"total":59.98}"#);
//! let appended = store.append(&order, ExpectedVersion::NoStream, vec![placed])?;
//! let paid = NewEvent::new(EventType::new("Paid")?, "{}");
//! store.append(&order, appended.version.into(), vec![paid])?;
//!
//! for event in store.read_stream(&order) {
//!     let event = event?;
//!     println!("{} {}", event.version(), event.event_type());
//! }
//! let orders = ReadAll::after(Position::START).category("order");
//! assert_eq!(store.read_all(orders).count(), 2);
//! assert_eq!(store.subscribe(Subscribe::new())?.next()?.position(), Position::FIRST);
//! store.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What it promises, at the default durability:
//!
//! - an acknowledged append is on the disk; what is visible is on the disk;
//! - positions and the versions of a stream have no gaps, and are never given twice;
//! - of appends that expect the same version of a stream one is accepted, and an append that is repeated is stored once;
//! - a subscription gives out each event once, in order, and goes on behind what was acknowledged last;
//! - damage never reads as a healthy or a shorter log: it is an error that names the place.
//!
//! What it is not: replicated, a message queue, a database for anything but events. Events are never changed or deleted.
//!
//! [`Store`] is the engine, [`EventStore`] the trait that code above it is written against, [`model`] what is above it. With the
//! features `server` and `client` a store is shared over TCP, by the same trait.

#[cfg(any(feature = "postgres", feature = "jetstream"))]
pub mod backend;
#[cfg(feature = "client")]
pub mod client;
pub mod codec;
mod disk;
pub mod error;
pub mod event;
pub mod event_store;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod layout;
pub mod limits;
mod log;
pub mod model;
#[cfg(feature = "orders")]
pub mod orders;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "server", feature = "client"))]
#[cfg_attr(
    not(all(feature = "server", feature = "client")),
    allow(dead_code, unused_imports, reason = "each needs its half")
)]
mod protocol;
#[cfg(any(feature = "client", feature = "postgres", feature = "jetstream"))]
mod runtime;
#[cfg(feature = "server")]
pub mod server;
pub mod store;
mod sync;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "users")]
pub mod users;
pub mod version;

pub use codec::{BincodeCodec, Codec, CodecError, CodecId, JsonCodec};
pub use error::{Action, Damage, Error, Holder, Lost, Place, Result};
pub use event::{EventId, EventType, InvalidInput, NewEvent, Recorded, RecordedEvent, StreamName, Timestamp};
pub use event_store::{
    Appended, BoxFuture, Capabilities, CursorName, EventStore, EventSubscription, LoadedSnapshot, LoadedState,
    MemoryStore, ReadAll, ReadStream, SkipReason, SkippedSnapshot, Snapshot, Start, Stats, StreamAppend, Subscribe,
    block_on, block_on_for, load_state, save_state,
};
pub use store::{
    BackupProgress, BackupReport, Cursor, Durability, LostVersions, OpenProgress, Options, Pending, RepairMode,
    RepairReport, Store, Subscription, Verified, VerifyProgress, repair, verify,
};
pub use version::{ExpectedVersion, Position, Version};

/// The SQLite that a [`model::Projection`] writes: an application uses this one, so that both are of the same version.
#[cfg(feature = "sqlite")]
pub use rusqlite;

/// The simulated disk, for this project's own tests.
#[cfg(feature = "sim")]
#[doc(hidden)]
pub mod sim {
    use std::{path::Path, sync::Arc};

    use crate::{Options, Result, Store};

    pub use crate::disk::{
        Bug, plant,
        sim::{Chance, Fault, FaultKind, Image, Moment, SimDisk, Tally},
    };

    /// Opens the store in this directory of a simulated disk.
    pub fn open(options: &Options, disk: &SimDisk, dir: impl AsRef<Path>) -> Result<Store> {
        options.open_on(Arc::new(disk.clone()), dir.as_ref())
    }
}

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

/// So do those of the guide.
#[cfg(all(doctest, feature = "orders", feature = "users", feature = "testing"))]
#[doc = include_str!("../docs/guide.md")]
pub struct Guide;

/// And those of the page on other engines.
#[cfg(all(doctest, feature = "client", feature = "postgres", feature = "jetstream"))]
#[doc = include_str!("../docs/scaling.md")]
pub struct Scaling;
