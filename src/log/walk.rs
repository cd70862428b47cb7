//! Walking through the whole log, record by record: what opening and verifying have in common.
//!
//! The difference is what a fault does: opening stops at the first, verifying notes it and goes on behind it.
//!
//! A torn tail and damage are told apart like this. In the segment that was being written to, everything behind the
//! last valid batch may be the remains of writes that a crash cut off. It is damage and no torn tail if anything proves
//! that the record missing there had been acknowledged: a later valid record whose writer already knew the missing
//! position to be durable, or the manifest's mark of a clean close. What nothing proves is dropped: it was never
//! acknowledged, or it was the very last batch, of which one disk cannot tell the two apart.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{
    manifest::{Entry, Manifest},
    record::{self, Header, Invalid, Read},
    segment::{End, HEADER_PAGE, PAGE, Segment},
    segments::{glance, last_entry, open_segment},
};
use crate::{
    disk::{Access, Disk, Entry as Kind, names, no_file, planted},
    error::{Damage, Error, Place, Result},
    version::Position,
};

/// What a walk meets.
pub(crate) trait Visitor {
    /// A valid record of a whole batch. The error says what is wrong with its content.
    fn record(&mut self, segment: &Segment, offset: u64, record: &Read<'_>) -> Result<(), String>;

    /// A fault. An error ends the walk.
    fn fault(&mut self, damage: Damage) -> Result<()>;

    /// So many bytes of segments have been read.
    fn progress(&mut self, _bytes: u64) {}
}

/// What lies behind the last valid batch of the segment that was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Zeros: appends can go on there.
    Clean,
    /// The remains of writes that were never acknowledged, so many bytes from their first to their last, with this
    /// checksum up to the end of the file.
    Torn { bytes: u64, checksum: u32 },
}

/// How much a walk reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Every byte.
    Full,
    /// Everything up to this position is known to the index: segments that ended before it are only looked at from outside.
    Behind(Position),
}

/// The log as a walk found it.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    /// The manifest's entry of the last segment, as it should be.
    pub(crate) last: Option<Entry>,
    /// The last segment, if it may be appended to.
    pub(crate) active: Option<Segment>,
    /// The number of segments that could be read.
    pub(crate) readable: u64,
    /// The position that the next record will have.
    pub(crate) next: Position,
    /// How the last segment ends, and what lies behind that; `None` when there is no segment.
    pub(crate) tail: Option<(End, Tail)>,
    /// Files without a record, of segments that were about to be begun when a crash came.
    pub(crate) leftovers: Vec<PathBuf>,
}

/// Walks through the segments that the manifest names, in order. If another process writes the log, only up to the position
/// `until` that it has published: what lies behind is none of ours.
pub(crate) fn walk(
    disk: &dyn Disk,
    dir: &Path,
    manifest: &Manifest,
    access: Access,
    depth: Depth,
    until: Option<Position>,
    visitor: &mut dyn Visitor,
) -> Result<Walked> {
    let mut walked = Walked { next: Position::FIRST, ..Walked::default() };
    let mut previous = (Position::START, End::default());
    for (index, entry) in manifest.segments.iter().enumerate() {
        let following = manifest.segments.get(index + 1).map(|entry| entry.base);
        let entry = match following {
            Some(_) => entry,
            None => &last_entry(disk, dir, manifest, *entry, previous)?,
        };
        walked.last = Some(*entry);
        walked.next = following.unwrap_or(entry.base);
        if let (Depth::Behind(known), Some(following), Some(end)) = (depth, following, entry.end)
            && following <= known.next()
        {
            if let Err(damage) = glance(disk, dir, entry)? {
                visitor.fault(*damage)?;
            }
            previous = (entry.base, end);
            walked.tail = Some((end, Tail::Clean));
            continue;
        }
        let dirty = entry.end.is_none() && !manifest.clean;
        let (segment, bytes) = match open_segment(disk, dir, &manifest.store, entry, previous, access, dirty)? {
            Ok(opened) => opened,
            Err(damage) => {
                visitor.fault(*damage)?;
                continue;
            }
        };
        let mut scan = Scan { segment: &segment, bytes: &bytes, visitor };
        let (end, next, tail) = match entry.end {
            Some(end) => scan.ended(entry, end, following)?,
            None => scan.active(manifest, depth, until)?,
        };
        scan.visitor.progress(entry.bytes);
        walked.next = next;
        walked.tail = Some((end, tail));
        walked.readable += 1;
        previous = (entry.base, end);
        walked.active = entry.end.is_none().then_some(segment);
    }
    // A segment that the writer has just begun is no stray.
    if until.is_none() {
        walked.leftovers = check_strays(disk, dir, manifest, walked.next, visitor)?;
    }
    Ok(walked)
}

