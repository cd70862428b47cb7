//! Runs: the index of a range of positions, on disk, never changed.
//!
//! ```text
//! index/<first position, 20 digits>-<last position, 20 digits>.run
//!
//!   header page | offsets | times | directory | lists | filter | checksums
//!
//!   header:   0 magic  8 format  12 crc  16 store id  32 first  40 last  48 streams  56 lists
//!             64 offset, 72 length of: offsets, times, directory, lists, filter, checksums (16 bytes each)
//!             160 crc of the checksums
//!   offsets:  for each position its offset in the segment / 8, u32
//!   times:    for each block of 256 positions the largest time, i64; blocks begin at multiples of 256
//!   directory: for each bucket of lists where it begins in `lists`, and where the last one ends, u32
//!   lists:    in order of hash: key u64, check u32, first version varint, bytes of postings varint, postings as in `postings`
//!   filter:   the hashes of all lists, as in `filter`
//!   checksums: the CRC-32 of each page before them, u32
//! ```
//!
//! Hashes are spread evenly: a bucket has the lists of an equal part of all keys, [`BUCKET`] of them more or less. So a list is
//! found with one look at the filter, one at the directory, and one at its bucket, where its positions lie as well.
//!
//! Lists are streams, and also event types, categories and the first events of all streams, under names that no stream can
//! have. A page is checked when it is first looked at, so a fault is found by the look that would have been misled by it.

use std::{
    hint::black_box,
    ops::Range,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{
    filter,
    hash::ListHash,
    pages::{self, BadPage, Pages},
    part::OFFSET_UNIT,
    postings::{self, Postings, put_varint, take_varint},
};
use crate::{
    disk::{Access, Disk, Entry, create_dir, no_file},
    error::{Damage, Error, Place, Result},
    layout::{self, Reader, Writer},
    version::{Position, Version},
};

/// How many positions share one time.
pub(super) const TIME_BLOCK: u64 = 256;

pub(crate) const INDEX: &str = "index";
const MAGIC: &[u8; 8] = b"factrun\0";
/// Lists in a bucket, on average.
const BUCKET: usize = 4;
const BUCKET_BYTES: usize = 4;
/// Bytes of a list before its postings, at most.
const LIST_HEAD_BYTES: usize = 32;
const SECTIONS: usize = 6;
const NEW: &str = "new";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Offsets,
    Times,
    Directory,
    Lists,
    Filter,
    Checksums,
}

/// An open run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(super) first: Position,
    pub(super) last: Position,
    streams: u64,
    lists: usize,
    sections: [Range<usize>; SECTIONS],
    pages: Pages,
    file_bytes: u64,
}

/// Where a run keeps a list.
#[derive(Clone, Debug)]
pub(super) struct ListPlace {
    pub(super) first_version: Version,
    /// In the section of lists. Where they end, the next list begins.
    pub(super) postings: Range<usize>,
}

/// The number of buckets for so many lists.
fn buckets(lists: usize) -> usize {
    lists.div_ceil(BUCKET).max(1)
}

/// The bucket of a key. Larger keys are never in an earlier one.
fn bucket_of(key: u64, buckets: usize) -> usize {
    ((u128::from(key) * buckets as u128) >> 64) as usize
}

impl Run {
    pub(super) fn name(first: Position, last: Position) -> PathBuf {
        Path::new(INDEX).join(format!("{:020}-{:020}.run", first.get(), last.get()))
    }

    /// The range in the name of a file, if it is a run's name.
    pub(super) fn range_in_name(name: &str) -> Option<(Position, Position)> {
        let (first, last) = name.strip_suffix(".run")?.split_once('-')?;
        let number = |digits: &str| (digits.len() == 20).then(|| digits.parse().ok()).flatten();
        Some((Position::new(number(first)?), Position::new(number(last)?)))
    }

    pub(super) fn events(&self) -> u64 {
        self.last.get() - self.first.get() + 1
    }

