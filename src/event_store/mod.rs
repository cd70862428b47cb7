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
//!
//! What engines may do differently is stated by each store: [`Capabilities`].

mod block_on;
mod capabilities;
mod contract;
mod cursor;
mod follow;
mod memory;
mod read;
mod repeat;
mod snapshot;
mod stats;
mod subscribe;
mod watch;

pub(crate) use block_on::{at_once, leave_to_this_thread};
pub use block_on::{block_on, block_on_for};
pub use capabilities::Capabilities;
pub use contract::{Appended, BoxFuture, EventStore, StreamAppend};
pub use cursor::CursorName;
pub(crate) use follow::{Followed, Following};
pub use memory::MemoryStore;
pub use read::{ReadAll, ReadStream};
pub(crate) use repeat::judge;
pub use snapshot::{LoadedSnapshot, LoadedState, SkipReason, SkippedSnapshot, Snapshot, load_state, save_state};
pub use stats::Stats;
pub use subscribe::{EventSubscription, Start, Subscribe};
pub(crate) use watch::{Topic, Watcher, Watchers};
