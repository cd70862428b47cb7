//! Opening a log, appending to it, and closing it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::{Mutex, MutexGuard, RwLock};

use super::{
    commit::{Active, Commit, Sequencer},
    draft::Draft,
    manifest::Manifest,
    prepare::Preparer,
    segment::{End, Segment},
    walk::{Tail, Visitor, walk},
};
use crate::{
    disk::{Access, Disk},
    error::Result,
    version::Position,
};

/// The sizes of segments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogOptions {
    /// The first segment of a store has this size, each next one twice that of the one before, ...
    pub(crate) first_segment_bytes: u64,
    /// ... up to this size.
    pub(crate) segment_bytes: u64,
}

/// An open log.
#[derive(Debug)]
pub(crate) struct Log {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) options: LogOptions,
    pub(super) commit: Commit,
    /// In order of base position; grows only while the sequencer is locked.
    pub(super) segments: RwLock<Vec<Arc<Segment>>>,
    /// What is on the disk, but for the durable mark. Locked behind the sequencer.
    pub(super) manifest: Mutex<Manifest>,
    pub(super) preparer: Preparer,
    /// How many bytes of a torn tail were dropped when it was opened.
    dropped: u64,
}

impl Log {
    /// Opens the log whose manifest was loaded from `dir`, and shows every record to `visitor`. A torn tail is dropped;
    /// damage is an error, and nothing is changed.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        mut manifest: Manifest,
        options: LogOptions,
        visitor: &mut dyn Visitor,
    ) -> Result<Log> {
        let walked = walk(&*disk, dir, &manifest, Access::ReadWrite, visitor)?;
        let mut active = None;
        let mut dropped = 0;
        if let (Some(segment), Some((end, tail)), Some(entry)) =
            (walked.segments.last(), walked.tail, manifest.segments.last_mut())
        {
            if let Tail::Torn { bytes, checksum } = tail {
                // An entry that had ended already was noted with its torn tail by an earlier opening.
                dropped = if entry.end.is_none() { bytes } else { 0 };
                (entry.end, entry.torn) = (Some(end), checksum);
            }
            if entry.end.is_none() {
                active = Some(Active { segment: segment.clone(), end });
            }
        }
        let completed = walked.segments.len() - usize::from(active.is_some());
        for segment in &walked.segments[..completed] {
            segment.complete()?;
        }
        let preparer = Preparer::start(disk.clone(), dir)?;
        Ok(Log {
            commit: Commit::new(walked.next, active)?,
            segments: RwLock::new(walked.segments),
            manifest: Mutex::new(manifest),
            preparer,
            dropped,
            disk,
            dir: dir.to_owned(),
            options,
        })
    }

    /// Takes the lock under which positions are given out, with room in the segment for so many bytes.
    pub(crate) fn sequence(&self, bytes: usize) -> Result<Sequencing<'_>> {
        let mut sequencer = self.commit.lock()?;
        if !self.has_room(&sequencer, bytes) {
            sequencer = self.roll(sequencer, bytes)?;
        }
        Ok(Sequencing { log: self, sequencer })
    }

    /// The newest position that is on the disk.
    pub(crate) fn durable(&self) -> Position {
        self.commit.durable()
    }

    /// How many bytes of a torn tail were dropped when the log was opened.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The number of segments and the size of their files in bytes.
    pub(crate) fn size(&self) -> (u64, u64) {
        let segments = self.segments.read();
        (segments.len() as u64, segments.iter().map(|segment| segment.header.bytes).sum())
    }

    /// Writes down how far the log is durable, so that any fault before it will be known for damage. Nothing must be
    /// appended meanwhile; after an error "outcome unknown" there is nothing to write down.
    pub(crate) fn close(&self) -> Result<()> {
        self.preparer.stop();
        let sequencer = self.commit.lock()?;
        let sequencer = self.commit.lock_quiet(sequencer)?;
        let mut manifest = self.manifest.lock();
        let mut closed = manifest.clone();
        self.mark_durable(&mut closed, &sequencer);
        let on_disk = Manifest::load(&*self.disk, &self.dir)?;
        if on_disk.as_ref() != Some(&closed) {
            closed.store(&*self.disk, &self.dir)?;
            *manifest = closed;
        }
        Ok(())
    }

    /// Calls `body` while nothing is being appended and everything is on the disk.
    pub(crate) fn while_quiet<T>(&self, body: impl FnOnce(&dyn Disk, &Path) -> Result<T>) -> Result<T> {
        let sequencer = self.commit.lock()?;
        let _quiet = self.commit.lock_quiet(sequencer)?;
        body(&*self.disk, &self.dir)
    }

    /// Everything that was sequenced is durable: notes it.
    pub(super) fn mark_durable(&self, manifest: &mut Manifest, sequencer: &Sequencer) {
        manifest.durable = sequencer.next.previous();
        let ended = manifest.segments.last().and_then(|entry| entry.end);
        let end = ended.or(sequencer.active.as_ref().map(|active| active.end));
        manifest.durable_end = end.unwrap_or_default().offset;
    }
}

/// The right to give out positions: whoever holds it is alone.
pub(crate) struct Sequencing<'a> {
    log: &'a Log,
    sequencer: MutexGuard<'a, Sequencer>,
}

/// Where a sequenced batch will lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequenced {
    pub(crate) first: Position,
    pub(crate) last: Position,
    /// The base position of the segment.
    pub(crate) segment: Position,
    /// The offset in the segment of the first record.
    pub(crate) offset: u64,
}

impl Sequencing<'_> {
    /// The position that the next record will get.
    pub(crate) fn next(&self) -> Position {
        self.sequencer.next
    }

    /// Puts the records behind everything sequenced so far. The lock was taken with room for them.
    pub(crate) fn push(&mut self, draft: &mut Draft) -> Sequenced {
        let first = self.sequencer.next;
        let segment = self.sequencer.active.as_ref().map_or(first, |active| active.segment.header.base);
        let offset = self.log.commit.sequence(&mut self.sequencer, draft);
        Sequenced { first, last: self.sequencer.next.previous(), segment, offset }
    }

    /// Gives up the lock and waits until everything up to `target` is on the disk.
    pub(crate) fn wait(self, target: Position) -> Result<()> {
        self.log.commit.wait(self.sequencer, target)
    }
}

impl End {
    /// How a segment ends that has no records.
    pub(super) fn empty() -> End {
        End { offset: super::HEADER_PAGE, checksum: 0 }
    }
}
