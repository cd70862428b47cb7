//! How long work that takes long waits for a store that is away: a server is restarted, a leader is elected.

use std::{
    thread,
    time::{Duration, Instant},
};

use factlog::{Error, Result};

use super::output::say;

/// How long a store may be away. Those that are not in a directory ask again by themselves for so long once they are connected.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The first pause; each next one is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Connects; with patience as often as it takes, while the store is away.
pub fn connecting<T>(patience: Option<Duration>, connect: impl Fn() -> Result<T>) -> Result<T> {
    let until = Instant::now() + patience.unwrap_or_default();
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match connect() {
            Err(error @ Error::Unavailable { .. }) => error,
            done => return done,
        };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(error);
        }
        if pause == FIRST_PAUSE {
            say(format_args!("factlog: {error}; trying again for {} s", left.as_secs() + 1));
        }
        thread::sleep(pause.min(left));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