/// A segment file that the manifest does not name is what a crash left of a segment that was about to be begun, or the
/// manifest is an old copy. The first has no record, and everything before its base position was on the disk when it was
/// made; since then the log may have gone on in the segment before, if a smaller append found room there. Gives those files.
fn check_strays(
    disk: &dyn Disk,
    dir: &Path,
    manifest: &Manifest,
    next: Position,
    visitor: &mut dyn Visitor,
) -> Result<Vec<PathBuf>> {
    let mut leftovers = Vec::new();
    for base in names(disk, &dir.join("log"))?.iter().filter_map(|name| Segment::base_in_name(name)) {
        if manifest.segments.iter().any(|entry| entry.base == base) {
            continue;
        }
        let name = Segment::name(base);
        let io = |error| Error::io("open", &name, error);
        if let Some(kind) = disk.entry(&dir.join(&name)).map_err(io)?
            && kind != Kind::File
        {
            visitor.fault(Damage { place: Place { file: name, offset: 0, position: base }, fault: no_file(kind) })?;
            continue;
        }
        let file = disk.open(&dir.join(&name), Access::Read).map_err(io)?;
        let bytes = file.map().map_err(|error| Error::io("map", &name, error))?;
        let begun = bytes.get(HEADER_PAGE as usize..).is_some_and(|records| records.iter().any(|byte| *byte != 0));
        if base > next || begun {
            let fault = "the manifest does not name this segment: it is older than the log".to_owned();
            let place = Place { file: name, offset: 0, position: base };
            visitor.fault(Damage { place, fault })?;
        } else {
            leftovers.push(name);
        }
    }
    Ok(leftovers)
}

struct Scan<'a> {
    segment: &'a Segment,
    bytes: &'a Bytes,
    visitor: &'a mut dyn Visitor,
}

/// Where a scan stands: behind the last whole batch.
#[derive(Clone, Copy)]
struct Reached {
    end: End,
    next: Position,
}

/// Why a scan went no further: what it found where a record should be.
struct Stop {
    offset: u64,
    position: Position,
    invalid: Invalid,
}

