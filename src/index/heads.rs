//! The newest events of the streams that were appended to last: what the version check asks for.
//!
//! Without it the check would look a stream up that was last appended to a while ago in the part that grows, in those that are
//! being written, and in the newest runs. A table of fixed size with four places for each hash: whoever comes fifth takes
//! the place of the one that was there longer.

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
    /// The place in its bucket of the one that was put last: the next is often of the same stream.
    last: usize,
}

impl Heads {
    pub(super) fn get(&self, stream: ListHash) -> Option<(Version, Position)> {
        let bucket = self.buckets.get(place(stream))?;
        let [.., version, position] = bucket.iter().find(|head| is_of(head, stream))?;
        Some((Version::new(*version), Position::new(*position)))
    }

    pub(super) fn put(&mut self, stream: ListHash, version: Version, position: Position) {
        if self.buckets.is_empty() {
            self.buckets = vec![[[0; 4]; PLACES]; BUCKETS];
        }
        let Some(bucket) = self.buckets.get_mut(place(stream)) else { return };
        if !is_of(&bucket[self.last], stream) {
            let oldest = || bucket.iter().enumerate().min_by_key(|(_, [.., position])| *position).map(|(at, _)| at);
            self.last = bucket.iter().position(|head| is_of(head, stream)).or_else(oldest).unwrap_or_default();
        }
        bucket[self.last] = [stream.key, stream.check.into(), version.get(), position.get()];
    }
}

fn place(stream: ListHash) -> usize {
    stream.key as usize % BUCKETS
}

fn is_of(head: &Head, stream: ListHash) -> bool {
    head[0] == stream.key && head[1] == u64::from(stream.check)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_that_of_the_stream_or_none() {
        let stream = |key: u64, check| ListHash { key: key * BUCKETS as u64 + 7, check };
        let at = |number| (Version::new(number), Position::new(number * 10));
        let mut heads = Heads::default();
        assert_eq!(heads.get(stream(1, 1)), None);
        heads.put(stream(1, 1), Version::new(1), Position::new(10));
        heads.put(stream(1, 2), Version::new(2), Position::new(20));
        assert_eq!((heads.get(stream(1, 1)), heads.get(stream(1, 2))), (Some(at(1)), Some(at(2))));
        heads.put(stream(1, 1), Version::new(3), Position::new(30));
        assert_eq!((heads.get(stream(1, 1)), heads.get(stream(1, 2))), (Some(at(3)), Some(at(2))));
        (4..7).for_each(|number| heads.put(stream(number, 1), Version::new(number), Position::new(number * 10)));
        assert!(
            [(1, 3), (4, 4), (5, 5), (6, 6)]
                .iter()
                .all(|(key, number)| heads.get(stream(*key, 1)) == Some(at(*number)))
        );
        assert_eq!(heads.get(stream(1, 2)), None, "four places for five");
    }
}
