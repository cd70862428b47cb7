//! Segments: the files of the log, and the page that each begins with.
//!
//! ```text
//! log/<position of the first record, 20 digits>.seg
//!
//!  0            8        12       16          32             40           48      52
//!  +------------+--------+--------+-----------+--------------+------------+-------+---------
//!  | magic      | format | crc    | store id  | base position| file bytes | salt  | 0
//!  +------------+--------+--------+-----------+--------------+------------+-------+---------
//!  56             64           72              76
//!  +--------------+------------+---------------+----------- ... 4096
//!  | previous base| its end    | its last crc  | 0
//!  +--------------+------------+---------------+-----------
//! ```
//!
//! The records begin at [`HEADER_PAGE`]. What lies behind the last one is zero, except in a segment that was ended
//! because a crash had torn its tail: there the torn bytes stay, and are never read as records again.
//!
//! The fields on the previous segment repeat what the manifest says, so that a manifest that was lost can be made anew.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use bytes::Bytes;

use super::record::{self, Read};
use crate::{
    disk::DiskFile,
    error::{Damage, Error, Place, Result},
    layout::{Reader, SEAL_BYTES, Writer, seal, unseal},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    version::Position,
};

/// Bytes of a page: the unit in which segments are written.
pub(crate) const PAGE: u64 = 4096;

/// Bytes before the first record.
pub(crate) const HEADER_PAGE: u64 = PAGE;

/// The front of a segment is mapped anew when it has grown by an eighth and so many bytes.
const FRONT_STEP: usize = 16 << 10;

/// So much of what was written last is kept in memory, ...
const NEWEST_BYTES: usize = 64 << 10;

/// ... but for batches of more than this: to copy them would cost their writers more than it saves.
const NEWEST_BATCH_BYTES: usize = 8 << 10;

const MAGIC: &[u8; 8] = b"factseg\0";

/// How a segment ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct End {
    /// The offset behind its last record.
    pub(crate) offset: u64,
    /// The checksum of its last record; 0 if it has none.
    pub(crate) checksum: u32,
}

/// What a segment's first page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) store: [u8; 16],
    pub(crate) base: Position,
    pub(crate) bytes: u64,
    pub(crate) salt: u32,
    /// The segment before it, and how that ended; [`Position::START`] for the first.
    pub(crate) previous: (Position, End),
}

impl fmt::Display for SegmentHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SegmentHeader { store, base, bytes, previous: (previous, end), .. } = self;
        let store = uuid::Uuid::from_bytes(*store);
        let End { offset, checksum } = end;
        write!(
            f,
            "the segment from position {base} of store {store}, with {bytes} bytes, behind the one from {previous}"
        )?;
        write!(f, " that ends at {offset} with {checksum:08x}")
    }
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut page = vec![0; HEADER_PAGE as usize];
        let (previous, end) = self.previous;
        Writer::new(&mut page)
            .bytes(&[0; SEAL_BYTES])
            .bytes(&self.store)
            .u64(self.base.get())
            .u64(self.bytes)
            .u32(self.salt)
            .u32(0)
            .u64(previous.get())
            .u64(end.offset)
            .u32(end.checksum);
        seal(&mut page, MAGIC);
        page
    }

    /// Reads a first page; the error says what is wrong with it.
    pub(crate) fn decode(page: &[u8]) -> Result<SegmentHeader, String> {
        let mut fields = unseal(page, MAGIC, "segment")?;
        let header = (|| {
            let store = fields.array()?;
            let base = Position::new(fields.u64()?);
            let bytes = fields.u64()?;
            let salt = fields.u32()?;
            fields.u32()?;
            let previous = Position::new(fields.u64()?);
            let end = End { offset: fields.u64()?, checksum: fields.u32()? };
            Some(SegmentHeader { store, base, bytes, salt, previous: (previous, end) })
        })();
        header.ok_or_else(|| "the header is cut short".to_owned())
    }
}

/// Whether a first page is whole.
pub(crate) fn is_header(page: &[u8]) -> bool {
    SegmentHeader::decode(page).is_ok()
}

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn DiskFile>,
    /// The content, mapped when the segment is complete.
    map: OnceLock<Bytes>,
    /// Until then: up to here it may be read, ...
    readable: AtomicU64,
    /// ... and the part of that which was mapped last, ...
    front: Mutex<Bytes>,
    /// ... and what was written last.
    newest: Mutex<Newest>,
}

/// The newest records of a segment that is written to, for whoever reads what has just been appended: as a rule no map has them.
#[derive(Debug, Default)]
struct Newest {
    /// Where they begin in the segment.
    start: u64,
    bytes: Vec<u8>,
}

