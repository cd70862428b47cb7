//! Drafts: the records of one append, laid out in full before any lock is taken.
//!
//! What only the lock can tell, positions and the late fields of the heads, is filled in by [`Draft::place`], which
//! touches a hundred bytes or so a record, however large its body.

use super::record::{self, HEADER_BYTES, Header, footprint};
use crate::version::Position;

/// The records of one batch, in the bytes that they will have in the segment.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    bytes: Vec<u8>,
    records: Vec<Outline>,
}

#[derive(Clone, Copy, Debug)]
struct Outline {
    start: usize,
    end: usize,
    head: usize,
    kind: u8,
    body_checksum: u32,
}

impl Draft {
    /// A draft with room for so many bytes.
    pub(crate) fn with_capacity(records: usize, bytes: usize) -> Draft {
        Draft { bytes: Vec::with_capacity(bytes), records: Vec::with_capacity(records) }
    }

    /// Adds a record with this head and the parts of its body.
    pub(crate) fn push(&mut self, kind: u8, head: &[u8], body: &[&[u8]]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; HEADER_BYTES]);
        self.bytes.extend_from_slice(head);
        let body_start = self.bytes.len();
        for part in body {
            self.bytes.extend_from_slice(part);
        }
        let end = self.bytes.len();
        let body_checksum = record::body_checksum(&self.bytes[body_start..]);
        self.bytes.resize(start + footprint(head.len(), end - body_start), 0);
        self.records.push(Outline { start, end, head: head.len(), kind, body_checksum });
    }

    /// The number of records.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// The bytes that the records take up in a segment.
    pub(crate) fn footprint(&self) -> usize {
        self.bytes.len()
    }

    /// The head of a record, to fill in what was not known when it was pushed.
    pub(crate) fn head_mut(&mut self, index: usize) -> &mut [u8] {
        match self.records.get(index) {
            Some(record) => &mut self.bytes[record.start + HEADER_BYTES..][..record.head],
            None => &mut [],
        }
    }

    /// Where a record begins, counted from the first.
    pub(crate) fn offset(&self, index: usize) -> usize {
        self.records.get(index).map_or(self.bytes.len(), |record| record.start)
    }

    /// Gives the records their positions, from `first` on, and completes their checksums. Returns the last one.
    pub(super) fn place(&mut self, salt: u32, first: Position, durable: Position) -> u32 {
        let count = self.records.len() as u16;
        let mut last = 0;
        for (index, outline) in self.records.iter().enumerate() {
            let position = first.plus(index as u64);
            let lag = position.get().saturating_sub(durable.get());
            let header = Header {
                position,
                ack_lag: u32::try_from(lag).unwrap_or(record::NO_PROOF),
                batch_index: index as u16,
                batch_count: count,
                kind: outline.kind,
            };
            let bytes = &mut self.bytes[outline.start..outline.end];
            last = record::finish(bytes, salt, header, outline.head, outline.body_checksum);
        }
        last
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
