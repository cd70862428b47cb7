//! Ending a segment and beginning the next.
//!
//! In this order, each step durable before the next:
//!
//! 1. everything sequenced for the old segment is on the disk;
//! 2. the new file, filled with zeros, gets its header, and then its name;
//! 3. the manifest names it, and says how the old one ended.
//!
//! Only then is anything written to it. A crash in between leaves the old segment as the last one, and perhaps an empty
//! file that the next writer removes. An error in between, such as a full disk, leaves the log as it was; but if the manifest has
//! its name and that cannot be made durable, nothing is appended any more until the store is opened again.

use std::sync::Arc;

use super::{
    commit::{Active, Sequencer},
    manifest::Entry,
    open::Log,
    segment::{End, HEADER_PAGE, PAGE, Segment, SegmentHeader},
};
use crate::{
    disk::planted,
    error::{Error, Result},
    sync::MutexGuard,
    version::Position,
};

/// An append larger than this is bulk: filling its segment with zeros first would cost more than it saves.
const BULK_BYTES: usize = 256 << 10;

/// A segment that is begun for a bulk append has room for so many like it, if its full size allows: beginning a segment waits
/// for the disk, and of one that is only allocated the unused rest costs nothing.
const BULK_APPENDS: u64 = 64;

impl Log {
    /// Whether the segment that is written to has room for so many bytes; if it is half full, has the next one prepared.
    pub(super) fn has_room(&self, sequencer: &Sequencer, bytes: usize) -> bool {
        let Some(active) = &sequencer.active else { return false };
        let size = active.segment.header.bytes;
        if active.end.offset > size / 2 && !self.is_bulk(bytes) {
            self.preparer.request(self.size_after(size));
        }
        active.end.offset + bytes as u64 <= size
    }

    /// Whether so many bytes are written as part of a bulk load. Zeros double the bytes that are written to the disk; they
    /// pay where many small syncs follow, each of which then changes no metadata.
    fn is_bulk(&self, bytes: usize) -> bool {
        self.commit.relaxed || bytes > BULK_BYTES
    }

    /// The size of the segment that is begun for an append of so many bytes.
    fn size_for(&self, bytes: u64, bulk: bool, last_size: u64) -> u64 {
        let appends = if bulk { BULK_APPENDS } else { 1 };
        let room = |appends: u64| (HEADER_PAGE + appends * bytes).next_multiple_of(PAGE);
        self.size_after(last_size).max(room(appends).min(self.options.segment_bytes)).max(room(1))
    }

    fn size_after(&self, size: u64) -> u64 {
        size.saturating_mul(2).clamp(self.options.first_segment_bytes, self.options.segment_bytes)
    }

    /// Ends the segment that is written to and begins one with room for so many bytes. The lock is taken when it is done.
    pub(super) fn roll(&self, bytes: usize) -> Result<MutexGuard<'_, Sequencer>> {
        let quiet = self.commit.quiet()?;
        let (base, active) = {
            let sequencer = quiet.sequencer();
            // While this thread waited, another may have rolled.
            if self.has_room(&sequencer, bytes) {
                drop(sequencer);
                return Ok(quiet.into_lock());
            }
            (sequencer.next, sequencer.active.clone())
        };
        let mut manifest = self.manifest.lock();
        let mut next = manifest.clone();
        if let (Some(active), Some(entry)) = (&active, next.segments.last_mut()) {
            entry.end = Some(active.end);
        }
        let last_size = next.segments.last().map_or(0, |entry| entry.bytes);
        // A segment that ended without a record has the same base position as the one that now takes its place.
        next.segments.retain(|entry| entry.base != base);
        let previous = next
            .segments
            .last()
            .map_or((Position::START, End::default()), |entry| (entry.base, entry.end.unwrap_or_default()));
        let bulk = self.is_bulk(bytes);
        let size = self.size_for(bytes as u64, bulk, last_size);
        let [a, b, c, d, ..] = self.disk.random();
        let salt = u32::from_le_bytes([a, b, c, d]);
        let header = SegmentHeader { store: next.store, base, bytes: size, salt, previous };
        let segment = self.begin_segment(header, bulk)?;

        next.segments.push(Entry { base, bytes: size, end: None, torn: 0 });
        next.durable = base.previous();
        next.durable_end = End::empty();
        self.replace_manifest(&next)?;
        *manifest = next;
        if let Some(ended) = active {
            ended.release_rest();
        }
        let mut sequencer = quiet.into_lock();
        self.enter(&mut sequencer, segment, bulk)?;
        Ok(sequencer)
    }

    /// Gives the header and the name of a segment to a file filled with zeros, or in bulk to one that is only allocated.
    fn begin_segment(&self, header: SegmentHeader, bulk: bool) -> Result<Segment> {
        let (path, file) = self.preparer.take(header.bytes, bulk)?;
        let name = self.dir.join(Segment::name(header.base));
        file.write_at(&header.encode(), 0).map_err(|error| Error::io("write", &path, error))?;
        file.sync().map_err(|error| Error::io("sync", &path, error))?;
        self.disk.rename(&path, &name).map_err(|error| Error::io("rename", &path, error))?;
        let dir = self.dir.join("log");
        if !planted!(SkipDirectorySync) {
            self.disk.sync_dir(&dir).map_err(|error| Error::io("sync", &dir, error))?;
        }
        Ok(Segment::new(header, file))
    }

    /// Makes a segment that the manifest names the one that is written to.
    fn enter(&self, sequencer: &mut Sequencer, segment: Segment, bulk: bool) -> Result<()> {
        let segment = Arc::new(segment);
        if let Some(ended) = sequencer.active.take() {
            ended.segment.complete()?;
        }
        self.segments.push_open(segment.clone());
        sequencer.begin(Active { segment, end: End::empty(), bulk })
    }
}
