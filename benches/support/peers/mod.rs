//! The peers, each set up for this work as its own documentation advises.
//!
//! Where only appends are measured they keep what appending needs, the events and the unique pair of stream and version; for
//! reading by type and category they keep two indexes more, as factlog does in all cases.

mod fjall;
mod redb;
mod sqlite;

use std::{path::Path, sync::Arc};

use super::{
    data::Event,
    peer::{Peer, Read},
};

/// Whether there are indexes for reading by type and category.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexes {
    Streams,
    All,
}

/// All peers, each with an empty store in a directory of its own under `dir`.
pub fn all(dir: &Path, indexes: Indexes) -> Vec<Arc<dyn Peer>> {
    NAMES.iter().map(|name| open(name, dir, indexes)).collect()
}

pub const NAMES: [&str; 3] = ["SQLite", "redb", "fjall"];

/// Opens the store of one peer under `dir`, or makes it.
pub fn open(name: &str, dir: &Path, indexes: Indexes) -> Arc<dyn Peer> {
    let dir = dir.join(name);
    std::fs::create_dir_all(&dir).unwrap();
    match name {
        "SQLite" => Arc::new(sqlite::Sqlite::open(&dir, indexes)),
        "redb" => Arc::new(redb::Redb::open(&dir, indexes)),
        _ => Arc::new(fjall::Fjall::open(&dir, indexes)),
    }
}

/// The category of a stream: its name up to the first `-`.
fn category(stream: &str) -> &str {
    stream.split('-').next().unwrap_or(stream)
}

/// A key of an ordered table: a name, and a number in order behind it.
fn key(name: &str, number: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 9);
    key.extend_from_slice(name.as_bytes());
    key.push(0);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The number at the end of a key.
fn number(key: &[u8]) -> u64 {
    u64::from_be_bytes(key[key.len() - 8..].try_into().unwrap())
}

/// An event as the value of a table: version, time, id, lengths, stream, type, payload.
fn value(stream: &str, version: u64, event: &Event) -> Vec<u8> {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as u64;
    let mut value = Vec::with_capacity(320);
    value.extend_from_slice(&version.to_le_bytes());
    value.extend_from_slice(&time.to_le_bytes());
    value.extend_from_slice(&event.id.as_uuid().into_bytes());
    value.extend_from_slice(&(stream.len() as u16).to_le_bytes());
    value.extend_from_slice(&(event.event_type.len() as u16).to_le_bytes());
    value.extend_from_slice(stream.as_bytes());
    value.extend_from_slice(event.event_type.as_bytes());
    value.extend_from_slice(event.payload);
    value
}

/// The event in such a value.
fn event<B: AsRef<[u8]>>(body: B) -> Read<B> {
    let value = body.as_ref();
    let word = |at: usize| u64::from_le_bytes(value[at..at + 8].try_into().unwrap());
    let (version, time) = (word(0), word(8));
    let id = value[16..32].try_into().unwrap();
    let stream = usize::from(u16::from_le_bytes([value[32], value[33]]));
    let event_type = usize::from(u16::from_le_bytes([value[34], value[35]]));
    Read { version, time, id, payload: 36 + stream + event_type, body }
}
