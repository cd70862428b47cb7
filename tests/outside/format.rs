//! A store's files, read byte by byte.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Bytes of a segment before its first record.
pub const HEADER_BYTES: u64 = 4096;

/// A record in a segment.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub offset: u64,
    /// Up to the end of its body: padding is not counted.
    pub length: u64,
    pub position: u64,
}

impl Record {
    /// The offset behind its last byte.
    pub fn end(&self) -> u64 {
        self.offset + self.length
    }
}

/// A segment file and what is in it.
#[derive(Debug)]
pub struct Segment {
    pub path: PathBuf,
    /// As messages name it: relative to the store.
    pub name: String,
    pub records: Vec<Record>,
}

/// The segments of a store, in order.
pub fn segments(store: &Path) -> Vec<Segment> {
    let mut paths: Vec<PathBuf> = fs::read_dir(store.join("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    paths.sort();
    let segment = |path: PathBuf| {
        let name = path.strip_prefix(store).unwrap().to_str().unwrap().to_owned();
        Segment { name, records: records(&fs::read(&path).unwrap()), path }
    };
    paths.into_iter().map(segment).collect()
}

fn records(bytes: &[u8]) -> Vec<Record> {
    let mut found = Vec::new();
    let mut offset = HEADER_BYTES as usize;
    while let Some(header) = bytes.get(offset..offset + 16) {
        let length = u32::from_le_bytes(header[4..8].try_into().unwrap()).into();
        let position = u64::from_le_bytes(header[8..16].try_into().unwrap());
        if length == 0 {
            break;
        }
        found.push(Record { offset: offset as u64, length, position });
        offset += (length as usize).next_multiple_of(8);
    }
    found
}

/// The position that a cursor's file says, if there is one.
pub fn cursor(store: &Path, name: &str) -> Option<u64> {
    let bytes = fs::read(store.join("cursors").join(format!("{name}.cursor"))).ok()?;
    Some(u64::from_le_bytes(bytes[32..40].try_into().unwrap()))
}

/// Every file of a store but the lock, with its bytes.
pub fn contents(store: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left = vec![store.to_path_buf()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if path.file_name().unwrap() != "LOCK" {
                found.insert(path.strip_prefix(store).unwrap().to_path_buf(), fs::read(path).unwrap());
            }
        }
    }
    found
}

/// Makes the files of a store be these and no others.
pub fn restore(store: &Path, contents: &BTreeMap<PathBuf, Vec<u8>>) {
    if store.exists() {
        fs::remove_dir_all(store).unwrap();
    }
    for (name, bytes) in contents {
        let path = store.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}
