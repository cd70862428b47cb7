//! The directory of a store: what may lie in it, its lock, its manifest, its published position.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{cursor_file::CURSORS, snapshot_file::SNAPSHOTS};
use crate::{
    disk::{Access, Content, Disk, DiskLock, Entry, SharedWord, names, no_file, read_file, replace_file},
    error::{Damage, Error, Place, Result},
    index::INDEX,
    layout::{Writer, seal, unseal},
    log::{HEADER_PAGE, MANIFEST, MANIFEST_NEW, Manifest, Segment, is_log_file, manifest_damage},
    version::Position,
};

pub(super) const LOCK: &str = "LOCK";
/// Marks a directory in which a backup is being made.
pub(super) const BACKUP: &str = "BACKUP";
/// A process id and the end of its line.
const LOCK_BYTES: u64 = 11;
pub(super) const LOG: &str = "log";
/// The file of the next segment.
pub(super) const LOG_PREPARED: &str = "log/prepared";

/// The file of the published position:
///
/// ```text
///  0       8        12         16         32        64           72        80       4096
///  +-------+--------+----------+----------+---------+------------+---------+---------+
///  | magic | format | checksum | store id | 0       | position   | session | 0       |
///  +-------+--------+----------+----------+---------+------------+---------+---------+
/// ```
///
/// The checksum is of the file with position and session as zero. The session is a random number of each writer's, set when
/// its position is: what a writer published that is gone is no news to who opened the store after it.
pub(super) const POSITION: &str = "POSITION";
const POSITION_MAGIC: &[u8; 8] = b"factpos\0";
const POSITION_BYTES: usize = 4096;
const POSITION_OFFSET: usize = 64;
const SESSION_OFFSET: usize = 72;

/// What a writer publishes.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) position: Arc<dyn SharedWord>,
    pub(super) session: Arc<dyn SharedWord>,
}

impl Published {
    fn open(disk: &dyn Disk, dir: &Path, access: Access) -> Result<Published> {
        let path = dir.join(POSITION);
        let word = |offset: usize| {
            disk.shared_word(&path, offset as u64, access).map_err(|error| Error::io("map", &path, error))
        };
        Ok(Published { position: word(POSITION_OFFSET)?, session: word(SESSION_OFFSET)? })
    }
}

/// Refuses a path that holds something other than a store. Changes nothing.
pub(super) fn check(disk: &dyn Disk, dir: &Path, create: bool) -> Result<()> {
    let not_a_store = |reason: String| Err(Error::NotAStore { path: dir.to_owned(), reason });
    let look = |path: &Path| disk.entry(path).map_err(|error| Error::io("look at", path, error));
    let list = |path: &Path| disk.list(path).map_err(|error| Error::io("list", path, error));
    match look(dir)? {
        None if create => return Ok(()),
        None => return Err(missing(dir)),
        Some(Entry::Directory) => {}
        Some(_) => return not_a_store("is a file; a store is a directory".to_owned()),
    }
    let mut names = list(dir)?;
    names.sort();
    if names.iter().any(|name| name == BACKUP) {
        return not_a_store("holds a backup that is not finished; make it again to complete it".to_owned());
    }
    let log = if look(&dir.join(LOG))? == Some(Entry::Directory) { list(&dir.join(LOG))? } else { Vec::new() };
    if log.iter().any(|name| Segment::base_in_name(name).is_some()) {
        return Ok(());
    }
    if names.iter().any(|name| name == MANIFEST) {
        return match Manifest::is_one(disk, dir)? {
            true => Ok(()),
            false => not_a_store(format!("is no store: its `{MANIFEST}` is another program's")),
        };
    }
    // What a crash while the store was being made leaves, and what every new file system holds.
    let expected = [LOCK, LOG, MANIFEST_NEW, "lost+found"];
    let strange = names.iter().find(|name| !expected.contains(&name.as_str()));
    let strange = strange.or(log.iter().find(|name| !is_log_file(name)));
    if let Some(other) = strange {
        return not_a_store(format!("is no store: it holds `{other}`, but no {MANIFEST}"));
    }
    // Never synced: after a power cut anything may lie in it, but no more than a process id takes.
    match read_file(disk, &dir.join(LOCK), LOCK_BYTES)? {
        Content::Whole(_) | Content::Missing => {}
        Content::Unfit(_) => return not_a_store(format!("is no store: its `{LOCK}` is another program's")),
    }
    if create { Ok(()) } else { Err(missing(dir)) }
}

