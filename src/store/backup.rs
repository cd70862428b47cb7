//! Backups: a copy of a store that is a store, made while it is written.
//!
//! ```text
//!   last position, durable -> manifest -> segments that are not there yet, under other names -> verified places
//!        |                                                                          |
//!        everything up to here is in the copy                    BACKUP: unfinished-+-> names, manifest, index,
//!                                                                snapshots, cursors -> verified -> BACKUP removed
//! ```
//!
//! Invariants:
//!
//! - what was acknowledged before the backup began is in it, and it ends behind a whole append;
//! - the store is only read; a segment that has ended never changes, and of the one that is written to only what is durable is
//!   copied;
//! - a copy never opens as something that it is not: until all files are in place, either nothing of the old copy has been
//!   touched, or the file `BACKUP` keeps it from being opened, and the next backup completes it;
//! - nothing is overwritten that is not an older state of this very store.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{
    Store,
    aside::copy,
    backup_place::{COPIED, COPYING, Place as Destination, ending, forget_position},
    beside::Beside,
    cursor_file::CURSORS,
    directory::{self, load_manifest, missing},
    verify::{Verified, verify_alone},
};
use crate::{
    disk::{Access, Content, Disk, create_dir, read_file, replace_file},
    error::{Error, Result},
    index::RunFile,
    log::{End, Entry, Manifest, Segment},
    version::Position,
};

/// Bytes are copied in pieces of this size.
const PIECE: usize = 1 << 20;

/// What [`Store::backup`] has done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupReport {
    /// The last position of the copy.
    pub last_position: Position,
    /// Segments of the copy.
    pub segments: u64,
    /// Segments that were copied; the others were there already.
    pub copied_segments: u64,
    /// Bytes of segments that were copied.
    pub copied_bytes: u64,
    /// What the verification of the copy found.
    pub verified: Verified,
}

/// How far [`Store::backup`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupProgress {
    /// Bytes of segments copied or verified so far.
    pub bytes: u64,
    /// Bytes of all segments to be copied and verified.
    pub total_bytes: u64,
}

impl Store {
    /// Makes a copy of this store in another directory, while it is written, and verifies it. The copy is a store: opening it
    /// is restoring it. What an earlier backup has put there is not copied again.
    ///
    /// # Errors
    ///
    /// - [`Error::NotAStore`]: the directory holds something else than an earlier backup of this store, or a backup that was
    ///   opened and appended to; nothing in it was changed;
    /// - [`Error::InUse`]: it is this store's own directory, or another process has the copy open;
    /// - [`Error::Damaged`]: the copy is not whole, most likely because this store is not; [`crate::verify`] tells;
    /// - [`Error::NoSpace`] and [`Error::Io`] for what the system refuses. The next backup goes on from there.
    pub fn backup(
        &self,
        destination: impl AsRef<Path>,
        progress: &mut dyn FnMut(BackupProgress),
    ) -> Result<BackupReport> {
        let inner = &*self.inner;
        let (disk, from) = (&*inner.disk, &*inner.dir);
        let cursors = cursors(disk, from)?;
        if inner.check_writable().is_ok() {
            self.sync()?;
        }
        let last = inner.visible()?;
        // The position before the manifest: so no segment is missing that holds anything up to it.
        let source = load_manifest(disk, from)?.ok_or_else(|| missing(from))?;
        let last = last.max(source.durable);
        let copied = Copied { manifest: self.manifest_of(&source, last)?, from, cursors };
        let place = Destination::take(disk, from, destination.as_ref(), source.store)?;
        let mut again: Vec<PathBuf> = Vec::new();
        let mut report = BackupReport {
            last_position: last,
            segments: copied.manifest.segments.len() as u64,
            copied_segments: 0,
            copied_bytes: 0,
            verified: Verified::default(),
        };
        loop {
            report.verified = copied.bring(disk, &place, &again, &mut report, progress)?;
            let faulty: Vec<PathBuf> = report.verified.faults.iter().map(|damage| damage.place.file.clone()).collect();
            let news = faulty.iter().any(|file| !again.contains(file));
            match report.verified.faults.first() {
                None => break,
                // What was there already has rotted: once more, from the store.
                Some(_) if news => again.extend(faulty),
                Some(damage) => return Err(damage.clone().into()),
            }
        }
        place.finish(disk)?;
        Ok(report)
    }

