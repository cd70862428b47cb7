//! Lost events: what stands in the log where damage took an event and a repair marked its place.
//!
//! ```text
//!  head: 0         8      16      24     32           40             44  48
//!        +---------+------+-------+------+------------+--------------+---+
//!        | version | time | first | last | stream key | stream check | 0 |
//!        +---------+------+-------+------+------------+--------------+---+
//!  body: zeros, so many that the next record lies where it was
//! ```
//!
//! - The position is the record's own: positions stay dense, and none is given twice.
//! - `version` and the hash of a stream say that this version of it is lost, so that its versions stay dense, too. Where the
//!   index or a snapshot tells, it is the very event that lay here; else it is one that is missing between two of its
//!   stream, and lay at this lost position or at another near it. Zeros: nobody knows whose event it was.
//! - `first` and `last` are the lost positions around it, so that a reader passes over all of them at once.
//! - `time` is not before the lost event's, as far as the events around it tell.

use crate::{
    error::{Error, Lost},
    event::{StreamName, Timestamp},
    index::{Indexed, ListHash},
    layout::{Reader, Writer},
    log::Read,
    version::{Position, Version},
};

/// The kind of the records that stand for a lost event.
pub(super) const LOST: u8 = 2;

const HEAD_BYTES: usize = 48;

/// What stands for one lost event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StandIn {
    /// The version of a stream that is lost, if one is known to be.
    pub(super) stream: Option<(ListHash, Version)>,
    pub(super) time: Timestamp,
    pub(super) first: Position,
    pub(super) last: Position,
}

impl StandIn {
    /// The head of its record.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut head = vec![0; HEAD_BYTES];
        let (key, check) = self.stream.map(|(hash, _)| hash.parts()).unwrap_or_default();
        Writer::new(&mut head)
            .u64(self.stream.map_or(0, |(_, version)| version.get()))
            .i64(self.time.as_micros())
            .u64(self.first.get())
            .u64(self.last.get())
            .u64(key)
            .u32(check);
        head
    }

    /// Reads a record; `None` when it is none that stands for a lost event.
    pub(super) fn decode(read: &Read<'_>) -> Option<StandIn> {
        let position = read.header().position;
        let head: &[u8; HEAD_BYTES] = read.head().try_into().ok()?;
        let mut fields = Reader::new(head);
        let version = Version::new(fields.u64()?);
        let time = Timestamp::from_micros(fields.i64()?);
        let (first, last) = (Position::new(fields.u64()?), Position::new(fields.u64()?));
        let stream = ListHash::from_parts((fields.u64()?, fields.u32()?)).map(|hash| (hash, version));
        let fits = read.header().kind == LOST && (first..=last).contains(&position);
        fits.then_some(StandIn { stream, time, first, last })
    }

    /// What the index keeps of it.
    pub(super) fn indexed(&self, position: Position, offset: u64) -> Indexed {
        let (stream, version) = self.stream.unwrap_or((ListHash::STREAMLESS, Version::NONE));
        let time = self.time.as_micros();
        Indexed { position, offset, version, time, stream, event_type: ListHash::LOST, category: None }
    }

    /// The error of whoever asks for a stream's event that is lost.
    pub(super) fn error_of(&self, stream: &StreamName) -> Error {
        let version = self.stream.map_or(Version::NONE, |(_, version)| version);
        Lost::Version { stream: stream.clone(), version }.into()
    }
}
