//! The group commit: one writer at a time leads, the others share its sync.
//!
//! ```text
//!   append --lock--> [ sequencer: next position, end of the segment, buffer being filled ] --all there?--> lead
//!                                          |                                                                |
//!                                          | somebody writes, or others are        take the buffer, unlock, write, sync
//!                                          | expected: see `gather`                                         |
//!                                          v                                                                v
//!                              sleep, or suspend the task <------------------------- publish `durable`, wake
//! ```
//!
//! Invariants:
//!
//! - positions, versions and bytes in the buffer are given out under the sequencer's lock, in one order;
//! - the lock is never held during a write, a sync or the beginning of a segment: a task may take it;
//! - a lone writer leads its own commit: no other thread is involved;
//! - `durable` grows only after the sync that made it true, and before anyone is woken; `visible` is the same, except
//!   in a relaxed log, where it grows after the write;
//! - one batch is on its way at a time, and one sync: an error cannot hide in another thread's sync of the same file;
//! - the buffer begins at a page's start and carries the bytes of that page that are written already: only whole pages
//!   are written, and never other bytes than before where written ones lie;
//! - after a failed write or sync, or a panic on the way, nothing more is written or acknowledged: every waiter and every later append hears
//!   "outcome unknown", and nothing is retried.

use std::{fmt, mem, sync::Arc, time::Duration};

use super::{
    committer::Signal,
    draft::Draft,
    gather::Gather,
    segment::{End, PAGE, Segment},
    waiter::{Waiter, Waiting, Wake},
};
use crate::{
    disk::{Disk, SharedWord, planted},
    error::{Error, Result},
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    version::Position,
};

/// Where a model checker tries how threads meet, a few appends are many.
const FEW_BYTES: bool = cfg!(all(test, feature = "shuttle"));

/// An append waits before it adds to a buffer that is larger than this.
pub(super) const BUFFER_BYTES: usize = if FEW_BYTES { 8 << 10 } else { 16 << 20 };

/// Appends that nobody waits for are written when there are more than so many bytes of them.
const PRESSING_BYTES: usize = if FEW_BYTES { 4 << 10 } else { 1 << 20 };

/// A relaxed log is synced when so much was written since the last time, while more is added: the disk works while the
/// processor does, and the sync that must be waited for, at the end of a segment, has little left to do.
const UNSYNCED_BYTES: usize = 8 << 20;

/// A buffer larger than this is not kept for reuse.
const KEPT_BUFFER_BYTES: usize = 4 << 20;

/// The segment that is written to, and how far.
#[derive(Clone, Debug)]
pub(super) struct Active {
    pub(super) segment: Arc<Segment>,
    /// Behind the newest sequenced record.
    pub(super) end: End,
    /// Its file was only allocated by this session, and not filled with zeros.
    pub(super) bulk: bool,
}

impl Active {
    /// Gives the unused rest of the file back. That it cannot be is no news: it is there for nothing, as it was before.
    pub(super) fn release_rest(&self) {
        let rest = self.end.offset.next_multiple_of(PAGE);
        if rest < self.segment.header.bytes {
            let _ = self.segment.file.release(rest);
        }
    }
}

/// What is filled while the batch before is on its way.
#[derive(Debug, Default)]
pub(super) struct Filling {
    /// Where the bytes go: a multiple of the page size.
    offset: u64,
    /// From the start of the page on.
    bytes: Vec<u8>,
    /// Whether there is more than the carried bytes.
    pub(super) begun: bool,
    /// How many wait for an append of theirs in it.
    pub(super) writers: usize,
    /// Whether the committer must see to it, unless a thread does: tasks wait for it, or somebody gave up waiting.
    pub(super) wanted: bool,
    pub(super) waiting: Waiting,
    /// What the records in it are about, for the observer.
    topics: Vec<u64>,
}

/// Who waits for the batch that is being written.
#[derive(Debug)]
pub(super) struct Flight {
    /// Its last position.
    pub(super) last: Position,
    pub(super) writers: usize,
    pub(super) waiting: Waiting,
    topics: Vec<u64>,
}

/// Hears of what becomes visible.
pub(crate) trait Observer: fmt::Debug + Send + Sync {
    /// Records about these topics have become visible.
    fn published(&self, topics: &[u64]);

    /// Nothing more will become visible.
    fn failed(&self);

    /// A batch has been written, and synced unless the log is relaxed.
    fn committed(&self, batch: Committed);
}

