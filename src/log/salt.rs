//! Finding the salt of a segment whose header is damaged.
//!
//! Every record's checksum was begun with the salt, and a checksum can be run backwards over the bytes that it is of: so each
//! record says which salt it was made with. A salt is believed when two witnesses that know nothing of each other name it: two
//! records, a record and the header's own field, or a record and the header's checksum.

use std::collections::HashMap;

use super::{
    record::{self, HEADER_BYTES},
    segment::{HEADER_PAGE, SegmentHeader},
};

/// Where the header has the salt.
const FIELD: std::ops::Range<usize> = 48..52;

/// The salt of the segment with this content, if it can be proved.
pub(super) fn prove(content: &[u8]) -> Option<u32> {
    let mut witnesses: HashMap<u32, u32> = HashMap::new();
    if let Some(field) = content.get(FIELD) {
        witnesses.insert(field.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte)), 1);
    }
    let mut offset = HEADER_PAGE as usize;
    while let Some(rest) = content.get(offset..).filter(|rest| rest.len() >= HEADER_BYTES) {
        let Some((salt, footprint)) = salt_of(rest) else {
            offset += record::ALIGNMENT;
            continue;
        };
        let named = witnesses.entry(salt).or_default();
        *named += 1;
        if *named > 1 || fits_header(content, salt) {
            return Some(salt);
        }
        offset += footprint;
    }
    None
}

/// Whether the header is whole once it has this salt.
fn fits_header(content: &[u8], salt: u32) -> bool {
    let Some(page) = content.get(..HEADER_PAGE as usize) else { return false };
    let mut page = page.to_vec();
    page[FIELD].copy_from_slice(&salt.to_le_bytes());
    SegmentHeader::decode(&page).is_ok()
}

/// The salt that the record at the front of these bytes was made with, if they are one, and what it takes up.
fn salt_of(bytes: &[u8]) -> Option<(u32, usize)> {
    let (checked, stored) = record::checked_bytes(bytes)?;
    let footprint = record::footprint_of(bytes)?;
    Some((begun_with(checked, stored), footprint))
}

/// What a checksum was begun with that came to `checksum` behind `bytes`.
fn begun_with(bytes: &[u8], checksum: u32) -> u32 {
    let mut state = !checksum;
    for byte in bytes.iter().rev() {
        let index = BACK[(state >> 24) as usize];
        state = (state ^ TABLE[index as usize]) << 8 | u32::from(index ^ byte);
    }
    !state
}

/// The table of CRC-32 (IEEE).
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let (mut word, mut bit) = (index as u32, 0);
        while bit < 8 {
            word = if word & 1 == 1 { word >> 1 ^ 0xedb8_8320 } else { word >> 1 };
            bit += 1;
        }
        table[index] = word;
        index += 1;
    }
    table
};

/// The index in the table of the entry with this highest byte.
const BACK: [u8; 256] = {
    let mut back = [0; 256];
    let mut index = 0;
    while index < 256 {
        back[(TABLE[index] >> 24) as usize] = index as u8;
        index += 1;
    }
    back
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_run_backwards_gives_what_it_was_begun_with() {
        for salt in [0, 1, 0x5a17, u32::MAX] {
            let mut hasher = crc32fast::Hasher::new_with_initial(salt);
            hasher.update(b"some bytes of a record");
            assert_eq!(begun_with(b"some bytes of a record", hasher.finalize()), salt);
        }
    }
}
