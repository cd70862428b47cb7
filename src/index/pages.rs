//! A mapped file whose pages are checked when they are first looked at.
//!
//! The checksum of each page lies in a table of the file, which is checked as a whole when the file is opened. Looking at a
//! page for the first time costs its checksum; a bit remembers that it was right.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;

pub(super) const PAGE: usize = 4096;

/// A page does not have the bytes that were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadPage {
    pub(super) offset: u64,
}

/// The pages from offset 0 up to the table of checksums.
#[derive(Debug)]
pub(super) struct Pages {
    map: Bytes,
    checksums: Bytes,
    checked: Vec<AtomicU64>,
}

/// The table of checksums of these pages; the last one may be short.
pub(super) fn checksums(pages: &[u8]) -> Vec<u8> {
    pages.chunks(PAGE).flat_map(|page| crc32fast::hash(page).to_le_bytes()).collect()
}

impl Pages {
    /// `checksums` is the table for `map`. The first page is the header, which was checked before.
    pub(super) fn new(map: Bytes, checksums: Bytes) -> Pages {
        let words = map.len().div_ceil(PAGE).div_ceil(64);
        Pages { checked: (0..words).map(|word| AtomicU64::new(u64::from(word == 0))).collect(), map, checksums }
    }

    /// A part of the file, checked.
    #[inline]
    pub(super) fn get(&self, range: Range<usize>) -> Result<&[u8], BadPage> {
        let Some(bytes) = self.map.get(range.clone()) else { return Err(BadPage { offset: range.start as u64 }) };
        if !bytes.is_empty() {
            for page in range.start / PAGE..=(range.end - 1) / PAGE {
                self.check(page)?;
            }
        }
        Ok(bytes)
    }

    /// A byte of the file, unchecked: nothing may depend on it.
    pub(super) fn glance(&self, at: usize) -> u8 {
        self.map.get(at).copied().unwrap_or_default()
    }

    #[inline]
    fn check(&self, page: usize) -> Result<(), BadPage> {
        let start = page * PAGE;
        let bad = BadPage { offset: start as u64 };
        let word = self.checked.get(page / 64).ok_or(bad)?;
        let bit = 1 << (page % 64);
        if word.load(Ordering::Relaxed) & bit != 0 {
            return Ok(());
        }
        let bytes = &self.map[start..self.map.len().min(start + PAGE)];
        let stored = self.checksums.get(page * 4..page * 4 + 4).ok_or(bad)?;
        if crc32fast::hash(bytes).to_le_bytes() != *stored {
            return Err(bad);
        }
        word.fetch_or(bit, Ordering::Relaxed);
        Ok(())
    }

    /// Checks every page.
    pub(super) fn check_all(&self) -> Result<(), BadPage> {
        (0..self.map.len().div_ceil(PAGE)).try_for_each(|page| self.check(page))
    }
}
