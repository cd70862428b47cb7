//! The seal: how every first page of a segment, and every small file, begins.
//!
//! ```text
//!  0          8        12         16
//!  +----------+--------+----------+- - - - -
//!  | magic    | format | checksum | the rest
//!  +----------+--------+----------+- - - - -
//! ```
//!
//! The checksum (CRC-32, IEEE) is of all bytes but its own four, so that no byte of what is sealed can change, and none be
//! cut off or added, without being noticed.

use super::Reader;

/// The version of the formats of all files of a store.
pub(crate) const FORMAT: u32 = 1;

/// Bytes of the seal: what is sealed begins behind them.
pub(crate) const SEAL_BYTES: usize = 16;

const CHECKSUM: std::ops::Range<usize> = 12..SEAL_BYTES;

/// Puts magic, format and checksum into the first [`SEAL_BYTES`] of `bytes`, which are otherwise as they will be written.
pub(crate) fn seal(bytes: &mut [u8], magic: &[u8; 8]) {
    super::Writer::new(bytes).bytes(magic).u32(FORMAT);
    let checksum = checksum(bytes);
    if let Some(field) = bytes.get_mut(CHECKSUM) {
        field.copy_from_slice(&checksum.to_le_bytes());
    }
}

/// Checks magic, format and checksum, and gives the fields behind them. `what` is the noun for the error.
pub(crate) fn unseal<'a>(bytes: &'a [u8], magic: &[u8; 8], what: &str) -> Result<Reader<'a>, String> {
    let mut fields = Reader::new(bytes);
    let short = || format!("the {what} header is cut short");
    let found: [u8; 8] = fields.array().ok_or_else(short)?;
    let format = fields.u32().ok_or_else(short)?;
    let stored = fields.u32().ok_or_else(short)?;
    if found != *magic {
        return Err(format!("no {what}: it begins with {:?}", String::from_utf8_lossy(&found)));
    }
    let computed = checksum(bytes);
    if stored != computed {
        return Err(format!("the {what} header's checksum is {stored:08x}, but its bytes have {computed:08x}"));
    }
    if format != FORMAT {
        return Err(format!("the {what} has format {format}; this version knows {FORMAT}"));
    }
    Ok(fields)
}

/// Whether something sealed is of a newer format than this version knows, and of which.
pub(crate) fn newer_format(bytes: &[u8], magic: &[u8; 8]) -> Option<u32> {
    let mut fields = Reader::new(bytes);
    let found: [u8; 8] = fields.array()?;
    let format = fields.u32()?;
    let stored = fields.u32()?;
    (found == *magic && stored == checksum(bytes) && format > FORMAT).then_some(format)
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(bytes.get(..CHECKSUM.start).unwrap_or_default());
    hasher.update(bytes.get(CHECKSUM.end..).unwrap_or_default());
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAGIC: &[u8; 8] = b"factx\0\0\0";

    fn sealed() -> Vec<u8> {
        let mut bytes = vec![0; 20];
        bytes[16..].copy_from_slice(&7u32.to_le_bytes());
        seal(&mut bytes, MAGIC);
        bytes
    }

    #[test]
    fn what_is_sealed_begins_with_magic_format_and_checksum() {
        let bytes = sealed();
        assert_eq!(bytes[..12], *b"factx\0\0\0\x01\0\0\0");
        assert_eq!(bytes[12..16], crc32fast::hash(b"factx\0\0\0\x01\0\0\0\x07\0\0\0").to_le_bytes());
        assert_eq!(unseal(&bytes, MAGIC, "thing").unwrap().u32(), Some(7));
    }

    #[test]
    fn every_flipped_bit_every_cut_and_every_addition_breaks_the_seal() {
        let bytes = sealed();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert!(unseal(&changed, MAGIC, "thing").is_err(), "byte {at}, bit {bit}");
            }
            assert!(unseal(&bytes[..at], MAGIC, "thing").is_err(), "cut at {at}");
        }
        assert!(unseal(&[&bytes[..], b"\0"].concat(), MAGIC, "thing").is_err());
        assert!(unseal(&bytes, b"facty\0\0\0", "thing").unwrap_err().starts_with("no thing: it begins with"));
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let mut bytes = sealed();
        assert_eq!(newer_format(&bytes, MAGIC), None);
        bytes[8] = 2;
        assert_eq!(newer_format(&bytes, MAGIC), None, "the checksum does not fit");
        let checksum = checksum(&bytes);
        bytes[CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(newer_format(&bytes, MAGIC), Some(2));
        assert_eq!(unseal(&bytes, MAGIC, "thing").unwrap_err(), "the thing has format 2; this version knows 1");
    }
}
