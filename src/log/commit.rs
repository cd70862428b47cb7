//! The group commit: one writer at a time leads, the others share its sync.
//!
//! ```text
//!   append --lock--> [ sequencer: next position, end of the segment, buffer being filled ] --nobody writes?--> lead
//!                                          |                                                                   |
//!                                          | somebody writes                      take the buffer, unlock, write, sync
//!                                          v                                                                   |
//!                                        sleep <----------------- publish `durable`, wake -------------------- +
//! ```
//!
//! Invariants:
//!
//! - positions, versions and bytes in the buffer are given out under the sequencer's lock, in one order;
//! - a lone writer leads its own commit: no other thread is involved;
//! - `durable` grows only after the sync that made it true, and before anyone is woken;
//! - the buffer begins at a page's start and carries the bytes of that page that are durable already: only whole pages
//!   are written, and never other bytes than before where durable ones lie;
//! - after a failed write or sync nothing more is written or acknowledged: every waiter and every later append hears
//!   "outcome unknown", and nothing is retried.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{
    draft::Draft,
    segment::{End, PAGE, Segment},
    waiter::{Waiter, Wake},
};
use crate::{
    error::{Error, Result},
    version::Position,
};

/// An append waits before it adds to a buffer that is larger than this while another is being written.
const BUFFER_BYTES: usize = 64 << 20;

/// A buffer larger than this is not kept for reuse.
const KEPT_BUFFER_BYTES: usize = 4 << 20;

/// The segment that is written to, and how far.
#[derive(Clone, Debug)]
pub(super) struct Active {
    pub(super) segment: Arc<Segment>,
    /// Behind the newest sequenced record.
    pub(super) end: End,
}

/// What is filled while the batch before is on its way.
#[derive(Debug, Default)]
struct Filling {
    /// Where the bytes go: a multiple of the page size.
    offset: u64,
    /// From the start of the page on.
    bytes: Vec<u8>,
    /// Whether there is more than the carried bytes.
    begun: bool,
    waiters: Vec<Arc<Waiter>>,
}

/// What the lock guards.
#[derive(Debug)]
pub(super) struct Sequencer {
    /// The position of the next record.
    pub(super) next: Position,
    /// `None` until the first append, and after recovery dropped a torn tail.
    pub(super) active: Option<Active>,
    filling: Filling,
    /// The last position of the batch that is being written, while one is.
    flying: Option<Position>,
    flying_waiters: Vec<Arc<Waiter>>,
    /// The buffer of the batch before, to be used again.
    spare: Vec<u8>,
    poison: Option<Arc<str>>,
}

impl Sequencer {
    pub(super) fn poison(&mut self, error: &Error) {
        self.poison.get_or_insert_with(|| error.to_string().into());
    }

