//! The manifest: which segments there are, how each ended, and how far the log is known to be durable.
//!
//! ```text
//!  0          8        12      16         32      36         40        48        56          60  64
//!  +----------+--------+-------+----------+-------+----------+---------+---------+-----------+---+- - - - - - - -
//!  | magic    | format | crc   | store id | state | segments | durable | its end | its crc   | 0 | segment * n
//!  +----------+--------+-------+----------+-------+----------+---------+---------+-----------+---+- - - - - - - -
//!
//!  segment:   0               8            16            24              28             32
//!             +---------------+------------+-------------+---------------+--------------+
//!             | base position | file bytes | end, or 0   | last checksum | torn checksum|
//!             +---------------+------------+-------------+---------------+--------------+
//! ```
//!
//! It is always replaced as a whole and atomically: written beside the old one, synced, renamed. So it is never torn,
//! and any fault in it is damage. It is written before the first append of a session, when a segment is begun, and when
//! the store is closed; never on the way of a commit.
//!
//! - `state` is 1 from a clean close until the next append: then the log ends with the durable position. Else it is 0.
//! - `end` is 0 for the segment that is written to: only the last can be.
//! - `durable` is a lower bound: everything up to that position was durable when the manifest was written. `its end` is the
//!   offset in the last segment behind that record, `its crc` the record's checksum. After a clean close that is the whole log, and so any fault
//!   before it is damage, never a torn tail.
//! - `torn checksum` is that of the bytes between the end and the end of the file, if a crash left any there; else 0.

use std::path::Path;

use super::segment::End;
use crate::{
    disk::{Content, Disk, NotReplaced, read_file, replace_file},
    error::{Damage, Error, Place, Result},
    layout::{FORMAT, Reader, SEAL_BYTES, Writer, newer_format, seal, unseal},
    version::Position,
};

/// The manifest's file name in the store's directory.
pub(crate) const MANIFEST: &str = "MANIFEST";
/// The name that it is written under before it takes the place of the old one.
pub(crate) const MANIFEST_NEW: &str = "MANIFEST.new";

const MAGIC: &[u8; 8] = b"factman\0";
const HEADER_BYTES: usize = 64;
const CLEAN: u32 = 1;
const ENTRY_BYTES: usize = 32;
/// No manifest is larger: it would name eight million segments.
const MANIFEST_BYTES: u64 = 256 << 20;

/// One segment as the manifest knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) base: Position,
    pub(crate) bytes: u64,
    /// How it ended; `None` while it is written to.
    pub(crate) end: Option<End>,
    /// Checksum of the bytes behind the end that a crash left there; 0 when all are zero.
    pub(crate) torn: u32,
}

/// The content of the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) store: [u8; 16],
    /// Everything up to here was durable, ...
    pub(crate) durable: Position,
    /// ... and ends like this in the last segment.
    pub(crate) durable_end: End,
    /// Nothing was appended since, and the store was closed.
    pub(crate) clean: bool,
    /// In order of base position.
    pub(crate) segments: Vec<Entry>,
}

impl Manifest {
    pub(crate) fn new(store: [u8; 16]) -> Manifest {
        Manifest { store, durable: Position::START, durable_end: End::default(), clean: true, segments: Vec::new() }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES + self.segments.len() * ENTRY_BYTES];
        let mut fields = Writer::new(&mut bytes)
            .bytes(&[0; SEAL_BYTES])
            .bytes(&self.store)
            .u32(if self.clean { CLEAN } else { 0 })
            .u32(self.segments.len() as u32)
            .u64(self.durable.get())
            .u64(self.durable_end.offset)
            .u32(self.durable_end.checksum)
            .u32(0);
        for entry in &self.segments {
            let end = entry.end.unwrap_or_default();
            fields = fields.u64(entry.base.get()).u64(entry.bytes).u64(end.offset).u32(end.checksum).u32(entry.torn);
        }
        seal(&mut bytes, MAGIC);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Manifest, String> {
        let mut fields = unseal(bytes, MAGIC, "manifest")?;
        Manifest::decode_fields(&mut fields, bytes.len())
            .ok_or_else(|| format!("the manifest has {} bytes, which is not what its segments take", bytes.len()))
    }

