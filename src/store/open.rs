//! Opening a store, and what it knows of itself.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;

use super::{
    cursor::Cursors,
    directory::{
        self, LOG, load_manifest, lock, lock_shared, make_names_durable, missing, publish_position, published_position,
        unreadable_position,
    },
    durability::Durability,
    follower::Follower,
    lost::StandIn,
    options::{OpenProgress, Options, Report},
    recent::Recents,
    recorded::Indexing,
    snapshot::Snapshots,
};
use crate::{
    disk::{Access, Disk, DiskLock, create_dir},
    error::{Damage, Error, Result},
    event::{RecordedEvent, StreamName},
    event_store::{Stats, Watchers},
    index::{Index, IndexOptions, Indexed},
    log::{Committed, HEADER_PAGE, Log, LogMode, LogOptions, Manifest, Observer, Read, Segment, Visitor},
    version::{Position, Version},
};

/// So much of the log is indexed in memory before a run is written of it.
const PART_BYTES: u64 = 4 << 20;

impl Options {
    pub(crate) fn open_on(&self, disk: Arc<dyn Disk>, dir: &Path) -> Result<Store> {
        if self.read_only {
            return self.open_to_read(disk, dir);
        }
        directory::check(&*disk, dir, self.create)?;
        if self.create {
            let log = dir.join(LOG);
            create_dir(&*disk, &log).map_err(|error| Error::not_writable("create", &log, error))?;
        }
        let lock = lock(&*disk, dir)?;
        let manifest = match load_manifest(&*disk, dir)? {
            Some(manifest) => manifest,
            None if self.create => {
                let manifest = Manifest::new(disk.random());
                manifest.store(&*disk, dir)?;
                manifest
            }
            None => return Err(missing(dir)),
        };
        if !manifest.clean || manifest.segments.is_empty() {
            make_names_durable(&*disk, dir)?;
        }
        let published = publish_position(&*disk, dir, &manifest.store)?;
        let position = published.as_ref().map(|published| published.position.clone());
        let mode = LogMode { access: Access::ReadWrite, known: Position::START, until: None, published: position };
        let [a, b, c, d, e, f, g, h, ..] = disk.random();
        let store = self.assemble(disk, dir, manifest, mode, |_| Guard::Lock(lock))?;
        if let Some(published) = published {
            published.session.store(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
        }
        match self.durability {
            Durability::Always => {}
            Durability::OnDemand => store.inner.log.sync_behind(None)?,
            Durability::Every(time) => store.inner.log.sync_behind(Some(time))?,
        }
        Ok(store)
    }

    fn open_to_read(&self, disk: Arc<dyn Disk>, dir: &Path) -> Result<Store> {
        directory::check(&*disk, dir, false)?;
        // Without a writer, whatever recovery finds is durable. One that comes meanwhile waits a moment.
        let alone = lock_shared(&*disk, dir)?;
        let manifest = || load_manifest(&*disk, dir)?.ok_or_else(|| missing(dir));
        let published = published_position(&*disk, dir, &manifest()?.store);
        if let (None, Err(fault)) = (&alone, &published) {
            // Without it, nobody knows how far the log may be read while it is written.
            return Err(unreadable_position(fault).into());
        }
        let published = published.ok();
        // The position before the manifest: so no segment is missing that holds anything up to it.
        let position = Position::new(published.as_ref().map_or(0, |published| published.position.load()));
        // Of a writer that is gone, recovery knows more than it has published.
        let gone = alone.as_ref().and(published.as_ref()).map(|published| published.session.load());
        let manifest = manifest()?;
        let until = alone.is_none().then_some(position.max(manifest.durable));
        let mode = LogMode { access: Access::Read, known: Position::START, until, published: None };
        let follow = |parts: Parts<'_>| Guard::Follower(Follower::new(disk.clone(), dir, published, gone, parts));
        self.assemble(disk.clone(), dir, manifest, mode, follow)
    }

    fn assemble(
        &self,
        disk: Arc<dyn Disk>,
        dir: &Path,
        manifest: Manifest,
        mut mode: LogMode,
        guard: impl FnOnce(Parts<'_>) -> Guard,
    ) -> Result<Store> {
        // A page for the header, and one for records at least.
        let least = 2 * HEADER_PAGE;
        let round = |bytes: u64| bytes.max(least).next_multiple_of(HEADER_PAGE);
        let segment_bytes = round(self.segment_bytes);
        let options = LogOptions {
            segment_bytes,
            first_segment_bytes: round(self.first_segment_bytes).min(segment_bytes),
            relaxed: self.durability != Durability::Always,
        };
        // Small segments make small parts, so that a store made for a test does everything that a large one does.
        let part_bytes = PART_BYTES.min(segment_bytes);
        let index_options = IndexOptions { store: manifest.store, part_bytes, writes: !self.read_only };
        let settled = manifest.segments.last().map_or(Position::START, |entry| entry.base.previous());
        let index = Index::open(disk.clone(), dir, index_options, manifest.durable.max(settled))?;
        let snapshots = Snapshots::new(disk.clone(), dir, manifest.store, self.snapshots_kept);
        let cursors = Cursors::new(disk.clone(), dir, manifest.store);
        let known = index.last();
        mode.known = known;
        let total_bytes = manifest.segments.iter().map(|entry| entry.bytes).sum();
        let progress = OpenProgress { bytes: 0, total_bytes };
        let mut build = Build {
            index: &index,
            known,
            progress,
            report: self.report.as_ref(),
            indexing: Indexing::new(),
            fault: None,
        };
        let watchers = Arc::new(Watchers::default());
        let observer = Arc::new(Wake { watchers: watchers.clone(), counts: OnceLock::new() });
        let log = Log::open(disk.clone(), dir, manifest, options, observer.clone(), mode, &mut build);
        // Where the index is at fault, no segment is to be blamed.
        let log = log.map_err(|error| build.fault.take().unwrap_or(error))?;
        if !self.read_only {
            index.remove_unused();
        }
        let (index, log) = (Arc::new(index), Arc::new(log));
        let guard = guard(Parts { log: &log, index: &index, watchers: &watchers });
        let inner = Inner {
            disk,
            dir: dir.to_owned(),
            index,
            log,
            recents: Arc::default(),
            watchers,
            observer,
            snapshots,
            cursors,
            guard,
        };
        Ok(Store { inner: Arc::new(inner) })
    }
}

/// What a follower keeps up to date.
pub(super) struct Parts<'a> {
    pub(super) log: &'a Arc<Log>,
    pub(super) index: &'a Arc<Index>,
    pub(super) watchers: &'a Arc<Watchers>,
}

/// What makes this process the writer of the store, or a reader beside it.
#[derive(Debug)]
pub(super) enum Guard {
    Lock(#[allow(dead_code)] Box<dyn DiskLock>),
    Follower(Follower),
}

/// An event store in a directory of the local disk, open in this process. Cheap to clone: all clones are the same store.
///
/// Its own functions block until they are done; through the trait [`crate::EventStore`] the same store is used by code that
/// is written for any.
///
/// The store is closed when the last clone is dropped; [`Store::close`] does it and says whether all went well.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) index: Arc<Index>,
    pub(super) log: Arc<Log>,
    /// The newest event ids of some streams. Locked behind the sequencer.
    pub(super) recents: Arc<Mutex<Recents>>,
    /// Who waits for new events.
    pub(super) watchers: Arc<Watchers>,
    #[cfg_attr(not(feature = "server"), allow(dead_code, reason = "only a server counts"))]
    observer: Arc<Wake>,
    pub(super) snapshots: Snapshots,
    pub(super) cursors: Cursors,
    /// Given back last.
    guard: Guard,
}

/// Wakes the subscribers.
#[derive(Debug)]
pub(super) struct Wake {
    watchers: Arc<Watchers>,
    /// Who counts the commits, if anybody does.
    counts: OnceLock<Counts>,
}

/// Hears of each commit.
struct Counts(Box<dyn Fn(Committed) + Send + Sync>);

impl std::fmt::Debug for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counts")
    }
}