    fn check(&self) -> Result<()> {
        match &self.poison {
            Some(reason) => Err(Error::OutcomeUnknown { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Makes `active` the segment that is written to. Nothing may be waiting to be written.
    pub(super) fn begin(&mut self, active: Active) -> Result<()> {
        let start = active.end.offset / PAGE * PAGE;
        let carried = active.segment.piece(start, active.end.offset - start)?;
        self.filling.offset = start;
        self.filling.bytes.clear();
        self.filling.bytes.extend_from_slice(&carried);
        self.active = Some(active);
        Ok(())
    }
}

/// A batch on its way to the disk.
struct Batch {
    segment: Arc<Segment>,
    offset: u64,
    bytes: Vec<u8>,
    last: Position,
}

impl Batch {
    fn write(&self) -> Result<()> {
        let Batch { segment, offset, bytes, .. } = self;
        segment.file.write_at(bytes, *offset).map_err(|error| segment.io("write", error))?;
        segment.file.sync().map_err(|error| segment.io("sync", error))
    }
}

/// The commit of a log.
#[derive(Debug)]
pub(super) struct Commit {
    sequencer: Mutex<Sequencer>,
    /// Signalled when a batch has been written, for those who need nothing to be on its way.
    landed: Condvar,
    durable: AtomicU64,
}

impl Commit {
    pub(super) fn new(next: Position, active: Option<Active>) -> Result<Commit> {
        let mut sequencer = Sequencer {
            next,
            active: None,
            filling: Filling::default(),
            flying: None,
            flying_waiters: Vec::new(),
            spare: Vec::new(),
            poison: None,
        };
        if let Some(active) = active {
            sequencer.begin(active)?;
        }
        let durable = AtomicU64::new(next.previous().get());
        Ok(Commit { sequencer: Mutex::new(sequencer), landed: Condvar::new(), durable })
    }

    /// Everything up to here is on the disk.
    pub(super) fn durable(&self) -> Position {
        Position::new(self.durable.load(Ordering::Acquire))
    }

    /// Takes the lock, when the buffer has room.
    pub(super) fn lock(&self) -> Result<MutexGuard<'_, Sequencer>> {
        let mut sequencer = self.sequencer.lock();
        while sequencer.flying.is_some() && sequencer.filling.bytes.len() > BUFFER_BYTES {
            self.landed.wait(&mut sequencer);
        }
        sequencer.check()?;
        Ok(sequencer)
    }

    /// Takes the lock, when everything sequenced is on the disk. Fails once the log is poisoned.
    pub(super) fn lock_quiet<'a>(&'a self, sequencer: MutexGuard<'a, Sequencer>) -> Result<MutexGuard<'a, Sequencer>> {
        let mut sequencer = sequencer;
        loop {
            sequencer.check()?;
            if sequencer.flying.is_some() {
                self.landed.wait(&mut sequencer);
            } else if sequencer.filling.begun {
                self.lead(sequencer);
                sequencer = self.sequencer.lock();
            } else {
                return Ok(sequencer);
            }
        }
    }

    /// Gives the records of `draft` their positions and puts them into the buffer. The segment has room for them.
    /// Returns the offset in the segment of the first.
    pub(super) fn sequence(&self, sequencer: &mut Sequencer, draft: &mut Draft) -> u64 {
        let durable = self.durable();
        let Sequencer { next, active: Some(active), filling, .. } = sequencer else { return 0 };
        let offset = active.end.offset;
        active.end.checksum = draft.place(active.segment.header.salt, *next, durable);
        active.end.offset += draft.footprint() as u64;
        *next = next.plus(draft.len() as u64);
        filling.bytes.extend_from_slice(draft.bytes());
        filling.begun = true;
        offset
    }

    /// Waits until everything up to `target` is on the disk, leading a commit if nobody does.
    pub(super) fn wait<'a>(&'a self, mut sequencer: MutexGuard<'a, Sequencer>, target: Position) -> Result<()> {
        loop {
            if self.durable() >= target {
                return Ok(());
            }
            sequencer.check()?;
            if sequencer.flying.is_none() && sequencer.filling.begun {
                self.lead(sequencer);
            } else {
                let waiter = Waiter::of_this_thread();
                let flies = sequencer.flying.is_some_and(|last| last >= target);
                let Sequencer { flying_waiters, filling, .. } = &mut *sequencer;
                let queue = if flies { flying_waiters } else { &mut filling.waiters };
                queue.push(waiter.clone());
                drop(sequencer);
                waiter.sleep();
                if self.durable() >= target {
                    return Ok(());
                }
            }
            sequencer = self.sequencer.lock();
        }
    }

    /// Writes and syncs what the buffer holds, publishes it, and wakes those who waited for it.
    fn lead(&self, mut sequencer: MutexGuard<'_, Sequencer>) {
        let Some(mut batch) = take(&mut sequencer) else { return };
        drop(sequencer);
        let written = batch.write();

        let mut sequencer = self.sequencer.lock();
        sequencer.flying = None;
        let mut decided = mem::take(&mut sequencer.flying_waiters);
        let mut successor = None;
        match written {
            Ok(()) => {
                self.durable.store(batch.last.get(), Ordering::Release);
                if batch.bytes.capacity() <= KEPT_BUFFER_BYTES {
                    batch.bytes.clear();
                    sequencer.spare = batch.bytes;
                }
                if sequencer.filling.begun {
                    successor = sequencer.filling.waiters.pop();
                }
            }
            Err(error) => {
                sequencer.poison(&error);
                decided.append(&mut sequencer.filling.waiters);
            }
        }
        drop(sequencer);
        self.landed.notify_all();
        // The next leader first: the disk is idle until it runs.
        if let Some(successor) = successor {
            successor.wake(Wake::Lead);
        }
        for waiter in &decided {
            waiter.wake(Wake::Decided);
        }
    }
}

/// Takes what the buffer holds, and begins a new buffer with the tail page that both share.
fn take(sequencer: &mut Sequencer) -> Option<Batch> {
    let Sequencer { next, active: Some(active), filling, spare, flying, flying_waiters, .. } = sequencer else {
        return None;
    };
    let mut bytes = mem::replace(&mut filling.bytes, mem::take(spare));
    let offset = filling.offset;
    let whole = bytes.len() / PAGE as usize * PAGE as usize;
    filling.bytes.extend_from_slice(&bytes[whole..]);
    filling.offset = offset + whole as u64;
    filling.begun = false;
    mem::swap(flying_waiters, &mut filling.waiters);
    let last = next.previous();
    *flying = Some(last);
    bytes.resize(bytes.len().next_multiple_of(PAGE as usize), 0);
    Some(Batch { segment: active.segment.clone(), offset, bytes, last })
}
