//! The file of a cursor.
//!
//! ```text
//! cursors/<name>.cursor
//!
//!  0        16           32         40         56      64          66     72
//!  +--------+------------+----------+----------+-------+-----------+------+------+
//!  | seal   | store id   | position | event id | time  | n = bytes | 0    | name |
//!  |        |            |          |          |       | of name   |      | n    |
//!  +--------+------------+----------+----------+-------+-----------+------+------+
//! ```
//!
//! The id of the event at the position ties the cursor to the history that it was saved in, as in a snapshot. At position 0,
//! before the first event, it is zeros.

use std::path::{Path, PathBuf};

use crate::{
    event::{EventId, Timestamp},
    event_store::CursorName,
    layout::{SEAL_BYTES, Writer, seal, unseal},
    limits,
    version::Position,
};

/// The directory of all cursors.
pub(super) const CURSORS: &str = "cursors";

const MAGIC: &[u8; 8] = b"factcur\0";
const HEADER_BYTES: usize = 72;
/// What every cursor's file name ends in.
pub(super) const SUFFIX: &str = ".cursor";

/// No file of a cursor is larger.
pub(super) const FILE_BYTES: u64 = (HEADER_BYTES + limits::CURSOR_NAME_BYTES) as u64;

/// A cursor as its file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CursorFile {
    pub(super) store: [u8; 16],
    pub(super) position: Position,
    /// The id of the event at the position.
    pub(super) event: EventId,
    pub(super) timestamp: Timestamp,
    pub(super) name: CursorName,
}

impl CursorFile {
    pub(super) fn encode(&self) -> Vec<u8> {
        let name = self.name.as_str().as_bytes();
        let mut bytes = vec![0; HEADER_BYTES + name.len()];
        Writer::new(&mut bytes)
            .bytes(&[0; SEAL_BYTES])
            .bytes(&self.store)
            .u64(self.position.get())
            .bytes(self.event.as_uuid().as_bytes())
            .i64(self.timestamp.as_micros())
            .u16(name.len() as u16)
            .bytes(&[0; 6])
            .bytes(name);
        seal(&mut bytes, MAGIC);
        bytes
    }

    /// Reads a file; the error says what is wrong with its bytes.
    pub(super) fn decode(bytes: &[u8]) -> Result<CursorFile, String> {
        let mut fields = unseal(bytes, MAGIC, "cursor")?;
        let header = (|| {
            let store = fields.array()?;
            let position = Position::new(fields.u64()?);
            let event = uuid::Uuid::from_bytes(fields.array()?).into();
            let timestamp = Timestamp::from_micros(fields.i64()?);
            Some((store, position, event, timestamp, usize::from(fields.u16()?)))
        })();
        let (store, position, event, timestamp, len) = header.ok_or("the cursor header is cut short")?;
        let name = bytes.get(HEADER_BYTES..).filter(|name| name.len() == len);
        let name = name.ok_or_else(|| format!("the cursor has {} bytes; its name has {len}", bytes.len()))?;
        let name = CursorName::new(String::from_utf8_lossy(name)).map_err(|error| error.to_string())?;
        Ok(CursorFile { store, position, event, timestamp, name })
    }

    /// Whether this is what belongs into the file of that name in that store.
    pub(super) fn check_place(&self, store: [u8; 16], name: &CursorName) -> Result<(), String> {
        if self.store != store {
            return Err("it is a cursor of another store".to_owned());
        }
        if self.name != *name {
            return Err(format!("it is the cursor `{}`, which belongs elsewhere", self.name));
        }
        Ok(())
    }

    /// The file of a cursor, relative to the store's directory.
    pub(super) fn path(name: &CursorName) -> PathBuf {
        Path::new(CURSORS).join(format!("{name}{SUFFIX}"))
    }

    /// The cursor's name in a file's name: `None` when the file is no cursor's.
    pub(super) fn name_in_file(file: &str) -> Option<CursorName> {
        CursorName::new(file.strip_suffix(SUFFIX)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> CursorFile {
        CursorFile {
            store: *b"0123456789abcdef",
            position: Position::new(0x3344),
            event: uuid::Uuid::from_bytes(*b"ABCDEFGHIJKLMNOP").into(),
            timestamp: Timestamp::from_micros(1_000_000),
            name: CursorName::new("view").unwrap(),
        }
    }

    #[test]
    fn the_bytes_of_a_cursor_are_fixed() {
        let expected = [
            &b"factcur\0"[..],
            &[1, 0, 0, 0],
            &0x38cb_57bdu32.to_le_bytes(),
            b"0123456789abcdef",
            &[0x44, 0x33, 0, 0, 0, 0, 0, 0],
            b"ABCDEFGHIJKLMNOP",
            &[0x40, 0x42, 0x0f, 0, 0, 0, 0, 0],
            &[4, 0],
            &[0; 6],
            b"view",
        ];
        assert_eq!(sample().encode(), expected.concat());
        assert_eq!(CursorFile::decode(&expected.concat()), Ok(sample()));
        assert_eq!(CursorFile::path(&sample().name), Path::new("cursors/view.cursor"));
        assert_eq!(CursorFile::name_in_file("view.cursor"), Some(sample().name));
        for other in ["view", "view.cursor.new", ".cursor", "a b.cursor"] {
            assert_eq!(CursorFile::name_in_file(other), None);
        }
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_noticed() {
        let bytes = sample().encode();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x40;
            assert!(CursorFile::decode(&changed).is_err(), "byte {at}");
            assert!(CursorFile::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
        assert!(CursorFile::decode(&[&bytes[..], &[0]].concat()).is_err());
        let mut changed = bytes;
        changed[72] = b'/';
        seal(&mut changed, MAGIC);
        assert!(CursorFile::decode(&changed).is_err());
    }
}
