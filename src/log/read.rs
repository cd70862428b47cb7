//! Reading the log: one record at a place that the index knows, or all of them in order.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    open::Log,
    record::{self, Invalid, Read},
    segment::{HEADER_PAGE, Segment, StoredRecord},
    segments::SegmentView,
};
use crate::{
    error::{Place, Result},
    version::Position,
};

/// The part of a segment that a scan reads at once when there is no map.
const PIECE: u64 = 256 << 10;

impl Log {
    /// The segments as they are now, for reading in them.
    pub(crate) fn view(&self) -> SegmentView {
        self.segments.view()
    }

    /// Reads the record of a durable position, which lies at this offset of its segment.
    pub(crate) fn record(&self, view: &SegmentView, position: Position, offset: u64) -> Result<StoredRecord> {
        self.segments.holding(view, position)?.0.record(offset, position)
    }

    /// A place, for errors.
    pub(crate) fn place(&self, position: Position, offset: u64) -> Result<Place> {
        Ok(self.segments.holding(&self.view(), position)?.0.place(offset, position))
    }

    /// All records from `first`, which lies at `offset` of its segment, to `last`, which is durable.
    pub(crate) fn scan(&self, first: Position, offset: u64, last: Position) -> Result<LogScan<'_>> {
        let view = self.view();
        let (segment, following) = self.segments.holding(&view, first)?;
        let segment = segment.clone();
        Ok(LogScan { log: self, segment, following, piece: Bytes::new(), at: 0, offset, next: first, last })
    }
}

/// A walk through durable records in order of position.
pub(crate) struct LogScan<'a> {
    log: &'a Log,
    segment: Arc<Segment>,
    /// The base position of the segment behind it. One that is begun later holds nothing that this walk reads.
    following: Option<Position>,
    /// The part of the segment that was read last, ...
    piece: Bytes,
    /// ... where in it the next record begins, ...
    at: usize,
    /// ... and where that is in the segment.
    offset: u64,
    next: Position,
    last: Position,
}

impl LogScan<'_> {
    /// The next record, and the offset in the segment where it lies; `None` behind the last.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(Read<'_>, u64)>> {
        if self.next > self.last {
            return Ok(None);
        }
        if self.following == Some(self.next) {
            let view = self.log.view();
            let (segment, following) = self.log.segments.holding(&view, self.next)?;
            (self.segment, self.following, self.offset) = (segment.clone(), following, HEADER_PAGE);
            (self.piece, self.at) = (Bytes::new(), 0);
            // Whoever comes here from the segment before goes on to the end. What cannot be asked for is read when it is met.
            let _ = self.segment.file.read_ahead();
        }
        let mut wanted = PIECE;
        loop {
            let rest = &self.piece[self.at..];
            match record::parse_at(rest, self.segment.header.salt, self.next) {
                Ok(record) => {
                    let (offset, at) = (self.offset, self.at);
                    self.at += record.footprint;
                    self.offset += record.footprint as u64;
                    self.next = self.next.next();
                    return Ok(Some((Read::new(record, &self.piece, at), offset)));
                }
                Err(Invalid::Length { found, room }) if self.refill(wanted.max(found.into()), room)? => {
                    wanted = u64::from(found).next_multiple_of(record::ALIGNMENT as u64).max(PIECE);
                }
                Err(invalid) => return Err(invalid.at(self.place()).into()),
            }
        }
    }

    /// Reads the segment on from the next record; `false` when there is no more of it than before.
    fn refill(&mut self, wanted: u64, room: usize) -> Result<bool> {
        let wanted = wanted.next_multiple_of(record::ALIGNMENT as u64);
        let left = self.segment.header.bytes.saturating_sub(self.offset);
        let piece = self.segment.piece(self.offset, wanted.min(left))?;
        (self.piece, self.at) = (piece, 0);
        Ok(self.piece.len() > room)
    }

    /// The position of the next record; `None` behind the last.
    pub(crate) fn position(&self) -> Option<Position> {
        (self.next <= self.last).then_some(self.next)
    }

    /// Where the next record lies.
    pub(crate) fn place(&self) -> Place {
        self.segment.place(self.offset, self.next)
    }

    /// The segment of the record that was read last.
    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }
}
