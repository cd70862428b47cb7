//! Preparing the next segment in the background, so that beginning it costs a few small writes.
//!
//! A write into a file that was filled with zeros before changes no metadata of the file system: its sync is one write
//! and one flush. The file is filled under a name of its own, synced, and renamed to `log/prepared`; so a file of that
//! name is always whole, also after a crash.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::segment::Segment;
use crate::{
    disk::{Access, Disk, DiskFile, DiskThread},
    error::{Error, Result},
    sync::Mutex,
};

const PREPARED: &str = "prepared";
const PREPARING: &str = "preparing";
const MAKING: &str = "making";

/// Zeros are written in pieces of this size.
const PIECE: usize = 256 << 10;

/// Whether a file in the log's directory has a name that the log gives.
pub(crate) fn is_log_file(name: &str) -> bool {
    [PREPARED, PREPARING, MAKING].contains(&name) || Segment::base_in_name(name).is_some()
}

/// Makes files of zeros, one ahead.
#[derive(Debug)]
pub(super) struct Preparer {
    shared: Arc<Shared>,
    thread: Mutex<Option<Arc<dyn DiskThread>>>,
}

#[derive(Debug)]
struct Shared {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// The size that is asked for, so that asking again costs nothing; 0 for none.
    requested: AtomicU64,
    stopping: AtomicBool,
    /// Held while the files are worked on.
    files: Mutex<()>,
}

impl Preparer {
    /// A preparer for the log in `dir`. Its thread starts with the first request.
    pub(super) fn start(disk: Arc<dyn Disk>, dir: &Path) -> Result<Preparer> {
        let shared = Arc::new(Shared {
            disk,
            dir: dir.join("log"),
            requested: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            files: Mutex::new(()),
        });
        Ok(Preparer { shared, thread: Mutex::new(None) })
    }

    /// Asks for a file of this size to be made ready. Best effort: [`Preparer::take`] makes one if there is none.
    pub(super) fn request(&self, size: u64) {
        if self.shared.requested.swap(size, Ordering::Relaxed) == size || self.shared.stopping.load(Ordering::Relaxed) {
            return;
        }
        let mut thread = self.thread.lock();
        if thread.is_none() {
            let shared = self.shared.clone();
            let step = Box::new(move || {
                shared.prepare();
                None
            });
            // Without the thread, `take` makes the file.
            let Ok(started) = self.shared.disk.spawn("factlog-prepare", step) else { return };
            *thread = Some(started);
        }
        if let Some(thread) = &*thread {
            thread.ask();
        }
    }

    /// A file of zeros of this size and its path: the prepared one if it fits, else one made now. In `bulk` one that is
    /// made now is only allocated: it reads as zeros, but the first write to each block changes metadata.
    pub(super) fn take(&self, size: u64, bulk: bool) -> Result<(PathBuf, Arc<dyn DiskFile>)> {
        let shared = &self.shared;
        let _working = shared.files.lock();
        shared.requested.store(0, Ordering::Relaxed);
        if let Some(file) = shared.prepared(size) {
            return Ok((shared.dir.join(PREPARED), file));
        }
        let path = shared.dir.join(MAKING);
        let written = if bulk { 0 } else { size };
        match shared.fill(&path, size, written, &AtomicBool::new(false)) {
            Ok(file) => Ok((path, file)),
            Err(error) => {
                // What room it took is given back; that it cannot be removed is no news beside the error.
                let _ = shared.disk.remove(&path);
                Err(Error::io("prepare", path, error))
            }
        }
    }

    /// Ends the thread; a file that it is filling is left unfinished, under a name that nothing takes for whole.
    pub(super) fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            thread.join();
        }
    }
}

impl Shared {
    /// Makes the file that was asked for ready.
    fn prepare(&self) {
        // Whoever works on them is making the very file that this would be.
        let Some(_working) = self.files.try_lock() else { return };
        let size = self.requested.load(Ordering::Relaxed);
        if size == 0 || self.stopping.load(Ordering::Relaxed) || self.prepared(size).is_some() {
            return;
        }
        let preparing = self.dir.join(PREPARING);
        let renamed = self
            .fill(&preparing, size, size, &self.stopping)
            .and_then(|_| self.disk.rename(&preparing, &self.dir.join(PREPARED)));
        if renamed.is_err() {
            // No room, most likely. The append that needs the segment will try again and say so.
            let _ = self.disk.remove(&preparing);
        }
    }

    /// The prepared file, if there is one of this size.
    fn prepared(&self, size: u64) -> Option<Arc<dyn DiskFile>> {
        let path = self.dir.join(PREPARED);
        let file = self.disk.open(&path, Access::ReadWrite).ok()?;
        (file.len().ok()? == size).then_some(file)
    }

    /// Makes a file of zeros, of which so many are written.
    fn fill(&self, path: &Path, size: u64, written: u64, stopping: &AtomicBool) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.create(path)?;
        file.allocate(size)?;
        let zeros = vec![0; PIECE];
        let mut offset = 0;
        while offset < written {
            if stopping.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let piece = (written - offset).min(PIECE as u64);
            file.write_at(&zeros[..piece as usize], offset)?;
            offset += piece;
        }
        file.sync()?;
        Ok(file)
    }
}
