//! A disk in memory, at each of whose operations on the log somebody else may go on.
//!
//! It knows what has been synced, and nothing of the engine: whether an event is durable is found out by looking for it in the bytes of
//! which a sync has returned.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use shuttle::rand::{RngCore, thread_rng};

use super::{
    file::{Content, ModelFile},
    thread::ModelThread,
};
use crate::{
    disk::{Access, Disk, DiskFile, DiskLock, DiskThread, Entry, SharedWord, Step},
    error::Holder,
    event::Timestamp,
};

/// What stands in front of the number of an event in its payload.
const MARK: &[u8] = b"<<fact ";

/// The payload of an event that [`ModelDisk::synced`] recognises.
pub(super) fn payload(number: u64, bytes: usize) -> Vec<u8> {
    let mut payload = MARK.to_vec();
    payload.extend_from_slice(&number.to_be_bytes());
    payload.resize(bytes.max(payload.len()), b'.');
    payload
}

/// The number of an event, from its payload.
pub(super) fn number(payload: &[u8]) -> u64 {
    u64::from_be_bytes(payload[MARK.len()..][..8].try_into().unwrap())
}

/// What the disk panics with, when it was told to.
pub(super) const PLANNED: &str = "the disk panics, as it was told to";

/// Where the published position lies in its file.
const PUBLISHED: u64 = 64;

/// What happens to a sync or write of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strike {
    FailedSync,
    FailedWrite,
    /// In the sync.
    Panic,
    /// A new segment does not get its name.
    FailedBeginning,
    /// Instead of giving a new segment its name.
    PanicInBeginning,
}

#[derive(Clone, Debug)]
pub(super) struct ModelDisk(Arc<Shared>);

#[derive(Default)]
struct Shared {
    files: Mutex<BTreeMap<PathBuf, Arc<Mutex<Content>>>>,
    dirs: Mutex<BTreeSet<PathBuf>>,
    words: Mutex<BTreeMap<(PathBuf, u64), Arc<AtomicU64>>>,
    /// Microseconds.
    clock: AtomicU64,
    random: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// From now on others may come between.
    met: bool,
    /// The n-th from now.
    strike: Option<(Strike, u64)>,
    /// One has struck.
    struck: bool,
    /// It was a write or sync: no sync means anything from now on, and each says that all is well.
    lies: bool,
    writes: u64,
    /// The store is open.
    held: bool,
    syncs: u64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl ModelDisk {
    pub(super) fn new() -> ModelDisk {
        ModelDisk(Arc::default())
    }

    /// From now on others may come between.
    pub(super) fn meet(&self) {
        self.0.state.lock().met = true;
    }

    /// The n-th write or sync of a segment from now on, counted from 1, goes wrong.
    pub(super) fn strike(&self, strike: Strike, number: u64) {
        self.0.state.lock().strike = Some((strike, number));
    }

    /// Whether the store is closed.
    pub(super) fn is_given_back(&self) -> bool {
        !self.0.state.lock().held
    }

    /// Nothing goes wrong any more.
    pub(super) fn calm(&self) {
        self.0.state.lock().strike = None;
    }

    pub(super) fn struck(&self) -> bool {
        self.0.state.lock().struck
    }

    /// How many writes and syncs of segments there were.
    pub(super) fn operations(&self) -> (u64, u64) {
        let state = self.0.state.lock();
        (state.writes, state.syncs)
    }

    /// The numbers of all events in bytes of which a sync has returned.
    pub(super) fn synced(&self) -> BTreeSet<u64> {
        let files = self.0.files.lock();
        let segments = files.iter().filter(|(path, _)| is_segment(path));
        let mut numbers = BTreeSet::new();
        for (_, content) in segments {
            let content = content.lock();
            let mut rest = &*content.synced;
            while let Some(at) = rest.iter().position(|byte| *byte == MARK[0]) {
                if rest[at..].starts_with(MARK) {
                    numbers.insert(number(&rest[at..]));
                }
                rest = &rest[at + 1..];
            }
        }
        numbers
    }

    /// Whoever meets here: somebody else may go on.
    pub(super) fn point() {
        shuttle::sync::atomic::AtomicBool::new(false).load(Ordering::SeqCst);
    }

    /// Something is done to the log.
    pub(super) fn point_at(&self, path: &Path) {
        if self.0.state.lock().met && path.parent().is_some_and(|dir| dir.ends_with("log")) {
            ModelDisk::point();
        }
    }

    /// A write or sync of a segment is counted; whether it is to go wrong, and how.
    pub(super) fn strikes(&self, writes: bool) -> Option<Strike> {
        let mut state = self.0.state.lock();
        let count = if writes { &mut state.writes } else { &mut state.syncs };
        *count += 1;
        let ways = if writes { &[Strike::FailedWrite][..] } else { &[Strike::FailedSync, Strike::Panic] };
        let strike = state.strikes(ways)?;
        state.lies = true;
        Some(strike)
    }

    /// Whether no sync of a segment means anything any more.
    pub(super) fn lies(&self) -> bool {
        self.0.state.lock().lies
    }

    /// So much time passes.
    pub(super) fn pass(&self, time: Duration) {
        self.0.clock.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
    }

    /// Whether it is the content of a segment now.
    pub(super) fn is_content_of_segment(&self, content: &Arc<Mutex<Content>>) -> bool {
        let files = self.0.files.lock();
        files.iter().any(|(path, other)| is_segment(path) && Arc::ptr_eq(other, content))
    }

    /// Whether the beginning of a segment is to go wrong.
    fn begins(&self, name: &Path) -> io::Result<()> {
        if !is_segment(name) {
            return Ok(());
        }
        let strike = self.0.state.lock().strikes(&[Strike::FailedBeginning, Strike::PanicInBeginning]);
        match strike {
            None => Ok(()),
            Some(Strike::PanicInBeginning) => resume_unwind(Box::new(PLANNED)),
            Some(_) => Err(io::ErrorKind::Other.into()),
        }
    }

    fn content(&self, path: &Path) -> io::Result<Arc<Mutex<Content>>> {
        self.0.files.lock().get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "seg")
}

/// Once in so many times.
pub(super) fn chance(of: u64) -> bool {
    thread_rng().next_u64().is_multiple_of(of)
}

impl State {
    /// Counts what may go wrong in one of these ways; whether it is to.
    fn strikes(&mut self, ways: &[Strike]) -> Option<Strike> {
        let (strike, left) = self.strike.as_mut()?;
        let strike = *strike;
        if !ways.contains(&strike) {
            return None;
        }
        *left -= 1;
        if *left > 0 {
            return None;
        }
        self.strike = None;
        self.struck = true;
        Some(strike)
    }
}

impl Disk for ModelDisk {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.dirs.lock().insert(dir.to_owned());
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let files = self.0.files.lock();
        let names = files.keys().filter(|path| path.parent() == Some(dir)).filter_map(|path| path.file_name());
        Ok(names.map(|name| name.to_string_lossy().into_owned()).collect())
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        let is_file = self.0.files.lock().contains_key(path).then_some(Entry::File);
        Ok(is_file.or_else(|| self.0.dirs.lock().contains(path).then_some(Entry::Directory)))
    }