    fn decode_fields(fields: &mut Reader<'_>, len: usize) -> Option<Manifest> {
        let store = fields.array()?;
        let state = fields.u32()?;
        let count = fields.u32()? as usize;
        if count.checked_mul(ENTRY_BYTES)?.checked_add(HEADER_BYTES)? != len {
            return None;
        }
        let mut manifest = Manifest::new(store);
        manifest.durable = Position::new(fields.u64()?);
        manifest.durable_end = End { offset: fields.u64()?, checksum: fields.u32()? };
        fields.u32()?;
        manifest.clean = state == CLEAN;
        for _ in 0..count {
            let base = Position::new(fields.u64()?);
            let bytes = fields.u64()?;
            let end = End { offset: fields.u64()?, checksum: fields.u32()? };
            let end = (end != End::default()).then_some(end);
            manifest.segments.push(Entry { base, bytes, end, torn: fields.u32()? });
        }
        Some(manifest)
    }

    /// Whether the file of that name is a manifest, damaged or not.
    pub(crate) fn is_one(disk: &dyn Disk, dir: &Path) -> Result<bool> {
        let content = read_file(disk, &dir.join(MANIFEST), MANIFEST_BYTES)?;
        Ok(matches!(content, Content::Whole(bytes) if bytes.starts_with(MAGIC)))
    }

    /// Reads the manifest of the store in `dir`; `None` when there is none.
    pub(crate) fn load(disk: &dyn Disk, dir: &Path) -> Result<Option<Manifest>> {
        let path = dir.join(MANIFEST);
        let bytes = match read_file(disk, &path, MANIFEST_BYTES)? {
            Content::Missing => return Ok(None),
            Content::Whole(bytes) => bytes,
            Content::Unfit(fault) => return Err(damage(fault).into()),
        };
        if let Some(format) = newer_format(&bytes, MAGIC) {
            let reason = format!("the store has format {format}; this version knows formats up to {FORMAT}");
            return Err(Error::NotAStore { path: dir.to_owned(), reason });
        }
        Manifest::decode(&bytes).map(Some).map_err(|fault| damage(fault).into())
    }

    /// Puts this manifest in place of the one that is there, atomically.
    pub(crate) fn store(&self, disk: &dyn Disk, dir: &Path) -> Result<(), NotReplaced> {
        replace_file(disk, &dir.join(MANIFEST), &self.encode())
    }
}

/// Damage to the manifest itself.
pub(crate) fn damage(fault: String) -> Damage {
    Damage { place: Place { file: MANIFEST.into(), offset: 0, position: Position::START }, fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        let mut manifest = Manifest::new(*b"0123456789abcdef");
        manifest.durable = Position::new(9);
        manifest.durable_end = End { offset: 8192, checksum: 78 };
        manifest.clean = false;
        let end = Some(End { offset: 5000, checksum: 77 });
        manifest.segments.push(Entry { base: Position::new(1), bytes: 1 << 18, end, torn: 5 });
        manifest.segments.push(Entry { base: Position::new(6), bytes: 1 << 19, end: None, torn: 0 });
        manifest
    }

    #[test]
    fn the_bytes_of_a_manifest_are_fixed() {
        let hex: String = sample().encode().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            // Header: magic, format, checksum | store | state, segments, durable | its end, its checksum, 0
            "666163746d616e00010000002ad9c3a2\
             30313233343536373839616263646566\
             00000000020000000900000000000000\
             00200000000000004e00000000000000"
                .to_owned()
                // A segment that has ended: base, bytes | end, last checksum, torn checksum
                + "01000000000000000000040000000000\
                   88130000000000004d00000005000000"
                // The segment that is written to
                + "06000000000000000000080000000000\
                   00000000000000000000000000000000"
        );
    }

    #[test]
    fn a_manifest_reads_back_as_it_was_written() {
        assert_eq!(Manifest::decode(&sample().encode()), Ok(sample()));
    }

    #[test]
    fn any_flipped_byte_and_any_cut_of_a_manifest_is_noticed() {
        let bytes = sample().encode();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x01;
            assert!(Manifest::decode(&changed).is_err(), "byte {at}");
            assert!(Manifest::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