impl Newest {
    /// Adds what was written at `offset`.
    fn add(&mut self, offset: u64, written: &[u8]) {
        let follows = self.start + self.bytes.len() as u64 == offset;
        if !follows || written.len() > NEWEST_BATCH_BYTES {
            self.bytes.clear();
            self.start = offset;
        }
        if written.len() > NEWEST_BATCH_BYTES {
            self.start += written.len() as u64;
            return;
        }
        if self.bytes.len() + written.len() > NEWEST_BYTES {
            // In the middle of a record, perhaps, that is never asked for then.
            let old = self.bytes.len() / 2;
            self.bytes.drain(..old);
            self.start += old as u64;
        }
        self.bytes.extend_from_slice(written);
    }

    /// What may be a record at this place.
    fn record(&self, offset: u64) -> Option<&[u8]> {
        let rest = self.bytes.get(usize::try_from(offset.checked_sub(self.start)?).ok()?..)?;
        rest.get(..(record::length(rest) as usize).next_multiple_of(record::ALIGNMENT))
            .filter(|record| !record.is_empty())
    }
}

impl Segment {
    pub(crate) fn new(header: SegmentHeader, file: Arc<dyn DiskFile>) -> Segment {
        let (readable, front, newest) = (AtomicU64::new(0), Mutex::default(), Mutex::default());
        Segment { header, file, map: OnceLock::new(), readable, front, newest }
    }

    /// Its file's name in the store's directory.
    pub(crate) fn name(base: Position) -> PathBuf {
        Path::new("log").join(format!("{:020}.seg", base.get()))
    }

    /// The base position in the name of a file in the log's directory, if it is a segment's name.
    pub(crate) fn base_in_name(name: &str) -> Option<Position> {
        let digits = name.strip_suffix(".seg")?;
        let base = digits.parse().ok()?;
        (digits.len() == 20).then_some(Position::new(base))
    }

    pub(crate) fn place(&self, offset: u64, position: Position) -> Place {
        Place { file: Segment::name(self.header.base), offset, position }
    }

    pub(crate) fn damage(&self, offset: u64, position: Position, fault: impl Into<String>) -> Damage {
        Damage { place: self.place(offset, position), fault: fault.into() }
    }

    pub(crate) fn io(&self, operation: &'static str, error: std::io::Error) -> Error {
        Error::io(operation, Segment::name(self.header.base), error)
    }

    /// Called once when nothing will be written to this segment any more: from now on it is read through a map.
    pub(crate) fn complete(&self) -> Result<()> {
        let map = self.file.map().map_err(|error| self.io("map", error))?;
        self.complete_with(map);
        Ok(())
    }

    /// As [`Segment::complete`], with a map that was made already.
    pub(super) fn complete_with(&self, map: Bytes) {
        // A second caller has mapped the same bytes.
        let _ = self.map.set(map);
        *self.front.lock() = Bytes::new();
        *self.newest.lock() = Newest::default();
    }

    /// The content, when the segment is complete.
    pub(super) fn map(&self) -> Option<&Bytes> {
        self.map.get()
    }

    /// The records up to here will never change. They become visible afterwards.
    pub(super) fn readable_to(&self, end: u64) {
        self.readable.store(end, Ordering::Release);
    }

    /// The same of those that end these bytes, which were written at `offset`.
    pub(super) fn written(&self, offset: u64, bytes: &[u8]) {
        let before = self.readable.load(Ordering::Acquire);
        let new = before.checked_sub(offset).and_then(|known| bytes.get(usize::try_from(known).ok()?..));
        if let Some(new) = new {
            self.newest.lock().add(before, new);
        }
        self.readable_to(offset + bytes.len() as u64);
    }

    /// The front of a segment that is still written to, as far as it is mapped: it ends with a record that may be read. It is
    /// mapped anew when much has been added, for a reader that comes then.
    pub(super) fn front(&self) -> Bytes {
        if self.map.get().is_some() {
            return Bytes::new();
        }
        let mut front = self.front.lock();
        let readable = self.readable.load(Ordering::Acquire) as usize;
        if readable >= front.len() + front.len() / 8 + FRONT_STEP
            // Without a map it is read otherwise, and what is wrong is found then.
            && let Ok(map) = self.file.map()
            && readable <= map.len()
        {
            *front = map.slice(..readable);
        }
        front.clone()
    }

