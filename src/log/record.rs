//! Records: the framed, checksummed bytes in a segment.
//!
//! ```text
//!  0        4        8                16        20     22     24         28       30    31    32
//!  +--------+--------+----------------+---------+------+------+----------+--------+-----+-----+------+------+-----+
//!  | crc    | length | position       | ack lag | batch: i, n | body crc | head n | kind| flag| head | body | pad |
//!  +--------+--------+----------------+---------+------+------+----------+--------+-----+-----+------+------+-----+
//! ```
//!
//! - `crc` is the CRC-32 of everything behind it up to the end of the head, begun with the segment's salt: a record that
//!   lies in a segment it was not written for never validates.
//! - `length` counts from `crc` to the end of the body; 0 means that nothing was ever written here. The padding to
//!   [`ALIGNMENT`] is zero and not counted.
//! - `ack lag` is the record's position minus the newest durable position that its writer knew: the record proves that
//!   everything up to `position - ack lag` had reached the disk. [`NO_PROOF`] proves nothing.
//! - `batch` is the record's index in its batch and the number of records in it. A batch is valid whole or not at all.
//! - head and body mean nothing to the log. The head is small and is filled in late, under the lock that gives out
//!   positions; the body is large, and its checksum is taken before.
//!
//! A [`Record`] has been checked: there is no other way to make one.

use std::ops::Range;

use bytes::Bytes;
use crc32fast::Hasher;

use crate::{
    disk::planted,
    error::{Damage, Place},
    layout::Writer,
    version::Position,
};

/// Records begin at multiples of this.
pub(crate) const ALIGNMENT: usize = 8;

/// Bytes of a record before its head.
pub(crate) const HEADER_BYTES: usize = 32;

/// The ack lag of a record that proves nothing.
pub(crate) const NO_PROOF: u32 = u32::MAX;

/// The bytes that a record of this head and body takes up in a segment.
pub(crate) const fn footprint(head: usize, body: usize) -> usize {
    (HEADER_BYTES + head + body).next_multiple_of(ALIGNMENT)
}

/// What a record says of itself, apart from its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) position: Position,
    pub(crate) ack_lag: u32,
    pub(crate) batch_index: u16,
    pub(crate) batch_count: u16,
    pub(crate) kind: u8,
}

#[inline]
fn u16_at(header: &[u8; HEADER_BYTES], at: usize) -> u16 {
    u16::from_le_bytes([header[at], header[at + 1]])
}

#[inline]
fn u32_at(header: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from(u16_at(header, at)) | u32::from(u16_at(header, at + 2)) << 16
}

#[inline]
fn position_at(header: &[u8; HEADER_BYTES]) -> Position {
    Position::new(u64::from(u32_at(header, 8)) | u64::from(u32_at(header, 12)) << 32)
}

impl Header {
    #[inline]
    pub(crate) fn read(header: &[u8; HEADER_BYTES]) -> Header {
        Header {
            position: position_at(header),
            ack_lag: u32_at(header, 16),
            batch_index: u16_at(header, 20),
            batch_count: u16_at(header, 22),
            kind: header[30],
        }
    }

    /// The position up to which everything was durable when this record was made.
    pub(crate) fn proves_durable(&self) -> Position {
        match self.ack_lag {
            NO_PROOF => Position::START,
            lag => Position::new(self.position.get().saturating_sub(lag.into())),
        }
    }
}

/// A record that validated: where its body begins and where it ends, counted from the record's first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    body: u32,
    end: u32,
}

impl Record {
    /// What the record takes up, padding included.
    #[inline]
    pub(crate) fn footprint(self) -> usize {
        (self.end as usize).next_multiple_of(ALIGNMENT)
    }
}

/// Why bytes are not the record that should be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Invalid {
    #[error("nothing was written here")]
    Unwritten,
    #[error("the record's length is {found}, but only {room} bytes are left")]
    Length { found: u32, room: usize },
    #[error("the record's checksum is {stored:08x}, but its bytes have {computed:08x}")]
    Checksum { stored: u32, computed: u32 },
    #[error("the body's checksum is {stored:08x}, but its bytes have {computed:08x}")]
    BodyChecksum { stored: u32, computed: u32 },
    #[error("the record says it has position {found}, but {expected} belongs here")]
    OutOfPlace { expected: Position, found: Position },
    #[error("the padding behind the record is not zero")]
    Padding,
    #[error("record {index} of a batch of {count} lies where record {expected} belongs")]
    Batch { index: u16, count: u16, expected: usize },
    #[error("the segment ends in the middle of a batch")]
    BatchCut,
}

impl Invalid {
    pub(crate) fn at(self, place: Place) -> Damage {
        Damage { place, fault: self.to_string() }
    }
}

