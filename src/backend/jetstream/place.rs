//! Where events are in the log: positions from the sequence numbers of messages.
//!
//! ```text
//!   message      sequence 1           sequence 2                    sequence 3
//!   events       one                  three                         one
//!   positions    16384                32766  32767  32768           49152
//! ```
//!
//! A message carries all events of one append to one stream. Its last event has the position `sequence * 16384`, those before it the
//! numbers before that. So positions grow, none is given twice, and the newest position is known from the newest sequence number alone.
//! There are gaps: a position is no count of events.

use crate::{limits, version::Position};

/// Positions between one message and the next.
const SPAN: u64 = 1 << 14;

const _: () = assert!(limits::APPEND_EVENTS < SPAN as usize);

/// The position of the last event of a message.
pub(super) fn last_of(sequence: u64) -> Position {
    Position::new(sequence.saturating_mul(SPAN))
}

/// The position of an event of a message, by how many events of it come behind.
pub(super) fn of(sequence: u64, behind: u64) -> Position {
    Position::new(last_of(sequence).get().saturating_sub(behind))
}

/// The first message that may have an event behind a position.
pub(super) fn first_behind(position: Position) -> u64 {
    (position.get() / SPAN).saturating_add(1)
}

/// The last message that may have an event before a position.
pub(super) fn last_before(position: Position) -> u64 {
    position.get().saturating_sub(1).div_ceil(SPAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_grow_from_message_to_message_and_lead_back_to_theirs() {
        let most = limits::APPEND_EVENTS as u64;
        for sequence in [1, 2, 3, 1 << 40] {
            assert!(last_of(sequence) < of(sequence + 1, most - 1), "{sequence}");
            for behind in [0, 1, most - 1] {
                let position = of(sequence, behind);
                // Behind the last event of a message comes the next message, behind another the same one.
                assert_eq!(first_behind(position), sequence + u64::from(behind == 0));
                assert_eq!(first_behind(position.previous()), sequence);
                assert_eq!(last_before(position.next()), sequence);
            }
            assert_eq!(last_before(of(sequence, most - 1)), sequence, "an event could be before it");
        }
        assert_eq!(
            (first_behind(Position::START), last_before(Position::START), last_before(Position::FIRST)),
            (1, 0, 0)
        );
        assert_eq!(last_of(1).get(), 16_384);
        assert_eq!(last_of(u64::MAX), Position::MAX);
    }
}