    /// The number of streams whose first event is here.
    pub(super) fn streams(&self) -> u64 {
        self.streams
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Opens the run of this range.
    pub(super) fn open(disk: &dyn Disk, dir: &Path, store: &[u8; 16], first: Position, last: Position) -> Result<Run> {
        let name = Run::name(first, last);
        let io = |error| Error::io("open", dir.join(&name), error);
        if let Some(kind) = disk.entry(&dir.join(&name)).map_err(io)?
            && kind != Entry::File
        {
            let place = Place { file: name, offset: 0, position: first };
            return Err(Damage { place, fault: format!("{}; {REBUILD}", no_file(kind)) }.into());
        }
        let file = disk.open(&dir.join(&name), Access::Read).map_err(io)?;
        Run::read(&file.map().map_err(io)?, store, first, last)
    }

    /// Reads the run of this range from the bytes of its file.
    pub(super) fn read(map: &Bytes, store: &[u8; 16], first: Position, last: Position) -> Result<Run> {
        let damage = |fault: String| {
            let place = Place { file: Run::name(first, last), offset: 0, position: first };
            Error::from(Damage { place, fault: format!("{fault}; {REBUILD}") })
        };
        let header = map.get(..pages::PAGE).unwrap_or(map);
        let mut fields = layout::unseal(header, MAGIC, "index run").map_err(damage)?;
        let cut = || damage("the header is cut short".to_owned());
        let (found_store, found): ([u8; 16], _) =
            (|| Some((fields.array()?, (fields.u64()?, fields.u64()?))))().ok_or_else(cut)?;
        if found_store != *store || found != (first.get(), last.get()) || last < first || first == Position::START {
            return Err(damage(format!(
                "it is the run of positions {} to {} of another store or name",
                found.0, found.1
            )));
        }
        let (streams, lists) = (|| Some((fields.u64()?, fields.u64()?)))().ok_or_else(cut)?;
        let mut sections: [Range<usize>; SECTIONS] = Default::default();
        for section in &mut sections {
            let (start, len) = (|| Some((fields.u64()? as usize, fields.u64()? as usize)))().ok_or_else(cut)?;
            *section = start..start.saturating_add(len);
            if section.end > map.len() {
                return Err(damage(format!("a section ends at {}, but the file at {}", section.end, map.len())));
            }
        }
        let checksums = map.slice(sections[Section::Checksums as usize].clone());
        let (stored, computed) = (fields.u32().ok_or_else(cut)?, crc32fast::hash(&checksums));
        if stored != computed {
            return Err(damage(format!(
                "the checksums' checksum is {stored:08x}, but their bytes have {computed:08x}"
            )));
        }
        let file_bytes = map.len() as u64;
        let content_end = sections[Section::Checksums as usize].start;
        let covered = sections[..Section::Checksums as usize].iter().all(|section| section.end <= content_end);
        let content = map.slice(..content_end);
        let pages = Pages::new(content, checksums);
        let run = Run { first, last, streams, lists: lists as usize, sections, pages, file_bytes };
        let fits = covered
            && run.range(Section::Offsets).len() as u64 == run.events().saturating_mul(4)
            && run.range(Section::Directory).len() == buckets(run.lists).saturating_add(1).saturating_mul(BUCKET_BYTES)
            && run.range(Section::Times).len() as u64 == (run.time_blocks() * 8);
        if fits { Ok(run) } else { Err(damage("the sections do not fit the header".to_owned())) }
    }

    fn time_blocks(&self) -> u64 {
        self.last.get() / TIME_BLOCK - self.first.get() / TIME_BLOCK + 1
    }

    fn range(&self, section: Section) -> Range<usize> {
        self.sections[section as usize].clone()
    }

    /// A part of a section, checked.
    #[inline]
    fn get(&self, section: Section, range: Range<usize>) -> Result<&[u8]> {
        let within = self.range(section);
        let (start, end) = (within.start.saturating_add(range.start), within.start.saturating_add(range.end));
        if start > end || end > within.end {
            return Err(self.damage(within.start as u64, "an entry points beyond its section"));
        }
        self.pages.get(start..end).map_err(|BadPage { offset }| self.damage(offset, "a page's checksum is wrong"))
    }

    pub(super) fn damage(&self, offset: u64, fault: &str) -> Error {
        let place = Place { file: Run::name(self.first, self.last), offset, position: self.first };
        Damage { place, fault: format!("{fault}; {REBUILD}") }.into()
    }

    /// Checks every page.
    pub(super) fn check(&self) -> Result<()> {
        self.pages.check_all().map_err(|BadPage { offset }| self.damage(offset, "a page's checksum is wrong"))
    }

    /// Whether this position is one of its own.
    #[inline]
    pub(super) fn holds(&self, position: Position) -> bool {
        (self.first..=self.last).contains(&position)
    }

    /// The offset in its segment of the event of one of its positions, and that of the next position.
    #[inline]
    pub(super) fn offsets(&self, position: Position) -> Result<(u64, Option<u64>)> {
        let at = position.get().saturating_sub(self.first.get()) as usize * 4;
        let end = if position < self.last { at.saturating_add(8) } else { at.saturating_add(4) };
        let mut units = Reader::new(self.get(Section::Offsets, at..end)?);
        let mut offset = || units.u32().map(|unit| u64::from(unit) * OFFSET_UNIT);
        Ok((offset().unwrap_or_default(), offset()))
    }

    /// The largest time in the block that holds this position.
    pub(super) fn time(&self, position: Position) -> Result<i64> {
        let at = (position.get() / TIME_BLOCK - self.first.get() / TIME_BLOCK) as usize * 8;
        Ok(Reader::new(self.get(Section::Times, at..at + 8)?).i64().unwrap_or(i64::MAX))
    }

    /// The list that begins at this byte of the section; `None` behind the last.
    pub(super) fn list_at(&self, at: usize) -> Result<Option<(ListHash, ListPlace)>> {
        let end = self.range(Section::Lists).len();
        if at >= end {
            return Ok(None);
        }
        let bytes = self.get(Section::Lists, at..end.min(at + LIST_HEAD_BYTES))?;
        let list = bytes.split_at_checked(12).and_then(|(hash, mut rest)| {
            let mut fields = Reader::new(hash);
            let hash = ListHash { key: fields.u64()?, check: fields.u32()? };
            let first_version = Version::new(take_varint(&mut rest)?);
            let len = usize::try_from(take_varint(&mut rest)?).ok()?;
            let start = at + bytes.len() - rest.len();
            let postings = start..start.checked_add(len).filter(|after| *after <= end)?;
            Some((hash, ListPlace { first_version, postings }))
        });
        list.map(Some).ok_or_else(|| self.bad_postings())
    }

    /// The bytes of the section that hold a list if it is here; `None` when the filter says that it is not.
    pub(super) fn bucket(&self, hash: ListHash) -> Result<Option<Range<usize>>> {
        let (start, len) = filter::block(self.range(Section::Filter).len(), hash);
        if !filter::may_contain(self.get(Section::Filter, start..start + len)?, hash) {
            return Ok(None);
        }
        let at = bucket_of(hash.key, buckets(self.lists)) * BUCKET_BYTES;
        let mut fields = Reader::new(self.get(Section::Directory, at..at + 2 * BUCKET_BYTES)?);
        let (start, end) = (fields.u32().unwrap_or_default(), fields.u32().unwrap_or_default());
        Ok(Some(start as usize..end as usize))
    }

    /// Looks at a bucket that will be searched, so that what is not in the processor's caches is on its way.
    pub(super) fn look_at(&self, bucket: &Range<usize>) {
        let start = self.range(Section::Lists).start;
        black_box([bucket.start, bucket.end].map(|at| self.pages.glance(start.saturating_add(at))));
    }

    /// The list, if it is in this bucket.
    pub(super) fn find_in(&self, bucket: Range<usize>, hash: ListHash) -> Result<Option<ListPlace>> {
        let mut at = bucket.start;
        while at < bucket.end {
            match self.list_at(at)? {
                Some((found, list)) if found == hash => return Ok(Some(list)),
                Some((found, list)) if found < hash => at = list.postings.end,
                _ => break,
            }
        }
        Ok(None)
    }

    /// Looks a list up.
    pub(super) fn find(&self, hash: ListHash) -> Result<Option<ListPlace>> {
        match self.bucket(hash)? {
            Some(bucket) => self.find_in(bucket, hash),
            None => Ok(None),
        }
    }

    /// The positions of a list, counted from the first.
    pub(super) fn postings(&self, list: &ListPlace) -> Result<Postings<'_>> {
        let bytes = self.get(Section::Lists, list.postings.clone())?;
        Postings::new(bytes).ok_or_else(|| self.bad_postings())
    }

