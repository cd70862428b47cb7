//! A filter that answers "certainly not here" for most streams that a run does not hold, with one look at memory.
//!
//! A blocked Bloom filter (Putze, Sanders, Singler 2007): each stream sets [`PROBES`] bits of one 64-byte block, which is one
//! cache line. With [`BITS_PER_STREAM`] bits a stream, about one in a hundred absent streams is let through.

use super::hash::ListHash;

const BLOCK_BYTES: usize = 64;
const BITS_PER_STREAM: usize = 12;
const PROBES: u32 = 6;

/// The bytes of a filter for so many streams.
pub(super) fn size(streams: usize) -> usize {
    (streams * BITS_PER_STREAM).div_ceil(BLOCK_BYTES * 8).max(1) * BLOCK_BYTES
}

/// Where in a filter of `size` bytes the block of a stream begins. The block is [`BLOCK_BYTES`] long.
pub(super) fn block(size: usize, hash: ListHash) -> (usize, usize) {
    let blocks = (size / BLOCK_BYTES) as u64;
    let at = (u64::from(hash.check) * blocks) >> 32;
    (at as usize * BLOCK_BYTES, BLOCK_BYTES)
}

/// The bits of a stream in its block.
fn bits(hash: ListHash) -> impl Iterator<Item = usize> {
    // The low bits of the key, spread anew: its high bits are alike among neighbours in the table, not in the filter.
    let spread = hash.key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..PROBES).map(move |probe| ((spread >> (probe * 9)) & 0x1ff) as usize)
}

pub(super) fn insert(filter: &mut [u8], hash: ListHash) {
    let (start, len) = block(filter.len(), hash);
    let block = &mut filter[start..start + len];
    for bit in bits(hash) {
        block[bit / 8] |= 1 << (bit % 8);
    }
}

/// Whether the stream may be among those inserted, by the block that [`block`] named.
pub(super) fn may_contain(block: &[u8], hash: ListHash) -> bool {
    bits(hash).all(|bit| block.get(bit / 8).is_some_and(|byte| byte & (1 << (bit % 8)) != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_inserted_is_let_through_and_few_others_are() {
        let hash = |number: u32| ListHash::of_stream(&[7; 16], &format!("stream-{number}"));
        let mut filter = vec![0; size(10_000)];
        (0..10_000).for_each(|number| insert(&mut filter, hash(number)));
        let passes = |number: u32| {
            let (start, len) = block(filter.len(), hash(number));
            may_contain(&filter[start..start + len], hash(number))
        };
        assert!((0..10_000).all(passes));
        let wrong = (10_000..110_000).filter(|number| passes(*number)).count();
        assert!(wrong < 2_000, "{wrong} of 100,000 absent streams are let through");
    }
}
