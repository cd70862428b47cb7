//! The one door to the outside: files, directories, the clock, random numbers and the starting of threads.
//!
//! The engine asks for all of these through [`Disk`] and [`DiskFile`], so that the same code runs on a real disk
//! ([`OsDisk`]) and on a simulated one. Nothing else in the crate touches the file system or starts a thread.
//!
//! What the engine assumes of a disk is written down in `docs/design.md`.

mod os;
mod planted;
#[cfg(any(test, feature = "sim"))]
#[cfg_attr(not(feature = "sim"), allow(dead_code, reason = "the suite in `tests/sim` uses all of it"))]
pub mod sim;
mod whole;

use std::{fmt, io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;

pub(crate) use os::OsDisk;
pub(crate) use planted::planted;
#[cfg(feature = "sim")]
pub use planted::{Bug, is_planted, plant};
pub(crate) use whole::{Content, NEW, NotReplaced, create_dir, names, no_file, read_file, replace_file};

use crate::{error::Holder, event::Timestamp};

/// A file system with a clock, a source of random numbers and threads.
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    /// Creates a directory whose parent exists; nothing happens when it is there. Durable after [`Disk::sync_dir`] of the parent.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;

    /// The names in a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// What a path names, following links; `None` when nothing is there. A link that leads nowhere is [`Entry::Other`].
    fn entry(&self, path: &Path) -> io::Result<Option<Entry>>;

    /// The length of a file in bytes; `None` when there is none.
    fn file_len(&self, file: &Path) -> io::Result<Option<u64>>;

    /// Opens a file that exists.
    fn open(&self, file: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>>;

    /// Creates an empty file, in place of one that is there.
    fn create(&self, file: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, in place of one that has it, atomically. Durable after [`Disk::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Durable after [`Disk::sync_dir`].
    fn remove(&self, file: &Path) -> io::Result<()>;

    /// Removes a directory that is empty. A disk that cannot do it does nothing.
    fn remove_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the lock that this file stands for, creating the file when it is missing. The lock is held until it is
    /// dropped or the process ends, however it ends.
    fn lock(&self, file: &Path) -> io::Result<Result<Box<dyn DiskLock>, Holder>>;

    /// Takes a lock that keeps whoever wants [`Disk::lock`] waiting for a moment; `None` when that lock is held. A file that does
    /// not exist is not held.
    fn lock_shared(&self, file: &Path) -> io::Result<Option<Box<dyn DiskLock>>>;

    /// A word in a file that all processes share through memory: eight bytes at `offset`, a multiple of eight. What is stored
    /// survives the process, but not the machine, unless the system happens to write it.
    fn shared_word(&self, file: &Path, offset: u64, access: Access) -> io::Result<Arc<dyn SharedWord>>;

    /// The time.
    fn now(&self) -> Timestamp;

    /// The time since some fixed moment, by a clock that is never set back.
    fn monotonic(&self) -> Duration;

    /// Random bytes.
    fn random(&self) -> [u8; 16];

    /// Starts a thread that sleeps until it is [asked](DiskThread::ask) to take a step.
    fn spawn(&self, name: &str, step: Step) -> io::Result<Arc<dyn DiskThread>>;
}

/// An open file.
pub(crate) trait DiskFile: fmt::Debug + Send + Sync {
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Fills `buffer` with the bytes at `offset`; an error when the file ends before.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Gives the file this length and room on the disk for all of it, so that later writes need none.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Gives the room from `offset` to the end back: it reads as zeros, and the length stays. Needs room no more than a
    /// sparse file does, until [`DiskFile::allocate`] asks for it again. A disk that cannot do it does nothing.
    fn release(&self, _offset: u64) -> io::Result<()> {
        Ok(())
    }

    /// Makes the content and the length durable.
    fn sync(&self) -> io::Result<()>;

    /// Makes the next reads come from the medium and not from memory, as far as the system can be asked to.
    fn forget_cache(&self) -> io::Result<()>;

    /// Asks for the whole content to be brought into memory, while something else is done.
    fn read_ahead(&self) -> io::Result<()>;

    /// The whole content, as it is now, without a copy where that is possible. The caller vouches that the bytes that
    /// it reads through the map never change, also where a page is written again, and that the file is never shortened.
    fn map(&self) -> io::Result<Bytes>;

    /// As [`DiskFile::map`], for whoever reads it once from its front to its end: the medium is read on meanwhile.
    fn map_in_order(&self) -> io::Result<Bytes> {
        self.map()
    }
}

/// A word of memory that processes share.
pub(crate) trait SharedWord: fmt::Debug + Send + Sync {
    fn load(&self) -> u64;

    /// Makes what was written before visible to whoever loads this. Only with [`Access::ReadWrite`].
    fn store(&self, word: u64);
}

/// A lock that is held.
pub(crate) trait DiskLock: fmt::Debug + Send + Sync {}

/// What a thread does each time that it is asked. It says after how long it wants to be called again, unless it is asked before.
/// Work in the background is made of steps, so that a simulation decides when each is taken.
pub(crate) type Step = Box<dyn FnMut() -> Option<Duration> + Send>;

/// A thread that was started.
pub(crate) trait DiskThread: fmt::Debug + Send + Sync {
    /// Has it take a step soon. It may take one for several that it was asked for.
    fn ask(&self);

    /// Ends it when it has taken the steps that it was asked for, and waits for that; whether it ended without a panic.
    fn join(&self) -> bool;
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    ReadWrite,
}

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    File,
    Directory,
    Other,
}
