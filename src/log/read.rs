//! Reading the log: one record at a place that the index knows, or all of them in order.

use std::{hint::black_box, sync::Arc};

use bytes::Bytes;

use super::{
    open::Log,
    record::{self, Invalid, Read, Record},
    segment::{HEADER_PAGE, Segment},
    segments::{Held, SegmentView},
};
use crate::{
    error::{Damage, Place, Result},
    version::Position,
};

/// How many records are [looked at](SegmentView::look_at) at once.
pub(crate) const LOOKED_AT: usize = 32;
/// How many bytes of each: what is longer is read faster than it is looked for.
const MOST_LOOKED_AT: usize = 1 << 10;
const CACHE_LINE: usize = 64;

/// The part of a segment that a scan reads at once when there is no map.
const PIECE: u64 = 256 << 10;

impl Log {
    /// The segments as they are now, for reading in them.
    pub(crate) fn view(&self) -> SegmentView {
        self.segments.view()
    }

    /// Reads the record of a durable position, which lies at this offset of its segment. `buffer` is for a segment without
    /// a map.
    pub(crate) fn record<'a>(
        &self,
        view: &'a mut SegmentView,
        position: Position,
        offset: u64,
        buffer: &'a mut Bytes,
    ) -> Result<Read<'a>> {
        let Held { segment, front, .. } = self.segments.holding(view, position)?;
        segment.record(offset, position, front, buffer)
    }

    /// As [`Log::record`], by a short way: `None` if it lies in no map or is not sound.
    #[inline]
    pub(crate) fn sound_record<'a>(
        &self,
        view: &'a mut SegmentView,
        position: Position,
        offset: u64,
    ) -> Option<Read<'a>> {
        let Held { segment, front, .. } = self.segments.holding(view, position).ok()?;
        segment.sound_record(offset, position, front)
    }

    /// A place, for errors.
    pub(crate) fn place(&self, position: Position, offset: u64) -> Result<Place> {
        Ok(self.segments.holding(&mut self.view(), position)?.segment.place(offset, position))
    }

    /// All records from `first`, which lies at `offset` of its segment, to `last`, which is durable.
    pub(crate) fn scan(&self, first: Position, offset: u64, last: Position) -> Result<LogScan<'_>> {
        let mut view = self.view();
        let Held { segment, following, .. } = self.segments.holding(&mut view, first)?;
        let segment = segment.clone();
        Ok(LogScan {
            log: self,
            segment,
            following,
            piece: Bytes::new(),
            at: 0,
            offset,
            next: first,
            last,
            record: Record::default(),
        })
    }
}

impl SegmentView {
    /// Looks at records that will be read next, so that what is not in the processor's caches is fetched for all of them at the
    /// same time, and not for one after the other. Each is given by its position, its offset, and how many bytes it may take up.
    /// Reads nothing: what is wrong is found when a record is read.
    pub(crate) fn look_at<'a>(&'a self, places: impl Iterator<Item = (Position, u64, u64)> + Clone) {
        let mut records: [&[u8]; LOOKED_AT] = [&[]; LOOKED_AT];
        let maps = self.maps(places.clone().map(|(position, ..)| position));
        for (record, (map, (_, offset, bytes))) in records.iter_mut().zip(maps.zip(places)) {
            let (start, bytes) = (offset as usize, (bytes as usize).clamp(1, MOST_LOOKED_AT));
            let within = |map: &'a Bytes| map.get(start..map.len().min(start.saturating_add(bytes)));
            *record = map.and_then(within).unwrap_or_default();
        }
        // As few steps as can be: the processor looks no farther than some hundreds of them.
        let look = |seen, record: &&[u8]| record.iter().step_by(CACHE_LINE).fold(seen, |seen, byte| seen ^ byte);
        black_box(records.iter().fold(0, look));
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
    /// The record that was read last.
    record: Record,
}

impl LogScan<'_> {
    /// Goes on to the next record; `false` behind the last.
    #[inline]
    pub(crate) fn advance(&mut self) -> Result<bool> {
        if self.next > self.last {
            return Ok(false);
        }
        if self.following != Some(self.next)
            && let Some(record) = record::sound_at(&self.piece[self.at..], self.segment.header.salt, self.next)
        {
            self.take(record);
            return Ok(true);
        }
        self.advance_to_other_piece()
    }

    #[inline]
    fn take(&mut self, record: Record) {
        self.at += record.footprint();
        self.offset += record.footprint() as u64;
        self.next = self.next.next();
        self.record = record;
    }

    /// Goes on to a record that does not lie whole in the piece that was read.
    #[cold]
    fn advance_to_other_piece(&mut self) -> Result<bool> {
        if self.following == Some(self.next) {
            let mut view = self.log.view();
            let Held { segment, following, .. } = self.log.segments.holding(&mut view, self.next)?;
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
                    self.take(record);
                    return Ok(true);
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

    /// The record that was read last.
    #[inline]
    pub(crate) fn record(&self) -> Read<'_> {
        Read::new(self.record, &self.piece, self.at - self.record.footprint())
    }

    /// Where in its segment that lies.
    pub(crate) fn offset(&self) -> u64 {
        self.offset - self.record.footprint() as u64
    }

    /// The position of the next record; `None` behind the last.
    pub(crate) fn position(&self) -> Option<Position> {
        (self.next <= self.last).then_some(self.next)
    }

    /// Where the next record lies.
    pub(crate) fn place(&self) -> Place {
        self.segment.place(self.offset, self.next)
    }

    /// What is wrong with the content of the record that was read last.
    pub(crate) fn damage(&self, fault: String) -> Damage {
        self.segment.damage(self.offset(), self.record().header().position, fault)
    }
}
