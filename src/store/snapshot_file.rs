//! The file of a snapshot.
//!
//! ```text
//! snapshots/<2 digits>/<30 digits>/<version, 20 digits>.snap      the 32 hexadecimal digits of the stream name's XXH3-128
//!
//!  0        16           32        40         48         64      72      76              80          84      86  88
//!  +--------+------------+---------+----------+----------+-------+-------+---------------+-----------+-------+---+------+-------+
//!  | seal   | store id   | version | position | event id | time  | codec | state version | s = bytes | n =   | 0 | name | state |
//!  |        |            |         |          |          |       |       |               | of state  | name's|   | n    | s     |
//!  +--------+------------+---------+----------+----------+-------+-------+---------------+-----------+-------+---+------+-------+
//! ```
//!
//! A stream's name is no path: the file lies where the name's hash says, and the name itself is inside. Two names of one
//! hash would share a directory, and of each version there would be a snapshot of one of them only: the other is without one.
//!
//! The version, position and id of the last event that the state includes tie the snapshot to the history that it was
//! made from: should the log be an older copy that has gone on differently since, the snapshot is known not to fit it.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    codec::CodecId,
    event::{EventId, RecordedEvent, StreamName, Timestamp},
    event_store::Snapshot,
    layout::{SEAL_BYTES, Writer, seal, unseal},
    limits,
    version::{Position, Version},
};

/// The directory of all snapshots.
pub(super) const SNAPSHOTS: &str = "snapshots";

const MAGIC: &[u8; 8] = b"factsnp\0";
const HEADER_BYTES: usize = 88;
/// What every snapshot's file name ends in.
pub(super) const SUFFIX: &str = ".snap";

/// No file of a snapshot is larger.
pub(super) const FILE_BYTES: u64 = (HEADER_BYTES + limits::STREAM_NAME_BYTES + limits::SNAPSHOT_BYTES) as u64;

/// A snapshot as its file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SnapshotFile {
    pub(super) store: [u8; 16],
    /// The position of the last event that the state includes, ...
    pub(super) position: Position,
    /// ... and its id.
    pub(super) event: EventId,
    pub(super) snapshot: Snapshot,
}

impl SnapshotFile {
    /// The file of a snapshot whose last event is `event`.
    pub(super) fn new(store: [u8; 16], snapshot: Snapshot, event: &RecordedEvent) -> SnapshotFile {
        SnapshotFile { store, position: event.position(), event: event.id(), snapshot }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let Snapshot { stream, version, codec, state_version, state, timestamp } = &self.snapshot;
        let name = stream.as_str().as_bytes();
        let mut bytes = vec![0; HEADER_BYTES + name.len() + state.len()];
        Writer::new(&mut bytes)
            .bytes(&[0; SEAL_BYTES])
            .bytes(&self.store)
            .u64(version.get())
            .u64(self.position.get())
            .bytes(self.event.as_uuid().as_bytes())
            .i64(timestamp.as_micros())
            .u32(codec.get())
            .u32(*state_version)
            .u32(state.len() as u32)
            .u16(name.len() as u16)
            .u16(0)
            .bytes(name)
            .bytes(state);
        seal(&mut bytes, MAGIC);
        bytes
    }

    /// Reads a file; the error says what is wrong with its bytes.
    pub(super) fn decode(bytes: Vec<u8>) -> Result<SnapshotFile, String> {
        let bytes = Bytes::from(bytes);
        let mut fields = unseal(&bytes, MAGIC, "snapshot")?;
        let header = (|| {
            let store = fields.array()?;
            let version = Version::new(fields.u64()?);
            let position = Position::new(fields.u64()?);
            let event = uuid::Uuid::from_bytes(fields.array()?).into();
            let timestamp = Timestamp::from_micros(fields.i64()?);
            let (codec, state_version) = (CodecId::new(fields.u32()?), fields.u32()?);
            let (state, name) = (fields.u32()? as usize, usize::from(fields.u16()?));
            Some((SnapshotHeader { store, version, position, event, timestamp, codec, state_version }, name, state))
        })();
        let (header, name, state) = header.ok_or("the snapshot header is cut short")?;
        let (name_end, len) = (HEADER_BYTES + name, HEADER_BYTES + name + state);
        if len != bytes.len() {
            return Err(format!("the snapshot has {} bytes; its lengths say {len}", bytes.len()));
        }
        let stream = StreamName::from_bytes(bytes.slice(HEADER_BYTES..name_end)).map_err(|error| error.to_string())?;
        let SnapshotHeader { store, version, position, event, timestamp, codec, state_version } = header;
        let state = bytes.slice(name_end..);
        let snapshot = Snapshot { stream, version, codec, state_version, state, timestamp };
        Ok(SnapshotFile { store, position, event, snapshot })
    }

