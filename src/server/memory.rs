//! Whether reads come from memory, as far as the last ones tell.
//!
//! What comes from memory takes microseconds, less than a change of threads: it is read where it is asked for. When a read took longer, what
//! follows is made on threads that may block, for a while: so a disk that is slow, or has to be asked, stops a thread of the server once, not each time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Reads that took longer than this did not all come from memory.
const QUICK: Duration = Duration::from_millis(1);

/// How long slow reads are remembered: so many times as long as they took, and this long at most. A disk that goes on being slow is noticed on those
/// other threads as well; a thread that was only kept from running for a moment is forgotten soon.
const REMEMBERED: u32 = 32;
const LONGEST: Duration = Duration::from_secs(1);

/// What all connections know of the reads of a server.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    begun: Instant,
    /// Until when reads are taken for slow, in microseconds since then.
    slow_until: Arc<AtomicU64>,
}

impl Memory {
    pub(super) fn new() -> Memory {
        Memory { begun: Instant::now(), slow_until: Arc::default() }
    }

    /// Whether the next reads are expected to be quick.
    pub(super) fn is_quick(&self, now: Instant) -> bool {
        self.since(now) >= self.slow_until.load(Ordering::Relaxed)
    }

    /// Some reads began then, and are over now.
    pub(super) fn took(&self, begun: Instant, now: Instant) {
        let time = now.saturating_duration_since(begun);
        if time > QUICK {
            let until = now + time.saturating_mul(REMEMBERED).min(LONGEST);
            self.slow_until.fetch_max(self.since(until), Ordering::Relaxed);
        }
    }

    fn since(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.begun).as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_read_is_remembered_for_a_while_and_quick_ones_are_not() {
        let (memory, now) = (Memory::new(), Instant::now());
        assert!(memory.is_quick(now));
        memory.took(now, now + QUICK);
        assert!(memory.is_quick(now + QUICK));
        let slow = now + 2 * QUICK;
        memory.took(now, slow);
        assert!(!memory.is_quick(slow));
        assert!(!memory.is_quick(slow + QUICK * REMEMBERED));
        assert!(memory.is_quick(slow + 2 * QUICK * REMEMBERED));
        let slower = slow + LONGEST;
        memory.took(slow, slower);
        assert!(!memory.is_quick(slower + LONGEST / 2));
        assert!(memory.is_quick(slower + LONGEST));
    }
}
