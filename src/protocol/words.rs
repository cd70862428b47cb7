//! The words that errors are put together from: nouns, units and operations. They are constants of this crate in memory, and texts on the
//! wire.

/// Every word that an error can hold.
const WORDS: &[&str] = &[
    // Nouns.
    "aggregate's id",
    "append",
    "cursor name",
    "event",
    "event type",
    "metadata",
    "payload",
    "snapshot",
    "stream name",
    "sum of the lengths in an event",
    // Units.
    "bytes",
    "events",
    "streams",
    // Operations.
    "create",
    "decode",
    "encode",
    "list",
    "lock",
    "look at",
    "map",
    "open",
    "prepare",
    "read",
    "remove",
    "rename",
    "start a thread for",
    "sync",
    "sync the directory of",
    "write",
];

/// The word of a text; `None` for one that this version does not know.
pub(super) fn word(text: &str) -> Option<&'static str> {
    WORDS.iter().find(|word| **word == text).copied()
}
