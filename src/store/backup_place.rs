//! Where a backup is made: a directory that is empty, or that holds an earlier backup of the same store.

use std::path::{Path, PathBuf};

use super::directory::{BACKUP, LOG, POSITION, lock};
use crate::{
    disk::{Access, Disk, DiskLock, Entry as Kind, create_dir, names, replace_file},
    error::{Error, Result},
    log::{Entry, HEADER_PAGE, MANIFEST, Manifest, Segment, is_header},
};

/// What is put behind the name of a segment while it is being copied.
pub(super) const COPYING: &str = ".copying";
/// What is put there when it has been, until it gets its name.
pub(super) const COPIED: &str = ".copied";

/// Bytes are compared in pieces of this size.
const PIECE: usize = 1 << 20;

/// What the file that marks an unfinished backup says.
const NOTE: &[u8] =
    b"A backup is being made here. Until it is finished this is no store; the next backup completes it.\n";

/// The directory of a backup, locked.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) dir: PathBuf,
    /// What is there already.
    manifest: Option<Manifest>,
    _lock: Box<dyn DiskLock>,
}

impl Place {
    /// Takes the directory for a backup of the store in `from`; it is made when it is missing. An error when something else is
    /// there; then nothing was changed.
    pub(super) fn take(disk: &dyn Disk, from: &Path, dir: &Path, store: [u8; 16]) -> Result<Place> {
        let refuse = |reason: String| Error::NotAStore { path: dir.to_owned(), reason };
        let look = |path: &Path| disk.entry(path).map_err(|error| Error::io("look at", path, error));
        let kind = look(dir)?;
        if kind.is_some_and(|kind| kind != Kind::Directory) {
            return Err(refuse("is a file; a backup is a directory".to_owned()));
        }
        let there = if kind.is_some() { names(disk, dir)? } else { Vec::new() };
        let marked = there.iter().any(|name| name == BACKUP);
        let manifest = if there.iter().any(|name| name == MANIFEST) { Manifest::load(disk, dir)? } else { None };
        if let Some(other) = manifest.as_ref().filter(|manifest| manifest.store != store) {
            let (other, store) = (uuid::Uuid::from_bytes(other.store), uuid::Uuid::from_bytes(store));
            return Err(refuse(format!("holds store {other}, and not a backup of {store}")));
        }
        let strange = there.iter().find(|name| ![BACKUP, "LOCK", "lost+found"].contains(&name.as_str()));
        if let (None, false, Some(strange)) = (&manifest, marked, strange) {
            return Err(refuse(format!("holds `{strange}`, and no backup")));
        }
        let log = dir.join(LOG);
        if manifest.is_none() && !marked {
            create_dir(disk, dir).map_err(|error| Error::not_writable("create", dir, error))?;
        }
        let lock = lock(disk, dir)?;
        let place = Place { dir: dir.to_owned(), manifest, _lock: lock };
        place.check_is_older(disk, from, marked)?;
        if place.manifest.is_none() {
            // Nothing in it may be taken for a store before all of it is there.
            place.mark(disk)?;
        }
        create_dir(disk, &log).map_err(|error| Error::not_writable("create", &log, error))?;
        if place.is(disk, from)? { Err(refuse("is the store itself".to_owned())) } else { Ok(place) }
    }

    /// Whether it is this directory, under whatever path: a file that is made in the one shows in the other.
    fn is(&self, disk: &dyn Disk, other: &Path) -> Result<bool> {
        let name = Path::new(LOG).join(format!("{}{COPYING}", uuid::Uuid::from_bytes(disk.random())));
        let (here, there) = (self.dir.join(&name), other.join(&name));
        disk.create(&here).map_err(|error| Error::not_writable("create", &here, error))?;
        let shows = disk.entry(&there).map_err(|error| Error::io("look at", &there, error));
        disk.remove(&here).map_err(|error| Error::io("remove", &here, error))?;
        Ok(shows?.is_some())
    }

    /// What is there must be what the store was at an earlier time: a copy that was opened and appended to has a history of its
    /// own, which is not overwritten.
    fn check_is_older(&self, disk: &dyn Disk, from: &Path, marked: bool) -> Result<()> {
        let Some(manifest) = self.manifest.as_ref().filter(|_| !marked) else { return Ok(()) };
        let differs = |what: String| {
            let reason = format!(
                "is not what the store was earlier: {what}; it was appended to, or is damaged: make the backup elsewhere"
            );
            Error::NotAStore { path: self.dir.clone(), reason }
        };
        if !manifest.clean {
            return Err(differs("it was opened, and not closed".to_owned()));
        }
        for entry in &manifest.segments {
            let name = Segment::name(entry.base);
            let (ours, theirs) = (first_page(disk, &self.dir.join(&name))?, first_page(disk, &from.join(&name))?);
            // One that is missing or damaged here is copied again.
            let is_another = ours.as_ref().is_some_and(|page| is_header(page)) && ours != theirs;
            if theirs.is_none() || is_another {
                return Err(differs(format!("{} is another", name.display())));
            }
        }
        let Some(last) = manifest.segments.last() else { return Ok(()) };
        let name = Segment::name(last.base);
        let same = begin_alike(disk, &self.dir.join(&name), &from.join(&name), manifest.durable_end.offset)?;
        if same { Ok(()) } else { Err(differs(format!("{} holds something else", name.display()))) }
    }