    /// Whether this is what belongs into the file of that path in that store.
    pub(super) fn check_place(&self, store: [u8; 16], path: &Path) -> Result<(), String> {
        if self.store != store {
            return Err("it is a snapshot of another store".to_owned());
        }
        let Snapshot { stream, version, .. } = &self.snapshot;
        if SnapshotFile::path(SnapshotFile::hash(stream), *version) == path {
            return Ok(());
        }
        Err(format!("it is the snapshot of stream `{stream}` at version {version}, which belongs elsewhere"))
    }

    /// What a stream's snapshots are kept under.
    pub(super) fn hash(stream: &StreamName) -> u128 {
        xxh3_128(stream.as_str().as_bytes())
    }

    /// The directory of the snapshots of a stream with this hash, relative to the store's.
    pub(super) fn dir(hash: u128) -> PathBuf {
        let digits = format!("{hash:032x}");
        let (first, rest) = digits.split_at(2);
        Path::new(SNAPSHOTS).join(first).join(rest)
    }

    /// The file of a snapshot of a stream with this hash, relative to the store's directory.
    pub(super) fn path(hash: u128, version: Version) -> PathBuf {
        SnapshotFile::dir(hash).join(SnapshotFile::name(version))
    }

    /// The file's name in its directory.
    pub(super) fn name(version: Version) -> String {
        format!("{:020}{SUFFIX}", version.get())
    }

    /// The version in a file's name, if it is a snapshot's name.
    pub(super) fn version_in_name(name: &str) -> Option<Version> {
        let digits = name.strip_suffix(SUFFIX)?;
        let version = Version::new(digits.parse().ok()?);
        (name == SnapshotFile::name(version)).then_some(version)
    }
}

/// The fields before name and state.
struct SnapshotHeader {
    store: [u8; 16],
    version: Version,
    position: Position,
    event: EventId,
    timestamp: Timestamp,
    codec: CodecId,
    state_version: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> SnapshotFile {
        let mut snapshot = Snapshot::new(
            &StreamName::new("order-7").unwrap(),
            Version::new(0x1122),
            CodecId::BINCODE,
            3,
            &b"\x01\x02\x03\x04"[..],
        );
        snapshot.timestamp = Timestamp::from_micros(1_000_000);
        let event = uuid::Uuid::from_bytes(*b"ABCDEFGHIJKLMNOP").into();
        SnapshotFile { store: *b"0123456789abcdef", position: Position::new(0x3344), event, snapshot }
    }

    #[test]
    fn the_bytes_of_a_snapshot_are_fixed() {
        let expected = [
            &b"factsnp\0"[..],
            &[1, 0, 0, 0],
            &0x207f_d989u32.to_le_bytes(),
            b"0123456789abcdef",
            &[0x22, 0x11, 0, 0, 0, 0, 0, 0],
            &[0x44, 0x33, 0, 0, 0, 0, 0, 0],
            b"ABCDEFGHIJKLMNOP",
            &[0x40, 0x42, 0x0f, 0, 0, 0, 0, 0],
            &[2, 0, 0, 0],
            &[3, 0, 0, 0],
            &[4, 0, 0, 0],
            &[7, 0],
            &[0, 0],
            b"order-7",
            &[1, 2, 3, 4],
        ];
        assert_eq!(sample().encode(), expected.concat());
        assert_eq!(SnapshotFile::decode(expected.concat()), Ok(sample()));
    }

    #[test]
    fn the_place_of_a_snapshot_is_fixed() {
        let Snapshot { stream, version, .. } = sample().snapshot;
        let path = "snapshots/55/9a54927d0be7dff7ad37c0ce664fea/00000000000000004386.snap";
        assert_eq!(SnapshotFile::path(SnapshotFile::hash(&stream), version), Path::new(path));
        assert_eq!(SnapshotFile::version_in_name("00000000000000004386.snap"), Some(version));
        for other in ["4386.snap", "+0000000000000004386.snap", "00000000000000004386.snap.new", "x"] {
            assert_eq!(SnapshotFile::version_in_name(other), None, "{other}");
        }
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_noticed() {
        let bytes = sample().encode();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x40;
            assert!(SnapshotFile::decode(changed).is_err(), "byte {at}");
            assert!(SnapshotFile::decode(bytes[..at].to_vec()).is_err(), "cut at {at}");
        }
        assert!(SnapshotFile::decode([&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn lengths_that_do_not_fit_and_names_that_are_none_are_refused_even_under_a_right_checksum() {
        for (at, value) in [(80, 5), (80, 0xff), (84, 6), (84, 0xff), (88, b'$'), (88, 7), (88, 0xff)] {
            let mut bytes = sample().encode();
            bytes[at] = value;
            seal(&mut bytes, MAGIC);
            let decoded = SnapshotFile::decode(bytes);
            assert!(decoded.is_err(), "byte {at}, value {value}: {decoded:?}");
        }
    }
}
