//! Opening a store, and what it knows of itself.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use super::{cursor::Cursors, durability::Durability, recent::Recents, recorded, snapshot::Snapshots};
use crate::{
    disk::{Disk, DiskLock, Entry, OsDisk},
    error::{Damage, Error, Result},
    event::{RecordedEvent, StreamName},
    event_store::Watchers,
    index::{Index, IndexOptions},
    limits,
    log::{
        HEADER_PAGE, Log, LogOptions, MANIFEST, MANIFEST_NEW, Manifest, Observer, Segment, StoredRecord, Visitor,
        manifest_damage,
    },
    version::{Position, Version},
};

const LOCK: &str = "LOCK";
const LOG: &str = "log";

/// So much of the log is indexed in memory before a run is written of it.
const PART_BYTES: u64 = 4 << 20;

/// How to open a [`Store`].
#[derive(Clone, Debug)]
pub struct Options {
    create: bool,
    segment_bytes: u64,
    first_segment_bytes: u64,
    snapshots_kept: usize,
    durability: Durability,
    report: Option<Report>,
}

/// Who hears how far opening has come.
#[derive(Clone)]
struct Report(Arc<dyn Fn(OpenProgress) + Send + Sync>);

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
    /// - [`Error::InUse`] when another process, or another [`Store`] of this one, has it open;
    /// - [`Error::NotAStore`] when the path is a file, holds something else, is of a newer format, or does not exist and is not
    ///   to be created;
    /// - [`Error::Damaged`] when something that had been acknowledged cannot be read; nothing is changed then;
    /// - [`Error::Io`] and [`Error::NoSpace`] for what the system refuses.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Store> {
        self.open_on(Arc::new(OsDisk), path.as_ref())
    }

    pub(crate) fn open_on(&self, disk: Arc<dyn Disk>, dir: &Path) -> Result<Store> {
        check_directory(&*disk, dir, self.create)?;
        if self.create {
            let log = dir.join(LOG);
            disk.create_dir(&log).map_err(|error| Error::io("create", &log, error))?;
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
        let index_options = IndexOptions { store: manifest.store, part_bytes: PART_BYTES.min(segment_bytes) };
        let settled = manifest.segments.last().map_or(Position::START, |entry| entry.base.previous());
        let index = Index::open(disk.clone(), dir, index_options, manifest.durable.max(settled))?;
        let snapshots = Snapshots::new(disk.clone(), dir, manifest.store, self.snapshots_kept);
        let cursors = Cursors::new(disk.clone(), dir, manifest.store);
        let known = index.last();
        let total_bytes = manifest.segments.iter().map(|entry| entry.bytes).sum();
        let progress = OpenProgress { bytes: 0, total_bytes };
        let mut build = Build { index: &index, known, progress, report: self.report.as_ref(), fault: None };
        let watchers = Arc::new(Watchers::default());
        let observer = Arc::new(Wake(watchers.clone()));
        let log = Log::open(disk.clone(), dir, manifest, options, observer, known, &mut build);
        // Where the index is at fault, no segment is to be blamed.
        let log = log.map_err(|error| build.fault.take().unwrap_or(error))?;
        index.remove_unused();
        let (index, log) = (Arc::new(index), Arc::new(log));
        let store = Store {
            inner: Arc::new(Inner {
                disk,
                index,
                log,
                recents: Arc::default(),
                watchers,
                snapshots,
                cursors,
                _lock: lock,
            }),
        };
        match self.durability {
            Durability::Always => {}
            Durability::OnDemand => store.inner.log.sync_behind(None)?,
            Durability::Every(time) => store.inner.log.sync_behind(Some(time))?,
        }
        Ok(store)
    }
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
    pub(super) index: Arc<Index>,
    pub(super) log: Arc<Log>,
    /// The newest event ids of some streams. Locked behind the sequencer.
    pub(super) recents: Arc<Mutex<Recents>>,
    /// Who waits for new events.
    pub(super) watchers: Arc<Watchers>,
    pub(super) snapshots: Snapshots,
    pub(super) cursors: Cursors,
    /// Given back last.
    _lock: Box<dyn DiskLock>,
}

/// Wakes the subscribers.
#[derive(Debug)]
struct Wake(Arc<Watchers>);

impl Observer for Wake {
    fn published(&self, topics: &[u64]) {
        self.0.publish(topics.iter().copied());
    }

