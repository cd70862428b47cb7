//! Setting damaged files aside.
//!
//! ```text
//! damaged/<time>/report.jsonl          what was found, and what was done
//! damaged/<time>/log/000...1.seg       the file as it was, under the name that it had
//! damaged/<time>/MANIFEST
//! ```
//!
//! Nothing that was in the store is deleted. A file that is made anew is copied first, and the copy is durable before the
//! new one takes its name: at no moment is there neither. What is not made anew is renamed. A repair that fails before that
//! leaves nothing.

use std::path::{Path, PathBuf};

use super::directory::LOG;
use crate::{
    disk::{Access, Disk, Entry, create_dir, replace_file},
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
    /// Files that nobody needs if nothing of the store is moved or replaced.
    made: Vec<PathBuf>,
    /// Something has been, or is about to be.
    needed: bool,
}

impl<'a> Aside<'a> {
    /// The place for a repair at this time; it is made when something is set aside.
    pub(super) fn new(disk: &'a dyn Disk, dir: &'a Path, now: Timestamp) -> Result<Aside<'a>> {
        let name = now.to_string().replace(':', "-");
        let mut place = Path::new(DAMAGED).join(&name);
        let mut number = 1;
        while entry(disk, &dir.join(&place))?.is_some() {
            number += 1;
            place = Path::new(DAMAGED).join(format!("{name}-{number}"));
        }
        Ok(Aside { disk, dir, place, made: Vec::new(), needed: false })
    }

    /// Where a file of the store goes.
    fn path(&self, file: &Path) -> PathBuf {
        self.dir.join(&self.place).join(file)
    }

    /// Writes down what is going to be done.
    pub(super) fn report(&mut self, lines: &str) -> Result<()> {
        let path = self.path(Path::new("report.jsonl"));
        self.removes(path.clone());
        let dir = parent(&path);
        create_dir(self.disk, dir).map_err(|error| Error::io("create", dir, error))?;
        replace_file(self.disk, &path, lines.as_bytes())?;
        Ok(())
    }

    /// This file is being made, and is removed if the repair comes to nothing.
    pub(super) fn removes(&mut self, path: PathBuf) {
        self.made.push(path);
    }

    /// From now on everything that was made stays.
    pub(super) fn keep(&mut self) {
        self.needed = true;
    }

    /// Leaves nothing of a repair that failed before anything was moved or replaced: it may have been for want of room.
    pub(super) fn abandon(self) {
        if self.needed {
            return;
        }
        // What cannot be removed is in nobody's way.
        for path in &self.made {
            let _ = self.disk.remove(path);
        }
        let dir = self.dir.join(&self.place);
        for dir in [&*dir.join(LOG), &dir, parent(&dir)] {
            let _ = self.disk.remove_dir(dir);
        }
    }

    /// Moves a file, or whatever lies in its place.
    pub(super) fn take(&mut self, file: &Path) -> Result<()> {
        let (from, to) = (self.dir.join(file), self.path(file));
        if entry(self.disk, &from)?.is_none() {
            return Ok(());
        }
        let to_dir = parent(&to);
        create_dir(self.disk, to_dir).map_err(|error| Error::io("create", to_dir, error))?;
        self.keep();
        self.disk.rename(&from, &to).map_err(|error| Error::io("rename", &from, error))?;
        for dir in [to_dir, parent(&from)] {
            self.disk.sync_dir(dir).map_err(|error| Error::io("sync", dir, error))?;
        }
        Ok(())
    }

    /// Copies a file that another is about to replace. What is no file is moved.
    pub(super) fn copy(&mut self, file: &Path) -> Result<()> {
        let (from, to) = (self.dir.join(file), self.path(file));
        match entry(self.disk, &from)? {
            None => Ok(()),
            Some(Entry::File) => {
                self.removes(to.clone());
                copy(self.disk, &from, &to)
            }
            Some(_) => self.take(file),
        }
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

fn entry(disk: &dyn Disk, path: &Path) -> Result<Option<Entry>> {
    disk.entry(path).map_err(|error| Error::io("look at", path, error))
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}
