//! Opening a log, appending to it, and closing it.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::{Mutex, MutexGuard};

use super::{
    commit::{Active, Commit, Sequencer},
    draft::Draft,
    manifest::Manifest,
    prepare::Preparer,
    segment::End,
    segments::Segments,
    walk::{Depth, Tail, Visitor, walk},
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
    /// Grows only while the sequencer is locked.
    pub(super) segments: Segments,
    /// What is on the disk, but for the durable mark. Locked behind the sequencer.
    pub(super) manifest: Mutex<Manifest>,
    pub(super) preparer: Preparer,
    /// The manifest on the disk no longer says that the log was closed.
    unmarked: AtomicBool,
    /// How many bytes of a torn tail were dropped when it was opened.
    dropped: u64,
}

impl Log {
    /// Opens the log whose manifest was loaded from `dir`, and shows `visitor` the records behind those that are `known`, and
    /// perhaps some of those. A torn tail is dropped; damage is an error, and nothing is changed.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        mut manifest: Manifest,
        options: LogOptions,
        known: Position,
        visitor: &mut dyn Visitor,
    ) -> Result<Log> {
        let walked = walk(&*disk, dir, &manifest, Access::ReadWrite, Depth::Behind(known), visitor)?;
        let mut active = None;
        let mut dropped = 0;
        if let (Some(segment), Some((end, tail)), Some(entry)) =
            (walked.active, walked.tail, manifest.segments.last_mut())
        {
            match tail {
                Tail::Torn { bytes, checksum } => {
                    dropped = bytes;
                    (entry.end, entry.torn) = (Some(end), checksum);
                }
                Tail::Clean => active = Some(Active { segment: Arc::new(segment), end }),
            }
        }
        let segments = Segments::new(disk.clone(), dir, manifest.store);
        let mut previous = (Position::START, End::default());
        for entry in &manifest.segments {
            if let Some(end) = entry.end {
                segments.push_ended(*entry, previous);
                previous = (entry.base, end);
            }
        }
        if let Some(active) = &active {
            segments.push_open(active.segment.clone());
        }
        let preparer = Preparer::start(disk.clone(), dir)?;
        Ok(Log {
            commit: Commit::new(walked.next, active)?,
            segments,
            unmarked: AtomicBool::new(!manifest.clean),
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
        if !self.unmarked.load(Ordering::Relaxed) {
            self.unmark()?;
        }
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
        self.segments.size()
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
        closed.clean = true;
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
        manifest.durable_end = end.unwrap_or_default();
    }

    /// Notes, before anything is appended, that the log is not closed any more. The caller holds the sequencer.
    fn unmark(&self) -> Result<()> {
        let mut manifest = self.manifest.lock();
        let next = Manifest { clean: false, ..manifest.clone() };
        next.store(&*self.disk, &self.dir)?;
        *manifest = next;
        self.unmarked.store(true, Ordering::Relaxed);
        Ok(())
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
    /// The offset in the segment of the first record.
    pub(crate) offset: u64,
}

impl Sequencing<'_> {
    /// Whether nothing has been put into the segment yet: then everything before is on the disk.
    pub(crate) fn is_new_segment(&self) -> bool {
        self.sequencer.active.as_ref().is_some_and(|active| active.end == End::empty())
    }

    /// The position that the next record will get.
    pub(crate) fn next(&self) -> Position {
        self.sequencer.next
    }

    /// Puts the records behind everything sequenced so far. The lock was taken with room for them.
    pub(crate) fn push(&mut self, draft: &mut Draft) -> Sequenced {
        let first = self.sequencer.next;
        let offset = self.log.commit.sequence(&mut self.sequencer, draft);
        Sequenced { first, last: self.sequencer.next.previous(), offset }
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
