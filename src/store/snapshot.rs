//! Snapshots of a store: saving, loading, listing and deleting them.
//!
//! ```text
//!   save: the event at its version, durable -> its position and id -> file, replaced as a whole -> older ones removed
//!   load: files of the stream, newest first -> bytes, place, event at its version -> used, or skipped and reported
//! ```
//!
//! Invariants:
//!
//! - a snapshot is written only of a version that is durable, and is on the disk when saving returns;
//! - a snapshot that is not what this store would write for this stream, version and history is never given out;
//! - nothing but saving and deleting changes a file: one that was skipped stays for whoever wants to know why.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Store,
    snapshot_file::{FILE_BYTES, SnapshotFile},
    stripes::Stripes,
};
use crate::{
    disk::{Content, Disk, NEW, create_dir, names, planted, read_file, replace_file},
    error::{Damage, Error, Place, Result},
    event::{RecordedEvent, StreamName},
    event_store::{LoadedSnapshot, ReadStream, SkipReason, SkippedSnapshot, Snapshot},
    index::Direction,
    version::{Position, Version},
};

/// The files of the snapshots.
#[derive(Debug)]
pub(super) struct Snapshots {
    disk: Arc<dyn Disk>,
    /// Of the store.
    dir: PathBuf,
    store: [u8; 16],
    kept: usize,
    /// Held while the files of a stream are changed, by the hash of its name.
    changing: Stripes,
}

impl Snapshots {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path, store: [u8; 16], kept: usize) -> Snapshots {
        Snapshots { disk, dir: dir.to_owned(), store, kept: kept.max(1), changing: Stripes::default() }
    }

    /// Writes a snapshot whose last event is `event`, and removes what is more than is kept. The stream is durably at `actual`.
    fn save(&self, snapshot: Snapshot, event: &RecordedEvent, actual: Version) -> Result<()> {
        let hash = SnapshotFile::hash(&snapshot.stream);
        let dir = self.dir.join(SnapshotFile::dir(hash));
        let path = self.dir.join(SnapshotFile::path(hash, snapshot.version));
        let bytes = SnapshotFile::new(self.store, snapshot, event).encode();
        let _changing = self.changing.lock(hash);
        create_dir(&*self.disk, &dir).map_err(|error| Error::io("create", &dir, error))?;
        replace_file(&*self.disk, &path, &bytes)?;
        // The snapshot is saved. What cannot be removed now takes some room until the next one is saved.
        let _ = self.prune(&dir, actual);
        Ok(())
    }

    /// Removes the oldest snapshots of a directory, and what crashes left of others. Those ahead of the stream are not
    /// counted: they cannot be used, and would push out those that can.
    fn prune(&self, dir: &Path, actual: Version) -> Result<()> {
        let names = names(&*self.disk, dir)?;
        let versions: Vec<Version> = versions(&names).filter(|version| *version <= actual).collect();
        let old = versions.len().saturating_sub(self.kept);
        let old = versions.iter().take(old).map(|version| SnapshotFile::name(*version));
        let left = names.iter().filter(|name| name.ends_with(NEW)).cloned();
        self.remove(dir, old.chain(left)).map(|_| ())
    }

    /// Removes files of a directory that may be gone already, and says how many there were.
    fn remove(&self, dir: &Path, names: impl Iterator<Item = String>) -> Result<u64> {
        let mut removed = 0;
        for name in names {
            let path = dir.join(name);
            match self.disk.remove(&path) {
                Ok(()) => removed += 1,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("remove", path, error)),
            }
        }
        Ok(removed)
    }

    /// The versions of which there is a file, ascending.
    fn versions(&self, stream: &StreamName) -> Result<Vec<Version>> {
        let dir = self.dir.join(SnapshotFile::dir(SnapshotFile::hash(stream)));
        Ok(versions(&names(&*self.disk, &dir)?).collect())
    }

    /// Removes all files of a stream; durable when this returns.
    fn delete(&self, stream: &StreamName) -> Result<u64> {
        let hash = SnapshotFile::hash(stream);
        let dir = self.dir.join(SnapshotFile::dir(hash));
        let _changing = self.changing.lock(hash);
        let names = names(&*self.disk, &dir)?;
        let deleted = self.remove(&dir, versions(&names).map(SnapshotFile::name))?;
        if deleted > 0 {
            self.disk.sync_dir(&dir).map_err(|error| Error::io("sync", &dir, error))?;
        }
        Ok(deleted)
    }

    /// Reads a snapshot and checks it as far as it goes without the log. `None` when it is gone.
    fn read(&self, stream: &StreamName, version: Version) -> Result<Option<SnapshotFile>, SkipReason> {
        let path = SnapshotFile::path(SnapshotFile::hash(stream), version);
        let damage = |fault| damage(&path, None, fault);
        let bytes = match read_file(&*self.disk, &self.dir.join(&path), FILE_BYTES).map_err(SkipReason::Unreadable)? {
            Content::Missing => return Ok(None),
            Content::Whole(bytes) => bytes,
            Content::Unfit(fault) => return Err(SkipReason::Damaged(damage(fault))),
        };
        let file = SnapshotFile::decode(bytes).map_err(|fault| SkipReason::Damaged(damage(fault)))?;
        file.check_place(self.store, &path).map_err(|fault| SkipReason::Misplaced(damage(fault)))?;
        if file.snapshot.stream == *stream {
            return Ok(Some(file));
        }
        let fault = format!("stream `{}` has a name of the same hash, and took the place", file.snapshot.stream);
        Err(SkipReason::Misplaced(damage(fault)))
    }
}

