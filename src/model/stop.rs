//! Ending what would go on for ever.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use crate::event_store::Watchers;

/// A handle that ends what was started with a clone of it: a projection that runs, a subscriber that is served.
///
/// ```
/// use factlog::{block_on, model::Stop};
///
/// let stop = Stop::new();
/// let handle = stop.clone();
/// let waiting = std::thread::spawn(move || block_on(stop.unless_stopped(std::future::pending::<()>())));
/// handle.stop();
/// assert_eq!(waiting.join().unwrap(), None);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Stop {
    stopped: Arc<AtomicBool>,
    watchers: Arc<Watchers>,
}

impl Stop {
    /// A handle that nobody has used yet.
    pub fn new() -> Stop {
        Stop::default()
    }

    /// Ends everything that was started with this handle, as soon as it has done the step that it is at.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.watchers.wake_all();
    }

    /// Whether somebody asked for an end.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Drives a future until it is ready, or drops it when an end is asked for first: `None`.
    pub async fn unless_stopped<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let watcher = self.watchers.register(Vec::new());
        poll_fn(|context| {
            watcher.clear();
            if self.is_stopped() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(done) = future.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            // Raised in the meantime: the next look sees it.
            watcher.poll(context).map(|()| None)
        })
        .await
    }
}

/// Lets others have a turn: the other futures of the task, and the other tasks of its thread.
pub(super) async fn give_way() {
    let mut given = false;
    poll_fn(|context| {
        if given {
            return Poll::Ready(());
        }
        given = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
