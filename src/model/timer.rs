//! Waiting without holding up a thread, on any runtime or none.
//!
//! One thread wakes all who wait. It starts with the first wait of the process and sleeps until the next one is over, so
//! that a program which never waits never has it.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    future::poll_fn,
    sync::OnceLock,
    task::{Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use crate::event_store::BoxFuture;

/// A way to wait. What waits takes one, so that a test need not.
///
/// An application on a runtime can give its runtime's own, such as `tokio::time::sleep`; [`Timer`] works on all of them.
pub trait Sleep: Send + Sync {
    /// Is ready after this time.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;
}

/// Waits by the system's clock, on any runtime or none.
///
/// ```
/// use std::time::Duration;
/// use factlog::{block_on, model::{Sleep, Timer}};
///
/// block_on(Timer.sleep(Duration::from_millis(1)));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer;

impl Sleep for Timer {
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let Some(end) = Instant::now().checked_add(time) else { return Box::pin(std::future::pending()) };
        let mut registered: Option<Waker> = None;
        Box::pin(poll_fn(move |context| {
            if Instant::now() >= end {
                return Poll::Ready(());
            }
            if !registered.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                if !wake_at(end, context.waker().clone()) {
                    // Without its thread there is nobody to wake this one.
                    thread::sleep(end.saturating_duration_since(Instant::now()));
                    return Poll::Ready(());
                }
                registered = Some(context.waker().clone());
            }
            Poll::Pending
        }))
    }
}

/// Who is to be woken, in the order of time.
#[derive(Default)]
struct Waiting {
    wakers: Mutex<BinaryHeap<Reverse<Alarm>>>,
    changed: Condvar,
}

struct Alarm {
    at: Instant,
    waker: Waker,
}

impl PartialEq for Alarm {
    fn eq(&self, other: &Alarm) -> bool {
        self.at == other.at
    }
}

impl Eq for Alarm {}

impl PartialOrd for Alarm {
    fn partial_cmp(&self, other: &Alarm) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Alarm {
    fn cmp(&self, other: &Alarm) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

/// Has somebody woken at a time. `false` when the thread for it could not be started.
fn wake_at(at: Instant, waker: Waker) -> bool {
    static WAITING: OnceLock<&'static Waiting> = OnceLock::new();
    static STARTED: Mutex<bool> = Mutex::new(false);

    let waiting = *WAITING.get_or_init(|| Box::leak(Box::default()));
    let mut started = STARTED.lock();
    if !*started {
        *started = thread::Builder::new().name("factlog-timer".to_owned()).spawn(|| wake_all(waiting)).is_ok();
    }
    if *started {
        waiting.wakers.lock().push(Reverse(Alarm { at, waker }));
        waiting.changed.notify_one();
    }
    *started
}

fn wake_all(waiting: &Waiting) {
    let mut wakers = waiting.wakers.lock();
    loop {
        match wakers.peek().map(|Reverse(alarm)| alarm.at) {
            None => waiting.changed.wait(&mut wakers),
            Some(at) if at > Instant::now() => {
                waiting.changed.wait_until(&mut wakers, at);
            }
            Some(_) => {
                let due = wakers.pop();
                // A waker is foreign code: it may wait for who is about to register.
                parking_lot::MutexGuard::unlocked(&mut wakers, || {
                    if let Some(Reverse(alarm)) = due {
                        alarm.waker.wake();
                    }
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_store::block_on;

    #[test]
    fn a_wait_is_over_after_its_time_and_not_before() {
        let start = Instant::now();
        let waits = [3, 1, 2].map(|millis| Timer.sleep(Duration::from_millis(millis)));
        for wait in waits {
            block_on(wait);
        }
        assert!(start.elapsed() >= Duration::from_millis(3));
        block_on(Timer.sleep(Duration::ZERO));
    }

    #[test]
    fn a_wait_that_moves_to_another_thread_wakes_that_thread() {
        let mut wait = Timer.sleep(Duration::from_millis(20));
        let mut context = std::task::Context::from_waker(Waker::noop());
        let _ = wait.as_mut().poll(&mut context);
        thread::spawn(|| block_on(wait)).join().unwrap();
    }
}