/// The versions in the names of files, which are in order.
fn versions(names: &[String]) -> impl Iterator<Item = Version> {
    names.iter().filter_map(|name| SnapshotFile::version_in_name(name))
}

/// A fault of a snapshot's file.
fn damage(path: &Path, event: Option<&SnapshotFile>, fault: String) -> Damage {
    let position = event.map(|file| file.position).unwrap_or_default();
    Damage { place: Place { file: path.to_owned(), offset: 0, position }, fault }
}

impl Store {
    /// Saves a snapshot, in place of one of the same stream and version; it is on the disk when this returns. As many are
    /// kept as [`super::Options::snapshots_kept`] says: one of a lower version than all those is removed at once.
    ///
    /// # Errors
    ///
    /// - [`Error::SnapshotAhead`]: the stream has not durably reached its version;
    /// - [`Error::Invalid`]: it is of version 0, or its state is larger than [`crate::limits::SNAPSHOT_BYTES`];
    /// - [`Error::Damaged`]: the event at its version cannot be read;
    /// - [`Error::NoSpace`] and [`Error::Io`] for what the system refuses: those there were before are still there.
    pub fn save_snapshot(&self, snapshot: Snapshot) -> Result<()> {
        self.inner.check_writable()?;
        snapshot.check()?;
        let actual = self.stream_version(&snapshot.stream)?;
        snapshot.check_not_ahead(actual)?;
        let Some(event) = self.event_of_version(&snapshot.stream, snapshot.version)? else {
            let (stream, version) = (snapshot.stream, snapshot.version);
            return Err(Error::SnapshotAhead { stream, version, actual });
        };
        if !planted!(SnapshotAhead) {
            self.make_durable(event.position())?;
        }
        self.inner.snapshots.save(snapshot, &event, actual)
    }

    /// The newest usable snapshot of a stream at or below a version; [`Version::MAX`] for the newest of all. Newer ones that
    /// cannot be used are named beside it: damaged, misplaced, or ahead of the stream.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] and [`Error::Io`] when an event that a snapshot ends with cannot be read. A snapshot that cannot be
    /// used is no error.
    pub fn load_snapshot(&self, stream: &StreamName, at_or_below: Version) -> Result<LoadedSnapshot> {
        let mut loaded = LoadedSnapshot::default();
        let skip = |version, reason| SkippedSnapshot { stream: stream.clone(), version, reason };
        let versions = match self.inner.snapshots.versions(stream) {
            Ok(versions) => versions,
            Err(error) => {
                loaded.skipped.push(skip(at_or_below, SkipReason::Unreadable(error)));
                return Ok(loaded);
            }
        };
        // Asked for only now: what was saved before the files were listed is not ahead of it.
        let actual = self.stream_version(stream)?;
        for version in versions.into_iter().rev().filter(|version| *version <= at_or_below) {
            match self.usable(stream, version, actual)? {
                Ok(None) => {}
                Ok(usable) => {
                    loaded.snapshot = usable;
                    break;
                }
                Err(reason) => loaded.skipped.push(skip(version, reason)),
            }
        }
        Ok(loaded)
    }

    /// The versions of a stream of which there is a snapshot, ascending. Whether it can be used shows when it is loaded.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the system refuses to list them.
    pub fn snapshots(&self, stream: &StreamName) -> Result<Vec<Version>> {
        self.inner.snapshots.versions(stream)
    }

    /// Deletes all snapshots of a stream, and says how many there were. Durable when this returns.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the system refuses to remove one; those before it are gone then.
    pub fn delete_snapshots(&self, stream: &StreamName) -> Result<u64> {
        self.inner.check_writable()?;
        self.inner.snapshots.delete(stream)
    }

    /// Reads one snapshot of a stream that is at version `actual`. The outer error is one of the log.
    fn usable(
        &self,
        stream: &StreamName,
        version: Version,
        actual: Version,
    ) -> Result<Result<Option<Snapshot>, SkipReason>> {
        if version > actual {
            return Ok(Err(SkipReason::Ahead { actual }));
        }
        let file = match self.inner.snapshots.read(stream, version) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(Ok(None)),
            Err(reason) => return Ok(Err(reason)),
        };
        let fits = match self.event_of_version(stream, version) {
            // A position is never given twice, so the event that is lost there is the one that it was taken at.
            Err(Error::Lost(_)) => self.position_of_version(stream, version)? == Some(file.position),
            event => event?.is_some_and(|event| (event.position(), event.id()) == (file.position, file.event)),
        };
        match fits {
            true => Ok(Ok(Some(file.snapshot))),
            false => {
                let path = SnapshotFile::path(SnapshotFile::hash(stream), version);
                let fault = format!("it was taken of another history: not of the stream's event {version} of this log");
                Ok(Err(SkipReason::Misplaced(damage(&path, Some(&file), fault))))
            }
        }
    }

    /// Where the index has the event of a stream at a version.
    fn position_of_version(&self, stream: &StreamName, version: Version) -> Result<Option<Position>> {
        let (index, until) = (&self.inner.index, self.inner.visible()?);
        let list = index.stream(stream.as_str());
        let mut matches = index.matches(list, Some((version, version)), until, Direction::Forwards)?;
        matches.next()
    }

    /// The event of a stream at a version, if it is durable.
    fn event_of_version(&self, stream: &StreamName, version: Version) -> Result<Option<RecordedEvent>> {
        self.read_stream(ReadStream::new(stream).from(version).to(version)).next().transpose()
    }
}
