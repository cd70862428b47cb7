//! Verifying what lies beside the log: snapshots and cursors.
//!
//! ```text
//!   before the log is walked    files -> bytes and place checked -> claims: "position 17 is event 5 of this stream"
//!   at each event               the claims about its position are compared with it
//!   behind the last event       claims about later positions are ahead of the log
//! ```
//!
//! A claim about a position that the log has lost is no fault of its file: the log's own fault is named already.

use std::path::{Path, PathBuf};

use super::{
    cursor_file::{self, CURSORS, CursorFile},
    snapshot_file::{self, SNAPSHOTS, SnapshotFile},
};
use crate::{
    disk::{Content, Disk, Entry, names, read_file},
    error::{Damage, Error, Place, Result},
    event::{EventId, RecordedEvent, StreamName},
    event_store::CursorName,
    version::{Position, Version},
};

/// What lies beside the log.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// Files of snapshots and of cursors.
    pub(super) snapshots: u64,
    pub(super) cursors: u64,
    pub(super) faults: Vec<Damage>,
    /// In order of position.
    claims: Vec<Claim>,
}

/// What a file says about the event at a position.
#[derive(Debug)]
struct Claim {
    position: Position,
    event: EventId,
    by: By,
}

#[derive(Debug)]
enum By {
    Snapshot(StreamName, Version),
    Cursor(CursorName),
}

impl Claim {
    fn file(&self) -> PathBuf {
        match &self.by {
            By::Snapshot(stream, version) => SnapshotFile::path(SnapshotFile::hash(stream), *version),
            By::Cursor(name) => CursorFile::path(name),
        }
    }

    fn fits(&self, event: &RecordedEvent) -> bool {
        let there = match &self.by {
            By::Snapshot(stream, version) => event.version() == *version && event.is_of(stream),
            By::Cursor(_) => true,
        };
        there && event.id() == self.event
    }
}

impl Beside {
    /// Reads all snapshots and cursors of the store in `dir`.
    pub(super) fn read(disk: &dyn Disk, dir: &Path, store: [u8; 16]) -> Result<Beside> {
        let mut beside = Beside::default();
        for file in Beside::files(disk, dir)? {
            match file.file_name().and_then(|name| name.to_str()).filter(|_| file.starts_with(CURSORS)) {
                Some(name) => beside.cursor(disk, dir, store, name)?,
                None => beside.snapshot(disk, dir, store, file)?,
            }
        }
        beside.claims.sort_unstable_by_key(|claim| claim.position);
        Ok(beside)
    }