    /// Whether a segment that has ended is there as it should be; what is in it is verified later.
    pub(super) fn has(&self, disk: &dyn Disk, from: &Path, entry: &Entry) -> Result<bool> {
        let open = |known: &Entry| known.base == entry.base && known.end.is_none();
        let was_open = self.manifest.iter().flat_map(|manifest| &manifest.segments).any(open);
        Ok(!was_open && self.is_alike(disk, from, entry, &self.dir.join(Segment::name(entry.base)))?)
    }

    /// Whether an earlier backup has copied it, and was interrupted before it gave it its name.
    pub(super) fn has_copied(&self, disk: &dyn Disk, from: &Path, entry: &Entry) -> Result<bool> {
        self.is_alike(disk, from, entry, &ending(&self.dir.join(Segment::name(entry.base)), COPIED))
    }

    fn is_alike(&self, disk: &dyn Disk, from: &Path, entry: &Entry, path: &Path) -> Result<bool> {
        let len = disk.file_len(path).map_err(|error| Error::io("look at", path, error))?;
        Ok(entry.end.is_some()
            && len == Some(entry.bytes)
            && first_page(disk, path)? == first_page(disk, &from.join(Segment::name(entry.base)))?)
    }

    /// From here on the directory is no store, until the backup is finished.
    pub(super) fn mark(&self, disk: &dyn Disk) -> Result<()> {
        Ok(replace_file(disk, &self.dir.join(BACKUP), NOTE)?)
    }

    fn unmark(&self, disk: &dyn Disk) -> Result<()> {
        let mark = self.dir.join(BACKUP);
        disk.remove(&mark).map_err(|error| Error::io("remove", &mark, error))?;
        disk.sync_dir(&self.dir).map_err(|error| Error::io("sync", &self.dir, error))
    }

    /// All is in place: the directory is a store again.
    pub(super) fn finish(&self, disk: &dyn Disk) -> Result<()> {
        for name in names(disk, &self.dir.join(LOG))?.into_iter().filter(|name| is_copy(name)) {
            let path = self.dir.join(LOG).join(name);
            disk.remove(&path).map_err(|error| Error::io("remove", &path, error))?;
        }
        self.unmark(disk)
    }
}

fn is_copy(name: &str) -> bool {
    name.ends_with(COPYING) || name.ends_with(COPIED)
}

/// A file's name with this behind it.
pub(super) fn ending(name: &Path, ending: &str) -> PathBuf {
    let mut name = name.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn first_page(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>> {
    let io = |error| Error::io("read", path, error);
    if disk.file_len(path).map_err(io)?.is_none_or(|len| len < HEADER_PAGE) {
        return Ok(None);
    }
    let mut page = vec![0; HEADER_PAGE as usize];
    disk.open(path, Access::Read).and_then(|file| file.read_at(&mut page, 0)).map_err(io)?;
    Ok(Some(page))
}

/// Whether two files begin with the same bytes, so many of them.
fn begin_alike(disk: &dyn Disk, one: &Path, other: &Path, len: u64) -> Result<bool> {
    let open = |path: &Path| disk.open(path, Access::Read).map_err(|error| Error::io("open", path, error));
    let (one, other, path) = (open(one)?, open(other)?, one);
    let io = |error| Error::io("read", path, error);
    if one.len().map_err(io)?.min(other.len().map_err(io)?) < len {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; PIECE], vec![0; PIECE]);
    let mut offset = 0;
    while offset < len {
        let piece = (len - offset).min(PIECE as u64) as usize;
        one.read_at(&mut left[..piece], offset).map_err(io)?;
        other.read_at(&mut right[..piece], offset).map_err(io)?;
        if left[..piece] != right[..piece] {
            return Ok(false);
        }
        offset += piece as u64;
    }
    Ok(true)
}

/// Removes what says how far a writer of the copy had come: it has none.
pub(super) fn forget_position(disk: &dyn Disk, dir: &Path) -> Result<()> {
    let path = dir.join(POSITION);
    match disk.remove(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, error)),
        _ => disk.sync_dir(dir).map_err(|error| Error::io("sync", dir, error)),
    }
}