/// What a batch was, for whoever counts.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "server"), allow(dead_code, reason = "only a server counts"))]
pub(crate) struct Committed {
    /// Records in it.
    pub(crate) records: u64,
    /// Bytes that were written, whole pages.
    pub(crate) bytes: usize,
    /// How long writing and syncing took.
    pub(crate) time: Duration,
}

/// What the lock guards.
#[derive(Debug)]
pub(super) struct Sequencer {
    /// The position of the next record.
    pub(super) next: Position,
    /// `None` until the first append, and after recovery dropped a torn tail.
    pub(super) active: Option<Active>,
    pub(super) filling: Filling,
    /// The batch that is being written.
    pub(super) flying: Option<Flight>,
    pub(super) gather: Gather,
    /// Somebody needs the log to stand still: nothing is sequenced until this is taken back.
    pub(super) held: bool,
    /// A relaxed log is being synced.
    pub(super) syncing: bool,
    /// How many bytes of a relaxed log were written since the last sync began.
    pub(super) unsynced_bytes: usize,
    /// Tasks that wait for a relaxed log to be synced.
    pub(super) unsynced: Vec<Arc<Waiter>>,
    /// Tasks that wait for room in the buffer.
    pub(super) queued: Vec<Arc<Waiter>>,
    /// Bytes of the appends that the committer has been given to sequence.
    pub(super) parked: usize,
    /// The buffer of the batch before, to be used again.
    spare: Vec<u8>,
    poison: Option<Arc<str>>,
}

