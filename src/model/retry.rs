//! Trying again what failed for a reason that may pass.
//!
//! ```text
//!   attempt 1   wait 0.5-1 s   attempt 2   wait 1-2 s   attempt 3   the last error
//! ```

use std::{future::Future, iter, time::Duration};

use uuid::Uuid;

use super::timer::Sleep;

/// How often something is tried, and how long to wait in between: three attempts, one second and then two, each wait
/// shortened to between a half and the whole of it by chance, unless said otherwise.
///
/// It says nothing of what deserves another attempt: who uses it does, mostly by
/// [`ModelError::action`](super::ModelError::action).
///
/// ```
/// use std::time::Duration;
/// use factlog::model::RetryPolicy;
///
/// let waits: Vec<Duration> = RetryPolicy::default().attempts(6).without_jitter().delays().collect();
/// assert_eq!(waits, [1, 2, 4, 8, 10].map(Duration::from_secs));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    attempts: u32,
    base_delay: Duration,
    max_delay: Duration,
    factor: f64,
    jitter: bool,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            attempts: 3,
            base_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(10),
            factor: 2.0,
            jitter: true,
        }
    }
}

impl RetryPolicy {
    /// One attempt, and no wait.
    pub fn once() -> RetryPolicy {
        RetryPolicy::default().attempts(1)
    }

    /// So many attempts in all. The first is always made.
    pub fn attempts(mut self, attempts: u32) -> RetryPolicy {
        self.attempts = attempts;
        self
    }

    /// How long to wait behind the first attempt.
    pub fn base_delay(mut self, delay: Duration) -> RetryPolicy {
        self.base_delay = delay;
        self
    }

    /// How long to wait at most.
    pub fn max_delay(mut self, delay: Duration) -> RetryPolicy {
        self.max_delay = delay;
        self
    }

    /// How many times longer each wait is than the one before it.
    pub fn factor(mut self, factor: f64) -> RetryPolicy {
        self.factor = factor;
        self
    }

    /// Always the whole wait. By default chance takes up to a half of each, so that those who failed together do not come
    /// back together.
    pub fn without_jitter(mut self) -> RetryPolicy {
        self.jitter = false;
        self
    }

    /// The waits between the attempts, one fewer than there are attempts.
    pub fn delays(&self) -> impl Iterator<Item = Duration> + use<> {
        let policy = self.clone();
        let longest = policy.max_delay.as_secs_f64();
        let mut seconds = policy.base_delay.as_secs_f64();
        let waits = iter::repeat_with(move || {
            // A factor that is no number, or too large a one, leads to the longest wait.
            let whole = if seconds < longest { seconds } else { longest };
            seconds *= policy.factor;
            let part = if policy.jitter { 0.5 + 0.5 * chance() } else { 1.0 };
            Duration::try_from_secs_f64(whole * part).unwrap_or(policy.max_delay)
        });
        waits.take(self.attempts.saturating_sub(1) as usize)
    }

    /// Makes the attempts until one succeeds, fails with an error that is not `retryable`, or was the last. The last error
    /// is returned.
    ///
    /// # Errors
    ///
    /// What the operation returned.
    pub async fn run<T, E, F: Future<Output = Result<T, E>>>(
        &self,
        sleep: &dyn Sleep,
        retryable: impl Fn(&E) -> bool,
        mut operation: impl FnMut() -> F,
    ) -> Result<T, E> {
        let mut delays = self.delays();
        loop {
            match operation().await {
                Err(error) if retryable(&error) => match delays.next() {
                    Some(delay) => sleep.sleep(delay).await,
                    None => return Err(error),
                },
                done => return done,
            }
        }
    }
}

