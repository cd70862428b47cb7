//! A disk that lies: the real code of the store runs on it, in memory, and it does what disks do.
//!
//! ```text
//!   store --> [ cache ] --sync--> [ durable ]        what a power cut leaves: durable, and of all that waits for a sync
//!                 |  pending writes, names               some, in parts and in any order
//!                 +--> what a kill leaves: everything
//! ```
//!
//! From one seed follows everything: when the steps of other threads are taken, the clock, random numbers, which of the unsynced writes
//! survive. So a run that failed fails again. What it may do to unsynced writes is what `docs/design.md` assumes of a disk, and no
//! less: each 512-byte sector is old or new, a length may be there without the data and then hold anything, a name may be there
//! without its file's content and the other way round.
//!
//! - [`SimDisk`] counts its operations and keeps a [`Moment`] of each, if asked to: the state of the disk before it. Each can be
//!   cut off from the power or killed many times over ([`Image`]), and the store opened on what is left.
//! - A [`Fault`] makes operations fail, or do something else than they say.
//! - Only this and the tests for it are compiled with the feature `sim`; nothing of it is in a store that is used.

mod chance;
mod content;
mod fault;
mod gate;
mod image;
mod ops;
mod tally;
mod thread;
mod tree;

use std::{
    collections::HashSet,
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::ThreadId,
    time::Duration,
};

use parking_lot::Mutex;

pub use chance::Chance;
pub use fault::{Fault, FaultKind};
pub use image::{Image, Moment};
pub use tally::Tally;

use fault::Armed;
use gate::Gate;
use thread::SimThread;
use tree::Tree;

/// A simulated disk. All clones are the same one.
#[derive(Clone)]
pub struct SimDisk(Arc<Shared>);

struct Shared {
    inner: Mutex<Inner>,
    threads: Mutex<Vec<Arc<SimThread>>>,
    /// Threads are those of the system, and run when they like.
    free: bool,
    /// A step that comes between is being taken.
    between: AtomicBool,
    mark: AtomicU64,
    gate: Gate,
}

struct Inner {
    tree: Tree,
    chance: Chance,
    clock: Duration,
    /// Microseconds since 1970.
    wall: i64,
    jumps: bool,
    operations: u64,
    faults: Vec<Armed>,
    struck: u64,
    /// What was asked for that changes something.
    trace: Vec<String>,
    /// What is kept of each operation.
    moments: Option<Vec<Moment>>,
    cut_at: Option<u64>,
    cut: Option<Moment>,
    violations: Vec<String>,
    locks: HashSet<PathBuf>,
    tally: Tally,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimDisk")
    }
}

