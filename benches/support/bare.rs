//! The limits of writing: a bare loop of whole pages and syncs, and a minimal group commit over it.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use parking_lot::{Condvar, Mutex};

const PAGE: usize = 4096;

/// A file that was filled with zeros before, as large as a segment.
pub fn zero_filled(path: &Path, bytes: u64) -> File {
    let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
    let zeros = vec![0; 1 << 20];
    let mut at = 0;
    while at < bytes {
        let piece = zeros.len().min((bytes - at) as usize);
        file.write_all_at(&zeros[..piece], at).unwrap();
        at += piece as u64;
    }
    file.sync_all().unwrap();
    file
}

/// Writes bytes one behind the other: each time the whole pages that they lie on, in one write, and one `fdatasync`. Begins
/// at the front again when the file is full.
pub struct BareLoop {
    file: File,
    bytes: u64,
    /// Where the buffer begins in the file.
    start: u64,
    /// What is written of the last page.
    buffer: Vec<u8>,
}

impl BareLoop {
    pub fn new(dir: &Path, bytes: u64) -> BareLoop {
        BareLoop { file: zero_filled(&dir.join("bare"), bytes), bytes, start: 0, buffer: Vec::new() }
    }

    pub fn add(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    pub fn commit(&mut self) {
        let used = self.buffer.len();
        let pages = used.next_multiple_of(PAGE);
        if self.start + pages as u64 > self.bytes {
            self.start = 0;
        }
        self.buffer.resize(pages, 0);
        self.file.write_all_at(&self.buffer, self.start).unwrap();
        self.file.sync_data().unwrap();
        let whole = used / PAGE * PAGE;
        self.start += whole as u64;
        self.buffer.copy_within(whole..used, 0);
        self.buffer.truncate(used - whole);
    }
}

/// The least that lets threads share syncs: whoever finds nobody writing writes what all have left, and wakes all.
pub struct LeaderFollower {
    state: Mutex<State>,
    decided: Condvar,
    /// Only the leader's.
    writer: Mutex<BareLoop>,
}

#[derive(Default)]
struct State {
    filling: Vec<u8>,
    spare: Vec<u8>,
    added: u64,
    durable: u64,
    leading: bool,
}

impl LeaderFollower {
    pub fn new(dir: &Path, bytes: u64) -> LeaderFollower {
        let writer = Mutex::new(BareLoop::new(dir, bytes));
        LeaderFollower { state: Mutex::default(), decided: Condvar::new(), writer }
    }

    pub fn append(&self, bytes: &[u8]) {
        let mut state = self.state.lock();
        state.filling.extend_from_slice(bytes);
        state.added += 1;
        let own = state.added;
        while state.durable < own {
            if state.leading {
                self.decided.wait(&mut state);
                continue;
            }
            state.leading = true;
            let last = state.added;
            let spare = std::mem::take(&mut state.spare);
            let mut batch = std::mem::replace(&mut state.filling, spare);
            drop(state);
            {
                let mut writer = self.writer.lock();
                writer.add(&batch);
                writer.commit();
            }
            batch.clear();
            state = self.state.lock();
            state.spare = batch;
            state.leading = false;
            state.durable = last;
            self.decided.notify_all();
        }
    }
}