    fn failed(&self) {
        self.0.wake_all();
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
    fn close(&self) -> Result<()> {
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

/// Some numbers about a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Events in the log.
    pub events: u64,
    /// Streams with at least one event.
    pub streams: u64,
    /// Segment files.
    pub segments: u64,
    /// Size of the segment files in bytes, the unused part of the last one included.
    pub bytes: u64,
    /// Index files.
    pub index_runs: u64,
    /// Size of the index files in bytes.
    pub index_bytes: u64,
    /// Position of the newest event.
    pub last_position: Position,
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
        self.inner.log.visible()
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
    /// Why the index could not be asked.
    fault: Option<Error>,
}

impl Visitor for Build<'_> {
    fn record(&mut self, _: &Segment, offset: u64, record: &StoredRecord) -> Result<(), String> {
        if record.header.position <= self.known {
            return Ok(());
        }
        let decoded = recorded::decode(record)?;
        match check_event(self.index, &decoded.event, decoded.previous) {
            Ok(checked) => checked?,
            Err(error) => {
                let text = error.to_string();
                self.fault = Some(error);
                return Err(text);
            }
        }
        recorded::index(self.index, &decoded.event, offset, record.footprint());
        Ok(())
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

/// Checks an event against those before it: versions have no gap. The outer error is the index's own.
pub(super) fn check_event(index: &Index, event: &RecordedEvent, previous: Position) -> Result<Result<(), String>> {
    let stream = index.stream(event.stream().as_str());
    let (version, newest) = index.newest(stream, Position::MAX)?;
    if event.version() == version.next() && previous == newest {
        return Ok(Ok(()));
    }
    Ok(Err(format!(
        "version {} of stream `{}` with its predecessor at {previous} follows version {version} at {newest}",
        event.version(),
        event.stream(),
    )))
}

/// Refuses a path that holds something other than a store.
pub(super) fn check_directory(disk: &dyn Disk, dir: &Path, create: bool) -> Result<()> {
    let not_a_store = |reason: String| Err(Error::NotAStore { path: dir.to_owned(), reason });
    match disk.entry(dir).map_err(|error| Error::io("look at", dir, error))? {
        None if create => return Ok(()),
        None => return Err(missing(dir)),
        Some(Entry::Directory) => {}
        Some(_) => return not_a_store("is a file; a store is a directory".to_owned()),
    }
    let mut names = disk.list(dir).map_err(|error| Error::io("list", dir, error))?;
    if names.iter().any(|name| name == MANIFEST || name == LOG) {
        return Ok(());
    }
    if names.is_empty() && !create {
        return Err(missing(dir));
    }
    names.sort();
    // What a crash while the store was being made leaves, and what every new file system holds.
    match names.iter().find(|name| ![LOCK, MANIFEST_NEW, "lost+found"].contains(&name.as_str())) {
        Some(other) => not_a_store(format!("is no store: it holds `{other}`, but no {MANIFEST}")),
        None => Ok(()),
    }
}

fn missing(dir: &Path) -> Error {
    Error::NotAStore { path: dir.to_owned(), reason: "there is no store here".to_owned() }
}

/// Takes the lock of a store's directory.
pub(super) fn lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn DiskLock>> {
    let path: PathBuf = dir.join(LOCK);
    match disk.lock(&path).map_err(|error| Error::io("lock", &path, error))? {
        Ok(lock) => Ok(lock),
        Err(holder) => Err(Error::InUse { path: dir.to_owned(), holder }),
    }
}

/// Reads the manifest. Segments without a manifest are damage: it tells how far they must reach.
pub(super) fn load_manifest(disk: &dyn Disk, dir: &Path) -> Result<Option<Manifest>> {
    if let Some(manifest) = Manifest::load(disk, dir)? {
        return Ok(Some(manifest));
    }
    let log = dir.join(LOG);
    let exists = disk.entry(&log).map_err(|error| Error::io("look at", &log, error))?.is_some();
    let names = if exists { disk.list(&log).map_err(|error| Error::io("list", &log, error))? } else { Vec::new() };
    match names.iter().filter_map(|name| Segment::base_in_name(name)).count() {
        0 => Ok(None),
        segments => {
            let fault = format!("the manifest is missing, but there are {segments} segments");
            Err(manifest_damage(fault).into())
        }
    }
}

impl Store {
    /// The version of a stream: that of its newest event, or [`Version::NONE`].
    ///
    /// # Errors
    ///
    /// When the index cannot be read.
    pub fn stream_version(&self, stream: &StreamName) -> Result<Version> {
        let Inner { index, log, .. } = &*self.inner;
        index.newest(index.stream(stream.as_str()), log.visible()).map(|(version, _)| version)
    }
}
