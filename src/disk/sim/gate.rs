//! A gate in front of the syncs of the log, for tests with real threads that must meet at a certain moment.

use std::{
    io,
    path::Path,
    thread::{self, ThreadId},
};

use parking_lot::{Condvar, Mutex};

#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    fails: bool,
    panics: bool,
    read_panics: bool,
    /// Who stands at the gate.
    waiting: usize,
    /// Who has synced, or tried to.
    synced: Vec<ThreadId>,
}

impl Gate {
    pub(super) fn change(&self, closed: bool) {
        self.state.lock().closed = closed;
        self.changed.notify_all();
    }

    pub(super) fn fail(&self) {
        self.state.lock().fails = true;
    }

    pub(super) fn panic(&self) {
        self.state.lock().panics = true;
    }

    pub(super) fn panic_in_reads(&self, panics: bool) {
        self.state.lock().read_panics = panics;
    }

    /// Reads a file.
    pub(super) fn read(&self) {
        assert!(!self.state.lock().read_panics, "the disk panics, as it was told to");
    }

    pub(super) fn await_arrival(&self) {
        let mut state = self.state.lock();
        while state.waiting == 0 {
            self.changed.wait(&mut state);
        }
    }

    pub(super) fn await_syncs(&self, count: usize) {
        let mut state = self.state.lock();
        while state.synced.len() < count {
            self.changed.wait(&mut state);
        }
    }

    pub(super) fn synced(&self) -> Vec<ThreadId> {
        self.state.lock().synced.clone()
    }

    /// Syncs a file, behind the gate if it is one of the log.
    pub(super) fn pass(&self, path: &Path, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        // What is filled in the background is no part of the log yet.
        if !path.parent().is_some_and(|dir| dir.ends_with("log")) || path.ends_with("preparing") {
            return sync();
        }
        let mut state = self.state.lock();
        state.waiting += 1;
        self.changed.notify_all();
        while state.closed {
            self.changed.wait(&mut state);
        }
        state.waiting -= 1;
        assert!(!state.panics, "the disk panics, as it was told to");
        let result = if state.fails { Err(io::ErrorKind::Other.into()) } else { sync() };
        state.synced.push(thread::current().id());
        self.changed.notify_all();
        result
    }
}
