//! What can be proved of a damaged log.
//!
//! ```text
//!   manifest, if it is whole --+
//!   headers of all segments  --+--> which segments there were, and from where to where
//!   evidence from elsewhere  --+         |
//!                                        v
//!   content of each, byte by byte -> records that validate with its salt -> events kept, positions lost
//! ```
//!
//! Invariants:
//!
//! - nothing is written here;
//! - a record is kept only if its checksum, begun with its segment's salt, is right, and its position is one that belongs
//!   into the segment; so what an older life of a file left, or another file, is never taken for an event;
//! - every position from 1 to the last is either kept or lost. The last is the newest of which anything proves that it was
//!   durable; whole batches behind it are kept as opening keeps them, and what else lies there was never acknowledged.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{
    manifest::{MANIFEST, Manifest},
    record::{self, Header, Invalid, Read, Record},
    salt,
    segment::{End, HEADER_PAGE, Segment, SegmentHeader},
    segments::Previous,
    walk::rest_checksum,
};
use crate::{
    disk::{Access, Disk, Entry as Kind, names},
    error::{Damage, Error, Place, Result},
    version::Position,
};

/// What is put behind the name of a segment while it is made anew.
pub(super) const MENDED: &str = ".mended";

/// A segment that is made of nothing but what stands for lost events holds so many at most.
const MOST_STAND_INS: u64 = 512 << 10;

/// So many events can be marked as lost at most.
const MOST_LOST: u64 = 64 << 20;

/// That the log went on for so many positions behind what its files have room for is believed: with the manifest, segments
/// may be gone. More is a claim that cannot be true, whatever its checksum.
const MOST_UNSEEN: u64 = 16 << 20;

/// A run of positions, all of which are lost.
pub(crate) type LostRange = RangeInclusive<Position>;

/// What is left of a log.
#[derive(Debug)]
pub(crate) struct Salvage {
    pub(super) store: [u8; 16],
    pub(super) manifest: Option<Manifest>,
    pub(super) segments: Vec<Salvaged>,
    /// Files with names of segments that are none of the log's.
    strays: Vec<PathBuf>,
    /// Valid records that are no part of the log all the same.
    rejected: BTreeSet<Position>,
}

/// What is left of one segment.
#[derive(Debug)]
pub(super) struct Salvaged {
    pub(super) base: Position,
    /// The position behind its last one.
    pub(super) next: Position,
    pub(super) source: Option<Source>,
    pub(super) salt: Option<u32>,
    /// No record is looked for behind this offset.
    until: u64,
    /// The checksum of what lies behind its end, where that is known.
    torn: Option<u32>,
    /// It is the last, and its end is not known.
    open: bool,
}

/// The file that a segment's records are in.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) content: Bytes,
    /// `None` when it is damaged.
    pub(super) header: Option<SegmentHeader>,
}

/// A record that is kept.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) offset: u64,
    record: Record,
    pub(super) header: Header,
    pub(super) checksum: u32,
    /// Its bytes, where the padding behind them had to be made zero.
    patched: Option<Bytes>,
}

impl Kept {
    pub(super) fn position(&self) -> Position {
        self.header.position
    }

    pub(super) fn end(&self) -> u64 {
        self.offset + self.record.footprint() as u64
    }

    pub(super) fn read<'a>(&'a self, content: &'a Bytes) -> Read<'a> {
        match &self.patched {
            Some(bytes) => Read::new(self.record, bytes, 0),
            None => Read::new(self.record, content, self.offset as usize),
        }
    }

    /// All of it, but for the padding.
    pub(super) fn bytes<'a>(&'a self, content: &'a Bytes) -> &'a [u8] {
        let read = self.read(content);
        let at = if self.patched.is_some() { 0 } else { self.offset as usize };
        &read.bytes[at..read.body().end]
    }
}

/// The store that most files of the log name as theirs; `None` when nothing names one.
pub(crate) fn identify(disk: &dyn Disk, dir: &Path, others: &[[u8; 16]]) -> Result<Option<[u8; 16]>> {
    let mut votes: HashMap<[u8; 16], u64> = HashMap::new();
    others.iter().for_each(|store| *votes.entry(*store).or_default() += 1);
    for source in sources(disk, dir)? {
        if let Some(header) = &source.header {
            *votes.entry(header.store).or_default() += 1;
        }
    }
    let first = others.first();
    Ok(votes.into_iter().max_by_key(|(store, count)| (*count, Some(store) == first)).map(|(store, _)| store))
}