/// A record that validated, and the bytes that it was read from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read<'a> {
    record: Record,
    /// It lies in these.
    pub(crate) bytes: &'a Bytes,
    at: usize,
}

impl<'a> Read<'a> {
    /// `record` begins at `at` in `bytes`.
    #[inline]
    pub(crate) fn new(record: Record, bytes: &'a Bytes, at: usize) -> Read<'a> {
        Read { record, bytes, at }
    }

    #[inline]
    pub(crate) fn header(&self) -> Header {
        self.header_bytes().map(Header::read).unwrap_or_default()
    }

    /// The record's checksum.
    pub(crate) fn checksum(&self) -> u32 {
        self.header_bytes().map_or(0, |header| u32_at(header, 0))
    }

    #[inline]
    fn header_bytes(&self) -> Option<&'a [u8; HEADER_BYTES]> {
        self.bytes[self.at..].first_chunk()
    }

    #[inline]
    pub(crate) fn head(&self) -> &'a [u8] {
        &self.bytes[self.at + HEADER_BYTES..self.at + self.record.body as usize]
    }

    /// Where in the bytes the body lies.
    #[inline]
    pub(crate) fn body(&self) -> Range<usize> {
        self.at + self.record.body as usize..self.at + self.record.end as usize
    }

    /// What the record takes up, padding included.
    #[inline]
    pub(crate) fn footprint(&self) -> u64 {
        self.record.footprint() as u64
    }
}

/// The checksum of a body.
#[inline]
pub(crate) fn body_checksum(body: &[u8]) -> u32 {
    body_checksum_by(Hasher::new(), body)
}

#[inline]
fn body_checksum_by(mut hasher: Hasher, body: &[u8]) -> u32 {
    let used = if planted!(LengthOutOfChecksum) {
        body.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
    } else {
        body.len()
    };
    hasher.update(&body[..used]);
    hasher.finalize()
}

/// The checksum of a record from its length to the end of its head.
#[inline]
fn checksum(salt: u32, bytes: &[u8]) -> u32 {
    checksum_by(Hasher::new_with_initial(salt), bytes)
}

#[inline]
fn checksum_by(mut hasher: Hasher, bytes: &[u8]) -> u32 {
    let bytes = if planted!(LengthOutOfChecksum) { bytes.get(4..).unwrap_or_default() } else { bytes };
    hasher.update(bytes);
    hasher.finalize()
}

/// Fills in the header of a record whose head and body already lie in `record`, which ends with the body, and returns
/// the record's checksum.
pub(crate) fn finish(record: &mut [u8], salt: u32, header: Header, head: usize, body_checksum: u32) -> u32 {
    let length = u32::try_from(record.len()).unwrap_or(0);
    Writer::new(record)
        .u32(0)
        .u32(length)
        .u64(header.position.get())
        .u32(header.ack_lag)
        .u16(header.batch_index)
        .u16(header.batch_count)
        .u32(body_checksum)
        .u16(head as u16)
        .u8(header.kind)
        .u8(0);
    let crc = record.get(4..HEADER_BYTES + head).map_or(0, |bytes| checksum(salt, bytes));
    Writer::new(record).u32(crc);
    crc
}

/// Checks the bytes at the front of `bytes` and reads them as a record, of whatever position.
#[inline]
pub(crate) fn parse(bytes: &[u8], salt: u32) -> Result<Record, Invalid> {
    sound(bytes, salt).ok_or_else(|| invalid(bytes, salt))
}

/// As [`parse`], but only the record of this position will do.
#[inline]
pub(crate) fn parse_at(bytes: &[u8], salt: u32, expected: Position) -> Result<Record, Invalid> {
    match sound_at(bytes, salt, expected) {
        Some(record) => Ok(record),
        None => Err(invalid_at(bytes, salt, expected)),
    }
}

/// The record of this position, if that is what lies at the front of `bytes`.
#[inline]
pub(crate) fn sound_at(bytes: &[u8], salt: u32, expected: Position) -> Option<Record> {
    sound(bytes, salt).filter(|_| bytes.first_chunk().map(position_at) == Some(expected))
}

#[inline]
fn sound(bytes: &[u8], salt: u32) -> Option<Record> {
    let header: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
    let record = Record { body: HEADER_BYTES as u32 + u32::from(u16_at(header, 28)), end: u32_at(header, 4) };
    let (start, end) = (record.body as usize, record.end as usize);
    let (body, last) = (bytes.get(start..end)?, bytes.get(..record.footprint())?.last_chunk()?);
    // Shifted twice, as there may be no padding at all.
    let padding = u64::from_le_bytes(*last) >> (8 * ((record.end - 1) % ALIGNMENT as u32)) >> 8;
    // What the processor can do is asked once for both.
    let salted = Hasher::new_with_initial(salt);
    let mut unsalted = salted.clone();
    unsalted.reset();
    let sound = checksum_by(salted, &bytes[4..start]) == u32_at(header, 0)
        && body_checksum_by(unsalted, body) == u32_at(header, 24)
        && padding == 0;
    sound.then_some(record)
}

