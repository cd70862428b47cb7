//! A disk for tests: the real one, with a gate in front of the syncs of the log, which can also be made to fail.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, ThreadId},
    time::Duration,
};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::{Access, Disk, DiskFile, DiskLock, DiskThread, Entry, OsDisk, SharedWord};
use crate::{error::Holder, event::Timestamp};

#[derive(Clone, Debug, Default)]
pub(crate) struct GatedDisk(Arc<Gate>);

#[derive(Debug, Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
    fails: AtomicBool,
    panics: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    /// Who stands at the gate.
    waiting: usize,
    /// Who has synced, or tried to.
    synced: Vec<ThreadId>,
}

impl GatedDisk {
    /// From now on whoever syncs a file of the log stops in front of the gate.
    pub(crate) fn close_gate(&self) {
        self.0.state.lock().closed = true;
    }

    pub(crate) fn open_gate(&self) {
        self.0.state.lock().closed = false;
        self.0.changed.notify_all();
    }

    /// Waits until somebody stands at the gate.
    pub(crate) fn await_arrival(&self) {
        let mut state = self.0.state.lock();
        while state.waiting == 0 {
            self.0.changed.wait(&mut state);
        }
    }

    /// Waits until there were so many syncs.
    pub(crate) fn await_syncs(&self, count: usize) {
        let mut state = self.0.state.lock();
        while state.synced.len() < count {
            self.0.changed.wait(&mut state);
        }
    }

    /// The threads that synced files of the log so far, once for each sync.
    pub(crate) fn synced(&self) -> Vec<ThreadId> {
        self.0.state.lock().synced.clone()
    }

    /// From now on every sync of a file of the log fails.
    pub(crate) fn fail(&self) {
        self.0.fails.store(true, Ordering::SeqCst);
    }

    /// From now on every sync of a file of the log panics.
    pub(crate) fn panic(&self) {
        self.0.panics.store(true, Ordering::SeqCst);
    }

    fn gated(&self, path: &Path, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let in_log = path.parent().is_some_and(|dir| dir.ends_with("log"));
        // What is filled in the background is no part of the log yet.
        if in_log && !path.ends_with("preparing") { Arc::new(GatedFile(self.0.clone(), file)) } else { file }
    }
}

#[derive(Debug)]
struct GatedFile(Arc<Gate>, Arc<dyn DiskFile>);

impl DiskFile for GatedFile {
    fn len(&self) -> io::Result<u64> {
        self.1.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.1.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.1.write_at(bytes, offset)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.1.allocate(len)
    }

    fn release(&self, offset: u64) -> io::Result<()> {
        self.1.release(offset)
    }

    fn sync(&self) -> io::Result<()> {
        let GatedFile(gate, file) = self;
        let mut state = gate.state.lock();
        state.waiting += 1;
        gate.changed.notify_all();
        while state.closed {
            gate.changed.wait(&mut state);
        }
        state.waiting -= 1;
        assert!(!gate.panics.load(Ordering::SeqCst), "the disk panics, as it was told to");
        let result = if gate.fails.load(Ordering::SeqCst) { Err(io::ErrorKind::Other.into()) } else { file.sync() };
        state.synced.push(thread::current().id());
        gate.changed.notify_all();
        result
    }

    fn forget_cache(&self) -> io::Result<()> {
        self.1.forget_cache()
    }

    fn read_ahead(&self) -> io::Result<()> {
        self.1.read_ahead()
    }

    fn map(&self) -> io::Result<Bytes> {
        self.1.map()
    }
}

impl Disk for GatedDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        OsDisk.create_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        OsDisk.list(dir)
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        OsDisk.entry(path)
    }

    fn file_len(&self, file: &Path) -> io::Result<Option<u64>> {
        OsDisk.file_len(file)
    }

    fn open(&self, file: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.gated(file, OsDisk.open(file, access)?))
    }

    fn create(&self, file: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.gated(file, OsDisk.create(file)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsDisk.rename(from, to)
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        OsDisk.remove(file)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        OsDisk.sync_dir(dir)
    }

    fn lock(&self, file: &Path) -> io::Result<Result<Box<dyn DiskLock>, Holder>> {
        OsDisk.lock(file)
    }

    fn lock_shared(&self, file: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        OsDisk.lock_shared(file)
    }

    fn shared_word(&self, file: &Path, offset: u64, access: Access) -> io::Result<Arc<dyn SharedWord>> {
        OsDisk.shared_word(file, offset, access)
    }

    fn now(&self) -> Timestamp {
        OsDisk.now()
    }

    fn monotonic(&self) -> Duration {
        OsDisk.monotonic()
    }

    fn random(&self) -> [u8; 16] {
        OsDisk.random()
    }

    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn DiskThread>> {
        OsDisk.spawn(name, body)
    }
}
