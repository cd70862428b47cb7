//! Small files that are read and replaced as a whole.
//!
//! ```text
//!   name.new   written and synced  --rename-->   name   --sync of the directory-->   durable
//! ```
//!
//! Invariants:
//!
//! - the name stands for the old content or the new, at every moment and after every crash: never for a mixture;
//! - the new content is durable before it gets the name, and the name before [`replace_file`] returns.
//!
//! A file whose name ends in [`NEW`] is what a crash left of a replacement that did not happen; it means nothing.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{Access, Disk, Entry, planted};
use crate::error::{Error, Result};

/// What is put behind a file's name while its new content is being written.
pub(crate) const NEW: &str = ".new";

/// Why a file was not replaced.
#[derive(Debug)]
pub(crate) struct NotReplaced {
    pub(crate) error: Error,
    /// The name stands for the new content already, and only the last step failed, the sync of the directory: after a power
    /// cut it is either.
    pub(crate) renamed: bool,
}

impl From<NotReplaced> for Error {
    fn from(failed: NotReplaced) -> Error {
        failed.error
    }
}

/// Puts `bytes` in place of a file, or makes it. Not twice at once for the same file.
pub(crate) fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), NotReplaced> {
    let new = beside(path);
    let written = write_new(disk, &new, bytes)
        .and_then(|()| disk.rename(&new, path).map_err(|error| Error::io("rename", &new, error)));
    if let Err(error) = written {
        // It may be what fills the disk. If it stays, the next replacement overwrites it.
        let _ = disk.remove(&new);
        return Err(NotReplaced { error, renamed: false });
    }
    if planted!(SkipDirectorySyncOfFile) {
        return Ok(());
    }
    let dir = path.parent().unwrap_or(Path::new("."));
    let synced = disk.sync_dir(dir).map_err(|error| Error::io("sync the directory of", path, error));
    synced.map_err(|error| NotReplaced { error, renamed: true })
}

fn write_new(disk: &dyn Disk, new: &Path, bytes: &[u8]) -> Result<()> {
    let file = disk.create(new).map_err(|error| Error::io("create", new, error))?;
    file.write_at(bytes, 0).map_err(|error| Error::io("write", new, error))?;
    file.sync().map_err(|error| Error::io("sync", new, error))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(NEW);
    name.into()
}

/// Creates a directory and those above it that are missing, each name durable when this returns. Nothing may be put into a
/// directory before.
pub(crate) fn create_dir(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let parent = match dir.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    if disk.entry(dir)? == Some(Entry::Directory) {
        // Whoever made one that is empty may have been killed before its name was durable.
        return if disk.list(dir)?.is_empty() { disk.sync_dir(parent) } else { Ok(()) };
    }
    create_dir(disk, parent)?;
    disk.make_dir(dir)?;
    disk.sync_dir(parent)
}

/// What a file holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// There is no file.
    Missing,
    /// All of its bytes.
    Whole(Vec<u8>),
    /// It is longer than asked for, or no file: this says which.
    Unfit(String),
}

/// Reads a whole file of at most `limit` bytes: nothing larger is ever taken into memory.
pub(crate) fn read_file(disk: &dyn Disk, path: &Path, limit: u64) -> Result<Content> {
    let io = |error| Error::io("read", path, error);
    if let Some(kind) = disk.entry(path).map_err(io)?
        && kind != Entry::File
    {
        return Ok(Content::Unfit(no_file(kind)));
    }
    let file = match disk.open(path, Access::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::Missing),
        Err(error) => return Err(io(error)),
    };
    let len = file.len().map_err(io)?;
    if len > limit {
        return Ok(Content::Unfit(format!("the file has {len} bytes; at most {limit} are possible")));
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    file.read_at(&mut bytes, 0).map_err(io)?;
    Ok(Content::Whole(bytes))
}

/// The fault of what lies where a file belongs and is none.
pub(crate) fn no_file(kind: Entry) -> String {
    let what = if kind == Entry::Directory { "a directory" } else { "something else" };
    format!("{what} is where a file belongs")
}

/// The names in a directory, in order; none when there is no directory.
pub(crate) fn names(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>> {
    match disk.list(dir) {
        Ok(mut names) => {
            names.sort_unstable();
            Ok(names)
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(error) => Err(Error::io("list", dir, error)),
    }
}

#[cfg(test)]
#[path = "whole_tests.rs"]
mod tests;