    /// Reads and checks the record of `position` at `offset`: in the map if there is one, or in the `front`, else in `buffer`, in
    /// place of what was there.
    #[inline]
    pub(crate) fn record<'a>(
        &'a self,
        offset: u64,
        position: Position,
        front: &'a Bytes,
        buffer: &'a mut Bytes,
    ) -> Result<Read<'a>> {
        let (bytes, at) = match self.map.get() {
            Some(map) => (map, usize::try_from(offset).unwrap_or(usize::MAX).min(map.len())),
            None if offset < front.len() as u64 => (front, offset as usize),
            None => {
                let newest = self.newest.lock().record(offset).map(Bytes::copy_from_slice);
                *buffer = newest.map_or_else(|| self.read(offset), Ok)?;
                (&*buffer, 0)
            }
        };
        match record::parse_at(&bytes[at..], self.header.salt, position) {
            Ok(record) => Ok(Read::new(record, bytes, at)),
            Err(invalid) => Err(invalid.at(self.place(offset, position)).into()),
        }
    }

    /// As [`Segment::record`], if it lies in a map and is sound.
    #[inline]
    pub(crate) fn sound_record<'a>(&'a self, offset: u64, position: Position, front: &'a Bytes) -> Option<Read<'a>> {
        let (bytes, at) = (self.map.get().unwrap_or(front), usize::try_from(offset).ok()?);
        let record = record::sound_at(bytes.get(at..)?, self.header.salt, position)?;
        Some(Read::new(record, bytes, at))
    }

    /// Reads what may be a record.
    fn read(&self, offset: u64) -> Result<Bytes> {
        // Most records fit the first read; the length in its header tells what is missing of one that does not.
        let room = self.header.bytes.saturating_sub(offset);
        let mut buffer = vec![0; room.min(PAGE) as usize];
        self.file.read_at(&mut buffer, offset).map_err(|error| self.io("read", error))?;
        let mut fields = Reader::new(&buffer);
        fields.u32();
        let length = fields.u32().map_or(0, |length| u64::from(length).next_multiple_of(record::ALIGNMENT as u64));
        if length > buffer.len() as u64 && length <= room {
            let read = buffer.len();
            buffer.resize(length as usize, 0);
            let rest = &mut buffer[read..];
            self.file.read_at(rest, offset + read as u64).map_err(|error| self.io("read", error))?;
        }
        Ok(buffer.into())
    }

    /// A piece of the segment, as a slice of the map if there is one.
    pub(crate) fn piece(&self, offset: u64, len: u64) -> Result<Bytes> {
        if let Some(map) = self.map.get() {
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(map.len());
            let end = start.saturating_add(usize::try_from(len).unwrap_or(usize::MAX)).min(map.len());
            return Ok(map.slice(start..end));
        }
        let mut buffer = vec![0; len as usize];
        self.file.read_at(&mut buffer, offset).map_err(|error| self.io("read", error))?;
        Ok(buffer.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> SegmentHeader {
        SegmentHeader {
            store: *b"0123456789abcdef",
            base: Position::new(42),
            bytes: 1 << 20,
            salt: 0xfeed,
            previous: (Position::FIRST, End { offset: 9000, checksum: 7 }),
        }
    }

    #[test]
    fn the_bytes_of_a_header_are_fixed() {
        let page = sample().encode();
        assert!(page[80..].iter().all(|byte| *byte == 0));
        let hex: String = page[..80].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            // magic, format, checksum | store | base, bytes | salt, 0, previous base | its end, its checksum, 0
            "666163747365670001000000ff6c041a\
             30313233343536373839616263646566\
             2a000000000000000000100000000000\
             edfe0000000000000100000000000000\
             28230000000000000700000000000000"
        );
    }

    #[test]
    fn a_header_reads_back_as_it_was_written_and_any_flipped_byte_is_noticed() {
        let page = sample().encode();
        assert_eq!(SegmentHeader::decode(&page), Ok(sample()));
        for at in 0..page.len() {
            let mut changed = page.clone();
            changed[at] ^= 0x10;
            assert!(SegmentHeader::decode(&changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn names_of_segments_carry_their_base_position_and_nothing_else_is_one() {
        let name = Segment::name(Position::new(42));
        assert_eq!(name, Path::new("log/00000000000000000042.seg"));
        assert_eq!(Segment::base_in_name("00000000000000000042.seg"), Some(Position::new(42)));
        for other in ["42.seg", "prepared", "00000000000000000042.seg.old", "0000000000000000004x.seg"] {
            assert_eq!(Segment::base_in_name(other), None);
        }
    }

    /// Bytes that look like a record of so many bytes.
    fn like_a_record(bytes: usize) -> Vec<u8> {
        let mut record = vec![7; bytes];
        record[4..8].copy_from_slice(&(bytes as u32).to_le_bytes());
        record
    }

    #[test]
    fn of_what_was_written_last_whole_records_are_kept_or_none() {
        let mut newest = Newest::default();
        let (mut offset, mut kept_offsets) = (4096, 0);
        for bytes in [64, 1 << 10, 8 << 10, 30 << 10, 64, 40 << 10, 64].repeat(5) {
            newest.add(offset, &like_a_record(bytes));
            let kept = newest.record(offset);
            assert_eq!(kept.is_some(), bytes <= NEWEST_BATCH_BYTES, "{bytes} bytes at {offset}");
            assert!(kept.is_none_or(|record| record == like_a_record(bytes)));
            assert!(newest.bytes.len() <= NEWEST_BYTES);
            kept_offsets += usize::from(kept.is_some());
            offset += bytes as u64;
            assert_eq!(newest.record(offset), None, "nothing is there yet");
            assert_eq!(newest.record(0), None, "that is long ago");
        }
        assert_eq!(kept_offsets, 25);
        newest.add(offset + 8, &like_a_record(64));
        assert_eq!((newest.record(offset), newest.start), (None, offset + 8), "what does not follow begins anew");
    }
}