/// All files of segments, also those that a repair was making when it was interrupted.
fn sources(disk: &dyn Disk, dir: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for name in names(disk, &dir.join("log"))? {
        let named = name.strip_suffix(MENDED).unwrap_or(&name);
        if Segment::base_in_name(named).is_none() {
            continue;
        }
        let path = Path::new("log").join(&name);
        let io = |error| Error::io("read", dir.join(&path), error);
        if disk.entry(&dir.join(&path)).map_err(io)? != Some(Kind::File) {
            continue;
        }
        let file = disk.open(&dir.join(&path), Access::Read).map_err(io)?;
        let empty = file.len().map_err(io)? == 0;
        let content = if empty { Bytes::new() } else { file.map().map_err(io)? };
        let header = SegmentHeader::decode(content.get(..HEADER_PAGE as usize).unwrap_or(&content)).ok();
        sources.push(Source { path, content, header });
    }
    Ok(sources)
}

impl Source {
    fn is_named(&self, base: Position) -> bool {
        self.path == Segment::name(base)
    }
}

impl Salvage {
    /// Reads the log of this store. `manifest` is the one that is there, if it is whole and of this store; `known` are
    /// positions that were durable, as something outside of the log says.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] when more is lost than can be marked.
    pub(crate) fn read(
        disk: &dyn Disk,
        dir: &Path,
        store: [u8; 16],
        manifest: Option<Manifest>,
        known: &[Position],
    ) -> Result<Salvage> {
        let manifest = manifest.filter(|manifest| manifest.store == store);
        let sources = sources(disk, dir)?;
        let mut strays: Vec<PathBuf> = sources.iter().map(|source| source.path.clone()).collect();
        let table = table(sources, store, manifest.as_ref());
        strays.retain(|path| !table.keys().any(|base| Segment::name(*base) == *path));
        let mut salvage = Salvage { store, manifest, segments: Vec::new(), strays, rejected: BTreeSet::new() };
        let ends: Vec<Previous> = table.values().flatten().filter_map(|source| Some(source.header?.previous)).collect();
        let bases: Vec<Position> = table.keys().copied().collect();
        let mut next_bases = bases.iter().skip(1);
        if let Some(first) = bases.first().filter(|first| **first > Position::FIRST) {
            salvage.segments.push(Salvaged::missing(Position::FIRST, *first));
        }
        for (base, source) in table {
            let next = next_bases.next().copied();
            let entry =
                salvage.manifest.iter().flat_map(|manifest| &manifest.segments).find(|entry| entry.base == base);
            let entry_end = entry.and_then(|entry| entry.end);
            let end = ends.iter().find(|(previous, _)| *previous == base).map(|(_, end)| *end).or(entry_end);
            let len = source.as_ref().map_or(0, |source| source.content.len() as u64);
            let header = source.as_ref().and_then(|source| source.header);
            let salt = header.map(|header| header.salt);
            salvage.segments.push(Salvaged {
                base,
                next: next.unwrap_or(base),
                salt: salt.or_else(|| source.as_ref().and_then(|source| salt::prove(&source.content))),
                source,
                until: end.map_or(len, |end| end.offset.min(len)),
                torn: entry.filter(|entry| entry.end.is_some()).map(|entry| entry.torn),
                open: next.is_none() && end.is_none(),
            });
        }
        salvage.end(known);
        let lost = salvage.next().previous().get().saturating_sub(salvage.segments.iter().map(Salvaged::room).sum());
        if lost > MOST_LOST {
            let fault = format!("{lost} events are lost, and at most {MOST_LOST} can be marked; only a backup helps");
            let place = Place { file: MANIFEST.into(), offset: 0, position: salvage.next() };
            return Err(Damage { place, fault }.into());
        }
        salvage.split();
        Ok(salvage)
    }

    /// Makes several segments of one of which nothing is left, if it would be large.
    fn split(&mut self) {
        let whole = std::mem::take(&mut self.segments);
        for segment in whole {
            if segment.salt.is_some() {
                self.segments.push(segment);
                continue;
            }
            let Salvaged { mut base, next, .. } = segment;
            while base < next || base == segment.base {
                let end = base.plus(MOST_STAND_INS).min(next);
                let source = None;
                self.segments.push(Salvaged { base, next: end, source, ..segment });
                base = end;
                if base == segment.base {
                    break;
                }
            }
        }
    }

    /// Files with names of segments that are none of the log's.
    pub(crate) fn strays(&self) -> &[PathBuf] {
        &self.strays
    }

