//! How long a leader waits for others before it writes.
//!
//! Writers who wait for their commit come back with the next one a moment after it. A leader that writes at once leaves
//! them behind: they split into two cohorts that take turns, and each sync serves half of them. So when a batch has
//! landed, the next one waits until as many are there as were woken and as had come meanwhile, but not longer than a
//! quarter of the usual sync. A lone writer is never waited for: it is there.

use std::time::Duration;

/// A batch waits at most for this part of the usual time of a sync.
const PATIENCE: u32 = 4;

/// When the next batch is complete.
#[derive(Debug, Default)]
pub(super) struct Gather {
    /// How many writers are to be expected.
    expected: usize,
    /// By the disk's clock.
    deadline: Duration,
    /// The moving average of the time that a batch takes.
    usual: Duration,
    /// Whether a thread watches the deadline. All others sleep.
    pub(super) watched: bool,
}

impl Gather {
    /// A batch took so long and has landed. Of its writers and those who have come meanwhile there are so many.
    pub(super) fn landed(&mut self, now: Duration, took: Duration, writers: usize) {
        self.usual = if self.usual.is_zero() { took } else { (self.usual * 7 + took) / 8 };
        self.expected = writers;
        self.deadline = now + self.usual / PATIENCE;
    }

    /// Whether the batch is to be written, now that so many writers are there. The clock is asked only if need be.
    pub(super) fn is_complete(&self, writers: usize, now: impl FnOnce() -> Duration) -> bool {
        writers >= self.expected || now() >= self.deadline
    }

    /// Whether nobody but a lone writer is to be expected.
    #[cfg(feature = "server")]
    pub(super) fn expects_one(&self) -> bool {
        self.expected <= 1
    }

    pub(super) fn deadline(&self) -> Duration {
        self.deadline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_waits_for_those_who_were_there_and_never_longer_than_a_quarter_of_a_sync() {
        let micros = Duration::from_micros;
        let mut gather = Gather::default();
        assert!(gather.is_complete(1, Duration::default), "nobody is expected at first");
        gather.landed(micros(1000), micros(100), 1);
        assert!(gather.is_complete(1, || unreachable!()), "a lone writer waits for nobody");
        gather.landed(micros(2000), micros(100), 3);
        assert!(!gather.is_complete(2, || micros(2024)));
        assert!(gather.is_complete(3, || unreachable!()));
        assert!(gather.is_complete(1, || micros(2025)));
    }
}