    pub(super) fn bad_postings(&self) -> Error {
        self.damage(self.range(Section::Lists).start as u64, "a list does not decode")
    }
}

const REBUILD: &str = "`factlog repair` sets it aside, and it is made anew from the log";

/// Collects what a run will hold, in order of hash.
#[derive(Debug)]
pub(super) struct RunWriter {
    first: Position,
    last: Position,
    streams: u64,
    offsets: Vec<u8>,
    times: Vec<i64>,
    lists: Vec<u8>,
    /// The hash of each list, and where it begins.
    starts: Vec<(ListHash, u32)>,
    /// The postings of one list.
    postings: Vec<u8>,
}

impl RunWriter {
    pub(super) fn new(first: Position, last: Position, streams: u64) -> RunWriter {
        let blocks = last.get() / TIME_BLOCK - first.get() / TIME_BLOCK + 1;
        RunWriter {
            first,
            last,
            streams,
            offsets: Vec::new(),
            times: vec![i64::MIN; blocks as usize],
            lists: Vec::new(),
            starts: Vec::new(),
            postings: Vec::new(),
        }
    }

    pub(super) fn units(&mut self, units: impl Iterator<Item = u32>) {
        self.offsets.extend(units.flat_map(u32::to_le_bytes));
    }

    /// The largest time of the block that holds this position is at least this.
    pub(super) fn time(&mut self, position: Position, time: i64) {
        let block = (position.get() / TIME_BLOCK - self.first.get() / TIME_BLOCK) as usize;
        if let Some(largest) = self.times.get_mut(block) {
            *largest = time.max(*largest);
        }
    }

