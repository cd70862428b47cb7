//! The numbers of the store: [`Version`], a place in one stream; [`Position`], a place in the whole log; and
//! [`ExpectedVersion`], the condition of an append.
//!
//! Invariants:
//!
//! - both count events, never bytes; both are dense and begin at 1;
//! - a number, once given to an event, is never given to another.

use std::fmt;

/// The place of an event in its stream: the first event has version 1, each next one is greater by one.
///
/// As the state of a stream it is the version of its newest event; a stream that does not exist is at version 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    /// The version of a stream that does not exist.
    pub const NONE: Version = Version(0);
    /// The version of the first event of a stream.
    pub const FIRST: Version = Version(1);
    /// A version above every event's: the end of a stream, however long it is.
    pub const MAX: Version = Version(u64::MAX);

    /// The version with this number; 0 is [`Version::NONE`].
    pub const fn new(number: u64) -> Version {
        Version(number)
    }

    /// The number of this version.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The version `count` events later, or [`Version::MAX`] at the end of the range.
    pub const fn plus(self, count: u64) -> Version {
        Version(self.0.saturating_add(count))
    }

    /// The version of the next event.
    pub const fn next(self) -> Version {
        self.plus(1)
    }

    /// The version before this one; [`Version::NONE`] has none and stays.
    pub const fn previous(self) -> Version {
        Version(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of an event in the whole log: the first event of a store has position 1, each next one is greater by
/// one, whatever its stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

impl Position {
    /// Before the first event; the last position of an empty store.
    pub const START: Position = Position(0);
    /// The position of the first event of a store.
    pub const FIRST: Position = Position(1);
    /// A position above every event's.
    pub const MAX: Position = Position(u64::MAX);

    /// The position with this number; 0 is [`Position::START`].
    pub const fn new(number: u64) -> Position {
        Position(number)
    }

    /// The number of this position.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The position `count` events later, or the end of the range.
    pub const fn plus(self, count: u64) -> Position {
        Position(self.0.saturating_add(count))
    }

    /// The position of the next event.
    pub const fn next(self) -> Position {
        self.plus(1)
    }

    /// The position before this one; [`Position::START`] has none and stays.
    pub const fn previous(self) -> Position {
        Position(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What must be true of a stream for an append to it to be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExpectedVersion {
    /// Nothing: the events go behind whatever is there.
    Any,
    /// The stream does not exist.
    NoStream,
    /// The stream has at least one event.
    StreamExists,
    /// The stream is at exactly this version. `Exact(Version::NONE)` means the same as [`ExpectedVersion::NoStream`].
    Exact(Version),
}

impl ExpectedVersion {
    /// Whether a stream at version `actual` meets the condition.
    pub fn accepts(self, actual: Version) -> bool {
        match self {
            ExpectedVersion::Any => true,
            ExpectedVersion::NoStream => actual == Version::NONE,
            ExpectedVersion::StreamExists => actual != Version::NONE,
            ExpectedVersion::Exact(version) => actual == version,
        }
    }
}

/// A stream expected at version 0 is a stream expected not to exist.
impl From<Version> for ExpectedVersion {
    fn from(version: Version) -> Self {
        ExpectedVersion::Exact(version)
    }
}

impl fmt::Display for ExpectedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExpectedVersion::Any => f.write_str("any"),
            ExpectedVersion::NoStream => Version::NONE.fmt(f),
            ExpectedVersion::StreamExists => f.write_str("of an existing stream"),
            ExpectedVersion::Exact(version) => version.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_condition_accepts_the_versions_it_names_and_no_other() {
        let at = Version::new;
        for (expected, accepted, refused) in [
            (ExpectedVersion::Any, vec![at(0), at(1), at(9)], vec![]),
            (ExpectedVersion::NoStream, vec![at(0)], vec![at(1), at(9)]),
            (ExpectedVersion::StreamExists, vec![at(1), at(9)], vec![at(0)]),
            (ExpectedVersion::Exact(at(0)), vec![at(0)], vec![at(1)]),
            (ExpectedVersion::Exact(at(3)), vec![at(3)], vec![at(0), at(2), at(4)]),
        ] {
            assert!(accepted.iter().all(|v| expected.accepts(*v)), "{expected:?}");
            assert!(!refused.iter().any(|v| expected.accepts(*v)), "{expected:?}");
        }
    }

    #[test]
    fn numbers_stop_at_the_end_of_their_range_instead_of_wrapping() {
        assert_eq!(Version::MAX.next(), Version::MAX);
        assert_eq!(Position::new(u64::MAX).next().get(), u64::MAX);
        assert_eq!(Position::START.previous(), Position::START);
    }
}
