//! Setting damaged files aside.
//!
//! ```text
//! damaged/<time>/report.jsonl          what was found, and what was done
//! damaged/<time>/log/000...1.seg       the file as it was, under the name that it had
//! damaged/<time>/MANIFEST
//! ```
//!
//! Nothing that was in the store is deleted. A file that is made anew is copied first, and the copy is durable before the
//! new one takes its name: at no moment is there neither. What is not made anew is renamed.

use std::path::{Path, PathBuf};

use crate::{
    disk::{Access, Disk, Entry, create_dir},
    error::{Error, Result},
    event::Timestamp,
};

/// The directory of everything that was ever set aside.
const DAMAGED: &str = "damaged";

/// Bytes are copied in pieces of this size.
const PIECE: usize = 1 << 20;

/// Where one repair sets files aside.
pub(super) struct Aside<'a> {
    disk: &'a dyn Disk,
    /// Of the store.
    dir: &'a Path,
    /// Relative to it.
    pub(super) place: PathBuf,
}

impl<'a> Aside<'a> {
    /// The place for a repair at this time; it is made when something is set aside.
    pub(super) fn new(disk: &'a dyn Disk, dir: &'a Path, now: Timestamp) -> Result<Aside<'a>> {
        let name = now.to_string().replace(':', "-");
        let mut place = Path::new(DAMAGED).join(&name);
        let mut number = 1;
        while exists(disk, &dir.join(&place))? {
            number += 1;
            place = Path::new(DAMAGED).join(format!("{name}-{number}"));
        }
        Ok(Aside { disk, dir, place })
    }

    /// Where a file of the store goes.
    pub(super) fn path(&self, file: &Path) -> PathBuf {
        self.dir.join(&self.place).join(file)
    }

    /// Moves a file.
    pub(super) fn take(&self, file: &Path) -> Result<()> {
        let (from, to) = (self.dir.join(file), self.path(file));
        if !exists(self.disk, &from)? {
            return Ok(());
        }
        let to_dir = parent(&to);
        create_dir(self.disk, to_dir).map_err(|error| Error::io("create", to_dir, error))?;
        self.disk.rename(&from, &to).map_err(|error| Error::io("rename", &from, error))?;
        for dir in [to_dir, parent(&from)] {
            self.disk.sync_dir(dir).map_err(|error| Error::io("sync", dir, error))?;
        }
        Ok(())
    }

    /// Copies a file that another is about to replace.
    pub(super) fn copy(&self, file: &Path) -> Result<()> {
        let (from, to) = (self.dir.join(file), self.path(file));
        if exists(self.disk, &from)? {
            copy(self.disk, &from, &to)?;
        }
        Ok(())
    }
}

/// Copies a file, making the directory that it goes to; durable when this returns.
pub(super) fn copy(disk: &dyn Disk, from: &Path, to: &Path) -> Result<()> {
    let dir = parent(to);
    create_dir(disk, dir).map_err(|error| Error::io("create", dir, error))?;
    let source = disk.open(from, Access::Read).map_err(|error| Error::io("open", from, error))?;
    let len = source.len().map_err(|error| Error::io("read", from, error))?;
    let target = disk.create(to).map_err(|error| Error::io("create", to, error))?;
    let mut buffer = vec![0; PIECE];
    let mut offset = 0;
    while offset < len {
        let piece = &mut buffer[..(len - offset).min(PIECE as u64) as usize];
        source.read_at(piece, offset).map_err(|error| Error::io("read", from, error))?;
        target.write_at(piece, offset).map_err(|error| Error::io("write", to, error))?;
        offset += piece.len() as u64;
    }
    target.sync().map_err(|error| Error::io("sync", to, error))?;
    disk.sync_dir(dir).map_err(|error| Error::io("sync", dir, error))
}

fn exists(disk: &dyn Disk, path: &Path) -> Result<bool> {
    let entry: Option<Entry> = disk.entry(path).map_err(|error| Error::io("look at", path, error))?;
    Ok(entry.is_some())
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}