    /// The files of all snapshots and cursors, relative to the store's directory.
    pub(super) fn files(disk: &dyn Disk, dir: &Path) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let snapshots = dir.join(SNAPSHOTS);
        for first in directories(disk, &snapshots)? {
            for rest in directories(disk, &snapshots.join(&first))? {
                let place = Path::new(SNAPSHOTS).join(&first).join(rest);
                let names = files(disk, &dir.join(&place), snapshot_file::SUFFIX)?;
                found.extend(names.into_iter().map(|name| place.join(name)));
            }
        }
        let names = files(disk, &dir.join(CURSORS), cursor_file::SUFFIX)?;
        found.extend(names.into_iter().map(|name| Path::new(CURSORS).join(name)));
        Ok(found)
    }

    /// The files of the snapshots that are not behind this position; a damaged one counts as one.
    pub(super) fn snapshots_up_to(&self, last: Position) -> Vec<PathBuf> {
        let whole = self.claims.iter().filter(|claim| claim.position <= last).map(Claim::file);
        let damaged = self.faults.iter().map(|damage| damage.place.file.clone());
        whole.chain(damaged).filter(|file| file.starts_with(SNAPSHOTS)).collect()
    }

    fn snapshot(&mut self, disk: &dyn Disk, dir: &Path, store: [u8; 16], path: PathBuf) -> Result<()> {
        let Some(bytes) = self.bytes(disk, dir, &path, snapshot_file::FILE_BYTES)? else { return Ok(()) };
        self.snapshots += 1;
        let file = SnapshotFile::decode(bytes).and_then(|file| file.check_place(store, &path).map(|()| file));
        match file {
            Ok(SnapshotFile { position, event, snapshot, .. }) => {
                let by = By::Snapshot(snapshot.stream, snapshot.version);
                self.claims.push(Claim { position, event, by });
            }
            Err(fault) => self.fault(path, Position::START, fault),
        }
        Ok(())
    }

    fn cursor(&mut self, disk: &dyn Disk, dir: &Path, store: [u8; 16], name: &str) -> Result<()> {
        let path = Path::new(CURSORS).join(name);
        let Some(bytes) = self.bytes(disk, dir, &path, cursor_file::FILE_BYTES)? else { return Ok(()) };
        self.cursors += 1;
        let belongs = CursorFile::name_in_file(name);
        let file = CursorFile::decode(&bytes).and_then(|file| {
            let belongs = belongs.ok_or("the file's name is none of a cursor")?;
            file.check_place(store, &belongs).map(|()| file)
        });
        match file {
            Ok(file) if file.position == Position::START => {}
            Ok(CursorFile { position, event, name, .. }) => {
                self.claims.push(Claim { position, event, by: By::Cursor(name) });
            }
            Err(fault) => self.fault(path, Position::START, fault),
        }
        Ok(())
    }

    /// The bytes of a file; `None` when it has gone, or when it cannot be one of the store's.
    fn bytes(&mut self, disk: &dyn Disk, dir: &Path, path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
        match read_file(disk, &dir.join(path), limit)? {
            Content::Missing => Ok(None),
            Content::Whole(bytes) => Ok(Some(bytes)),
            Content::Unfit(fault) => {
                self.fault(path.to_owned(), Position::START, fault);
                Ok(None)
            }
        }
    }

    fn fault(&mut self, file: PathBuf, position: Position, fault: String) {
        self.faults.push(Damage { place: Place { file, offset: 0, position }, fault });
    }

    /// The positions that something is said about: the log was durable up to them.
    pub(super) fn positions(&self) -> impl Iterator<Item = Position> {
        self.claims.iter().map(|claim| claim.position)
    }

    /// What the snapshots say: which version of which stream lies at which position.
    pub(super) fn snapshots_at(&self) -> impl Iterator<Item = (Position, &StreamName, Version)> {
        self.claims.iter().filter_map(|claim| match &claim.by {
            By::Snapshot(stream, version) => Some((claim.position, stream, *version)),
            By::Cursor(_) => None,
        })
    }

    /// Compares an event of the log with what is said about its position.
    pub(super) fn compare(&mut self, event: &RecordedEvent) {
        let from = self.claims.partition_point(|claim| claim.position < event.position());
        let about = self.claims[from..].iter().take_while(|claim| claim.position == event.position());
        for claim in about.filter(|claim| !claim.fits(event)) {
            let fault = "it is of another history: the event at its position is another".to_owned();
            let place = Place { file: claim.file(), offset: 0, position: claim.position };
            self.faults.push(Damage { place, fault });
        }
    }

    /// The log ends before position `next`.
    pub(super) fn finish(&mut self, next: Position) {
        let from = self.claims.partition_point(|claim| claim.position < next);
        for claim in self.claims.split_off(from) {
            let fault = format!("it is ahead of the log, whose last position is {}", next.previous());
            self.fault(claim.file(), claim.position, fault);
        }
    }
}

/// The directories in a directory that may be missing.
fn directories(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for name in names(disk, dir)? {
        let path = dir.join(&name);
        if disk.entry(&path).map_err(|error| Error::io("look at", &path, error))? == Some(Entry::Directory) {
            found.push(name);
        }
    }
    Ok(found)
}

/// The files in a directory that may be missing whose names end in `suffix`.
fn files(disk: &dyn Disk, dir: &Path, suffix: &str) -> Result<Vec<String>> {
    let mut found = names(disk, dir)?;
    found.retain(|name| name.ends_with(suffix));
    Ok(found)
}