    fn file_len(&self, file: &Path) -> io::Result<Option<u64>> {
        Ok(self.content(file).ok().map(|content| content.lock().len))
    }

    fn open(&self, file: &Path, _: Access) -> io::Result<Arc<dyn DiskFile>> {
        let content = self.content(file)?;
        Ok(Arc::new(ModelFile { disk: self.clone(), path: file.to_owned(), content }))
    }

    fn create(&self, file: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.0.files.lock().insert(file.to_owned(), Arc::default());
        self.open(file, Access::ReadWrite)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.point_at(from);
        self.begins(to)?;
        let mut files = self.0.files.lock();
        let content = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        self.0.files.lock().remove(file).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.point_at(&dir.join("."));
        Ok(())
    }

    fn lock(&self, _: &Path) -> io::Result<Result<Box<dyn DiskLock>, Holder>> {
        let held = std::mem::replace(&mut self.0.state.lock().held, true);
        Ok(if held { Err(Holder::Unknown) } else { Ok(Box::new(Lock(self.0.clone()))) })
    }

    fn lock_shared(&self, _: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        Ok(None)
    }

    fn shared_word(&self, file: &Path, offset: u64, _: Access) -> io::Result<Arc<dyn SharedWord>> {
        let word = self.0.words.lock().entry((file.to_owned(), offset)).or_default().clone();
        Ok(Arc::new(Word { word, published: (offset == PUBLISHED).then(|| self.clone()) }))
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_micros(0)
    }

    /// Time passes in small steps and large ones, so that whoever waits for others may give up at any moment.
    fn monotonic(&self) -> Duration {
        let passed = if self.0.state.lock().met && chance(4) { 1000 } else { 1 };
        Duration::from_micros(self.0.clock.fetch_add(passed, Ordering::Relaxed) + passed)
    }

    fn random(&self) -> [u8; 16] {
        let number = self.0.random.fetch_add(1, Ordering::Relaxed) + 1;
        u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_le_bytes()
    }

    fn spawn(&self, name: &str, step: Step) -> io::Result<Arc<dyn DiskThread>> {
        Ok(Arc::new(ModelThread::start(name, step, self)?))
    }
}

#[derive(Debug)]
struct Lock(Arc<Shared>);

impl DiskLock for Lock {}

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.state.lock().held = false;
    }
}

#[derive(Debug)]
struct Word {
    word: Arc<AtomicU64>,
    /// The disk, if it is the word in which the durable position is published.
    published: Option<ModelDisk>,
}

impl SharedWord for Word {
    fn load(&self) -> u64 {
        self.word.load(Ordering::SeqCst)
    }

    fn store(&self, word: u64) {
        if let Some(disk) = &self.published {
            assert!(disk.synced().len() as u64 >= word, "published to other processes before it is durable");
        }
        self.word.store(word, Ordering::SeqCst);
    }
}
