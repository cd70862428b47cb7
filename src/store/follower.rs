//! Reading a store that another process writes.
//!
//! The writer publishes how far its log is durable in a word of shared memory, in the file `POSITION`, with each commit and
//! before it acknowledges. It is never synced, and a commit costs nothing more for it. A follower reads the log up to that
//! position, and not a byte beyond: what merely looks valid may still be taken back.
//!
//! ```text
//!   writer:    write, sync -> publish the position -> acknowledge
//!   follower:  load the position -> read the records up to it, from segment to segment -> give out
//! ```
//!
//! Invariants:
//!
//! - a follower writes nothing, and holds no lock once it is open;
//! - what it gives out is durable: up to the published position while there is a writer, and without one whatever recovery finds,
//!   after a sync of its own;
//! - the published position is a lower bound at every moment: it is published after the sync, and the writer sets it anew when it
//!   opens the store.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    directory::{Published, load_manifest},
    lost::StandIn,
    open::Parts,
    recorded::Indexing,
};
use crate::{
    disk::{Disk, DiskThread},
    error::{Error, Result},
    event_store::Watchers,
    index::Index,
    log::{Following, Log},
    version::Position,
};

/// How often a follower that somebody waits on looks whether there is more.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What makes a store follow another process.
#[derive(Debug)]
pub(super) struct Follower {
    shared: Arc<Shared>,
    /// The thread that looks for more while somebody waits.
    watch: Mutex<Option<Arc<dyn DiskThread>>>,
}

#[derive(Debug)]
struct Shared {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    published: Option<Published>,
    /// The session of the writer that was gone when the store was opened.
    gone: Option<u64>,
    log: Arc<Log>,
    index: Arc<Index>,
    watchers: Arc<Watchers>,
    following: Mutex<Following>,
    /// What is published could not be read.
    failed: AtomicBool,
}

impl Follower {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        dir: &Path,
        published: Option<Published>,
        gone: Option<u64>,
        parts: Parts<'_>,
    ) -> Follower {
        let Parts { log, index, watchers } = parts;
        let shared = Shared {
            disk,
            dir: dir.to_owned(),
            published,
            gone,
            following: Mutex::new(log.follow()),
            log: log.clone(),
            index: index.clone(),
            watchers: watchers.clone(),
            failed: AtomicBool::new(false),
        };
        Follower { shared: Arc::new(shared), watch: Mutex::new(None) }
    }

    /// Reads what has been published since the last time.
    pub(super) fn refresh(&self) -> Result<()> {
        self.shared.refresh()
    }

    /// Wakes the subscribers from now on when there is more.
    pub(super) fn watch(&self) -> Result<()> {
        let mut watch = self.watch.lock();
        if watch.is_some() {
            return Ok(());
        }
        let shared = self.shared.clone();
        let step = Box::new(move || {
            shared.look();
            Some(LOOK_EVERY)
        });
        let thread = self.shared.disk.spawn("factlog-follow", step);
        let thread = thread.map_err(|error| Error::io("start a thread for", &self.shared.dir, error))?;
        thread.ask();
        *watch = Some(thread);
        Ok(())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let watch = self.watch.lock().take();
        if let Some(thread) = watch {
            thread.join();
        }
    }
}

impl Shared {
    /// Everything up to here may be read.
    fn published(&self) -> Position {
        match &self.published {
            // The session first: it is set behind the position.
            Some(published) if self.gone != Some(published.session.load()) => Position::new(published.position.load()),
            _ => Position::START,
        }
    }

    fn look(&self) {
        let before = self.log.visible();
        let failed = self.refresh().is_err();
        let news = self.log.visible() > before || failed && !self.failed.load(Ordering::Relaxed);
        self.failed.store(failed, Ordering::Relaxed);
        if news {
            self.watchers.wake_all();
        }
    }

    fn refresh(&self) -> Result<()> {
        let published = self.published();
        if published <= self.log.visible() {
            return Ok(());
        }
        let mut following = self.following.lock();
        let manifest = || match load_manifest(&*self.disk, &self.dir)? {
            Some(manifest) => Ok(manifest),
            None => {
                let reason = "the store that was being followed is gone".to_owned();
                Err(Error::NotAStore { path: self.dir.clone(), reason })
            }
        };
        let mut indexing = Indexing::new();
        let read = self.log.read_on(&mut following, published, &manifest, &mut |segment, offset, record| {
            let position = record.header().position;
            let indexed = match indexing.next(&self.index, record, offset) {
                Ok(indexed) => indexed,
                Err(fault) => match StandIn::decode(record) {
                    Some(lost) => lost.indexed(position, offset),
                    None => return Err(segment.damage(offset, position, fault).into()),
                },
            };
            self.index.add([(indexed, record.footprint())].into_iter());
            Ok(())
        });
        if read? {
            // A segment has ended, and the writer makes a run of it sooner or later.
            self.index.freeze();
            self.index.adopt()?;
        }
        Ok(())
    }
}
