//! Input that the store refuses.

use thiserror::Error;

use crate::version::Position;

/// Input that the store refuses, found before anything was written. The caller mends the input.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidInput {
    /// A stream name or event type of no characters.
    #[error("the {what} is empty")]
    Empty {
        /// What was empty.
        what: &'static str,
    },
    /// A text, event or append that is larger than its limit.
    #[error("the {what} has {found} {unit}; at most {limit} are allowed")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// What the two numbers count.
        unit: &'static str,
        /// Its size.
        found: usize,
        /// The limit, from [`crate::limits`] or the store's own.
        limit: usize,
    },
    /// A control character in a stream name or event type.
    #[error("the {what} has the control character U+{character:04X} at byte {at}")]
    ControlCharacter {
        /// What it was in.
        what: &'static str,
        /// The character's code point.
        character: u32,
        /// The byte offset in the text.
        at: usize,
    },
    /// Bytes that are no UTF-8 text.
    #[error("the {what} is no UTF-8 text")]
    NotUtf8 {
        /// What should have been text.
        what: &'static str,
    },
    /// A stream name that begins with `$`: those belong to the store itself.
    #[error("stream names that begin with `$` are reserved")]
    ReservedStreamName,
    /// An append of no events.
    #[error("an append needs at least one event")]
    NoEvents,
    /// A time that is no RFC 3339 time or out of range.
    #[error(
        "`{text}` is no RFC 3339 time such as 2018-08-15T10:10:18Z, between -009999-01-02T01:59:59Z and 9999-12-30T22:00:00.999999Z"
    )]
    Time {
        /// The text as given.
        text: String,
    },
    /// A value that could not be written as JSON.
    #[error("cannot write the {what} as JSON: {reason}")]
    Json {
        /// What could not be written.
        what: &'static str,
        /// The reason.
        reason: String,
    },
    /// A snapshot at version 0: the state of a stream without events is no snapshot.
    #[error("a snapshot needs at least one event")]
    EmptySnapshot,
    /// A state that its codec could not write.
    #[error("cannot write the state of a snapshot: {reason}")]
    State {
        /// What the codec said.
        reason: String,
    },
    /// A character that a cursor's name cannot have there.
    #[error(
        "the cursor name has {character:?} at byte {at}: only ASCII letters, digits, `-`, `_` and, not first, `.` are allowed"
    )]
    CursorName {
        /// The character.
        character: char,
        /// The byte offset in the text.
        at: usize,
    },
    /// An append that names a stream twice.
    #[error("stream `{stream}` is named twice in one append")]
    StreamTwice {
        /// The stream.
        stream: String,
    },
    /// An append to a stream that has the same event id twice.
    #[error("two events of the append to stream `{stream}` have the id {id}")]
    IdTwice {
        /// The stream.
        stream: String,
        /// The id.
        id: super::EventId,
    },
    /// An acknowledgement to a subscription that was begun without a cursor.
    #[error("the subscription has no cursor to keep an acknowledgement")]
    NoCursor,
    /// An acknowledgement of what the subscription has not given out.
    #[error("position {position} cannot be acknowledged: the subscription has given out what is up to {given}")]
    NotGivenOut {
        /// The position that was to be acknowledged.
        position: Position,
        /// What has been given out.
        given: Position,
    },
}