pub(super) fn missing(dir: &Path) -> Error {
    Error::NotAStore { path: dir.to_owned(), reason: "there is no store here".to_owned() }
}

/// Takes the lock of whoever writes.
pub(super) fn lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn DiskLock>> {
    let path: PathBuf = dir.join(LOCK);
    match disk.lock(&path).map_err(|error| Error::not_writable("lock", &path, error))? {
        Ok(lock) => Ok(lock),
        Err(holder) => Err(Error::InUse { path: dir.to_owned(), holder }),
    }
}

/// Keeps writers out, if none is there; `None` when one is.
pub(super) fn lock_shared(disk: &dyn Disk, dir: &Path) -> Result<Option<Box<dyn DiskLock>>> {
    let path: PathBuf = dir.join(LOCK);
    disk.lock_shared(&path).map_err(|error| Error::io("lock", &path, error))
}

/// Reads the manifest. Segments without a manifest are damage: it tells how far they must reach.
pub(super) fn load_manifest(disk: &dyn Disk, dir: &Path) -> Result<Option<Manifest>> {
    if let Some(manifest) = Manifest::load(disk, dir)? {
        return Ok(Some(manifest));
    }
    match names(disk, &dir.join(LOG))?.iter().filter_map(|name| Segment::base_in_name(name)).count() {
        0 => Ok(None),
        segments => {
            let fault = format!("the manifest is missing, but there are {segments} segments");
            Err(manifest_damage(fault).into())
        }
    }
}

/// A writer that was killed may have given names that are not durable, such as the manifest's. What is appended from now on
/// relies on them.
pub(super) fn make_names_durable(disk: &dyn Disk, dir: &Path) -> Result<()> {
    for dir in [dir, &dir.join(LOG)] {
        disk.sync_dir(dir).map_err(|error| Error::io("sync", dir, error))?;
    }
    Ok(())
}