    /// The manifest of a copy that ends with this position.
    fn manifest_of(&self, source: &Manifest, last: Position) -> Result<Manifest> {
        let mut manifest = Manifest::new(source.store);
        manifest.segments = source.segments.iter().filter(|entry| entry.base <= last).copied().collect();
        manifest.durable = last;
        if let Some(entry) = manifest.segments.last_mut() {
            // It has ended if another begins behind the last position.
            let ended = source.segments.iter().any(|other| other.base == last.next());
            if entry.end.is_none() || !ended {
                let end = self.end_of(last)?;
                if entry.end != Some(end) {
                    (entry.end, entry.torn) = (None, 0);
                }
                manifest.durable_end = end;
            } else {
                manifest.durable_end = entry.end.unwrap_or_default();
            }
        }
        Ok(manifest)
    }

    /// Where the record of a position ends.
    fn end_of(&self, last: Position) -> Result<End> {
        let offset = self.inner.index.offset(last)?.unwrap_or_default();
        let (mut view, mut buffer) = (self.inner.log.view(), Bytes::new());
        let record = self.inner.log.record(&mut view, last, offset, &mut buffer)?;
        Ok(End { offset: offset + record.footprint(), checksum: record.checksum() })
    }
}

/// What a copy consists of.
struct Copied<'a> {
    manifest: Manifest,
    /// The store's directory.
    from: &'a Path,
    /// Read before it was settled where the copy ends: none of them is ahead of it.
    cursors: Vec<(PathBuf, Vec<u8>)>,
}