impl Observer for Wake {
    fn published(&self, topics: &[u64]) {
        self.watchers.publish(topics.iter().copied());
    }

    fn failed(&self) {
        self.watchers.wake_all();
    }

    fn committed(&self, batch: Committed) {
        if let Some(Counts(count)) = self.counts.get() {
            count(batch);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Whoever wants to hear of an error calls `close`. Without the mark of a clean close the next opening
        // looks more closely; nothing is lost.
        let _ = self.close();
    }
}

impl Inner {
    /// Up to here everything may be read. Beside a writer, that is looked up anew.
    pub(super) fn visible(&self) -> Result<Position> {
        if let Guard::Follower(follower) = &self.guard {
            follower.refresh()?;
        }
        Ok(self.log.visible())
    }

    /// Refuses what would change a store that was opened to be read.
    pub(super) fn check_writable(&self) -> Result<()> {
        match &self.guard {
            Guard::Lock(_) => Ok(()),
            Guard::Follower(_) => Err(Error::ReadOnly { path: self.dir.clone() }),
        }
    }

    /// Sees to it that those who wait for events are woken.
    pub(super) fn watch(&self) -> Result<()> {
        match &self.guard {
            Guard::Lock(_) => Ok(()),
            Guard::Follower(follower) => follower.watch(),
        }
    }

    fn close(&self) -> Result<()> {
        if let Guard::Follower(_) = &self.guard {
            return Ok(());
        }
        let closed = self.log.close();
        if closed.is_ok() {
            self.index.close();
        } else {
            // Some of what the index knows may not be on the disk; the next opening makes it anew.
            self.index.abandon();
        }
        closed
    }
}

impl Store {
    /// Opens the store in this directory, creating it if it does not exist. See [`Options::open`] for the errors.
    pub fn open(path: impl AsRef<Path>) -> Result<Store> {
        Options::new().open(path)
    }