/// Where this writer publishes, made if it is not there. None when there is no room for it, as opening needs none: then
/// readers in other processes fail while this one writes. A file that is there is published in, as one that says less than the
/// log would be taken for damage.
pub(super) fn publish_position(disk: &dyn Disk, dir: &Path, store: &[u8; 16]) -> Result<Option<Published>> {
    let there = || matches!(check_position(disk, dir, store), Ok(Some(_)));
    if !there() {
        let mut bytes = vec![0; POSITION_BYTES];
        Writer::new(&mut bytes).bytes(&[0; 16]).bytes(store);
        seal(&mut bytes, POSITION_MAGIC);
        match replace_file(disk, &dir.join(POSITION), &bytes).map_err(Error::from) {
            Err(Error::NoSpace { .. }) if !there() => return Ok(None),
            Ok(()) | Err(Error::NoSpace { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Published::open(disk, dir, Access::ReadWrite).map(Some)
}

/// Where writers publish. An error says why that cannot be read.
pub(super) fn published_position(disk: &dyn Disk, dir: &Path, store: &[u8; 16]) -> Result<Published, String> {
    match check_position(disk, dir, store)? {
        Some(_) => Published::open(disk, dir, Access::Read).map_err(|error| error.to_string()),
        None => Err("the file is missing".to_owned()),
    }
}

/// What a reader beside a writer says when it cannot read what the writer publishes.
pub(super) fn unreadable_position(fault: &str) -> Damage {
    let place = Place { file: POSITION.into(), offset: 0, position: Position::START };
    let fault = format!(
        "another process writes the store, and how far it may be read cannot be told: {fault}; \
         the file is made anew when the store is next opened for writing"
    );
    Damage { place, fault }
}

/// Checks the files that hold nothing while nobody writes, the lock and what was prepared for the next segment, and that the
/// directories are some.
pub(super) fn check_idle(disk: &dyn Disk, dir: &Path) -> Result<Vec<Damage>> {
    let mut faults = Vec::new();
    let mut fault = |file: &str, offset: u64, fault: &str| {
        let place = Place { file: file.into(), offset, position: Position::START };
        faults.push(Damage { place, fault: fault.to_owned() });
    };
    if let Some(found) = check_lock(disk, dir)? {
        fault(LOCK, 0, &found);
    }
    let look = |path: &Path| disk.entry(path).map_err(|error| Error::io("look at", path, error));
    for name in [LOG, INDEX, SNAPSHOTS, CURSORS] {
        if look(&dir.join(name))?.is_some_and(|kind| kind != Entry::Directory) {
            fault(name, 0, "something else is where a directory belongs");
        }
    }
    let prepared = dir.join(LOG_PREPARED);
    if look(&dir.join(LOG))? != Some(Entry::Directory) {
        return Ok(faults);
    }
    if let Some(kind) = look(&prepared)?.filter(|kind| *kind != Entry::File) {
        fault(LOG_PREPARED, 0, &no_file(kind));
    }
    if disk.file_len(&prepared).map_err(|error| Error::io("look at", &prepared, error))?.is_some_and(|len| len > 0) {
        let content = disk.open(&prepared, Access::Read).and_then(|file| file.map());
        let content = content.map_err(|error| Error::io("read", &prepared, error))?;
        // The first page is written over when a segment is made of it.
        let used = content.iter().skip(HEADER_PAGE as usize).position(|byte| *byte != 0);
        if let Some(at) = used {
            fault(LOG_PREPARED, HEADER_PAGE + at as u64, "the file of the next segment does not hold zeros only");
        }
    }
    Ok(faults)
}

/// What is wrong with the file of the lock while nobody holds it. Whoever takes the lock writes over it.
pub(super) fn check_lock(disk: &dyn Disk, dir: &Path) -> Result<Option<String>> {
    Ok(match read_file(disk, &dir.join(LOCK), 64)? {
        Content::Whole(text) if text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'\n') => None,
        Content::Missing => None,
        Content::Unfit(fault) => Some(fault),
        Content::Whole(_) => Some("it holds something else than the number of a process".to_owned()),
    })
}

/// The store that the file of the published position belongs to, if it is whole.
pub(super) fn position_store(disk: &dyn Disk, dir: &Path) -> Result<Option<[u8; 16]>> {
    let Content::Whole(mut bytes) = read_file(disk, &dir.join(POSITION), POSITION_BYTES as u64)? else {
        return Ok(None);
    };
    if bytes.len() != POSITION_BYTES {
        return Ok(None);
    }
    bytes[POSITION_OFFSET..SESSION_OFFSET + 8].fill(0);
    Ok(unseal(&bytes, POSITION_MAGIC, "position file").ok().and_then(|mut fields| fields.array()))
}

/// Checks the file of the published position, and gives the position; `None` when there is no file. An error says what is
/// wrong.
pub(super) fn check_position(disk: &dyn Disk, dir: &Path, store: &[u8; 16]) -> Result<Option<u64>, String> {
    let content = read_file(disk, &dir.join(POSITION), POSITION_BYTES as u64).map_err(|error| error.to_string())?;
    let mut bytes = match content {
        Content::Missing => return Ok(None),
        Content::Unfit(fault) => return Err(fault),
        Content::Whole(bytes) if bytes.len() != POSITION_BYTES => {
            return Err(format!("the file has {} bytes, not {POSITION_BYTES}", bytes.len()));
        }
        Content::Whole(bytes) => bytes,
    };
    let position =
        bytes[POSITION_OFFSET..SESSION_OFFSET].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    bytes[POSITION_OFFSET..SESSION_OFFSET + 8].fill(0);
    let mut fields = unseal(&bytes, POSITION_MAGIC, "position file")?;
    match fields.array() {
        Some(found) if found == *store => Ok(Some(position)),
        _ => Err("it belongs to another store".to_owned()),
    }
}
