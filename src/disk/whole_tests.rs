use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use tempfile::TempDir;

use super::{
    super::{DiskFile, DiskLock, DiskThread, Entry, OsDisk, SharedWord},
    *,
};
use crate::{error::Holder, event::Timestamp};

/// Notes each change that it is asked for, and refuses one of them.
#[derive(Debug, Default)]
struct Watched(Arc<Watch>);

#[derive(Debug, Default)]
struct Watch {
    changes: Mutex<Vec<String>>,
    /// How many changes succeed before one is refused; 0 for all.
    refuse: AtomicUsize,
}

impl Watch {
    fn change(&self, what: &str, path: &Path) -> io::Result<()> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut changes = self.changes.lock();
        changes.push(format!("{what} {name}"));
        if changes.len() == self.refuse.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

#[derive(Debug)]
struct WatchedFile(Arc<dyn DiskFile>, Arc<Watch>, PathBuf);

impl Disk for Watched {
    fn create(&self, file: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.0.change("create", file)?;
        Ok(Arc::new(WatchedFile(OsDisk.create(file)?, self.0.clone(), file.to_owned())))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.change("rename", from)?;
        OsDisk.rename(from, to)
    }
    fn remove(&self, file: &Path) -> io::Result<()> {
        self.0.change("remove", file)?;
        OsDisk.remove(file)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.change("sync", Path::new("dir"))?;
        OsDisk.sync_dir(dir)
    }
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        OsDisk.make_dir(dir)
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
        OsDisk.open(file, access)
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
    fn monotonic(&self) -> std::time::Duration {
        OsDisk.monotonic()
    }
    fn random(&self) -> [u8; 16] {
        OsDisk.random()
    }
    fn spawn(&self, name: &str, step: super::super::Step) -> io::Result<Arc<dyn DiskThread>> {
        OsDisk.spawn(name, step)
    }
}

impl DiskFile for WatchedFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let change = self.1.change("write", &self.2);
        // A refused write may have written a part.
        self.0.write_at(if change.is_ok() { bytes } else { &bytes[..bytes.len() / 2] }, offset)?;
        change
    }
    fn sync(&self) -> io::Result<()> {
        self.1.change("sync", &self.2)?;
        self.0.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_at(buffer, offset)
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.0.allocate(len)
    }
    fn forget_cache(&self) -> io::Result<()> {
        self.0.forget_cache()
    }
    fn read_ahead(&self) -> io::Result<()> {
        self.0.read_ahead()
    }

    fn map(&self) -> io::Result<Bytes> {
        self.0.map()
    }
}

#[test]
fn a_file_is_replaced_as_a_whole_each_step_durable_before_the_next() {
    let dir = TempDir::new().unwrap();
    let (disk, path) = (Watched::default(), dir.path().join("file"));
    assert_eq!(read_file(&disk, &path, 9).unwrap(), Content::Missing);
    for content in [&b"first"[..], b"second", b""] {
        replace_file(&disk, &path, content).unwrap();
        assert_eq!(read_file(&disk, &path, 9).unwrap(), Content::Whole(content.to_vec()));
        assert_eq!(names(&disk, dir.path()).unwrap(), ["file"]);
        let changes = std::mem::take(&mut *disk.0.changes.lock());
        assert_eq!(changes, ["create file.new", "write file.new", "sync file.new", "rename file.new", "sync dir"]);
    }
    replace_file(&disk, &path, &[0; 10]).unwrap();
    assert_eq!(read_file(&disk, &path, 9).unwrap(), Content::TooLong(10));
    assert_eq!(names(&disk, &dir.path().join("none")).unwrap(), [""; 0]);
}

#[test]
fn whichever_step_fails_the_file_is_the_old_one_or_the_new_and_the_next_replacement_succeeds() {
    for step in 1..=5 {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "old content").unwrap();
        let disk = Watched::default();
        disk.0.refuse.store(step, Ordering::Relaxed);
        let error = replace_file(&disk, &path, b"new content").unwrap_err();
        // Only behind the rename can it be the new one, and then the error says that it may not be durable.
        let expected = if step == 5 { "new content" } else { "old content" };
        assert_eq!(fs::read_to_string(&path).unwrap(), expected, "step {step}");
        assert!(matches!(error, Error::NoSpace { .. }), "{error}");
        assert_eq!(names(&disk, dir.path()).unwrap(), ["file"], "step {step}");
        replace_file(&disk, &path, b"newer").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "newer");
    }
}
