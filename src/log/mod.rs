//! The log: segments of opaque records, their recovery, and the group commit.
//!
//! ```text
//!   MANIFEST          which segments there are                          manifest
//!   log/000...1.seg   | header page | record | record | ... | 0 |       segment, record
//!   log/000..57.seg   | header page | record | record | 0 ...           the one that is written to: commit, wait, gather, committer
//!   log/prepared      | 0 ...                                           the next one, filled with zeros: prepare
//! ```
//!
//! The log gives each record its position and its place, makes it durable, and reads it back. It does not know what an
//! event is: heads and bodies are bytes.
//!
//! Invariants:
//!
//! - positions are dense, and a batch of records is in the log whole or not at all;
//! - nothing is read that is not durable;
//! - a segment is never appended to behind a torn tail, never shortened, and never written to once it has ended.

mod commit;
mod committer;
mod draft;
mod follow;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gather;
mod manifest;
mod mend;
mod open;
mod prepare;
mod quiet;
mod read;
mod record;
mod roll;
mod salt;
mod salvage;
mod segment;
mod segments;
mod wait;
mod waiter;
mod walk;

pub(crate) use commit::{Committed, Observer};
pub(crate) use draft::Draft;
pub(crate) use follow::Following;
pub(crate) use manifest::{Entry, MANIFEST, MANIFEST_NEW, Manifest, damage as manifest_damage};
pub(crate) use mend::{StandIns, mended};
pub(crate) use open::{Admission, Log, LogMode, LogOptions, Sequencing};
pub(crate) use prepare::is_log_file;
pub(crate) use read::{LOOKED_AT, LogScan};
pub(crate) use record::{Read, footprint};
pub(crate) use salvage::{LostRange, Salvage, identify};
#[cfg(test)]
pub(crate) use segment::SegmentHeader;
pub(crate) use segment::{End, HEADER_PAGE, Segment, is_header};
pub(crate) use segments::SegmentView;
pub(crate) use wait::Goal;
pub(crate) use waiter::{Waiter, wake_task};
pub(crate) use walk::{Depth, Tail, Visitor, walk};
