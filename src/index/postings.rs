//! Postings: an ascending list of positions in few bytes, readable from any place.
//!
//! ```text
//! | count, varint | skip: (position u32, offset u32) for each block but the first | deltas, varints |
//! ```
//!
//! Positions are relative to the start of their run. A block has [`BLOCK`] of them; its skip entry holds its first position
//! and where, in the deltas, the one behind that begins. The first delta of the first block counts from 0. Varints are
//! LEB128.

use crate::layout::Reader;

/// Positions in a block.
pub(super) const BLOCK: usize = 128;
const SKIP_BYTES: usize = 8;

pub(super) fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a varint from the front of `bytes`.
pub(super) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Appends the list to `bytes`.
pub(super) fn encode(bytes: &mut Vec<u8>, positions: &[u32]) {
    put_varint(bytes, positions.len() as u64);
    let skip_at = bytes.len();
    let blocks = positions.len().div_ceil(BLOCK).max(1);
    bytes.resize(skip_at + (blocks - 1) * SKIP_BYTES, 0);
    let deltas_at = bytes.len();
    let mut last = 0;
    for (index, position) in positions.iter().enumerate() {
        if index > 0 && index % BLOCK == 0 {
            let offset = (bytes.len() - deltas_at) as u32;
            let skip = skip_at + (index / BLOCK - 1) * SKIP_BYTES;
            bytes[skip..skip + 4].copy_from_slice(&position.to_le_bytes());
            bytes[skip + 4..skip + 8].copy_from_slice(&offset.to_le_bytes());
        } else {
            put_varint(bytes, u64::from(position - last));
        }
        last = *position;
    }
}

/// A list in its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Postings<'a> {
    count: usize,
    skip: &'a [u8],
    deltas: &'a [u8],
}

impl<'a> Postings<'a> {
    /// `None` when the bytes are no list.
    pub(super) fn new(mut bytes: &'a [u8]) -> Option<Postings<'a>> {
        let count = usize::try_from(take_varint(&mut bytes)?).ok()?;
        let skip_bytes = count.div_ceil(BLOCK).max(1).checked_sub(1)?.checked_mul(SKIP_BYTES)?;
        let (skip, deltas) = bytes.split_at_checked(skip_bytes)?;
        Some(Postings { count, skip, deltas })
    }

    /// The number of positions.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The number of blocks.
    pub(super) fn blocks(&self) -> usize {
        self.count.div_ceil(BLOCK)
    }

    /// Reads a block into `block`, in place of what it holds. `None` when the bytes are no list.
    pub(super) fn block(&self, number: usize, block: &mut Vec<u32>) -> Option<()> {
        block.clear();
        let wanted = self.count.checked_sub(number.checked_mul(BLOCK)?)?.min(BLOCK);
        let mut last = 0;
        let mut deltas = self.deltas;
        if let Some(skip) = number.checked_sub(1) {
            let mut fields = Reader::new(self.skip.get(skip * SKIP_BYTES..)?);
            last = fields.u32()?;
            deltas = self.deltas.get(fields.u32()? as usize..)?;
            block.push(last);
        }
        while block.len() < wanted {
            last = last.checked_add(u32::try_from(take_varint(&mut deltas)?).ok()?)?;
            block.push(last);
        }
        Some(())
    }

    /// The number of the first block that may hold a position not before `position`.
    pub(super) fn block_of(&self, position: u32) -> usize {
        let (mut low, mut high) = (0, self.blocks().saturating_sub(1));
        while low < high {
            let middle = (low + high) / 2;
            let first = self.skip.get(middle * SKIP_BYTES..).and_then(|skip| Reader::new(skip).u32());
            if first.is_some_and(|first| first <= position) { low = middle + 1 } else { high = middle }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Option<Vec<u32>> {
        let postings = Postings::new(bytes)?;
        let (mut all, mut block) = (Vec::new(), Vec::new());
        for number in 0..postings.blocks() {
            postings.block(number, &mut block)?;
            all.extend_from_slice(&block);
        }
        Some(all)
    }

    #[test]
    fn a_list_reads_back_whole_and_from_any_place() {
        for count in [0, 1, 2, 127, 128, 129, 1000] {
            let positions: Vec<u32> = (0..count).map(|index| index * index + index % 3).collect();
            let mut bytes = Vec::new();
            encode(&mut bytes, &positions);
            assert_eq!(decode(&bytes).as_deref(), Some(&positions[..]), "{count}");
            let postings = Postings::new(&bytes).unwrap();
            let mut block = Vec::new();
            for wanted in positions.iter().flat_map(|position| [*position, position + 1]) {
                postings.block(postings.block_of(wanted), &mut block).unwrap();
                let first = positions.iter().find(|position| **position >= wanted);
                let here = block.iter().find(|position| **position >= wanted);
                assert!(here == first || here.is_none() && block.last() < first, "{wanted} of {count}");
            }
        }
    }

    #[test]
    fn bytes_that_are_no_list_are_refused() {
        let mut bytes = Vec::new();
        encode(&mut bytes, &(0..300).map(|index| index * 1000).collect::<Vec<_>>());
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end]), None, "cut at {end}");
        }
        assert_eq!(decode(&[0xff; 20]), None);
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0x7f]), None);
    }
}
