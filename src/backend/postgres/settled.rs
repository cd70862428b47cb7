//! Up to which position the log is settled: no event that comes to light later has a position below.
//!
//! Appends take their numbers before they commit, and commit in any order. Whoever follows the log by position must not pass a number
//! whose append is still under way, or its events are never seen.
//!
//! ```text
//!   commits      ... 41 42 43 44 45                       43 is under way: its writer holds a lock "behind 42"
//!   writer       lock(last number) -> take the next number -> insert -> commit, which makes it visible and then unlocks
//!   reader       newest visible: 45 -> locks that are held: 42 -> settled: all up to 42 -> reads events up to there
//! ```
//!
//! Why this holds: a number below the newest visible one was taken before that one was, and its lock was taken before that. So when
//! the reader looks at the locks, which is after it saw the newest, either the lock is still held, or the append has ended: then
//! what it stored is visible to whatever reads the events next. A writer that has not yet locked will take a higher number than any
//! that is visible.
//!
//! Nothing waits for these locks: they are shared, and readers look at them in `pg_locks`. Other transactions, however long, hold up nobody.
//!
//! An append has one number, and its events lie behind each other: position = number * 16384 + place. So positions grow, have gaps, and
//! a reader sees an append whole.

use tokio_postgres::{Client, Error as SqlError};

use crate::{limits, version::Position};

/// How many bits of a position are the place in its append.
const PLACE_BITS: u32 = 14;

const _: () = assert!(limits::APPEND_EVENTS <= 1 << PLACE_BITS);

/// How many bits of its number a writer's lock holds.
const LOCK_BITS: u32 = 31;

/// What a look at the log found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Looked {
    /// The newest event that is visible.
    pub(super) newest: Position,
    /// All up to here is settled.
    pub(super) settled: Position,
}

/// One statement: what it sees of the events, it sees before it looks at the locks.
const LOOK: &str = "SELECT (SELECT coalesce(max(position), 0) FROM events), ARRAY(SELECT DISTINCT objid::bigint FROM pg_locks \
    WHERE locktype = 'advisory' AND classid = $1 AND objsubid = 2 AND mode = 'ShareLock' \
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";

/// Looks how far the log is settled.
pub(super) async fn look(client: &deadpool_postgres::ClientWrapper, store: u32) -> Result<Looked, SqlError> {
    let statement = client.prepare_cached(LOOK).await?;
    let client: &Client = client;
    let row = client.query_one(&statement, &[&store]).await?;
    let (newest, held): (i64, Vec<i64>) = (row.try_get(0)?, row.try_get(1)?);
    Ok(Looked {
        newest: Position::new(newest.unsigned_abs()),
        settled: Position::new(settled(newest, &held).unsigned_abs()),
    })
}

/// `held` are the last bits of numbers, each of which was the last when a writer that is under way looked.
fn settled(newest: i64, held: &[i64]) -> i64 {
    const HALF: i64 = 1 << (LOCK_BITS - 1);
    let number = newest >> PLACE_BITS;
    // The one of all the numbers with these last bits that is nearest.
    let lowest = held.iter().map(|low| number + (low - number + HALF).rem_euclid(2 * HALF) - HALF).min();
    match lowest {
        Some(lowest) if lowest < number => (lowest << PLACE_BITS) | ((1 << PLACE_BITS) - 1),
        _ => newest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_settled_up_to_the_lowest_number_behind_which_a_writer_is_under_way() {
        let at = |number: i64, place: i64| (number << PLACE_BITS) + place;
        let newest = at(45, 2);
        assert_eq!(settled(newest, &[]), newest);
        assert_eq!(settled(newest, &[45, 47]), newest);
        assert_eq!(settled(newest, &[44, 42]), at(43, 0) - 1);
        assert_eq!(settled(0, &[1]), 0);
        // The lock has the last bits only.
        let far = (5i64 << LOCK_BITS) + 3;
        assert_eq!(settled(at(far, 0), &[1]), at((5 << LOCK_BITS) + 2, 0) - 1);
        assert_eq!(settled(at(far, 0), &[(1 << LOCK_BITS) - 1]), at(5 << LOCK_BITS, 0) - 1);
        assert_eq!(settled(at(far - 4, 0), &[2]), at(far - 4, 0));
    }
}
