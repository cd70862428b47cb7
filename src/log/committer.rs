//! The committer: a thread that does what a task must not, because it takes as long as the disk does.
//!
//! It leads commits that no thread waits for, sequences appends that need a new segment first, and syncs a relaxed log
//! when its time has come. It is started when it is first needed: a store whose appends all block never has it.

use std::{
    collections::VecDeque,
    fmt,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::{open::Log, waiter::wake_all};
use crate::{
    disk::{Disk, DiskThread},
    error::{Error, Result},
    sync::{
        Mutex,
        thread::{self, ThreadId},
    },
};

/// Something that takes as long as the disk does.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// What the committer is asked for.
#[derive(Default)]
pub(super) struct Signal {
    asks: Mutex<Asks>,
    /// Once it has been started.
    thread: OnceLock<Arc<dyn DiskThread>>,
    /// A relaxed log is synced so long after it was written to.
    every: OnceLock<Duration>,
}

#[derive(Default)]
struct Asks {
    lead: bool,
    sync: bool,
    /// When to sync, by the disk's clock.
    due: Option<Duration>,
    jobs: VecDeque<Job>,
}

enum Ask {
    Lead,
    Sync,
    Job(Job),
    /// Nothing, until this time has passed.
    Nothing(Option<Duration>),
}

impl Signal {
    pub(super) fn lead(&self) {
        self.ask(|asks| asks.lead = true);
    }

    pub(super) fn sync(&self) {
        self.ask(|asks| asks.sync = true);
    }

    fn ask(&self, note: impl FnOnce(&mut Asks)) {
        note(&mut self.asks.lock());
        if let Some(thread) = self.thread.get() {
            thread.ask();
        }
    }

    /// Something was written that is to be synced in time, or now.
    pub(super) fn sync_later(&self, now: Duration, much: bool) {
        if much {
            return self.sync();
        }
        let Some(every) = self.every.get() else { return };
        if self.asks.lock().due.is_none() {
            self.ask(|asks| asks.due = Some(now.saturating_add(*every)));
        }
    }

    fn next(&self, disk: &dyn Disk) -> Ask {
        let mut asks = self.asks.lock();
        let left = asks.due.map(|due| due.saturating_sub(disk.monotonic()));
        // Jobs before the commit, or each that waits would get a commit of its own: whoever comes while there is one
        // waits behind it. They are bounded, as nobody's next one comes before the commit.
        if let Some(job) = asks.jobs.pop_front() {
            Ask::Job(job)
        } else if std::mem::take(&mut asks.lead) {
            Ask::Lead
        } else if asks.sync || left.is_some_and(|left| left.is_zero()) {
            asks.sync = false;
            asks.due = None;
            Ask::Sync
        } else {
            Ask::Nothing(left)
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signal")
    }
}

/// The thread.
#[derive(Debug, Default)]
pub(super) struct Committer {
    starting: Mutex<()>,
    id: OnceLock<ThreadId>,
}

impl Log {
    /// Starts the committer unless it runs.
    pub(crate) fn start_committer(self: &Arc<Log>) -> Result<()> {
        let thread = &self.commit.signal.thread;
        if thread.get().is_some() {
            return Ok(());
        }
        let _starting = self.committer.starting.lock();
        if thread.get().is_none() {
            // The log owns the thread.
            let log = Arc::downgrade(self);
            let step = Box::new(move || log.upgrade().and_then(|log| log.serve()));
            let started = self.disk.spawn("factlog-commit", step);
            let started = started.map_err(|error| Error::io("start a thread for", &self.dir, error))?;
            // It may have been asked for something before it was there.
            started.ask();
            let _ = thread.set(started);
        }
        Ok(())
    }

    /// Has the committer sync a relaxed log when much was written to it, and so long after it was written to.
    pub(crate) fn sync_behind(self: &Arc<Log>, every: Option<Duration>) -> Result<()> {
        if let Some(every) = every {
            // Set once, when the log is opened.
            let _ = self.commit.signal.every.set(every);
        }
        self.start_committer()
    }

    /// Does everything that the committer was asked for. Gives the time after which there is more to do.
    fn serve(&self) -> Option<Duration> {
        // Always the same thread.
        let _ = self.committer.id.set(thread::current().id());
        loop {
            let work: Box<dyn FnOnce() + '_> = match self.commit.signal.next(&*self.disk) {
                Ask::Lead => Box::new(|| self.commit.lead_for_others()),
                Ask::Job(job) => job,
                // Whoever waits for it hears of an error, and so does everybody later.
                Ask::Sync => Box::new(|| drop(self.commit.sync())),
                Ask::Nothing(left) => return left,
            };
            // Whatever is asked for behind a panic is still answered: that the outcome is unknown.
            if panic::catch_unwind(AssertUnwindSafe(work)).is_err() {
                self.commit.give_up();
            }
        }
    }

    /// An append that needs `bytes`, which were counted as parked, as something that a thread can do which may take long.
    pub(crate) fn parked(self: &Arc<Log>, bytes: usize, append: impl FnOnce() + Send + 'static) -> Job {
        let parked = Parked { log: self.clone(), bytes };
        Box::new(move || {
            append();
            drop(parked);
        })
    }

    /// Gives a parked append to the committer.
    pub(crate) fn hand_over(&self, append: Job) {
        self.commit.signal.ask(|asks| asks.jobs.push_back(append));
    }

    /// Ends the committer, when it has done everything that it was given.
    pub(super) fn stop_committer(&self) {
        let signal = &self.commit.signal;
        if self.committer.id.get() == Some(&thread::current().id()) {
            // The last handle of the store was dropped by a task that this very thread woke.
            while let Some(job) = { signal.asks.lock().jobs.pop_front() } {
                job();
            }
            return;
        }
        if let Some(thread) = signal.thread.get() {
            thread.join();
        }
    }
}

/// Bytes that are counted as parked, until the append is sequenced, or falls.
struct Parked {
    log: Arc<Log>,
    bytes: usize,
}

impl Drop for Parked {
    fn drop(&mut self) {
        let mut sequencer = self.log.commit.look();
        sequencer.parked -= self.bytes;
        let queued = if sequencer.is_crowded() { Vec::new() } else { std::mem::take(&mut sequencer.queued) };
        drop(sequencer);
        wake_all(queued);
    }
}
