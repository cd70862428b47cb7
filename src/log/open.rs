//! Opening a log, appending to it, and closing it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    task::{Poll, Waker},
};

use super::{
    commit::{Active, Commit, Observer, Sequencer},
    committer::Committer,
    draft::Draft,
    manifest::Manifest,
    prepare::Preparer,
    segment::End,
    segments::Segments,
    wait::Goal,
    waiter::Waiter,
    walk::{Depth, Tail, Visitor, walk},
};
use crate::{
    disk::{Access, Disk, SharedWord},
    error::Result,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    version::Position,
};

/// The sizes of segments, and when appends are acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogOptions {
    /// The first segment of a store has this size, each next one twice that of the one before, ...
    pub(crate) first_segment_bytes: u64,
    /// ... up to this size.
    pub(crate) segment_bytes: u64,
    /// Acknowledge appends when they are written, and sync later.
    pub(crate) relaxed: bool,
}

/// What a log is opened for.
#[derive(Clone, Debug)]
pub(crate) struct LogMode {
    /// Whether it will be appended to.
    pub(crate) access: Access,
    /// The index knows everything up to here.
    pub(crate) known: Position,
    /// Another process writes it, and has published that it is durable up to here.
    pub(crate) until: Option<Position>,
    /// Where this process publishes how far it is durable.
    pub(crate) published: Option<Arc<dyn SharedWord>>,
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
    /// The manifest on the disk is as it must be while the log is appended to: it does not say that the log was closed.
    unmarked: AtomicBool,
    pub(super) committer: Committer,
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
        observer: Arc<dyn Observer>,
        mode: LogMode,
        visitor: &mut dyn Visitor,
    ) -> Result<Log> {
        let walked = walk(&*disk, dir, &manifest, mode.access, Depth::Behind(mode.known), mode.until, visitor)?;
        if mode.access == Access::ReadWrite {
            for name in &walked.leftovers {
                // They only take up room. One that cannot be removed stays, and means nothing.
                let _ = disk.remove(&dir.join(name));
            }
        }
        let mut unmarked = !manifest.clean;
        if let (Some(entry), Some(walked)) = (manifest.segments.last_mut(), walked.last)
            && *entry != walked
        {
            // To be written down before anything is appended to that segment.
            *entry = walked;
            unmarked = false;
        }
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
                Tail::Clean => active = Some(Active { segment: Arc::new(segment), end, bulk: false }),
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
            commit: Commit::new(disk.clone(), options.relaxed, observer, mode.published, walked.next, active)?,
            segments,
            unmarked: AtomicBool::new(unmarked),
            manifest: Mutex::new(manifest),
            preparer,
            committer: Committer::default(),
            dropped,
            disk,
            dir: dir.to_owned(),
            options,
        })
    }

    /// Takes the lock under which positions are given out, with room in the segment for so many bytes.
    pub(crate) fn sequence(&self, bytes: usize) -> Result<Sequencing<'_>> {
        let mut sequencer = self.commit.lock()?;
        if !self.unmarked.load(Ordering::Acquire) {
            drop(sequencer);
            sequencer = self.unmark()?;
        }
        if !self.has_room(&sequencer, bytes) {
            drop(sequencer);
            sequencer = self.roll(bytes)?;
        }
        Ok(Sequencing { log: self, sequencer })
    }

    /// As [`Log::sequence`], for a task: never waits. The committer must run.
    pub(crate) fn admit(&self, bytes: usize, waker: &Waker) -> Result<Admission<'_>> {
        let mut sequencer = self.commit.look();
        sequencer.check()?;
        if sequencer.is_crowded() {
            sequencer.queued.push(Waiter::of_task(waker));
            let newest = sequencer.next.previous();
            sequencer.want(newest, || self.commit.signal.lead());
            return Ok(Admission::Crowded);
        }
        // Whoever came before is sequenced before.
        let ready = self.unmarked.load(Ordering::Acquire) && self.has_room(&sequencer, bytes);
        if sequencer.held || sequencer.parked > 0 || !ready {
            sequencer.parked += bytes;
            return Ok(Admission::Parked);
        }
        Ok(Admission::Now(Sequencing { log: self, sequencer }))
    }

    /// Waits until everything up to `target` has come to `goal`, leading a commit if nobody does.
    pub(crate) fn wait(&self, target: Position, goal: Goal) -> Result<()> {
        self.commit.wait(self.commit.look(), target, goal, true)
    }

    /// Waits until what refuses an append has come to `goal`.
    pub(crate) fn wait_refused(&self, by: Position, goal: Goal) -> Result<()> {
        let sequencer = self.commit.look();
        sequencer.check()?;
        self.commit.wait(sequencer, by, goal, false)
    }

    /// As [`Log::wait`], for a task: has it woken instead. The committer must run. `lead` tells whether somebody takes its place
    /// and calls [`Log::lead_up_to`].
    pub(crate) fn poll(
        &self,
        target: Position,
        goal: Goal,
        waiter: &mut Option<Arc<Waiter>>,
        waker: &Waker,
        lead: impl FnOnce() -> bool,
    ) -> Poll<Result<()>> {
        self.commit.poll(target, goal, waiter, waker, lead)
    }

    /// Sees to a commit in the committer's place: see [`Log::poll`].
    pub(crate) fn lead_up_to(&self, target: Position) {
        self.commit.lead_up_to(target);
    }

    /// Whether one append waits for its commit, and no other is expected.
    #[cfg(feature = "server")]
    pub(crate) fn is_alone(&self) -> bool {
        self.commit.is_alone()
    }

    /// Commits that one on this thread.
    #[cfg(feature = "server")]
    pub(crate) fn lead_alone(&self) {
        self.commit.lead_alone();
    }

    /// Sees to it that everything up to `target` is committed though nobody waits for it. `lead` as for [`Log::poll`].
    pub(crate) fn push(self: &Arc<Log>, target: Position, lead: impl FnOnce() -> bool) {
        if self.visible() >= target {
            return;
        }
        match self.start_committer() {
            Ok(()) => self.commit.push(target, lead),
            // Without the thread it is done here. Whoever comes later hears of an error.
            Err(_) => drop(self.wait(target, Goal::Visible)),
        }
    }

    /// An error when nothing more will become visible.
    pub(crate) fn is_going_on(&self) -> Result<()> {
        self.commit.look().check()
    }

    /// Makes everything durable that has been sequenced.
    pub(crate) fn sync(&self) -> Result<()> {
        self.commit.sync()
    }

    /// The newest position that is on the disk.
    pub(crate) fn durable(&self) -> Position {
        self.commit.durable()
    }

    /// The newest position that has been acknowledged: what readers may see.
    pub(crate) fn visible(&self) -> Position {
        self.commit.visible()
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
        self.stop_committer();
        self.preparer.stop();
        let quiet = self.commit.quiet()?;
        let mut manifest = self.manifest.lock();
        let mut closed = manifest.clone();
        self.mark_durable(&mut closed, &quiet.sequencer());
        closed.clean = true;
        let on_disk = Manifest::load(&*self.disk, &self.dir)?;
        if on_disk.as_ref() != Some(&closed) {
            closed.store(&*self.disk, &self.dir)?;
            *manifest = closed;
        }
        // Zeros are kept, as commits into them cost least; room that was only allocated is asked for again when need be.
        if let Some(active) = quiet.sequencer().active.as_ref().filter(|active| active.bulk) {
            active.release_rest();
        }
        Ok(())
    }

    /// Calls `body` while nothing is being appended and everything is on the disk.
    pub(crate) fn while_quiet<T>(&self, body: impl FnOnce(&dyn Disk, &Path) -> Result<T>) -> Result<T> {
        let _quiet = self.commit.quiet()?;
        body(&*self.disk, &self.dir)
    }

    /// Everything that was sequenced is durable: notes it.
    pub(super) fn mark_durable(&self, manifest: &mut Manifest, sequencer: &Sequencer) {
        manifest.durable = sequencer.next.previous();
        let ended = manifest.segments.last().and_then(|entry| entry.end);
        let end = ended.or(sequencer.active.as_ref().map(|active| active.end));
        manifest.durable_end = end.unwrap_or_default();
    }

    /// Replaces the manifest while the log stands still. If it cannot be told which one a power cut would leave, nothing may
    /// be appended any more: it would fit only one of the two.
    pub(super) fn replace_manifest(&self, next: &Manifest) -> Result<()> {
        next.store(&*self.disk, &self.dir).map_err(|failed| {
            if failed.renamed {
                self.commit.poison(&failed.error);
            }
            failed.error
        })
    }

    /// Notes, before anything is appended, that the log is not closed any more.
    fn unmark(&self) -> Result<MutexGuard<'_, Sequencer>> {
        let quiet = self.commit.quiet()?;
        let mut manifest = self.manifest.lock();
        if !self.unmarked.load(Ordering::Acquire) {
            let active = quiet.sequencer().active.clone();
            if let Some(Active { segment, .. }) = active {
                // The session before may have given back what it did not use.
                segment.file.allocate(segment.header.bytes).map_err(|error| segment.io("allocate", error))?;
            }
            let next = Manifest { clean: false, ..manifest.clone() };
            self.replace_manifest(&next)?;
            *manifest = next;
            self.unmarked.store(true, Ordering::Release);
        }
        Ok(quiet.into_lock())
    }
}

