//! The newest events of the streams that were appended to last: what the version check asks for.
//!
//! Without it the check would look a stream up that was last appended to a while ago in the part that grows, in those that are
//! being written, and in the newest runs. A table of fixed size: each hash has four places in one bucket, and when those are taken
//! four in another one. So nobody is forgotten before the table is nearly full; then it is whoever was there longest of eight.

use super::hash::ListHash;
use crate::version::{Position, Version};

/// Four places of 32 bytes each: 8 MiB, of which the system gives what is touched.
const BUCKETS: usize = 1 << 16;
const PLACES: usize = 4;

/// Key and check of the stream, version, position; all 0 where there is none, as no stream has the key 0.
type Head = [u64; 4];

#[derive(Debug, Default)]
pub(super) struct Heads {
    /// Empty until the first one is put.
    buckets: Vec<[Head; PLACES]>,
    /// Where the one was put that was put last: the next is often of the same stream.
    last: (usize, usize),
    /// A stream that is not here has no event behind this position.
    forgotten: Position,
}

impl Heads {
    pub(super) fn get(&self, stream: ListHash) -> Option<(Version, Position)> {
        let (bucket, at) = self.place_of(stream)?;
        let [.., version, position] = self.buckets.get(bucket)?[at];
        Some((Version::new(version), Position::new(position)))
    }

    /// A stream that is not here has no event behind this position.
    pub(super) fn forgotten(&self) -> Position {
        self.forgotten
    }

    /// The event of this position, behind all others, is not put.
    pub(super) fn leave_out(&mut self, position: Position) {
        self.forgotten = position;
    }

    pub(super) fn put(&mut self, stream: ListHash, version: Version, position: Position) {
        if self.buckets.is_empty() {
            self.buckets = vec![[[0; 4]; PLACES]; BUCKETS];
        }
        let (bucket, at) = self.last;
        if !is_of(&self.buckets[bucket][at], stream) {
            self.last = self.place_of(stream).unwrap_or_else(|| self.make_room(stream));
        }
        let (bucket, at) = self.last;
        self.buckets[bucket][at] = [stream.key, stream.check.into(), version.get(), position.get()];
    }

    fn place_of(&self, stream: ListHash) -> Option<(usize, usize)> {
        buckets_of(stream).into_iter().find_map(|bucket| {
            let at = self.buckets.get(bucket)?.iter().position(|head| is_of(head, stream))?;
            Some((bucket, at))
        })
    }

    /// A place for a stream that has none: the first that is free, or that of the oldest, which is forgotten.
    fn make_room(&mut self, stream: ListHash) -> (usize, usize) {
        let places = buckets_of(stream).into_iter().flat_map(|bucket| (0..PLACES).map(move |at| (bucket, at)));
        let position = |(bucket, at): (usize, usize)| self.buckets[bucket][at][3];
        let oldest = places.min_by_key(|place| position(*place)).unwrap_or_default();
        self.forgotten = self.forgotten.max(Position::new(position(oldest)));
        oldest
    }
}

fn buckets_of(stream: ListHash) -> [usize; 2] {
    [stream.key as usize % BUCKETS, (stream.key >> 32) as usize % BUCKETS]
}

fn is_of(head: &Head, stream: ListHash) -> bool {
    head[0] == stream.key && head[1] == u64::from(stream.check)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEHIND: u64 = 10;

    /// The streams of these numbers all have the same eight places.
    fn stream(number: u64) -> ListHash {
        ListHash { key: (7 << 32) | 5, check: number as u32 }
    }

    fn at(number: u64) -> (Version, Position) {
        (Version::new(number), Position::new(number * BEHIND))
    }

    fn put(heads: &mut Heads, stream: ListHash, number: u64) {
        let (version, position) = at(number);
        heads.put(stream, version, position);
    }

    #[test]
    fn a_head_is_that_of_the_stream_or_none() {
        let mut heads = Heads::default();
        assert_eq!(heads.get(stream(1)), None);
        put(&mut heads, stream(1), 1);
        put(&mut heads, stream(2), 2);
        assert_eq!((heads.get(stream(1)), heads.get(stream(2))), (Some(at(1)), Some(at(2))));
        put(&mut heads, stream(1), 3);
        assert_eq!((heads.get(stream(1)), heads.get(stream(2))), (Some(at(3)), Some(at(2))));
    }

    #[test]
    fn a_stream_that_is_not_there_has_no_event_behind_what_was_forgotten() {
        let mut heads = Heads::default();
        (1..=8).for_each(|number| put(&mut heads, stream(number), number));
        assert!((1..=8).all(|number| heads.get(stream(number)) == Some(at(number))));
        assert_eq!(heads.forgotten(), Position::START);
        put(&mut heads, stream(1), 9);
        put(&mut heads, stream(9), 10);
        assert_eq!((heads.get(stream(2)), heads.forgotten()), (None, at(2).1), "eight places for nine");
        assert!([(1, 9), (3, 3), (9, 10)].iter().all(|(of, number)| heads.get(stream(*of)) == Some(at(*number))));
        heads.leave_out(at(11).1);
        put(&mut heads, stream(10), 12);
        assert_eq!(heads.forgotten(), at(11).1);
    }
}