impl Sequencer {
    pub(super) fn check(&self) -> Result<()> {
        match &self.poison {
            Some(reason) => Err(Error::OutcomeUnknown { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Whether the buffer is over its bound.
    pub(super) fn is_full(&self) -> bool {
        self.filling.bytes.len() > BUFFER_BYTES
    }

    /// Whether the buffer holds enough to be written while more is added, and nothing is being written.
    pub(super) fn is_pressing(&self) -> bool {
        self.flying.is_none() && self.filling.bytes.len() > PRESSING_BYTES
    }

    /// Whether a task's append must wait for room.
    pub(super) fn is_crowded(&self) -> bool {
        self.filling.bytes.len() + self.parked > BUFFER_BYTES
    }

    /// Nothing is known of the last writes: nothing goes on. Returns all who must hear of it.
    pub(super) fn fail(&mut self, reason: &dyn fmt::Display) -> Waiting {
        self.poison.get_or_insert_with(|| reason.to_string().into());
        let mut waiting = mem::take(&mut self.filling.waiting);
        if planted!(ForgetWaiterAfterError) {
            waiting.own.pop();
        }
        waiting.own.append(&mut self.unsynced);
        waiting.own.append(&mut self.queued);
        waiting
    }

    /// Makes `active` the segment that is written to. Nothing may be waiting to be written.
    pub(super) fn begin(&mut self, active: Active) -> Result<()> {
        let start = active.end.offset / PAGE * PAGE;
        let carried = active.segment.piece(start, active.end.offset - start)?;
        active.segment.readable_to(active.end.offset);
        self.filling.offset = start;
        self.filling.bytes.clear();
        self.filling.bytes.extend_from_slice(&carried);
        self.active = Some(active);
        Ok(())
    }

    /// Takes what the buffer holds, and begins a new buffer with the tail page that both share.
    fn take(&mut self) -> Option<Batch> {
        let Sequencer { next, active: Some(active), filling, spare, flying, gather, .. } = self else { return None };
        if !filling.begun || flying.is_some() {
            return None;
        }
        let mut bytes = mem::replace(&mut filling.bytes, mem::take(spare));
        let offset = filling.offset;
        let whole = bytes.len() / PAGE as usize * PAGE as usize;
        filling.bytes.extend_from_slice(&bytes[whole..]);
        filling.offset = offset + whole as u64;
        filling.begun = false;
        filling.wanted = false;
        gather.watched = false;
        let last = next.previous();
        let (writers, waiting) = (mem::take(&mut filling.writers), mem::take(&mut filling.waiting));
        let topics = mem::take(&mut filling.topics);
        *flying = Some(Flight { last, writers, waiting, topics });
        let end = offset + bytes.len() as u64;
        bytes.resize(bytes.len().next_multiple_of(PAGE as usize), 0);
        Some(Batch { segment: active.segment.clone(), offset, bytes, end, last })
    }
}

/// A batch on its way to the disk.
struct Batch {
    segment: Arc<Segment>,
    offset: u64,
    bytes: Vec<u8>,
    /// Behind its last record, in the segment.
    end: u64,
    last: Position,
}

impl Batch {
    fn write(&self, relaxed: bool) -> Result<()> {
        let Batch { segment, offset, bytes, .. } = self;
        segment.file.write_at(bytes, *offset).map_err(|error| segment.io("write", error))?;
        if relaxed || planted!(AcknowledgeBeforeSync) {
            return Ok(());
        }
        let mut synced = segment.file.sync();
        if synced.is_err() && planted!(RetryFailedSync) {
            synced = segment.file.sync();
        }
        synced.map_err(|error| segment.io("sync", error))
    }
}

/// The commit of a log.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) disk: Arc<dyn Disk>,
    /// Appends are acknowledged when they are written, and synced later.
    pub(super) relaxed: bool,
    sequencer: Mutex<Sequencer>,
    /// Signalled when a batch has been written, a sync is over or the log goes on, for threads that wait for such.
    pub(super) changed: Condvar,
    pub(super) signal: Signal,
    observer: Arc<dyn Observer>,
    /// Where other processes see what is durable.
    published: Option<Arc<dyn SharedWord>>,
    pub(super) durable: AtomicU64,
    pub(super) visible: AtomicU64,
    /// How many batches have been begun.
    pub(super) batches: AtomicU64,
}

impl Commit {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        relaxed: bool,
        observer: Arc<dyn Observer>,
        published: Option<Arc<dyn SharedWord>>,
        next: Position,
        active: Option<Active>,
    ) -> Result<Commit> {
        let mut sequencer = Sequencer {
            next,
            active: None,
            filling: Filling::default(),
            flying: None,
            gather: Gather::default(),
            held: false,
            syncing: false,
            unsynced_bytes: 0,
            unsynced: Vec::new(),
            queued: Vec::new(),
            parked: 0,
            spare: Vec::new(),
            poison: None,
        };
        if let Some(active) = active {
            sequencer.begin(active)?;
        }
        let reached = next.previous().get();
        if let Some(word) = &published {
            word.store(reached);
        }
        Ok(Commit {
            disk,
            relaxed,
            observer,
            published,
            sequencer: Mutex::new(sequencer),
            changed: Condvar::new(),
            signal: Signal::default(),
            durable: AtomicU64::new(reached),
            visible: AtomicU64::new(reached),
            batches: AtomicU64::new(0),
        })
    }

    /// Everything up to here is on the disk.
    pub(super) fn durable(&self) -> Position {
        Position::new(self.durable.load(Ordering::Acquire))
    }

    /// Everything up to here has been acknowledged and may be read.
    pub(super) fn visible(&self) -> Position {
        Position::new(self.visible.load(Ordering::Acquire))
    }

    /// Takes the lock, whatever the state of the log.
    pub(super) fn look(&self) -> MutexGuard<'_, Sequencer> {
        self.sequencer.lock()
    }

    /// Takes the lock to sequence something, when the log goes on and the buffer has room.
    pub(super) fn lock(&self) -> Result<MutexGuard<'_, Sequencer>> {
        let mut sequencer = self.look();
        loop {
            sequencer.check()?;
            if !sequencer.held && !sequencer.is_full() {
                return Ok(sequencer);
            }
            if sequencer.held || sequencer.flying.is_some() {
                self.changed.wait(&mut sequencer);
            } else {
                self.lead(sequencer);
                sequencer = self.look();
            }
        }
    }

    /// Gives the records of `draft` their positions and puts them into the buffer. The segment has room for them.
    pub(super) fn sequence(&self, sequencer: &mut Sequencer, draft: &mut Draft, topics: &[u64]) {
        let durable = self.durable();
        let Sequencer { next, active: Some(active), filling, .. } = sequencer else { return };
        active.end.checksum = draft.place(active.segment.header.salt, *next, durable);
        active.end.offset += draft.footprint() as u64;
        *next = next.plus(draft.len() as u64);
        filling.bytes.extend_from_slice(draft.bytes());
        filling.topics.extend_from_slice(topics);
        filling.begun = true;
    }