impl Scan<'_> {
    fn start(&self) -> Reached {
        Reached { end: End { offset: HEADER_PAGE, checksum: 0 }, next: self.segment.header.base }
    }

    /// Visits whole batches from where `reached` stands up to `until`, or to the first thing that is none.
    fn batches(&mut self, reached: &mut Reached, until: u64, last: Option<Position>) -> Result<Option<Stop>> {
        let mut batch: Vec<(u64, Read<'_>)> = Vec::new();
        let (mut offset, mut position) = (reached.end.offset, reached.next);
        while offset < until && last.is_none_or(|last| position <= last) {
            let rest = &self.bytes[offset as usize..until as usize];
            let parsed = record::parse_at(rest, self.segment.header.salt, position).and_then(|record| {
                let read = Read::new(record, self.bytes, offset as usize);
                let Header { batch_index: index, batch_count: count, .. } = read.header();
                let expected = batch.len();
                let continues = batch.first().is_none_or(|(_, first)| first.header().batch_count == count);
                let fits = usize::from(index) == expected && index < count && continues;
                if fits { Ok(read) } else { Err(Invalid::Batch { index, count, expected }) }
            });
            let read = match parsed {
                Ok(read) => read,
                Err(invalid) => return Ok(Some(Stop { offset, position, invalid })),
            };
            batch.push((offset, read));
            offset += read.footprint();
            position = position.next();
            if batch.len() == usize::from(read.header().batch_count) {
                for (at, record) in batch.drain(..) {
                    if let Err(text) = self.visitor.record(self.segment, at, &record) {
                        self.visitor.fault(self.segment.damage(at, record.header().position, text))?;
                    }
                }
                *reached = Reached { end: End { offset, checksum: read.checksum() }, next: position };
            }
        }
        let cut = (!batch.is_empty()).then_some(Stop { offset, position, invalid: Invalid::BatchCut });
        Ok(cut)
    }

    /// A segment that has ended: every record up to the end must be there.
    fn ended(&mut self, entry: &Entry, end: End, following: Option<Position>) -> Result<(End, Position, Tail)> {
        let size = self.bytes.len() as u64;
        let base = entry.base;
        if end.offset < HEADER_PAGE || end.offset > size {
            let fault = format!("the manifest says that it ends at {}, but it has {size} bytes", end.offset);
            self.visitor.fault(self.segment.damage(0, base, fault))?;
            return Ok((end, following.unwrap_or(base), Tail::Clean));
        }
        let mut reached = self.start();
        while let Some(stop) = self.batches(&mut reached, end.offset, None)? {
            self.visitor.fault(stop.invalid.at(self.segment.place(stop.offset, stop.position)))?;
            let Some((resumed, _)) = self.resume(&stop, end.offset, |_| true) else { break };
            reached = resumed;
        }
        if reached.end != end || following.is_some_and(|following| following != reached.next) {
            let fault = format!(
                "the segment ends at offset {} with checksum {:08x}, but {} with {:08x} was written down, \
                 and its next position is {}, but {} follows",
                reached.end.offset,
                reached.end.checksum,
                end.offset,
                end.checksum,
                reached.next,
                following.map_or_else(|| "none".to_owned(), |following| following.to_string()),
            );
            self.visitor.fault(self.segment.damage(reached.end.offset, reached.next, fault))?;
        }
        let rest = &self.bytes[end.offset as usize..];
        let torn = rest_checksum(rest);
        if torn != entry.torn {
            let fault = format!("the checksum of the unused rest is {torn:08x}; {:08x} was written down", entry.torn);
            self.visitor.fault(self.segment.damage(end.offset, reached.next, fault))?;
        }
        let tail = if torn == 0 { Tail::Clean } else { Tail::Torn { bytes: extent(rest), checksum: torn } };
        Ok((end, following.unwrap_or(reached.next), tail))
    }

    /// The segment that was being written to.
    fn active(&mut self, manifest: &Manifest, depth: Depth, until: Option<Position>) -> Result<(End, Position, Tail)> {
        let size = self.bytes.len() as u64;
        let mut reached = self.start();
        if let Depth::Behind(known) = depth
            && known >= manifest.durable
            && manifest.durable.next() >= reached.next
            && (HEADER_PAGE..=size).contains(&manifest.durable_end.offset)
        {
            reached = Reached { end: manifest.durable_end, next: manifest.durable.next() };
        }
        let durable = until.unwrap_or(manifest.durable);
        loop {
            let Some(stop) = self.batches(&mut reached, size, until)? else { break };
            if matches!(depth, Depth::Behind(_)) && until.is_none() && self.was_closed_at(&reached, manifest) {
                return Ok((reached.end, reached.next, Tail::Clean));
            }
            if planted!(TruncateAtFirstBadRecord) {
                break;
            }
            let first_missing = reached.next;
            let marked = (durable >= first_missing).then_some(durable);
            let proof = |header: Header| header.proves_durable() >= first_missing;
            let resumed = match marked {
                Some(_) => self.resume(&stop, size, |_| true),
                None => self.resume(&stop, size, proof),
            };
            let Some(durable) = marked.or(resumed.map(|(_, proven)| proven)) else { break };
            let Stop { offset, position, invalid } = stop;
            let fault = format!("{invalid}; an event at or behind it was acknowledged, up to position {durable}");
            self.visitor.fault(self.segment.damage(offset, position, fault))?;
            let Some((resumed, _)) = resumed else { break };
            reached = resumed;
        }
        if until.is_some() {
            return Ok((reached.end, reached.next, Tail::Clean));
        }
        let rest = &self.bytes[reached.end.offset as usize..];
        let tail = match rest_checksum(rest) {
            0 => Tail::Clean,
            checksum => Tail::Torn { bytes: extent(rest), checksum },
        };
        if manifest.clean && (tail != Tail::Clean || reached.next > manifest.durable.next()) {
            let fault =
                format!("the store was closed with position {} as its last, but there is more", manifest.durable);
            self.visitor.fault(self.segment.damage(manifest.durable_end.offset, manifest.durable.next(), fault))?;
        }
        Ok((reached.end, reached.next, tail))
    }

    /// Whether the log was closed here and has not gone on: what follows is all zero and need not be read, as there may be much of it.
    fn was_closed_at(&self, reached: &Reached, manifest: &Manifest) -> bool {
        let closed = manifest.clean && reached.end == manifest.durable_end && reached.next == manifest.durable.next();
        // A log that went on after an older copy of the manifest was made, went on here.
        let here = &self.bytes[reached.end.offset as usize..];
        closed && extent(&here[..here.len().min(PAGE as usize)]) == 0
    }

    /// Looks behind a fault for a valid record that meets a condition. Gives the place of the next valid record that
    /// begins a batch, and what the one that met the condition proves to be durable.
    fn resume(&self, stop: &Stop, until: u64, accept: impl Fn(Header) -> bool) -> Option<(Reached, Position)> {
        let mut begin = None;
        let step = record::ALIGNMENT as u64;
        let mut offset = stop.offset + step;
        while offset < until {
            let rest = &self.bytes[offset as usize..until as usize];
            // Unwritten space is what there is most of, whole pages of it; its length field is zero.
            if offset.is_multiple_of(PAGE) && rest.get(..PAGE as usize).is_some_and(|page| !is_used(page)) {
                offset += PAGE;
                continue;
            }
            if rest.len() < record::HEADER_BYTES || rest[4..8] == [0; 4] {
                offset += step;
                continue;
            }
            let parsed = record::parse(rest, self.segment.header.salt);
            match parsed.map(|record| Read::new(record, self.bytes, offset as usize)) {
                Ok(read) if read.header().position >= stop.position => {
                    let header = read.header();
                    if header.batch_index == 0 && begin.is_none() {
                        begin = Some(Reached { end: End { offset, checksum: 0 }, next: header.position });
                    }
                    if accept(header) {
                        let here = Reached { end: End { offset, checksum: 0 }, next: header.position };
                        return Some((begin.unwrap_or(here), header.proves_durable()));
                    }
                    offset += read.footprint();
                }
                _ => offset += step,
            }
        }
        None
    }
}

/// The checksum of what lies behind the end of a segment: 0 when it is all zero, and never 0 otherwise.
pub(crate) fn rest_checksum(rest: &[u8]) -> u32 {
    if extent(rest) == 0 { 0 } else { crc32fast::hash(rest).max(1) }
}

/// Whether there is a byte that is not zero. The compiler makes wide compares of it.
fn is_used(part: &[u8]) -> bool {
    part.iter().fold(0, |any, byte| any | byte) != 0
}

/// How many bytes there are up to the last that is not zero.
fn extent(rest: &[u8]) -> u64 {
    // Page by page: most of it is zero.
    let page = PAGE as usize;
    let Some(last) = rest.chunks(page).rposition(is_used) else { return 0 };
    let part = &rest[last * page..];
    part.iter().take(page).rposition(|byte| *byte != 0).map_or(0, |at| (last * page + at) as u64 + 1)
}