impl Copied<'_> {
    /// Brings a copy up to date, and verifies it. The files that are named are copied in any case.
    fn bring(
        &self,
        disk: &dyn Disk,
        place: &Destination,
        again: &[PathBuf],
        report: &mut BackupReport,
        progress: &mut dyn FnMut(BackupProgress),
    ) -> Result<Verified> {
        let mut lacking = Vec::new();
        for entry in &self.manifest.segments {
            let name = Segment::name(entry.base);
            if again.contains(&name) || !place.has(disk, self.from, entry)? {
                lacking.push(entry);
            }
        }
        let all: u64 = self.manifest.segments.iter().map(|entry| entry.bytes).sum();
        let total_bytes = lacking.iter().map(|entry| entry.bytes).sum::<u64>() + all;
        let mut bytes = 0;
        for entry in &lacking {
            if !place.has_copied(disk, self.from, entry)? || !again.is_empty() {
                self.copy_segment(disk, place, entry)?;
                report.copied_segments += 1;
                report.copied_bytes += entry.bytes;
            }
            bytes += entry.bytes;
            progress(BackupProgress { bytes, total_bytes });
        }
        place.mark(disk)?;
        for entry in &lacking {
            let name = place.dir.join(Segment::name(entry.base));
            disk.rename(&ending(&name, COPIED), &name).map_err(|error| Error::io("rename", &name, error))?;
        }
        let log = place.dir.join(directory::LOG);
        disk.sync_dir(&log).map_err(|error| Error::io("sync", &log, error))?;
        self.manifest.store(disk, &place.dir)?;
        self.copy_index(disk, place, again)?;
        self.copy_beside(disk, place)?;
        forget_position(disk, &place.dir)?;
        verify_alone(disk, &place.dir, &mut |so_far| {
            progress(BackupProgress { bytes: bytes + so_far.bytes, total_bytes });
        })
    }

    /// Copies a segment under another name: all of it if it has ended, else up to the end of the copy.
    fn copy_segment(&self, disk: &dyn Disk, place: &Destination, entry: &Entry) -> Result<()> {
        let name = Segment::name(entry.base);
        let (from, to) = (self.from.join(&name), ending(&place.dir.join(&name), COPYING));
        let until = entry.end.map_or(self.manifest.durable_end.offset, |_| entry.bytes);
        let source = disk.open(&from, Access::Read).map_err(|error| Error::io("open", &from, error))?;
        let target = disk.create(&to).map_err(|error| Error::io("create", &to, error))?;
        target.allocate(entry.bytes).map_err(|error| Error::io("allocate", &to, error))?;
        let mut buffer = vec![0; PIECE];
        let mut offset = 0;
        while offset < until {
            let piece = &mut buffer[..(until - offset).min(PIECE as u64) as usize];
            source.read_at(piece, offset).map_err(|error| Error::io("read", &from, error))?;
            target.write_at(piece, offset).map_err(|error| Error::io("write", &to, error))?;
            offset += piece.len() as u64;
        }
        target.sync().map_err(|error| Error::io("sync", &to, error))?;
        let copied = ending(&place.dir.join(&name), COPIED);
        disk.rename(&to, &copied).map_err(|error| Error::io("rename", &to, error))
    }

    /// The runs of the index: they only save that opening makes them anew.
    fn copy_index(&self, disk: &dyn Disk, place: &Destination, again: &[PathBuf]) -> Result<()> {
        let mut wanted = RunFile::all(disk, self.from)?;
        wanted.retain(|run| run.last <= self.manifest.durable && !again.contains(&run.path));
        for RunFile { path, .. } in &wanted {
            let (from, to) = (self.from.join(path), place.dir.join(path));
            let io = |error| Error::io("look at", &from, error);
            let there = disk.file_len(&to).map_err(io)?;
            if there.is_some() && there == disk.file_len(&from).map_err(io)? {
                continue;
            }
            match copy(disk, &from, &to) {
                // It has been merged with others meanwhile.
                Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
                copied => copied?,
            }
        }
        for run in RunFile::all(disk, &place.dir)? {
            if !wanted.contains(&run) {
                let path = place.dir.join(&run.path);
                disk.remove(&path).map_err(|error| Error::io("remove", &path, error))?;
            }
        }
        Ok(())
    }

    /// The snapshots, but for those that are ahead of the copy, and the cursors; and none that the store does not have.
    fn copy_beside(&self, disk: &dyn Disk, place: &Destination) -> Result<()> {
        let snapshots = Beside::read(disk, self.from, self.manifest.store)?.snapshots_up_to(self.manifest.durable);
        for file in &snapshots {
            // It may have been removed meanwhile.
            if let Content::Whole(bytes) = read_file(disk, &self.from.join(file), u64::MAX)? {
                put(disk, &place.dir.join(file), &bytes)?;
            }
        }
        for (file, bytes) in &self.cursors {
            put(disk, &place.dir.join(file), bytes)?;
        }
        for file in Beside::files(disk, &place.dir)? {
            let wanted = snapshots.contains(&file) || self.cursors.iter().any(|(cursor, _)| *cursor == file);
            if !wanted {
                let path = place.dir.join(file);
                disk.remove(&path).map_err(|error| Error::io("remove", &path, error))?;
            }
        }
        Ok(())
    }
}

/// Puts a small file in its place, if it is not there already.
fn put(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    if matches!(read_file(disk, path, bytes.len() as u64)?, Content::Whole(there) if there == bytes) {
        return Ok(());
    }
    let dir = path.parent().unwrap_or(Path::new("."));
    create_dir(disk, dir).map_err(|error| Error::io("create", dir, error))?;
    Ok(replace_file(disk, path, bytes)?)
}

/// The files of the cursors, as they are now.
fn cursors(disk: &dyn Disk, dir: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut found = Vec::new();
    for file in Beside::files(disk, dir)?.into_iter().filter(|file| file.starts_with(CURSORS)) {
        if let Content::Whole(bytes) = read_file(disk, &dir.join(&file), u64::MAX)? {
            found.push((file, bytes));
        }
    }
    Ok(found)
}