/// A random number from 0 to 1.
fn chance() -> f64 {
    // The low 48 bits of such an id are random, and a number has room for them.
    let bits = Uuid::new_v4().as_u128() & 0xffff_ffff_ffff;
    bits as f64 / (1u64 << 48) as f64
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use parking_lot::Mutex;

    use super::*;
    use crate::event_store::{BoxFuture, block_on};

    /// Notes the waits, and does not wait.
    #[derive(Default)]
    struct Noted(Mutex<Vec<Duration>>);

    impl Sleep for Noted {
        fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
            self.0.lock().push(time);
            Box::pin(std::future::ready(()))
        }
    }

    #[test]
    fn each_wait_is_twice_the_one_before_up_to_ten_seconds() {
        let waits: Vec<_> = RetryPolicy::default().attempts(7).without_jitter().delays().collect();
        assert_eq!(waits, [1, 2, 4, 8, 10, 10].map(Duration::from_secs));
        assert_eq!(RetryPolicy::default().delays().count(), 2);
        assert_eq!(RetryPolicy::once().delays().count(), 0);
        assert_eq!(RetryPolicy::default().attempts(0).delays().count(), 0);
    }

    #[test]
    fn chance_takes_between_nothing_and_a_half_of_a_wait() {
        let policy = RetryPolicy::default().attempts(1001).factor(1.0);
        let waits: Vec<_> = policy.delays().map(|wait| wait.as_secs_f64()).collect();
        assert!(waits.iter().all(|wait| (0.5..1.0).contains(wait)), "{waits:?}");
        let (short, long) = (waits.iter().filter(|wait| **wait < 0.6), waits.iter().filter(|wait| **wait > 0.9));
        assert!(short.count() > 100 && long.count() > 100, "{waits:?}");
    }

    #[test]
    fn a_policy_of_absurd_numbers_waits_its_longest() {
        for factor in [f64::NAN, f64::INFINITY, 1e300] {
            let policy = RetryPolicy::default().attempts(4).factor(factor).without_jitter();
            assert_eq!(policy.delays().last(), Some(Duration::from_secs(10)), "{factor}");
        }
        let policy = RetryPolicy::default().attempts(3).base_delay(Duration::MAX).max_delay(Duration::MAX);
        assert_eq!(policy.delays().count(), 2);
        let negative = RetryPolicy::default().attempts(3).factor(-1.0).without_jitter();
        assert_eq!(negative.delays().last(), Some(Duration::from_secs(10)));
    }

    #[test]
    fn an_operation_is_tried_until_it_succeeds_or_its_attempts_are_used_up() {
        let sleep = Noted::default();
        let policy = RetryPolicy::default().without_jitter();
        let left = RefCell::new(vec![Ok(7), Err("second"), Err("first")]);
        let tried = policy.run(&sleep, |_| true, || std::future::ready(left.borrow_mut().pop().unwrap()));
        assert_eq!(block_on(tried), Ok(7));
        assert_eq!(*sleep.0.lock(), [1, 2].map(Duration::from_secs));

        let attempts = Cell::new(0);
        let failing = policy.run(
            &sleep,
            |_| true,
            || {
                attempts.set(attempts.get() + 1);
                std::future::ready(Err::<(), _>(attempts.get()))
            },
        );
        assert_eq!(block_on(failing), Err(3), "the last error is the answer");
    }

    #[test]
    fn the_first_attempt_is_made_however_few_are_allowed() {
        let sleep = Noted::default();
        for policy in [RetryPolicy::default().attempts(0), RetryPolicy::once()] {
            let tried = policy.run(&sleep, |_| true, || std::future::ready(Err::<(), _>("first")));
            assert_eq!((block_on(tried), sleep.0.lock().len()), (Err("first"), 0));
        }
    }

    #[test]
    fn what_is_not_retryable_is_tried_once() {
        let sleep = Noted::default();
        let attempts = Cell::new(0);
        let policy = RetryPolicy::default();
        let refused = policy.run(
            &sleep,
            |error| *error != "refused",
            || {
                attempts.set(attempts.get() + 1);
                std::future::ready(Err::<(), _>("refused"))
            },
        );
        assert_eq!(block_on(refused), Err("refused"));
        assert_eq!((attempts.get(), sleep.0.lock().len()), (1, 0));
    }
}