    /// Finds the end of the log.
    fn end(&mut self, known: &[Position]) {
        let durable = self.manifest.as_ref().map_or(Position::START, |manifest| manifest.durable);
        let reach = self.segments.last().map_or(0, |last| last.base.get().saturating_add(last.room()));
        let believed = |position: &Position| position.get() <= reach.saturating_add(MOST_UNSEEN);
        let known = known.iter().copied().chain([durable]).filter(believed).max().unwrap_or_default();
        let clean = self.manifest.as_ref().is_some_and(|manifest| manifest.clean);
        let Some(last) = self.segments.last_mut() else {
            if known > Position::START {
                self.segments.push(Salvaged::missing(Position::FIRST, known.next()));
            }
            return;
        };
        let found = last.records(None, &self.rejected);
        let proofs = found.iter().map(|kept| kept.header.proves_durable());
        let proven = proofs.filter(believed).max().unwrap_or_default().max(known);
        let (count, next) = tail(&found, last.base, proven);
        last.until = count.checked_sub(1).and_then(|at| found.get(at)).map_or(HEADER_PAGE, Kept::end);
        last.next = next.max(proven.next()).max(last.base);
        if last.open && clean && durable.next() == last.next {
            last.torn = Some(0);
        }
        // Nothing says that it ever held anything.
        if last.source.is_none() && last.next == last.base {
            self.segments.pop();
        }
    }

    /// Counts these positions among the lost: what lies there contradicts the rest of the log.
    pub(crate) fn reject(&mut self, positions: BTreeSet<Position>) {
        self.rejected.extend(positions);
    }

    /// The position behind the last one.
    pub(crate) fn next(&self) -> Position {
        self.segments.last().map_or(Position::FIRST, |segment| segment.next)
    }

    /// Gives every record that is kept, in order of position.
    pub(crate) fn visit(&self, each: &mut dyn FnMut(&Read<'_>)) {
        for segment in &self.segments {
            let Some(source) = &segment.source else { continue };
            segment.kept(&self.rejected).iter().for_each(|kept| each(&kept.read(&source.content)));
        }
    }

    /// The positions that are lost, in order.
    pub(crate) fn lost(&self) -> Vec<LostRange> {
        let mut ranges: Vec<LostRange> = Vec::new();
        for segment in &self.segments {
            for range in segment.lost(&self.rejected) {
                match ranges.last_mut() {
                    Some(last) if last.end().next() == *range.start() => *last = *last.start()..=*range.end(),
                    _ => ranges.push(range),
                }
            }
        }
        ranges
    }

    pub(super) fn kept(&self, segment: &Salvaged) -> Vec<Kept> {
        segment.kept(&self.rejected)
    }
}

/// Which segments there were, each with the file that is its own.
fn table(sources: Vec<Source>, store: [u8; 16], manifest: Option<&Manifest>) -> BTreeMap<Position, Option<Source>> {
    let mut table: BTreeMap<Position, Option<Source>> = BTreeMap::new();
    for entry in manifest.iter().flat_map(|manifest| &manifest.segments) {
        table.insert(entry.base, None);
    }
    let (good, bad): (Vec<_>, Vec<_>) =
        sources.into_iter().partition(|source| source.header.is_some_and(|header| header.store == store));
    for header in good.iter().filter_map(|source| source.header) {
        table.entry(header.base).or_default();
        if header.previous.0 > Position::START {
            table.entry(header.previous.0).or_default();
        }
    }
    // A file under its own name before one that has lost it, and a header that is whole before one that is not.
    let (own, other): (Vec<_>, Vec<_>) =
        good.into_iter().partition(|source| source.header.is_some_and(|header| source.is_named(header.base)));
    for source in own.into_iter().chain(other).chain(bad) {
        let base = match source.header {
            Some(header) if header.store == store => Some(header.base),
            Some(_) => None,
            None => base_of_damaged(&source).filter(|base| table.contains_key(base) || begins_with(&source, *base)),
        };
        if let Some(place @ None) = base.map(|base| table.entry(base).or_default()) {
            *place = Some(source);
        }
    }
    table
}

fn base_of_damaged(source: &Source) -> Option<Position> {
    Segment::base_in_name(source.path.file_name()?.to_str()?)
}

/// Whether a segment that nothing names holds the record of this position.
fn begins_with(source: &Source, base: Position) -> bool {
    let Some(salt) = salt::prove(&source.content) else { return false };
    let found = records(&source.content, salt, base, None, source.content.len() as u64);
    found.first().is_some_and(|kept| kept.position() == base)
}

/// How many of the last segment's records are kept, and the position behind them: those up to what is proven, and the whole
/// batches that follow without a gap.
fn tail(found: &[Kept], base: Position, proven: Position) -> (usize, Position) {
    let (mut next, mut count) = (base, 0);
    while let Some(Kept { header, .. }) = found.get(count) {
        let (position, batch) = (header.position, usize::from(header.batch_count));
        if position <= proven {
            // What is proven of a batch is proven of all of it.
            let rest = header.batch_count.saturating_sub(header.batch_index).max(1);
            (next, count) = (position.plus(rest.into()), count + 1);
            continue;
        }
        let follows = next.max(proven.next());
        let in_order = |(index, kept): (usize, &Kept)| {
            usize::from(kept.header.batch_index) == index && kept.position() == follows.plus(index as u64)
        };
        let part_of_proven = position < next;
        let whole = found.get(count..count + batch).filter(|batch| !batch.is_empty());
        if part_of_proven {
            count += 1;
        } else if whole.is_some_and(|batch| batch.iter().enumerate().all(in_order)) {
            (next, count) = (follows.plus(batch as u64), count + batch);
        } else {
            break;
        }
    }
    (count, next)
}

impl Salvaged {
    /// A segment of which nothing is left.
    fn missing(base: Position, next: Position) -> Salvaged {
        Salvaged { base, next, source: None, salt: None, until: 0, torn: None, open: false }
    }

