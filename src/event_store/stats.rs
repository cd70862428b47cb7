//! How much is in a store.

use crate::version::Position;

/// Some numbers about a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Events in the log.
    pub events: u64,
    /// Streams with at least one event.
    pub streams: u64,
    /// Segment files.
    pub segments: u64,
    /// Size of the segment files in bytes, the unused part of the last one included.
    pub bytes: u64,
    /// Index files.
    pub index_runs: u64,
    /// Size of the index files in bytes.
    pub index_bytes: u64,
    /// Position of the newest event.
    pub last_position: Position,
}
