//! How a store is opened.

use std::{fmt, path::Path, sync::Arc};

use super::{Store, durability::Durability};
use crate::{disk::OsDisk, error::Result, limits};

/// How to open a [`Store`].
#[derive(Clone, Debug)]
pub struct Options {
    pub(super) create: bool,
    pub(super) read_only: bool,
    pub(super) segment_bytes: u64,
    pub(super) first_segment_bytes: u64,
    pub(super) snapshots_kept: usize,
    pub(super) durability: Durability,
    pub(super) report: Option<Report>,
}

/// Who hears how far opening has come.
#[derive(Clone)]
pub(super) struct Report(pub(super) Arc<dyn Fn(OpenProgress) + Send + Sync>);

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Report")
    }
}

/// How far opening has come: see [`Options::progress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenProgress {
    /// Bytes of segments read so far.
    pub bytes: u64,
    /// Bytes of all segments; those that the index knows are not read.
    pub total_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options::new()
    }
}

impl Options {
    /// Creates the store if it does not exist; segments of the default sizes.
    pub fn new() -> Options {
        Options {
            create: true,
            read_only: false,
            segment_bytes: limits::SEGMENT_BYTES,
            first_segment_bytes: limits::FIRST_SEGMENT_BYTES,
            snapshots_kept: limits::SNAPSHOTS_KEPT,
            report: None,
            durability: Durability::Always,
        }
    }

    /// Whether to create the store if it does not exist (the default) or to fail.
    pub fn create(mut self, create: bool) -> Options {
        self.create = create;
        self
    }

    /// Whether to open the store only to read it. That takes no lock and writes nothing, so it works beside a process that has the
    /// store open for writing, and on a medium that cannot be written; the store must exist.
    ///
    /// While there is a writer, what it makes durable becomes visible here at the next look, and wakes subscribers within some
    /// ten milliseconds. Without one, what is there stays as it is. Whatever would change the store ends with
    /// [`crate::Error::ReadOnly`].
    pub fn read_only(mut self, read_only: bool) -> Options {
        self.read_only = read_only;
        self
    }

    /// Full size of a segment file in bytes, [`limits::SEGMENT_BYTES`] by default; rounded up to 8 KiB at least. An
    /// append that needs more gets a segment of its own size.
    pub fn segment_bytes(mut self, bytes: u64) -> Options {
        self.segment_bytes = bytes;
        self
    }

    /// Size of the first segment file in bytes, [`limits::FIRST_SEGMENT_BYTES`] by default. Each next one is twice as large, up to the
    /// full size.
    pub fn first_segment_bytes(mut self, bytes: u64) -> Options {
        self.first_segment_bytes = bytes;
        self
    }

    /// How many snapshots of each stream to keep, those of the highest versions; at least one, and
    /// [`limits::SNAPSHOTS_KEPT`] by default. Saving another removes what is beyond.
    pub fn snapshots_kept(mut self, snapshots: usize) -> Options {
        self.snapshots_kept = snapshots;
        self
    }

    /// When an append is acknowledged: [`Durability::Always`] by default.
    pub fn durability(mut self, durability: Durability) -> Options {
        self.durability = durability;
        self
    }

    /// Calls `report` behind each segment that opening has to read. That is at most the newest one or two, unless the
    /// index was deleted: then it is made anew from all of them.
    pub fn progress(mut self, report: impl Fn(OpenProgress) + Send + Sync + 'static) -> Options {
        self.report = Some(Report(Arc::new(report)));
        self
    }

    /// Opens the store in this directory.
    ///
    /// # Errors
    ///
    /// - [`crate::Error::InUse`] when another process, or another [`Store`] of this one, has it open;
    /// - [`crate::Error::NotAStore`] when the path is a file, holds something else, is of a newer format, or does not exist and is not
    ///   to be created;
    /// - [`crate::Error::Damaged`] when something that had been acknowledged cannot be read; nothing is changed then;
    /// - [`crate::Error::Io`] and [`crate::Error::NoSpace`] for what the system refuses.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Store> {
        self.open_on(Arc::new(OsDisk), path.as_ref())
    }
}