    pub(super) fn list(&mut self, hash: ListHash, first_version: Version, places: &[u32]) {
        self.postings.clear();
        postings::encode(&mut self.postings, places);
        self.starts.push((hash, self.lists.len() as u32));
        self.lists.extend_from_slice(&hash.key.to_le_bytes());
        self.lists.extend_from_slice(&hash.check.to_le_bytes());
        put_varint(&mut self.lists, first_version.get());
        put_varint(&mut self.lists, self.postings.len() as u64);
        self.lists.extend_from_slice(&self.postings);
    }

    /// Where each bucket begins, and where the last one ends.
    fn directory(&self) -> Vec<u8> {
        let buckets = buckets(self.starts.len());
        let mut lists = self.starts.iter().peekable();
        let begins = (0..=buckets).map(|bucket| {
            while lists.next_if(|(hash, _)| bucket_of(hash.key, buckets) < bucket).is_some() {}
            lists.peek().map_or(self.lists.len() as u32, |(_, start)| *start)
        });
        begins.flat_map(u32::to_le_bytes).collect()
    }

    /// Whether the lists are still within what the directory can point to.
    pub(super) fn fits(&self) -> bool {
        self.lists.len() < u32::MAX as usize / 2
    }

    /// Writes the run, durably, and opens it.
    pub(super) fn finish(self, disk: &dyn Disk, dir: &Path, store: &[u8; 16]) -> Result<Run> {
        let mut filter = vec![0; filter::size(self.starts.len())];
        self.starts.iter().for_each(|(hash, _)| filter::insert(&mut filter, *hash));
        let directory = self.directory();
        let times: Vec<u8> = self.times.iter().flat_map(|time| time.to_le_bytes()).collect();
        let mut content = vec![0; pages::PAGE];
        let mut places = [(0u64, 0u64); SECTIONS];
        for (place, section) in places.iter_mut().zip([&self.offsets, &times, &directory, &self.lists, &filter]) {
            content.resize(content.len().next_multiple_of(64), 0);
            *place = (content.len() as u64, section.len() as u64);
            content.extend_from_slice(section);
        }
        content.resize(content.len().next_multiple_of(64), 0);
        let checksums_bytes = content.len().div_ceil(pages::PAGE) * 4;
        places[Section::Checksums as usize] = (content.len() as u64, checksums_bytes as u64);

        // The header is on the first page, and so in the checksums; theirs is in the header, and so counts it as zero.
        let header = |checksum: u32| {
            let mut page = vec![0; pages::PAGE];
            let mut fields = Writer::new(&mut page).bytes(&[0; layout::SEAL_BYTES]).bytes(store);
            fields = fields.u64(self.first.get()).u64(self.last.get()).u64(self.streams).u64(self.starts.len() as u64);
            for (start, len) in places {
                fields = fields.u64(start).u64(len);
            }
            fields.u32(checksum);
            layout::seal(&mut page, MAGIC);
            page
        };
        let mut checksums = pages::checksums(&content);
        // The header page has a checksum of its own; nothing is read from it through the table.
        checksums[..4].fill(0);
        content[..pages::PAGE].copy_from_slice(&header(crc32fast::hash(&checksums)));
        content.extend_from_slice(&checksums);

        let (new, name) = (dir.join(INDEX).join(NEW), dir.join(Run::name(self.first, self.last)));
        let io = |operation: &'static str| {
            let name = name.clone();
            move |error| Error::io(operation, name, error)
        };
        create_dir(disk, &dir.join(INDEX)).map_err(io("create the directory of"))?;
        let file = disk.create(&new).map_err(io("create"))?;
        file.write_at(&content, 0).map_err(io("write"))?;
        file.sync().map_err(io("sync"))?;
        disk.rename(&new, &name).map_err(io("rename"))?;
        disk.sync_dir(&dir.join(INDEX)).map_err(io("sync the directory of"))?;
        Run::open(disk, dir, store, self.first, self.last)
    }
}