    /// So many records its file has room for.
    fn room(&self) -> u64 {
        self.source.as_ref().map_or(0, |source| (source.content.len() / record::HEADER_BYTES) as u64)
    }

    /// The valid records of positions before `next`.
    fn records(&self, next: Option<Position>, rejected: &BTreeSet<Position>) -> Vec<Kept> {
        let (Some(source), Some(salt)) = (&self.source, self.salt) else { return Vec::new() };
        let mut found = records(&source.content, salt, self.base, next, self.until);
        found.retain(|kept| !rejected.contains(&kept.position()));
        found
    }

    fn kept(&self, rejected: &BTreeSet<Position>) -> Vec<Kept> {
        self.records(Some(self.next), rejected)
    }

    fn lost(&self, rejected: &BTreeSet<Position>) -> Vec<LostRange> {
        let mut ranges = Vec::new();
        let mut next = self.base;
        let behind = self.next;
        let kept = self.kept(rejected);
        for position in kept.iter().map(Kept::position).chain([behind]) {
            if position > next {
                ranges.push(next..=position.previous());
            }
            next = position.next();
        }
        ranges
    }

    /// How the segment ends, and the checksum of what lies behind, if its file may stay as it is.
    pub(super) fn untouched(&self, kept: &[Kept], previous: Previous) -> Option<(End, u32)> {
        let (source, header) = (self.source.as_ref()?, self.source.as_ref()?.header?);
        let count = kept.len() as u64;
        let mut offset = HEADER_PAGE;
        let tidy = kept.iter().all(|kept| {
            let follows = kept.offset == offset && kept.patched.is_none();
            offset = kept.end();
            follows
        });
        let end = End { offset, checksum: kept.last().map_or(0, |kept| kept.checksum) };
        let rest = rest_checksum(source.content.get(offset as usize..)?);
        let whole = tidy
            && source.is_named(self.base)
            && self.base.plus(count) == self.next
            && header.bytes == source.content.len() as u64
            && header.previous == previous
            && self.torn.is_none_or(|torn| torn == rest);
        whole.then_some((end, rest))
    }
}

/// The records in a segment's content that validate, ascending, of positions from `base` and before `next`.
fn records(content: &Bytes, salt: u32, base: Position, next: Option<Position>, until: u64) -> Vec<Kept> {
    let mut found = Vec::new();
    let (mut offset, mut least) = (HEADER_PAGE as usize, base);
    let end = usize::try_from(until).unwrap_or(usize::MAX).min(content.len());
    while let Some(rest) = content.get(offset..end).filter(|rest| rest.len() >= record::HEADER_BYTES) {
        // Unwritten space is what there is most of; its length field is zero.
        let parsed = if rest[4..8] == [0; 4] { None } else { parse(rest, salt) };
        let kept = parsed.map(|(record, patched)| {
            let read = match &patched {
                Some(bytes) => Read::new(record, bytes, 0),
                None => Read::new(record, content, offset),
            };
            let (header, checksum) = (read.header(), read.checksum());
            Kept { offset: offset as u64, record, header, checksum, patched }
        });
        let belongs = |kept: &Kept| kept.position() >= least && next.is_none_or(|next| kept.position() < next);
        match kept.filter(belongs) {
            Some(kept) => {
                (offset, least) = (kept.end() as usize, kept.position().next());
                found.push(kept);
            }
            None => offset += record::ALIGNMENT,
        }
    }
    found
}

/// A valid record, and its bytes with the padding made zero where that was all that was wrong.
fn parse(bytes: &[u8], salt: u32) -> Option<(Record, Option<Bytes>)> {
    match record::parse(bytes, salt) {
        Ok(record) => Some((record, None)),
        Err(Invalid::Padding) => {
            let footprint = record::footprint_of(bytes)?;
            let mut patched = bytes.get(..footprint)?.to_vec();
            for padding in 1..record::ALIGNMENT {
                patched[footprint - padding] = 0;
                if let Ok(record) = record::parse(&patched, salt) {
                    return Some((record, Some(patched.into())));
                }
            }
            None
        }
        Err(_) => None,
    }
}
