//! What is kept beside the log, in key-value buckets: snapshots and cursors.
//!
//! ```text
//!   bucket NAME_snapshots    order.17.120    a snapshot of order-17 at version 120
//!   bucket NAME_cursors      mailer          the position that was acknowledged last, as decimal digits
//!
//!   snapshot:  | magic "fcs1" | CRC-32 of what follows | codec 4 | state version 4 | time 8 | state |
//! ```
//!
//! Each put is acknowledged as an event is. Both are never ahead of the log: a snapshot's version is looked for before, and a cursor is at
//! what a subscription has given out. A cursor is put in place of the message that was there: one that arrives late, when a newer one is
//! there, is refused by the servers.

use bytes::{BufMut, Bytes};

use super::{names, place, store::Inner};
use crate::{
    codec::CodecId,
    error::{Damage, Error, Place, Result},
    event::{StreamName, Timestamp},
    event_store::{CursorName, LoadedSnapshot, SkipReason, SkippedSnapshot, Snapshot},
    layout::Reader,
    limits,
    version::{Position, Version},
};

const MAGIC: [u8; 4] = *b"fcs1";
/// Bytes before the state.
pub(super) const SNAPSHOT_HEADER_BYTES: usize = 24;

fn encode(snapshot: &Snapshot) -> Bytes {
    let mut bytes = Vec::with_capacity(SNAPSHOT_HEADER_BYTES + snapshot.state.len());
    bytes.put_slice(&MAGIC);
    bytes.put_u32_le(0);
    bytes.put_u32_le(snapshot.codec.get());
    bytes.put_u32_le(snapshot.state_version);
    bytes.put_i64_le(snapshot.timestamp.as_micros());
    bytes.put_slice(&snapshot.state);
    let checksum = crc32fast::hash(&bytes[8..]);
    bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
    bytes.into()
}

fn decode(stream: &StreamName, version: Version, bytes: &Bytes) -> Result<Snapshot, String> {
    let short = || format!("{} bytes are no snapshot", bytes.len());
    let mut fields = Reader::new(bytes);
    let magic: [u8; 4] = fields.array().ok_or_else(short)?;
    let stored = fields.u32().ok_or_else(short)?;
    let computed = crc32fast::hash(bytes.get(8..).unwrap_or_default());
    if magic != MAGIC {
        return Err(format!("it begins with {magic:02x?} instead of {MAGIC:02x?}"));
    }
    if stored != computed {
        return Err(format!("its checksum is {stored:08x}, but its bytes have {computed:08x}"));
    }
    let codec = CodecId::new(fields.u32().ok_or_else(short)?);
    let state_version = fields.u32().ok_or_else(short)?;
    let timestamp = Timestamp::from_micros(fields.i64().ok_or_else(short)?);
    let state = bytes.slice(SNAPSHOT_HEADER_BYTES..);
    Ok(Snapshot { stream: stream.clone(), version, codec, state_version, state, timestamp })
}

impl Inner {
    fn snapshot_key(&self, stream: &StreamName, version: &str) -> String {
        format!("$KV.{}_snapshots.{}.{version}", self.log, names::tokens(stream))
    }

    /// The versions of a stream's snapshots, newest first.
    async fn snapshots_of(&self, stream: &StreamName) -> Result<Vec<Version>> {
        let subjects = self.wire.subjects(&self.snapshots, &self.snapshot_key(stream, "*")).await?;
        let version = |subject: &String| subject.rsplit_once('.')?.1.parse().ok().map(Version::new);
        let mut versions: Vec<Version> = subjects.iter().filter_map(version).collect();
        versions.sort_unstable_by(|a, b| b.cmp(a));
        Ok(versions)
    }

    pub(super) async fn stream_version(&self, stream: &StreamName) -> Result<Version> {
        Ok(self.newest_of(stream).await?.map_or(Version::NONE, |newest| newest.last))
    }