    /// Closes the store, if this is its last clone: what was acknowledged is on the disk anyway; this notes down that all
    /// of it is there, so that the next opening can tell any loss from a torn tail.
    ///
    /// # Errors
    ///
    /// When the note cannot be written, or a write or sync had failed before. Nothing that was acknowledged is lost.
    pub fn close(self) -> Result<()> {
        match Arc::into_inner(self.inner) {
            Some(inner) => inner.close(),
            None => Ok(()),
        }
    }

    /// The position of the newest event, or [`Position::START`].
    pub fn last_position(&self) -> Position {
        // What cannot be read of another process's events is said by whoever reads them.
        self.inner.visible().unwrap_or_else(|_| self.inner.log.visible())
    }

    /// Lets somebody hear of each commit from now on, on the thread that made it. Only one can.
    #[cfg(feature = "server")]
    pub(crate) fn count_commits(&self, count: impl Fn(Committed) + Send + Sync + 'static) {
        // Whoever was first goes on counting.
        let _ = self.inner.observer.counts.set(Counts(Box::new(count)));
    }

    /// Some numbers about the store.
    pub fn stats(&self) -> Stats {
        let last_position = self.last_position();
        let streams = self.inner.index.stream_count(last_position);
        let (segments, bytes) = self.inner.log.size();
        let (index_runs, index_bytes) = self.inner.index.size();
        Stats { events: last_position.get(), streams, segments, bytes, index_runs, index_bytes, last_position }
    }

    /// How many bytes of a torn tail were dropped when the store was opened: remains of appends that a crash cut off and
    /// that were never acknowledged. 0 after a clean close.
    pub fn dropped_bytes(&self) -> u64 {
        self.inner.log.dropped()
    }
}

/// Adds to the index what it does not know of the log; damage ends it.
struct Build<'a> {
    index: &'a Index,
    known: Position,
    progress: OpenProgress,
    report: Option<&'a Report>,
    indexing: Indexing,
    /// Why the index could not be asked.
    fault: Option<Error>,
}

impl Visitor for Build<'_> {
    fn record(&mut self, _: &Segment, offset: u64, record: &Read<'_>) -> Result<(), String> {
        if record.header().position <= self.known {
            return Ok(());
        }
        let (position, bytes) = (record.header().position, record.footprint());
        let added = match self.indexing.next(self.index, record, offset) {
            Ok(indexed) => add_checked(self.index, &indexed, self.indexing.event(), bytes),
            Err(fault) => {
                let lost = StandIn::decode(record).ok_or(fault)?;
                add_lost(self.index, &lost, position, offset, bytes)
            }
        };
        added.unwrap_or_else(|error| {
            let text = error.to_string();
            self.fault = Some(error);
            Err(text)
        })
    }

    fn fault(&mut self, damage: Damage) -> Result<()> {
        Err(damage.into())
    }

    fn progress(&mut self, bytes: u64) {
        // Behind each segment, as when it was written.
        self.index.freeze();
        self.index.hold_up();
        self.progress.bytes += bytes;
        if let Some(Report(report)) = self.report {
            report(self.progress);
        }
    }
}

/// Adds an event to the index, and checks it against those before it: versions have no gap. The outer error is the index's
/// own.
pub(super) fn add_checked(
    index: &Index,
    indexed: &Indexed,
    event: &RecordedEvent,
    bytes: u64,
) -> Result<Result<(), String>> {
    let (before, version) = (index.add_checked(indexed, bytes)?, indexed.version);
    if before.next() == version {
        return Ok(Ok(()));
    }
    Ok(Err(format!("version {version} of stream `{}` follows version {before}", event.stream_str())))
}

/// As [`add_checked`], for what stands for a lost event.
pub(super) fn add_lost(
    index: &Index,
    lost: &StandIn,
    position: Position,
    offset: u64,
    bytes: u64,
) -> Result<Result<(), String>> {
    let before = index.add_checked(&lost.indexed(position, offset), bytes)?;
    match lost.stream {
        Some((_, version)) if before.next() != version => {
            Ok(Err(format!("a lost event of version {version} follows version {before} of its stream")))
        }
        _ => Ok(Ok(())),
    }
}

impl Store {
    /// The version of a stream: that of its newest event, or [`Version::NONE`].
    ///
    /// # Errors
    ///
    /// When the index cannot be read.
    pub fn stream_version(&self, stream: &StreamName) -> Result<Version> {
        let (index, until) = (&self.inner.index, self.inner.visible()?);
        index.newest(index.stream(stream.as_str()), until).map(|(version, _)| version)
    }
}
