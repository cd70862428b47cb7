//! What threads meet in: locks, atomic words, and sleeping.
//!
//! All of it is parking_lot's and the standard library's. Only in the tests of how threads meet is it that of a model checker, which
//! decides at each of these operations who goes on, and tries many orders: see `docs/testing.md`. So whatever the commit, the
//! index's thread and the subscriptions share goes through here. A lock under which nothing of this is done, nor the disk asked,
//! may be any.

#[cfg(not(all(test, any(feature = "shuttle", feature = "loom"))))]
mod real {
    pub(crate) use std::{sync::atomic, thread, thread_local};

    pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
}
#[cfg(all(test, any(feature = "shuttle", feature = "loom")))]
mod modelled;

#[cfg(all(test, any(feature = "shuttle", feature = "loom")))]
pub(crate) use modelled::*;
#[cfg(not(all(test, any(feature = "shuttle", feature = "loom"))))]
pub(crate) use real::*;