    pub(super) async fn save_snapshot(&self, snapshot: &Snapshot) -> Result<()> {
        self.capabilities.check_snapshot(snapshot)?;
        snapshot.check_not_ahead(self.stream_version(&snapshot.stream).await?)?;
        let key = |version: Version| self.snapshot_key(&snapshot.stream, &version.to_string());
        self.wire.put(key(snapshot.version), encode(snapshot)).await?;
        for old in self.snapshots_of(&snapshot.stream).await?.into_iter().skip(limits::SNAPSHOTS_KEPT) {
            self.wire.purge(&self.snapshots, &key(old)).await?;
        }
        Ok(())
    }

    pub(super) async fn load_snapshot(&self, stream: &StreamName, at_or_below: Version) -> Result<LoadedSnapshot> {
        let mut loaded = LoadedSnapshot::default();
        let versions = self.snapshots_of(stream).await?;
        if versions.is_empty() {
            return Ok(loaded);
        }
        let actual = self.stream_version(stream).await?;
        for version in versions.into_iter().filter(|version| *version <= at_or_below) {
            let key = self.snapshot_key(stream, &version.to_string());
            let Some(stored) = self.wire.newest(&self.snapshots, &key).await? else { continue };
            if stored.deleted {
                continue;
            }
            let reason = match decode(stream, version, &stored.payload) {
                Ok(_) if version > actual => SkipReason::Ahead { actual },
                Ok(snapshot) => {
                    loaded.snapshot = Some(snapshot);
                    break;
                }
                Err(fault) => {
                    let place = Place { file: key.into(), offset: 0, position: Position::START };
                    SkipReason::Damaged(Damage { place, fault })
                }
            };
            loaded.skipped.push(SkippedSnapshot { stream: stream.clone(), version, reason });
        }
        Ok(loaded)
    }

    fn cursor_key(&self, cursor: &CursorName) -> String {
        format!("$KV.{}_cursors.{}", self.log, names::escape(cursor.as_str()))
    }

    /// Where a cursor is, the beginning when it is nowhere yet; and the number of the message that says so.
    pub(super) async fn load_cursor(&self, cursor: &CursorName) -> Result<(Position, u64)> {
        let key = self.cursor_key(cursor);
        let Some(stored) = self.wire.newest(&self.cursors, &key).await? else { return Ok((Position::START, 0)) };
        if stored.deleted {
            return Ok((Position::START, stored.sequence));
        }
        let digits = std::str::from_utf8(&stored.payload).ok().and_then(|text| text.parse().ok());
        let Some(position) = digits.map(Position::new) else {
            let place = Place { file: key.into(), offset: 0, position: Position::START };
            let fault = format!("cursor `{cursor}`: {:?} is no position", String::from_utf8_lossy(&stored.payload));
            return Err(Damage { place, fault }.into());
        };
        let last = place::last_of(self.last_sequence().await?);
        if position > last {
            // It was kept of another log of this name.
            return Err(Error::CursorAhead { cursor: cursor.to_string(), position, last });
        }
        Ok((position, stored.sequence))
    }

    /// Puts a cursor in place of a message, and gives the number of its own.
    pub(super) async fn save_cursor(&self, cursor: &CursorName, position: Position, before: u64) -> Result<u64> {
        self.wire.replace(&self.cursors, self.cursor_key(cursor), before, position.to_string().into()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_comes_back_and_every_flipped_bit_is_noticed() {
        let stream = StreamName::new("s-1").unwrap();
        let snapshot = Snapshot::new(&stream, Version::new(7), CodecId::BINCODE, 3, "state");
        let bytes = encode(&snapshot);
        assert_eq!(bytes.len(), SNAPSHOT_HEADER_BYTES + 5);
        assert_eq!(decode(&stream, Version::new(7), &bytes), Ok(snapshot));
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.to_vec();
                changed[at] ^= 1 << bit;
                assert!(decode(&stream, Version::new(7), &changed.into()).is_err(), "byte {at}, bit {bit}");
            }
            assert!(decode(&stream, Version::new(7), &bytes.slice(..at)).is_err(), "cut at {at}");
        }
    }
}