/// The right to give out positions: whoever holds it is alone.
pub(crate) struct Sequencing<'a> {
    log: &'a Log,
    sequencer: MutexGuard<'a, Sequencer>,
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

    /// The offset in the segment that it will get.
    pub(crate) fn offset(&self) -> u64 {
        self.sequencer.active.as_ref().map_or(0, |active| active.end.offset)
    }

    /// Puts the records behind everything sequenced so far. The lock was taken with room for them.
    /// `topics` are for the observer, when the records become visible.
    pub(crate) fn push(&mut self, draft: &mut Draft, topics: &[u64]) {
        self.log.commit.sequence(&mut self.sequencer, draft, topics);
    }

    /// Whether so much is waiting that it should be on its way before anyone waits for it.
    pub(crate) fn is_pressing(&self) -> bool {
        self.sequencer.is_pressing()
    }

    /// Gives up the lock and waits until everything up to `target` has come to `goal`. `own`: for an append of its own.
    pub(crate) fn wait(self, target: Position, goal: Goal, own: bool) -> Result<()> {
        self.log.commit.wait(self.sequencer, target, goal, own)
    }
}

/// Whether a task's append can be sequenced at once.
pub(crate) enum Admission<'a> {
    Now(Sequencing<'a>),
    /// Not without waiting for the disk: give it to [`Log::hand_over`]. Its bytes are counted already.
    Parked,
    /// Too much waits already. The task is woken when there is room.
    Crowded,
}

impl End {
    /// How a segment ends that has no records.
    pub(super) fn empty() -> End {
        End { offset: super::HEADER_PAGE, checksum: 0 }
    }
}
