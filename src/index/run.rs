//! Runs: the index of a range of positions, on disk, never changed.
//!
//! ```text
//! index/<first position, 20 digits>-<last position, 20 digits>.run
//!
//!   header page | offsets | times | lists | postings | filter | checksums
//!
//!   header:   0 magic  8 format  12 crc  16 store id  32 first  40 last  48 streams  56 lists
//!             64 offset, 72 length of: offsets, times, lists, postings, filter, checksums (16 bytes each)
//!             160 crc of the checksums
//!   offsets:  for each position its offset in the segment / 8, u32
//!   times:    for each block of 256 positions the largest time, i64; blocks begin at multiples of 256
//!   lists:    24 bytes each, in order of hash: key u64, check u32, place in postings u32, first version u64
//!   postings: the positions of each list, as in `postings`, counted from the first
//!   filter:   the hashes of all lists, as in `filter`
//!   checksums: the CRC-32 of each page before them, u32
//! ```
//!
//! Lists are streams, and also event types, categories and the first events of all streams, under names that no stream can
//! have. A page is checked when it is first looked at, so a fault is found by the look that would have been misled by it.

use std::{ops::Range, path::Path, path::PathBuf};

use bytes::Bytes;

use super::{
    filter,
    hash::ListHash,
    pages::{self, BadPage, Pages},
    part::OFFSET_UNIT,
    postings::{self, Postings},
};
use crate::{
    disk::{Access, Disk},
    error::{Damage, Error, Place, Result},
    layout::{self, Reader, Writer},
    version::{Position, Version},
};

/// How many positions share one time.
pub(super) const TIME_BLOCK: u64 = 256;

pub(crate) const INDEX: &str = "index";
const MAGIC: &[u8; 8] = b"factrun\0";
const ENTRY_BYTES: usize = 24;
const SECTIONS: usize = 6;
const NEW: &str = "new";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Offsets,
    Times,
    Lists,
    Postings,
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
    postings: Range<usize>,
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
            && run.range(Section::Lists).len() == run.lists.saturating_mul(ENTRY_BYTES)
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

    /// The offset in its segment of the event at this place, counted from the first.
    pub(super) fn offset(&self, place: u32) -> Result<u64> {
        let at = place as usize * 4;
        let unit = Reader::new(self.get(Section::Offsets, at..at + 4)?).u32().unwrap_or_default();
        Ok(u64::from(unit) * OFFSET_UNIT)
    }

    /// The largest time in the block that holds this position.
    pub(super) fn time(&self, position: Position) -> Result<i64> {
        let at = (position.get() / TIME_BLOCK - self.first.get() / TIME_BLOCK) as usize * 8;
        Ok(Reader::new(self.get(Section::Times, at..at + 8)?).i64().unwrap_or(i64::MAX))
    }

    fn entry(&self, index: usize) -> Result<(ListHash, u32, Version)> {
        let mut fields = Reader::new(self.get(Section::Lists, index * ENTRY_BYTES..(index + 1) * ENTRY_BYTES)?);
        let entry = (|| {
            let hash = ListHash { key: fields.u64()?, check: fields.u32()? };
            Some((hash, fields.u32()?, Version::new(fields.u64()?)))
        })();
        entry.ok_or_else(|| self.damage(0, "an entry is cut short"))
    }

    /// The list at this place in the order of hashes; `None` behind the last.
    pub(super) fn list_at(&self, index: usize) -> Result<Option<(ListHash, ListPlace)>> {
        if index >= self.lists {
            return Ok(None);
        }
        let (hash, start, first_version) = self.entry(index)?;
        let end = match index + 1 < self.lists {
            true => self.entry(index + 1)?.1 as usize,
            false => self.range(Section::Postings).len(),
        };
        Ok(Some((hash, ListPlace { first_version, postings: start as usize..end })))
    }

    /// Looks a list up: one look at the filter, and if that lets it through, a few at the table.
    pub(super) fn find(&self, hash: ListHash) -> Result<Option<ListPlace>> {
        let (start, len) = filter::block(self.range(Section::Filter).len(), hash);
        if !filter::may_contain(self.get(Section::Filter, start..start + len)?, hash) {
            return Ok(None);
        }
        // Hashes are spread evenly, so where one lies can be guessed; each wrong guess narrows the range.
        let (mut low, mut high) = (0, self.lists);
        let (mut low_key, mut high_key) = (0u64, u64::MAX);
        for round in 0.. {
            if low >= high {
                break;
            }
            let span = (high - low) as u128;
            let guess = match round {
                0..8 => {
                    let share = u128::from(hash.key - low_key) * span / (u128::from(high_key - low_key) + 1);
                    low + share as usize
                }
                _ => low + (high - low) / 2,
            };
            let (found, ..) = self.entry(guess)?;
            match found.cmp(&hash) {
                std::cmp::Ordering::Equal => return Ok(self.list_at(guess)?.map(|(_, list)| list)),
                std::cmp::Ordering::Less => (low, low_key) = (guess + 1, found.key),
                std::cmp::Ordering::Greater => (high, high_key) = (guess, found.key),
            }
        }
        Ok(None)
    }

    /// The positions of a list, counted from the first.
    pub(super) fn postings(&self, list: &ListPlace) -> Result<Postings<'_>> {
        let bytes = self.get(Section::Postings, list.postings.clone())?;
        Postings::new(bytes)
            .ok_or_else(|| self.damage(self.range(Section::Postings).start as u64, "postings are cut short"))
    }

    pub(super) fn bad_postings(&self) -> Error {
        self.damage(self.range(Section::Postings).start as u64, "postings do not decode")
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
    postings: Vec<u8>,
    hashes: Vec<ListHash>,
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
            postings: Vec::new(),
            hashes: Vec::new(),
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
        let mut entry = [0; ENTRY_BYTES];
        let at = self.postings.len() as u32;
        Writer::new(&mut entry).u64(hash.key).u32(hash.check).u32(at).u64(first_version.get());
        self.lists.extend_from_slice(&entry);
        postings::encode(&mut self.postings, places);
        self.hashes.push(hash);
    }

    /// Whether the postings are still within what an entry can point to.
    pub(super) fn fits(&self) -> bool {
        self.postings.len() < u32::MAX as usize / 2
    }

    /// Writes the run, durably, and opens it.
    pub(super) fn finish(self, disk: &dyn Disk, dir: &Path, store: &[u8; 16]) -> Result<Run> {
        let mut filter = vec![0; filter::size(self.hashes.len())];
        self.hashes.iter().for_each(|hash| filter::insert(&mut filter, *hash));
        let times: Vec<u8> = self.times.iter().flat_map(|time| time.to_le_bytes()).collect();
        let mut content = vec![0; pages::PAGE];
        let mut places = [(0u64, 0u64); SECTIONS];
        for (place, section) in places.iter_mut().zip([&self.offsets, &times, &self.lists, &self.postings, &filter]) {
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
            fields = fields.u64(self.first.get()).u64(self.last.get()).u64(self.streams).u64(self.hashes.len() as u64);
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
        disk.create_dir(&dir.join(INDEX)).map_err(io("create the directory of"))?;
        let file = disk.create(&new).map_err(io("create"))?;
        file.write_at(&content, 0).map_err(io("write"))?;
        file.sync().map_err(io("sync"))?;
        disk.rename(&new, &name).map_err(io("rename"))?;
        disk.sync_dir(&dir.join(INDEX)).map_err(io("sync the directory of"))?;
        Run::open(disk, dir, store, self.first, self.last)
    }
}
