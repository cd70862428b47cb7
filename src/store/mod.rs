//! The embedded store: where log and index meet events.
//!
//! ```text
//!   append: encode -> lock -> check the version -> positions, versions, index -> unlock, commit -> durable
//!   read:   index -> places -> records of the log, checked -> events
//! ```
//!
//! Files of a store's directory:
//!
//! ```text
//!   LOCK        held by the process that has the store open; its process id, for people
//!   MANIFEST    which segments there are
//!   log/        the events
//!   snapshots/  states of streams; made with the first one
//!   cursors/    how far subscribers have come; made with the first one
//! ```

mod ahead;
mod append;
#[cfg(test)]
mod append_tests;
mod aside;
mod backup;
mod backup_place;
mod beside;
#[cfg(test)]
mod crash_tests;
mod cursor;
mod cursor_file;
mod directory;
mod durability;
mod event_store;
mod follower;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod lost;
mod missing;
mod open;
mod options;
mod pending;
mod read;
mod read_all;
mod recent;
mod recorded;
mod repair;
#[cfg(test)]
mod repair_tests;
mod repaired;
mod request;
#[cfg(test)]
#[cfg(feature = "shuttle")]
mod shuttle_tests;
mod snapshot;
mod snapshot_file;
mod stripes;
mod subscribe;
mod verify;

#[cfg(feature = "server")]
pub(crate) use crate::log::Committed;
pub use backup::{BackupProgress, BackupReport};
pub use cursor::Cursor;
pub use durability::Durability;
pub use missing::LostVersions;
pub use open::Store;
pub use options::{OpenProgress, Options};
pub use pending::Pending;
pub use read::{StreamEvents, Streams};
pub use read_all::AllEvents;
pub use repair::{RepairMode, repair};
pub use repaired::RepairReport;
pub use subscribe::Subscription;
pub use verify::{Verified, VerifyProgress, verify};