    /// Writes and syncs what the buffer holds, publishes it, and wakes those who waited for it.
    pub(super) fn lead(&self, mut sequencer: MutexGuard<'_, Sequencer>) {
        let Some(mut batch) = sequencer.take() else { return };
        self.batches.fetch_add(1, Ordering::Release);
        drop(sequencer);
        let (begun, written, now) = self.or_fail(|| {
            let begun = self.disk.monotonic();
            (begun, batch.write(self.relaxed), self.disk.monotonic())
        });

        let mut sequencer = self.look();
        let (writers, mut decided, topics) = match sequencer.flying.take() {
            Some(flight) => (flight.writers, flight.waiting, flight.topics),
            None => (0, Waiting::default(), Vec::new()),
        };
        let failed = written.is_err();
        let (time, records) = (now.saturating_sub(begun), batch.last.get() - self.visible.load(Ordering::Relaxed));
        let committed = Committed { records, bytes: batch.bytes.len(), time };
        let mut successor = None;
        match written {
            Ok(()) => {
                if planted!(TellFollowersBeforePublishing) {
                    self.observer.published(&topics);
                }
                batch.segment.written(batch.offset, &batch.bytes[..(batch.end - batch.offset) as usize]);
                if !planted!(PublishAfterWaking) {
                    self.publish(batch.last);
                }
                if self.relaxed {
                    sequencer.unsynced_bytes += batch.bytes.len();
                    self.signal.sync_later(now, sequencer.unsynced_bytes > UNSYNCED_BYTES);
                }
                let writers = if self.relaxed { 0 } else { writers + sequencer.filling.writers };
                sequencer.gather.landed(now, time, writers);
                if batch.bytes.capacity() <= KEPT_BUFFER_BYTES {
                    batch.bytes.clear();
                    sequencer.spare = batch.bytes;
                }
                if sequencer.filling.begun {
                    successor = sequencer.filling.waiting.successor();
                    if successor.is_none() && sequencer.filling.wanted && !planted!(ForgetWantedBatch) {
                        self.signal.lead();
                    }
                }
                if !sequencer.is_crowded() && !planted!(ForgetThoseWhoWaitForRoom) {
                    decided.own.append(&mut sequencer.queued);
                }
            }
            Err(error) => decided.append(sequencer.fail(&error)),
        }
        drop(sequencer);
        self.changed.notify_all();
        // The next leader first: the disk is idle until it runs.
        if let Some(successor) = successor {
            successor.wake(Wake::Lead);
        }
        decided.wake();
        if planted!(PublishAfterWaking) && !failed {
            self.publish(batch.last);
        }
        if failed {
            self.observer.failed();
        } else {
            if !planted!(TellFollowersBeforePublishing) {
                self.observer.published(&topics);
            }
            self.observer.committed(committed);
        }
    }

    /// Does what others wait for, without the lock. If it panics, they hear of it.
    pub(super) fn or_fail<T>(&self, work: impl FnOnce() -> T) -> T {
        let guard = Unwinding(self);
        let done = work();
        mem::forget(guard);
        done
    }

    /// A thread has panicked that did something for all: nothing goes on, and everybody hears of it.
    pub(super) fn give_up(&self) {
        self.poison(&"a thread that wrote for all others panicked");
    }

    /// Nothing goes on: every waiter and every later append hears "outcome unknown".
    pub(super) fn poison(&self, reason: &dyn fmt::Display) {
        let mut sequencer = self.look();
        let mut waiting = sequencer.fail(reason);
        if let Some(flight) = sequencer.flying.take() {
            waiting.append(flight.waiting);
        }
        sequencer.syncing = false;
        drop(sequencer);
        self.changed.notify_all();
        waiting.wake();
        self.observer.failed();
    }

    fn publish(&self, last: Position) {
        if !self.relaxed {
            self.is_durable(last);
        }
        self.visible.store(last.get(), Ordering::Release);
    }

    /// Everything up to here is on the disk: other processes may read it.
    pub(super) fn is_durable(&self, last: Position) {
        let before = self.durable.fetch_max(last.get(), Ordering::AcqRel);
        if let Some(word) = &self.published {
            word.store(before.max(last.get()));
        }
    }

    /// The process that writes has made everything durable up to here.
    pub(super) fn follow_to(&self, last: Position) {
        self.durable.store(last.get(), Ordering::Release);
        self.visible.store(last.get(), Ordering::Release);
    }
}

/// Dropped when a thread panics that writes or syncs for all.
struct Unwinding<'a>(&'a Commit);

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        self.0.give_up();
    }
}
