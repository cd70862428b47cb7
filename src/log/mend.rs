//! Making the segments of a damaged log anew.
//!
//! ```text
//!   as it is    | header | a | b | #### damaged #### | f | g | 0 ...
//!   made anew   | header | a | b | c' | d' | e'      | f | g | 0 ...     c', d' and e' stand for lost events
//! ```
//!
//! - A record that is kept is copied byte by byte, with the salt that it was made with.
//! - What stands for lost events takes up the room that they had where that is possible, so that what follows stays in its
//!   place. It takes their places in their batches, too.
//! - A segment is left alone if nothing of it changes. One whose predecessor now ends otherwise gets a new header.

use std::path::PathBuf;

use super::{
    manifest::{Entry, Manifest},
    record::{self, HEADER_BYTES, Header, NO_PROOF},
    salvage::{Kept, MENDED, Salvage, Salvaged},
    segment::{End, HEADER_PAGE, PAGE, Segment, SegmentHeader},
    segments::Previous,
};
use crate::{error::Result, version::Position};

/// What stands for lost events: records of this kind, ...
pub(crate) struct StandIns<'a> {
    pub(crate) kind: u8,
    /// ... with this head. Its length is a multiple of [`record::ALIGNMENT`], and the same for all.
    pub(crate) head: &'a dyn Fn(Position) -> Vec<u8>,
    /// Where the salts of new segments come from.
    pub(crate) salt: &'a dyn Fn() -> u32,
}

/// Takes a file that is to take the place of another, by that one's name.
pub(crate) type Replace<'a> = dyn FnMut(PathBuf, Vec<u8>) -> Result<()> + 'a;

/// The name of a file until it takes the place of the one of this name.
pub(crate) fn mended(name: &std::path::Path) -> PathBuf {
    let mut name = name.as_os_str().to_owned();
    name.push(MENDED);
    name.into()
}

impl Salvage {
    /// Gives out every segment that is to be made anew, and the manifest that belongs to them.
    pub(crate) fn mend(&self, stand_ins: &StandIns<'_>, replace: &mut Replace<'_>) -> Result<Manifest> {
        let mut manifest = Manifest::new(self.store);
        let mut previous = (Position::START, End::default());
        for (index, segment) in self.segments.iter().enumerate() {
            let is_last = index + 1 == self.segments.len();
            let kept = self.kept(segment);
            let (end, torn, bytes) = match segment.untouched(&kept, previous) {
                Some((end, torn)) => (end, torn, segment.file_bytes()),
                None => {
                    let (content, end) = segment.made_anew(self.store, &kept, previous, stand_ins);
                    let bytes = content.len() as u64;
                    replace(Segment::name(segment.base), content)?;
                    (end, 0, bytes)
                }
            };
            let ended = (!is_last || torn != 0).then_some(end);
            manifest.segments.push(Entry { base: segment.base, bytes, end: ended, torn });
            previous = (segment.base, end);
        }
        manifest.durable = self.next().previous();
        manifest.durable_end = previous.1;
        Ok(manifest)
    }
}

impl Salvaged {
    fn file_bytes(&self) -> u64 {
        self.source.as_ref().map_or(0, |source| source.content.len() as u64)
    }

    /// The content of the segment as it will be, and how it ends.
    fn made_anew(
        &self,
        store: [u8; 16],
        kept: &[Kept],
        previous: Previous,
        stand_ins: &StandIns<'_>,
    ) -> (Vec<u8>, End) {
        let salt = self.salt.unwrap_or_else(stand_ins.salt);
        let mut anew = Anew { content: vec![0; HEADER_PAGE as usize], salt, checksum: 0, stand_ins };
        let mut before: Option<&Kept> = None;
        let mut position = self.base;
        for next in kept {
            anew.stand_in(position, next.position(), before, Some(next));
            if let Some(source) = &self.source {
                anew.copy(next, &source.content);
            }
            before = Some(next);
            position = next.position().next();
        }
        anew.stand_in(position, self.next, before, None);
        let Anew { mut content, checksum, .. } = anew;
        let end = End { offset: content.len() as u64, checksum };
        let header = self.source.as_ref().and_then(|source| source.header);
        let before = header.map_or(self.file_bytes(), |header| header.bytes);
        // At least one page for records: a segment of less was never made.
        let bytes = end.offset.max(2 * PAGE).max(before).next_multiple_of(PAGE);
        content.resize(bytes as usize, 0);
        let header = SegmentHeader { store, base: self.base, bytes, salt, previous };
        content[..HEADER_PAGE as usize].copy_from_slice(&header.encode());
        (content, end)
    }
}

/// A segment while it is made.
struct Anew<'a> {
    content: Vec<u8>,
    salt: u32,
    /// That of the last record.
    checksum: u32,
    stand_ins: &'a StandIns<'a>,
}

impl Anew<'_> {
    fn copy(&mut self, kept: &Kept, source: &bytes::Bytes) {
        self.content.extend_from_slice(kept.bytes(source));
        self.content.resize(self.content.len().next_multiple_of(record::ALIGNMENT), 0);
        self.checksum = kept.checksum;
    }

    /// Puts in what stands for the events from one position up to another.
    fn stand_in(&mut self, from: Position, to: Position, before: Option<&Kept>, behind: Option<&Kept>) {
        for number in from.get()..to.get() {
            let position = Position::new(number);
            let head = (self.stand_ins.head)(position);
            let is_last = position.next() == to;
            // The last one fills what is left of the room.
            let at = self.content.len() + record::footprint(head.len(), 0);
            let room = behind.filter(|_| is_last).map_or(0, |kept| (kept.offset as usize).saturating_sub(at));
            let (batch_index, batch_count) = place_in_batch(position, before, behind);
            let kind = self.stand_ins.kind;
            let header = Header { position, ack_lag: NO_PROOF, batch_index, batch_count, kind };
            let mut record = vec![0; HEADER_BYTES];
            record.extend_from_slice(&head);
            record.resize(record.len() + room, 0);
            let body = record::body_checksum(&record[HEADER_BYTES + head.len()..]);
            self.checksum = record::finish(&mut record, self.salt, header, head.len(), body);
            record.resize(record.len().next_multiple_of(record::ALIGNMENT), 0);
            self.content.extend_from_slice(&record);
        }
    }
}

/// The place in its batch of a lost event, by those that are kept before it and behind it: its index and the batch's number of
/// records.
fn place_in_batch(position: Position, before: Option<&Kept>, behind: Option<&Kept>) -> (u16, u16) {
    let header = |kept: &Kept| kept.header;
    let by_before = before.map(header).and_then(|header| {
        let distance = u16::try_from(position.get() - header.position.get()).ok()?;
        let index = header.batch_index.checked_add(distance)?;
        (index < header.batch_count).then_some((index, header.batch_count))
    });
    let by_behind = behind.map(header).and_then(|header| {
        let distance = u16::try_from(header.position.get() - position.get()).ok()?;
        Some((header.batch_index.checked_sub(distance)?, header.batch_count))
    });
    by_before.or(by_behind).unwrap_or((0, 1))
}
