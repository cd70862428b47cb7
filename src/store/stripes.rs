//! Locks for things that are many and have names: one name is never held twice, and two names seldom share a lock.

use crate::sync::{Mutex, MutexGuard};

const STRIPES: usize = 16;

/// A fixed number of locks, of which a hash chooses one.
#[derive(Debug, Default)]
pub(super) struct Stripes([Mutex<()>; STRIPES]);

impl Stripes {
    /// Waits for the lock of whatever has this hash.
    pub(super) fn lock(&self, hash: u128) -> MutexGuard<'_, ()> {
        self.0[(hash % STRIPES as u128) as usize].lock()
    }
}
