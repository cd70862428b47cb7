//! The disk of the operating system.
//!
//! Data goes through the standard library's positioned reads and writes. A map is made only of what is never written
//! again, or of the word that processes share: the two places in the crate for `unsafe`.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use memmap2::{Advice, Mmap, MmapOptions, MmapRaw};
use parking_lot::Mutex;

use super::{Access, Disk, DiskFile, DiskLock, DiskThread, Entry, SharedWord, Step};
use crate::{error::Holder, event::Timestamp};

/// A reader holds the lock for a moment, while it opens a store that nobody writes; a writer waits for it so long.
const WAIT_FOR_READERS: Duration = Duration::from_millis(200);

/// The real file system.
#[derive(Debug)]
pub(crate) struct OsDisk;

impl Disk for OsDisk {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        match fs::create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
            made => made,
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(Entry::File)),
            Ok(metadata) if metadata.is_dir() => Ok(Some(Entry::Directory)),
            Ok(_) => Ok(Some(Entry::Other)),
            Err(error) if is_absent(&error) => Ok(fs::symlink_metadata(path).is_ok().then_some(Entry::Other)),
            Err(error) => Err(error),
        }
    }

    fn file_len(&self, file: &Path) -> io::Result<Option<u64>> {
        match fs::metadata(file) {
            Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn open(&self, file: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(access == Access::ReadWrite).open(file)?;
        Ok(Arc::new(OsFile(file)))
    }

    fn create(&self, file: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(file)?;
        Ok(Arc::new(OsFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        fs::remove_file(file)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, file: &Path) -> io::Result<Result<Box<dyn DiskLock>, Holder>> {
        let path = file;
        let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = open()?;
        let end = Instant::now() + WAIT_FOR_READERS;
        loop {
            match file.try_lock() {
                Ok(()) if is_named(&file, path)? => break,
                // A repair has set it aside meanwhile.
                Ok(()) => file = open()?,
                // It may be a reader that is just opening the store.
                Err(TryLockError::WouldBlock) if Instant::now() < end => thread::sleep(WAIT_FOR_READERS / 20),
                Err(TryLockError::WouldBlock) => return Ok(Err(read_holder(&mut file))),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        // Whose lock it is helps a reader of the error message only, so a full disk does not stop us here.
        let _ = write_holder(&mut file);
        Ok(Ok(Box::new(OsWriterLock(file))))
    }

    fn lock_shared(&self, file: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        // What is no file is nobody's lock, and opening it may wait for ever.
        if self.entry(file)? != Some(Entry::File) {
            return Ok(Some(Box::new(NoLock)));
        }
        let file = match File::open(file) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Box::new(NoLock))),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(Box::new(OsLock(file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn shared_word(&self, file: &Path, offset: u64, access: Access) -> io::Result<Arc<dyn SharedWord>> {
        let write = access == Access::ReadWrite;
        let file = OpenOptions::new().read(true).write(write).open(file)?;
        let map =
            if write { MmapOptions::new().map_raw(&file)? } else { MmapOptions::new().map_raw_read_only(&file)? };
        match usize::try_from(offset) {
            Ok(offset) if offset % 8 == 0 && offset.checked_add(8).is_some_and(|end| end <= map.len()) => {
                Ok(Arc::new(OsWord { map, offset }))
            }
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }

    fn random(&self) -> [u8; 16] {
        uuid::Uuid::new_v4().into_bytes()
    }

    fn spawn(&self, name: &str, step: Step) -> io::Result<Arc<dyn DiskThread>> {
        // One place is enough: whoever finds it taken has been asked for already.
        let (asks, asked) = bounded(1);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || serve(&asked, step))?;
        Ok(Arc::new(OsThread { asks: Mutex::new(Some(asks)), thread: Mutex::new(Some(thread)) }))
    }
}

/// Nothing is there, or a file is where the path wants a directory.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Whether a path still names this file.
fn is_named(file: &File, path: &Path) -> io::Result<bool> {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match fs::metadata(path) {
        Ok(named) => Ok(identity(named) == identity(file.metadata()?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn write_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn read_holder(file: &mut File) -> Holder {
    let mut text = String::new();
    match file.take(32).read_to_string(&mut text) {
        Ok(_) => text.trim().parse().map_or(Holder::Unknown, Holder::Process),
        Err(_) => Holder::Unknown,
    }
}

#[derive(Debug)]
struct OsFile(File);

impl DiskFile for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        match rustix::fs::fallocate(&self.0, rustix::fs::FallocateFlags::empty(), 0, len) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
        self.0.set_len(len)
    }

    #[cfg(target_os = "linux")]
    fn release(&self, offset: u64) -> io::Result<()> {
        use rustix::fs::FallocateFlags;
        let rest = self.len()?.saturating_sub(offset);
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(&self.0, flags, offset, rest) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn forget_cache(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        rustix::fs::fadvise(&self.0, 0, None, rustix::fs::Advice::DontNeed)?;
        Ok(())
    }

    fn read_ahead(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        rustix::fs::fadvise(&self.0, 0, None, rustix::fs::Advice::WillNeed)?;
        Ok(())
    }

    fn map(&self) -> io::Result<Bytes> {
        Ok(Bytes::from_owner(self.mapped()?))
    }

    fn map_in_order(&self) -> io::Result<Bytes> {
        let map = self.mapped()?;
        // Without the advice it is the same, only slower.
        let _ = map.advise(Advice::Sequential);
        Ok(Bytes::from_owner(map))
    }
}

impl OsFile {
    fn mapped(&self) -> io::Result<Mmap> {
        #[allow(unsafe_code)]
        // SAFETY: the caller vouches that the bytes it reads through the map never change and that the file is never
        // shortened (see `DiskFile::map`). The store appends behind what it reads, writes a page again only with the
        // same bytes where those lie, and truncates no segment. What a foreign program may do is in docs/design.md.
        unsafe {
            Mmap::map(&self.0)
        }
    }
}

/// A word in a map of a file.
#[derive(Debug)]
struct OsWord {
    map: MmapRaw,
    /// A multiple of eight, with eight bytes of the map behind it.
    offset: usize,
}

impl OsWord {
    fn word(&self) -> &AtomicU64 {
        // SAFETY: the pointer is within the map (checked when this was made), aligned (the map begins at a page, the offset
        // is a multiple of eight), valid as long as `self`, and nobody uses these bytes other than as an atomic word.
        #[allow(unsafe_code)]
        unsafe {
            AtomicU64::from_ptr(self.map.as_mut_ptr().add(self.offset).cast())
        }
    }
}

impl SharedWord for OsWord {
    fn load(&self) -> u64 {
        u64::from_le(self.word().load(Ordering::Acquire))
    }

    fn store(&self, word: u64) {
        self.word().store(word.to_le(), Ordering::Release);
    }
}

/// What stands for the lock where there is no file to lock.
#[derive(Debug)]
struct NoLock;

impl DiskLock for NoLock {}

/// Holding the open file holds the lock.
#[derive(Debug)]
struct OsLock(#[allow(dead_code)] File);

/// The lock of a writer, whose process id is in the file as long as it is held.
#[derive(Debug)]
struct OsWriterLock(File);

impl DiskLock for OsWriterLock {}

impl Drop for OsWriterLock {
    fn drop(&mut self) {
        // Who cannot clear it leaves the id of a process that is gone, as one that was killed does.
        let _ = self.0.set_len(0);
    }
}

impl DiskLock for OsLock {}

/// Takes a step whenever it is asked, or when the time has come that the step before named.
fn serve(asked: &Receiver<()>, mut step: Step) {
    let mut again = None;
    loop {
        let ask = match again {
            Some(after) => asked.recv_timeout(after),
            None => asked.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        if ask == Err(RecvTimeoutError::Disconnected) {
            return;
        }
        again = step();
    }
}

#[derive(Debug)]
struct OsThread {
    /// Dropped to end the thread.
    asks: Mutex<Option<Sender<()>>>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

impl DiskThread for OsThread {
    fn ask(&self) {
        if let Some(asks) = &*self.asks.lock() {
            let _ = asks.try_send(());
        }
    }

    fn join(&self) -> bool {
        self.asks.lock().take();
        let thread = self.thread.lock().take();
        thread.is_none_or(|thread| thread.join().is_ok())
    }
}