impl SimDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> SimDisk {
        SimDisk::with(Tree::new(), seed, false)
    }

    /// A disk for tests with real threads, which run when they like: only its faults and its gate are under control.
    pub fn with_threads() -> SimDisk {
        SimDisk::with(Tree::new(), 0, true)
    }

    fn with(tree: Tree, seed: u64, free: bool) -> SimDisk {
        let mut chance = Chance::seeded(seed);
        let wall = 1_700_000_000_000_000 + chance.below(1_000_000_000_000) as i64;
        let inner = Inner {
            tree,
            chance,
            clock: Duration::ZERO,
            wall,
            jumps: false,
            operations: 0,
            faults: Vec::new(),
            struck: 0,
            trace: Vec::new(),
            moments: None,
            cut_at: None,
            cut: None,
            violations: Vec::new(),
            locks: HashSet::new(),
            tally: Tally::default(),
        };
        SimDisk(Arc::new(Shared {
            inner: Mutex::new(inner),
            threads: Mutex::default(),
            free,
            between: AtomicBool::new(false),
            mark: AtomicU64::new(0),
            gate: Gate::default(),
        }))
    }

    /// What is on it and on its way there.
    pub fn image(&self) -> Image {
        Image(self.0.inner.lock().tree.clone())
    }

    /// From now on the state before each operation is kept that changes something, until [`SimDisk::moments`] takes them.
    pub fn keep_moments(&self) {
        self.0.inner.lock().moments = Some(Vec::new());
    }

    /// What was kept, the present state last.
    pub fn moments(&self) -> Vec<Moment> {
        let present = self.0.moment(&self.0.inner.lock(), "the end");
        let mut moments = self.0.inner.lock().moments.take().unwrap_or_default();
        moments.push(present);
        moments
    }

    /// A number that goes into the moments: how far whoever drives this has come.
    pub fn mark(&self, mark: u64) {
        self.0.mark.store(mark, Ordering::Relaxed);
    }

    /// At this operation, counted from 1, the power is cut: it and all later ones fail.
    pub fn cut_power_at(&self, operation: u64) {
        self.0.inner.lock().cut_at = Some(operation);
    }

    /// The moment when the power was cut.
    pub fn cut(&self) -> Option<Moment> {
        self.0.inner.lock().cut.clone()
    }

    /// Lets operations fail from now on; their numbers are counted from now.
    pub fn fault(&self, fault: Fault) {
        self.0.inner.lock().faults.push(Armed::new(fault));
    }

    /// No operation fails any more.
    pub fn end_faults(&self) {
        self.0.inner.lock().faults.clear();
    }

    /// How many operations have failed or gone astray.
    pub fn struck(&self) -> u64 {
        self.0.inner.lock().struck
    }

    /// How many operations there were.
    pub fn operations(&self) -> u64 {
        self.0.inner.lock().operations
    }

    /// What failed syncs have done to writes.
    pub fn tally(&self) -> Tally {
        self.0.inner.lock().tally
    }

    /// The operations that change something, in order, each with the name of its file; those that failed as well.
    pub fn trace(&self) -> Vec<String> {
        std::mem::take(&mut self.0.inner.lock().trace)
    }

    /// What the engine did that it promised the disk not to do.
    pub fn violations(&self) -> Vec<String> {
        self.0.inner.lock().violations.clone()
    }

    /// The clock of day jumps from now on, forwards and back.
    pub fn let_clock_jump(&self) {
        self.0.inner.lock().jumps = true;
    }

    /// Lets time go by.
    pub fn pass(&self, time: Duration) {
        self.0.inner.lock().clock += time;
    }

    /// Takes the steps of all threads, in the order that chance gives, until none has been asked for another.
    pub fn settle(&self) {
        loop {
            let now = self.0.inner.lock().clock;
            let due: Vec<_> = self.0.threads.lock().iter().filter(|thread| thread.is_due(now)).cloned().collect();
            if due.is_empty() {
                return;
            }
            let next = self.0.inner.lock().chance.below(due.len() as u64) as usize;
            if let Some(thread) = due.get(next) {
                self.0.step(thread);
            }
        }
    }
}

/// The gate in front of the syncs of the log's files.
impl SimDisk {
    /// From now on whoever syncs a file of the log stops in front of the gate.
    pub fn close_gate(&self) {
        self.0.gate.change(true);
    }

    /// Lets all pass.
    pub fn open_gate(&self) {
        self.0.gate.change(false);
    }

    /// Waits until somebody stands at the gate.
    pub fn await_arrival(&self) {
        self.0.gate.await_arrival();
    }

    /// Waits until there were so many syncs.
    pub fn await_syncs(&self, count: usize) {
        self.0.gate.await_syncs(count);
    }

    /// The threads that synced files of the log so far, once for each sync.
    pub fn synced(&self) -> Vec<ThreadId> {
        self.0.gate.synced()
    }

    /// From now on every sync of a file of the log panics.
    pub fn panic_in_syncs(&self) {
        self.0.gate.panic();
    }

    /// From now on every read of a file panics, or none any more.
    pub fn panic_in_reads(&self, panics: bool) {
        self.0.gate.panic_in_reads(panics);
    }

    /// From now on every sync of a file of the log fails.
    pub fn fail_syncs(&self) {
        self.0.gate.fail();
    }
}

impl Shared {
    fn moment(&self, inner: &Inner, before: &str) -> Moment {
        let image = Image(inner.tree.clone());
        Moment {
            operation: inner.operations,
            mark: self.mark.load(Ordering::Relaxed),
            before: before.to_owned(),
            image,
        }
    }

    fn step(&self, thread: &SimThread) {
        let between = thread.comes_between();
        let was_between = between && self.between.swap(true, Ordering::Relaxed);
        thread.take_step(|| self.inner.lock().clock);
        if between {
            self.between.store(was_between, Ordering::Relaxed);
        }
    }

    /// Takes the steps of other threads whose time has come.
    fn let_others(&self) {
        if self.free || self.between.load(Ordering::Relaxed) {
            return;
        }
        let now = self.inner.lock().clock;
        let others = self.threads.lock().clone();
        for thread in others.iter().filter(|thread| thread.comes_between() && thread.is_due(now)) {
            match thread.patience.load(Ordering::Relaxed) {
                0 => self.step(thread),
                left => thread.patience.store(left - 1, Ordering::Relaxed),
            }
        }
    }
}
