//! The index: where the events of each stream lie, and where each position lies.
//!
//! It holds nothing that the log does not, and is made anew from the log whenever a store is opened. It lives in
//! memory: 12 bytes an event, and the name of each stream.
//!
//! Invariants:
//!
//! - the positions of a stream are in order of version: that of version `v` is at `v - 1`;
//! - it may know of events that are not durable yet; whoever reads through it says up to which position it may look.

use std::collections::HashMap;

use crate::{
    event::StreamName,
    version::{Position, Version},
};

/// Offsets in a segment are multiples of this, and are kept divided by it.
const OFFSET_UNIT: u64 = 8;

#[derive(Debug, Default)]
pub(crate) struct Index {
    /// In order of first event.
    streams: Vec<Stream>,
    by_name: HashMap<StreamName, usize>,
    /// In order of base position.
    segments: Vec<Offsets>,
}

#[derive(Debug)]
struct Stream {
    name: StreamName,
    positions: Vec<Position>,
}

/// The offsets of the records of one segment.
#[derive(Debug)]
struct Offsets {
    base: Position,
    units: Vec<u32>,
}

impl Index {
    /// Adds the event behind all others: at `offset` of the segment that begins with position `segment`.
    pub(crate) fn add(&mut self, stream: &StreamName, position: Position, segment: Position, offset: u64) {
        self.extend(stream, position, segment, [offset]);
    }

    /// Adds events behind all others, the first of them at position `first`: at these offsets of the segment that begins
    /// with position `segment`.
    pub(crate) fn extend(
        &mut self,
        stream: &StreamName,
        first: Position,
        segment: Position,
        offsets: impl IntoIterator<Item = u64>,
    ) {
        if self.segments.last().is_none_or(|last| last.base != segment) {
            self.segments.push(Offsets { base: segment, units: Vec::new() });
        }
        let Some(segment) = self.segments.last_mut() else { return };
        let known = segment.units.len();
        segment.units.extend(offsets.into_iter().map(|offset| (offset / OFFSET_UNIT) as u32));
        let count = (segment.units.len() - known) as u64;
        let positions = (first.get()..first.get() + count).map(Position::new);
        match self.by_name.get(stream) {
            Some(known) => self.streams[*known].positions.extend(positions),
            None => {
                // The name may be a slice of a whole segment; the index must not keep that alive.
                let name = stream.detached();
                self.by_name.insert(name.clone(), self.streams.len());
                self.streams.push(Stream { name, positions: positions.collect() });
            }
        }
    }

    fn positions(&self, stream: &StreamName) -> &[Position] {
        self.by_name.get(stream).map_or(&[], |known| &self.streams[*known].positions)
    }

    /// The version of a stream and the position of its newest event, durable or not.
    pub(crate) fn newest(&self, stream: &StreamName) -> (Version, Position) {
        let positions = self.positions(stream);
        (Version::new(positions.len() as u64), positions.last().copied().unwrap_or_default())
    }

    /// The version of a stream, of its events up to a position.
    pub(crate) fn version(&self, stream: &StreamName, until: Position) -> Version {
        version_until(self.positions(stream), until)
    }

    /// The positions of a stream's events from a version on, at most `limit` and none behind `until`.
    pub(crate) fn stream(&self, stream: &StreamName, from: Version, limit: usize, until: Position) -> &[Position] {
        let positions = self.positions(stream);
        let end = version_until(positions, until).get() as usize;
        let start = usize::try_from(from.get().saturating_sub(1)).unwrap_or(usize::MAX).min(end);
        &positions[start..end.min(start.saturating_add(limit))]
    }

    /// The offset in its segment of an event.
    pub(crate) fn offset(&self, position: Position) -> Option<u64> {
        let behind = self.segments.partition_point(|segment| segment.base <= position);
        let segment = self.segments.get(behind.checked_sub(1)?)?;
        let units = segment.units.get(usize::try_from(position.get() - segment.base.get()).ok()?)?;
        Some(u64::from(*units) * OFFSET_UNIT)
    }

    /// The streams whose first event is not behind `until`, from the `from`-th on, at most `limit`.
    pub(crate) fn streams(&self, from: usize, limit: usize, until: Position) -> Vec<(StreamName, Version)> {
        let rest = self.streams.get(from..).unwrap_or_default();
        let known = rest.iter().take(limit).map(|stream| (&stream.name, version_until(&stream.positions, until)));
        known
            .take_while(|(_, version)| *version != Version::NONE)
            .map(|(name, version)| (name.clone(), version))
            .collect()
    }

    /// The number of streams whose first event is not behind `until`.
    pub(crate) fn stream_count(&self, until: Position) -> u64 {
        self.streams.partition_point(|stream| stream.positions.first().is_some_and(|first| *first <= until)) as u64
    }
}

/// How many of these positions are not behind `until`. Few are: they are looked at from the end.
fn version_until(positions: &[Position], until: Position) -> Version {
    let behind = positions.iter().rev().take_while(|position| **position > until).count();
    Version::new((positions.len() - behind) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_the_given_position_is_not_seen() {
        let at = Position::new;
        let (a, b) = (StreamName::new("a").unwrap(), StreamName::new("b").unwrap());
        let mut index = Index::default();
        for (position, (stream, segment, offset)) in
            [(&a, 1, 4096), (&b, 1, 4200), (&a, 3, 4096), (&b, 3, 5000), (&a, 3, 5008)].into_iter().enumerate()
        {
            index.add(stream, at(position as u64 + 1), at(segment), offset);
        }
        assert_eq!(index.newest(&a), (Version::new(3), at(5)));
        assert_eq!(index.version(&a, at(4)), Version::new(2));
        assert_eq!(index.version(&b, at(1)), Version::NONE);
        assert_eq!(index.stream(&a, Version::new(2), 9, at(4)), [at(3)]);
        assert_eq!(index.stream(&a, Version::new(9), 9, at(5)), []);
        assert_eq!(index.stream(&a, Version::NONE, 2, at(5)), [at(1), at(3)]);
        assert_eq!((index.offset(at(2)), index.offset(at(5)), index.offset(at(6))), (Some(4200), Some(5008), None));
        assert_eq!(index.streams(0, 9, at(1)), [(a.clone(), Version::new(1))]);
        assert_eq!(index.streams(1, 9, at(5)), [(b, Version::new(2))]);
        assert_eq!(index.stream_count(at(1)), 1);
    }
}
