//! Waiting that does not wait.

use std::{future::ready, sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::{event_store::BoxFuture, model::Sleep};

/// Every wait is over at once, and noted. All clones note in one place.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use factlog::{block_on, model::{RetryPolicy, Sleep}, testing::FakeSleep};
///
/// let sleep = FakeSleep::default();
/// let failing = || std::future::ready(Err::<(), _>("unavailable"));
/// let tried = block_on(RetryPolicy::default().without_jitter().run(&sleep, |_| true, failing));
/// assert_eq!(tried, Err("unavailable"));
/// assert_eq!(sleep.waits(), [Duration::from_secs(1), Duration::from_secs(2)]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct FakeSleep(Arc<Mutex<Vec<Duration>>>);

impl FakeSleep {
    /// How long each wait would have been, in order.
    pub fn waits(&self) -> Vec<Duration> {
        self.0.lock().clone()
    }
}

impl Sleep for FakeSleep {
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        self.0.lock().push(time);
        Box::pin(ready(()))
    }
}