/// Why there is no sound record at the front of `bytes`.
#[cold]
fn invalid(bytes: &[u8], salt: u32) -> Invalid {
    let found = length(bytes);
    let (room, length) = (bytes.len(), found as usize);
    if found == 0 && room >= 8 {
        return Invalid::Unwritten;
    }
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return Invalid::Length { found, room } };
    let start = HEADER_BYTES + usize::from(u16_at(header, 28));
    if start > length || length.next_multiple_of(ALIGNMENT) > room {
        return Invalid::Length { found, room };
    }
    let (stored, computed) = (u32_at(header, 0), checksum(salt, &bytes[4..start]));
    if stored != computed {
        return Invalid::Checksum { stored, computed };
    }
    let (stored, computed) = (u32_at(header, 24), body_checksum(&bytes[start..length]));
    if stored != computed { Invalid::BodyChecksum { stored, computed } } else { Invalid::Padding }
}

#[cold]
fn invalid_at(bytes: &[u8], salt: u32, expected: Position) -> Invalid {
    match (sound(bytes, salt), bytes.first_chunk().map(position_at)) {
        (Some(_), Some(found)) => Invalid::OutOfPlace { expected, found },
        _ => invalid(bytes, salt),
    }
}

/// The bytes of a record that its checksum is of, and the checksum, if all but that says that a record lies at the front of
/// `bytes`: its length and its body.
pub(super) fn checked_bytes(bytes: &[u8]) -> Option<(&[u8], u32)> {
    let header: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
    let start = HEADER_BYTES + usize::from(u16_at(header, 28));
    let body = bytes.get(start..length(bytes) as usize)?;
    (body_checksum(body) == u32_at(header, 24)).then_some((&bytes[4..start], u32_at(header, 0)))
}

/// What the record at the front of `bytes` takes up, by its length.
pub(super) fn footprint_of(bytes: &[u8]) -> Option<usize> {
    let footprint = (length(bytes) as usize).next_multiple_of(ALIGNMENT);
    (footprint <= bytes.len()).then_some(footprint)
}

/// The length that the record at the front of `bytes` says it has; 0 when there is none.
#[inline]
pub(crate) fn length(bytes: &[u8]) -> u32 {
    bytes.get(4..8).map_or(0, |length| u32::from_le_bytes([length[0], length[1], length[2], length[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: u32 = 0x5a17;

    fn sample() -> Vec<u8> {
        let header = Header { position: Position::new(7), ack_lag: 1, batch_index: 0, batch_count: 1, kind: 1 };
        let mut record = vec![0; HEADER_BYTES];
        record.extend_from_slice(b"headbody!");
        finish(&mut record, SALT, header, 4, body_checksum(b"body!"));
        record.resize(footprint(4, 5), 0);
        record
    }

    #[test]
    fn the_bytes_of_a_record_are_fixed() {
        let hex: String = sample().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "eade376a29000000070000000000000001000000000001007885dfbb0400010068656164626f64792100000000000000"
        );
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let bytes = sample();
        let record = parse_at(&bytes, SALT, Position::new(7)).unwrap();
        let bytes = bytes.into();
        let read = Read::new(record, &bytes, 0);
        assert_eq!(read.head(), b"head");
        assert_eq!(bytes[read.body()], b"body!"[..]);
        assert_eq!(read.footprint(), bytes.len() as u64);
        assert_eq!(read.header().proves_durable(), Position::new(6));
    }

    #[test]
    fn a_change_of_any_bit_is_noticed() {
        let bytes = sample();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            // The flags are reserved; all else is in use. Both are under the checksum.
            assert!(parse_at(&changed, SALT, Position::new(7)).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_record_of_another_segment_or_position_never_validates() {
        let bytes = sample();
        assert!(matches!(parse(&bytes, SALT + 1), Err(Invalid::Checksum { .. })));
        assert!(matches!(parse_at(&bytes, SALT, Position::new(8)), Err(Invalid::OutOfPlace { .. })));
    }

    #[test]
    fn bytes_cut_short_or_never_written_are_no_record() {
        let bytes = sample();
        for end in 0..bytes.len() {
            let found = if end < 8 { 0 } else { 41 };
            assert_eq!(parse(&bytes[..end], SALT), Err(Invalid::Length { found, room: end }), "cut at {end}");
        }
        assert_eq!(parse(&[0; 64], SALT).unwrap_err(), Invalid::Unwritten);
    }
}
