//! The thread that writes frozen parts as runs and merges runs.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{
    merge,
    run::{INDEX, Run},
    set::Shared,
};
use crate::{disk::DiskThread, error::Error, sync::Mutex, version::Position};

/// Starts with the first thing that there is to do.
#[derive(Debug)]
pub(super) struct Worker {
    shared: Arc<Shared>,
    stopping: Arc<AtomicBool>,
    thread: Mutex<Option<Arc<dyn DiskThread>>>,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>) -> Worker {
        Worker { shared, stopping: Arc::new(AtomicBool::new(false)), thread: Mutex::new(None) }
    }

    /// There is a frozen part to write.
    pub(super) fn write(&self) {
        let mut thread = self.thread.lock();
        if thread.is_none() && !self.stopping.load(Ordering::Relaxed) {
            let mut serving = Serving { shared: self.shared.clone(), stopping: self.stopping.clone(), given_up: None };
            let step = Box::new(move || {
                serving.step();
                None
            });
            match self.shared.disk.spawn("factlog-index", step) {
                Ok(started) => *thread = Some(started),
                // The parts stay in memory; the next call tries again.
                Err(_) => *self.shared.failed.lock() = true,
            }
        }
        if let Some(thread) = &*thread {
            thread.ask();
        }
    }

    /// Ends the thread when it has written what is frozen.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            thread.join();
        }
    }
}

/// What the thread has.
struct Serving {
    shared: Arc<Shared>,
    stopping: Arc<AtomicBool>,
    /// The first positions of runs that could not be merged; `None` before the first step.
    given_up: Option<Vec<Position>>,
}

impl Serving {
    fn step(&mut self) {
        let Serving { shared, stopping, given_up } = self;
        let given_up = given_up.get_or_insert_with(|| {
            remove_superseded(shared);
            Vec::new()
        });
        while write_oldest(shared) {}
        while !stopping.load(Ordering::Relaxed) && merge_some(shared, given_up) {}
    }
}

/// Writes the oldest frozen part; whether there may be another.
fn write_oldest(shared: &Shared) -> bool {
    let Some(part) = shared.state.read().frozen.first().cloned() else { return false };
    let written = merge::write_part(&*shared.disk, &shared.dir, &shared.options.store, &part);
    let succeeded = written.is_ok();
    if let Ok(run) = written {
        let mut state = shared.state.write();
        Arc::make_mut(&mut state.runs).push(Arc::new(run));
        state.frozen.remove(0);
        drop(state);
        if let Ok(part) = Arc::try_unwrap(part) {
            let spare = part.emptied();
            shared.state.write().spare = Some(spare);
        }
    }
    // A full disk, most likely: the part stays in memory, and its run is tried again with the next one's.
    *shared.failed.lock() = !succeeded;
    shared.written.notify_all();
    succeeded
}

/// Merges some runs; whether there may be more to merge.
fn merge_some(shared: &Shared, given_up: &mut Vec<Position>) -> bool {
    let runs = shared.state.read().runs.clone();
    let Some(group) = merge::choose(&runs, given_up) else { return false };
    let merged = merge::merge(&*shared.disk, &shared.dir, &shared.options.store, &runs[group.clone()]);
    let run = match merged {
        Ok(Some(run)) => run,
        // It would fail again: others may do.
        Ok(None) | Err(Error::Damaged(_)) => {
            given_up.push(runs[group.start].first);
            return true;
        }
        Err(_) => return false,
    };
    let replaced = &runs[group.clone()];
    Arc::make_mut(&mut shared.state.write().runs).splice(group.clone(), [Arc::new(run)]);
    // Readers that still use them have them mapped.
    for run in replaced {
        let _ = shared.disk.remove(&shared.dir.join(Run::name(run.first, run.last)));
    }
    true
}

/// Removes run files that are not in use: a crash left them behind.
fn remove_superseded(shared: &Shared) {
    let folder = shared.dir.join(INDEX);
    let Ok(names) = shared.disk.list(&folder) else { return };
    for (first, last) in names.iter().filter_map(|name| Run::range_in_name(name)) {
        let used = shared.state.read().runs.iter().any(|run| (run.first, run.last) == (first, last));
        if !used {
            let _ = shared.disk.remove(&shared.dir.join(Run::name(first, last)));
        }
    }
}
