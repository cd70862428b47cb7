//! How fast a projection takes events.

use std::time::{Duration, Instant};

/// The rate is that of the last one to two of these.
const WINDOW: Duration = Duration::from_secs(1);

/// Counts events over a window that moves on.
#[derive(Debug, Default)]
pub(in crate::model) struct Meter {
    earlier: Option<Window>,
    now: Option<Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Instant,
    events: u64,
}

impl Meter {
    /// Work begins, if it has not yet.
    pub(in crate::model) fn begin(&mut self) {
        let fresh = Window { since: Instant::now(), events: 0 };
        match self.now {
            Some(window) if window.since.elapsed() < WINDOW => {}
            // A pause is no work: after a long one, what came before it says nothing.
            Some(window) if window.since.elapsed() < 2 * WINDOW => {
                (self.earlier, self.now) = (Some(window), Some(fresh))
            }
            _ => (self.earlier, self.now) = (None, Some(fresh)),
        }
    }

    /// So many events were taken since [`Meter::begin`]. Returns the rate, in events a second.
    pub(in crate::model) fn add(&mut self, events: usize) -> f64 {
        if let Some(now) = &mut self.now {
            now.events += events as u64;
        }
        let windows = self.earlier.iter().chain(&self.now);
        let counted: u64 = windows.clone().map(|window| window.events).sum();
        let elapsed = windows.map(|window| window.since.elapsed()).max().unwrap_or_default();
        counted as f64 / elapsed.as_secs_f64().max(1e-6)
    }
}
