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

use bytes::Bytes;

use crate::{
    error::{Damage, Place},
    layout::{Reader, Writer},
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) position: Position,
    pub(crate) ack_lag: u32,
    pub(crate) batch_index: u16,
    pub(crate) batch_count: u16,
    pub(crate) kind: u8,
}

impl Header {
    /// The position up to which everything was durable when this record was made.
    pub(crate) fn proves_durable(&self) -> Position {
        match self.ack_lag {
            NO_PROOF => Position::START,
            lag => Position::new(self.position.get().saturating_sub(lag.into())),
        }
    }
}

/// A record that validated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) header: Header,
    pub(crate) checksum: u32,
    /// Where the body begins and ends, counted from the record's first byte.
    pub(crate) body: (usize, usize),
    /// What the record takes up, padding included.
    pub(crate) footprint: usize,
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
    pub(crate) record: Record,
    bytes: &'a Bytes,
    at: usize,
}

impl<'a> Read<'a> {
    /// `record` begins at `at` in `bytes`.
    #[inline]
    pub(crate) fn new(record: Record, bytes: &'a Bytes, at: usize) -> Read<'a> {
        Read { record, bytes, at }
    }

    #[inline]
    pub(crate) fn head(&self) -> &'a [u8] {
        &self.bytes[self.at + HEADER_BYTES..self.at + self.record.body.0]
    }

    /// A slice of the bytes, not a copy.
    #[inline]
    pub(crate) fn body(&self) -> Bytes {
        self.bytes.slice(self.at + self.record.body.0..self.at + self.record.body.1)
    }
}

/// The checksum of a body.
pub(crate) fn body_checksum(body: &[u8]) -> u32 {
    crc32fast::hash(body)
}

fn checksum(salt: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
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
    let Some((header, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return Err(cut(bytes)) };
    let u16_at = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
    let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
    let (stored, found) = (u32_at(0), u32_at(4));
    if found == 0 {
        return Err(Invalid::Unwritten);
    }
    let bad_length = Invalid::Length { found, room: bytes.len() };
    let length = found as usize;
    let position = Position::new(u64_at(8));
    let (ack_lag, batch_index, batch_count, body_stored) = (u32_at(16), u16_at(20), u16_at(22), u32_at(24));
    let (body_start, kind) = (HEADER_BYTES + usize::from(u16_at(28)), header[30]);
    let footprint = length.next_multiple_of(ALIGNMENT);
    if footprint > bytes.len() || body_start > length {
        return Err(bad_length);
    }
    let computed = checksum(salt, &bytes[4..body_start]);
    if stored != computed {
        return Err(Invalid::Checksum { stored, computed });
    }
    let computed = body_checksum(&bytes[body_start..length]);
    if body_stored != computed {
        return Err(Invalid::BodyChecksum { stored: body_stored, computed });
    }
    if bytes[length..footprint].iter().any(|byte| *byte != 0) {
        return Err(Invalid::Padding);
    }
    Ok(Record {
        header: Header { position, ack_lag, batch_index, batch_count, kind },
        checksum: stored,
        body: (body_start, length),
        footprint,
    })
}

/// The bytes of a record that its checksum is of, and the checksum, if all but that says that a record lies at the front of
/// `bytes`: its length and its body.
pub(super) fn checked_bytes(bytes: &[u8]) -> Option<(&[u8], u32)> {
    let mut fields = Reader::new(bytes);
    let (stored, length) = (fields.u32()?, fields.u32()? as usize);
    let mut fields = Reader::new(bytes.get(24..HEADER_BYTES)?);
    let (body_stored, head) = (fields.u32()?, usize::from(fields.u16()?));
    let body = bytes.get(HEADER_BYTES + head..length)?;
    (body_checksum(body) == body_stored).then_some((&bytes[4..HEADER_BYTES + head], stored))
}

/// What the record at the front of `bytes` takes up, by its length.
pub(super) fn footprint_of(bytes: &[u8]) -> Option<usize> {
    let mut fields = Reader::new(bytes);
    fields.u32()?;
    let footprint = (fields.u32()? as usize).next_multiple_of(ALIGNMENT);
    (footprint <= bytes.len()).then_some(footprint)
}

/// What is wrong with bytes that end before a record's header does.
#[cold]
fn cut(bytes: &[u8]) -> Invalid {
    let mut fields = Reader::new(bytes);
    fields.u32();
    match fields.u32() {
        Some(0) => Invalid::Unwritten,
        found => Invalid::Length { found: found.unwrap_or_default(), room: bytes.len() },
    }
}

/// As [`parse`], but only the record of this position will do.
#[inline]
pub(crate) fn parse_at(bytes: &[u8], salt: u32, expected: Position) -> Result<Record, Invalid> {
    let record = parse(bytes, salt)?;
    match record.header.position {
        found if found == expected => Ok(record),
        found => Err(Invalid::OutOfPlace { expected, found }),
    }
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
        assert_eq!(&bytes[HEADER_BYTES..record.body.0], b"head");
        assert_eq!(&bytes[record.body.0..record.body.1], b"body!");
        assert_eq!(record.footprint, bytes.len());
        assert_eq!(record.header.proves_durable(), Position::new(6));
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
            assert!(parse(&bytes[..end], SALT).is_err(), "cut at {end}");
        }
        assert_eq!(parse(&[0; 64], SALT).unwrap_err(), Invalid::Unwritten);
    }
}
