//! The newest events of the streams that were appended to last: what the version check asks for.
//!
//! Without it the check would look a stream up that was last appended to a while ago in the part that grows, in those that are
//! being written, and in the newest runs. Each hash has four places in one bucket of a table, and when those are taken four in
//! another one. The table grows when it is half full, up to a bound; then whoever was there longest of eight is forgotten.

use std::{hint::black_box, mem};

use super::hash::ListHash;
use crate::version::{Position, Version};

/// Of 32 bytes each.
const PLACES: usize = 4;
const FEWEST_BUCKETS: usize = 1 << 8;
/// 8 MiB.
const MOST_BUCKETS: usize = 1 << 16;

/// Key and check of the stream, version, position; all 0 where there is none, as no stream has the key 0.
type Head = [u64; 4];

/// Two lines of the processor's caches.
#[derive(Clone, Debug, Default)]
#[repr(align(128))]
struct Bucket([Head; PLACES]);

#[derive(Debug, Default)]
pub(super) struct Heads {
    /// A power of two, or none until the first one is put.
    buckets: Vec<Bucket>,
    /// Places that are taken.
    taken: usize,
    /// Where the one was put that was put last: the next is often of the same stream.
    last: (usize, usize),
    /// A stream that is not here has no event behind this position.
    forgotten: Position,
}

impl Heads {
    pub(super) fn get(&self, stream: ListHash) -> Option<(Version, Position)> {
        let (bucket, at) = self.place_of(stream)?;
        let [.., version, position] = self.buckets.get(bucket)?.0[at];
        Some((Version::new(version), Position::new(position)))
    }

    /// A stream that is not here has no event behind this position.
    pub(super) fn forgotten(&self) -> Position {
        self.forgotten
    }

    pub(super) fn put(&mut self, stream: ListHash, version: Version, position: Position) {
        let buckets = self.buckets.len();
        if self.taken * 2 >= buckets * PLACES && buckets < MOST_BUCKETS {
            self.grow((buckets * 2).max(FEWEST_BUCKETS));
        }
        let (bucket, at) = self.last;
        if !is_of(&self.buckets[bucket].0[at], stream) {
            self.last = self.place_of(stream).unwrap_or_else(|| self.make_room(stream));
        }
        let (bucket, at) = self.last;
        self.buckets[bucket].0[at] = [stream.key, stream.check.into(), version.get(), position.get()];
    }

    fn grow(&mut self, buckets: usize) {
        let small = mem::replace(&mut self.buckets, vec![Bucket::default(); buckets]);
        (self.taken, self.last) = (0, (0, 0));
        for head in small.into_iter().flat_map(|bucket| bucket.0).filter(|[.., position]| *position > 0) {
            let (bucket, at) = self.make_room(ListHash { key: head[0], check: head[1] as u32 });
            self.buckets[bucket].0[at] = head;
        }
    }

    fn place_of(&self, stream: ListHash) -> Option<(usize, usize)> {
        self.buckets_of(stream).into_iter().find_map(|bucket| {
            // Without a branch for each place, as which one it is cannot be foreseen.
            let heads = self.buckets.get(bucket)?.0.iter().enumerate();
            let at = heads.fold(PLACES, |found, (at, head)| if is_of(head, stream) { at } else { found });
            (at < PLACES).then_some((bucket, at))
        })
    }

    /// Looks at the places of streams that will be asked for next, so that what is not in the processor's caches is fetched for all of
    /// them at the same time, and not for one after the other.
    pub(super) fn look_at(&self, streams: impl Iterator<Item = ListHash>) {
        let seen = streams.fold(0, |seen, stream| {
            let [bucket, _] = self.buckets_of(stream);
            self.buckets.get(bucket).map_or(seen, |Bucket([first, .., last])| seen ^ first[0] ^ last[0])
        });
        black_box(seen);
    }

    /// A place for a stream that has none: the first that is free, or that of the oldest, which is forgotten.
    fn make_room(&mut self, stream: ListHash) -> (usize, usize) {
        let places = self.buckets_of(stream).into_iter().flat_map(|bucket| (0..PLACES).map(move |at| (bucket, at)));
        let position = |(bucket, at): (usize, usize)| self.buckets[bucket].0[at][3];
        let oldest = places.min_by_key(|place| position(*place)).unwrap_or_default();
        let replaced = Position::new(position(oldest));
        self.taken += usize::from(replaced == Position::START);
        self.forgotten = self.forgotten.max(replaced);
        oldest
    }

    /// One of them twice at times, and out of range as long as there is none.
    fn buckets_of(&self, stream: ListHash) -> [usize; 2] {
        let last = self.buckets.len().wrapping_sub(1);
        [stream.key as usize & last, (stream.key >> 32) as usize & last]
    }
}

fn is_of(head: &Head, stream: ListHash) -> bool {
    (head[0] == stream.key) & (head[1] == u64::from(stream.check))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEHIND: u64 = 10;

    /// The streams of these numbers all have the same eight places.
    fn stream(number: u64) -> ListHash {
        ListHash { key: (7 << 32) | 5, check: number as u32 }
    }

    /// Streams of these numbers have any places.
    fn any(number: u64) -> ListHash {
        ListHash { key: number.wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1), check: number as u32 }
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
    fn nobody_is_forgotten_while_the_table_can_grow() {
        let mut heads = Heads::default();
        let most = (MOST_BUCKETS * PLACES / 2) as u64;
        for number in 1..=most {
            put(&mut heads, any(number), number);
        }
        assert_eq!((heads.buckets.len(), heads.taken as u64, heads.forgotten()), (MOST_BUCKETS, most, Position::START));
        assert!((1..=most).all(|number| heads.get(any(number)) == Some(at(number))));
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
    }
}
