//! The model checkers' locks, with the faces of parking_lot's.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::PoisonError,
};

#[cfg(not(feature = "shuttle"))]
use loom as model;
#[cfg(feature = "shuttle")]
use shuttle as model;

pub(crate) use model::sync::atomic;
#[cfg(feature = "shuttle")]
pub(crate) use model::thread_local;

/// loom's knows no constants.
#[cfg(not(feature = "shuttle"))]
macro_rules! of_each_thread {
    ($(#[$meta:meta])* static $name:ident: $kind:ty = const $value:block;) => {
        loom::thread_local! { $(#[$meta])* static $name: $kind = $value; }
    };
    ($($other:tt)*) => {
        loom::thread_local! { $($other)* }
    };
}
#[cfg(not(feature = "shuttle"))]
pub(crate) use of_each_thread as thread_local;

/// A guard of the model's lock. parking_lot's locks know no poison.
fn guard<G>(locked: Result<G, PoisonError<G>>) -> G {
    locked.unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(model::sync::Mutex<T>);

/// Empty only while it waits for a [`Condvar`].
pub(crate) struct MutexGuard<'a, T>(Option<model::sync::MutexGuard<'a, T>>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(model::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(Some(guard(self.0.lock())))
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(locked) => Some(MutexGuard(Some(locked))),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(MutexGuard(Some(poisoned.into_inner()))),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        let Some(guard) = &self.0 else { unreachable!("it waits") };
        guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        let Some(guard) = &mut self.0 else { unreachable!("it waits") };
        guard
    }
}

impl<T> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MutexGuard")
    }
}

pub(crate) struct Condvar(model::sync::Condvar);

impl Condvar {
    pub(crate) fn new() -> Condvar {
        Condvar(model::sync::Condvar::new())
    }

    pub(crate) fn wait<T>(&self, locked: &mut MutexGuard<'_, T>) {
        if let Some(taken) = locked.0.take() {
            locked.0 = Some(guard(self.0.wait(taken)));
        }
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Condvar")
    }
}

#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(model::sync::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> RwLock<T> {
        RwLock(model::sync::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> model::sync::RwLockReadGuard<'_, T> {
        guard(self.0.read())
    }

    pub(crate) fn write(&self) -> model::sync::RwLockWriteGuard<'_, T> {
        guard(self.0.write())
    }
}

pub(crate) mod thread {
    use std::time::Duration;

    pub(crate) use super::model::thread::*;

    /// The time may be over at any moment.
    pub(crate) fn park_timeout(_: Duration) {
        yield_now();
    }
}
