//! Small stores with everything in them, and what they hold.

use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use factlog::{
    CodecId, CursorName, EventType, ExpectedVersion, NewEvent, Options, Position, ReadAll, RecordedEvent, Snapshot,
    Store, StreamName, Version,
};
use tempfile::TempDir;

pub const STREAMS: u64 = 7;

/// How a store was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Closed,
    Killed,
}

/// A store and what is known of it.
pub struct Sample {
    dir: TempDir,
    /// The same store at an earlier time.
    older: TempDir,
    pub left: Left,
    /// Every event, in order of position.
    pub events: Vec<String>,
    /// In order of path.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    pub older_files: BTreeMap<PathBuf, Vec<u8>>,
    pub cursors: BTreeMap<CursorName, Position>,
    /// Where each event lies.
    pub records: BTreeMap<PathBuf, Vec<(u64, Range<usize>)>>,
    /// The first position of the last append.
    pub last_batch: u64,
}

/// In memory where that is possible: nothing here shows what a sync is for.
pub fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { TempDir::new().unwrap() }
}

pub fn options() -> Options {
    Options::new().first_segment_bytes(8 << 10).segment_bytes(8 << 10)
}

pub fn stream(number: u64) -> StreamName {
    StreamName::new(format!("c{}-{number}", number % 2)).unwrap()
}

pub fn line(event: &RecordedEvent) -> String {
    let (position, version, stream) = (event.position(), event.version(), event.stream());
    format!("{position} {stream} {version} {} {} {:?}", event.id(), event.event_type(), event.payload())
}

/// Every file below a directory; a link that leads nowhere is none.
pub fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut left) = (BTreeMap::new(), vec![dir.to_owned()]);
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if path.exists() {
                found.insert(path.strip_prefix(dir).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Makes a directory of these files and no others.
pub fn write(files: &BTreeMap<PathBuf, Vec<u8>>, dir: &Path) {
    for (path, bytes) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn fill(store: &Store, until: u64, seed: u64) -> u64 {
    let mut last_batch = 0;
    while store.last_position().get() < until {
        let number = store.last_position().get();
        let count = 1 + (number * 7 + seed) % 3;
        let event = |at: u64| {
            let event_type = EventType::new(["Placed", "Paid"][(number + at) as usize % 2]).unwrap();
            NewEvent::new(event_type, vec![b'a' + (at as u8); 20 + (number % 13) as usize])
        };
        let stream = stream((number * 5 + seed) % STREAMS);
        let appended = store.append(&stream, ExpectedVersion::Any, (0..count).map(event).collect()).unwrap();
        last_batch = appended.position.get() + 1 - count;
    }
    last_batch
}

fn beside(store: &Store, cursor: &str, position: u64) {
    store.save_cursor(&CursorName::new(cursor).unwrap(), Position::new(position)).unwrap();
    let version = store.stream_version(&stream(2)).unwrap();
    store.save_snapshot(Snapshot::new(&stream(2), version, CodecId::JSON, 1, &b"{\"sum\":1}"[..])).unwrap();
}

impl Sample {
    pub fn new(left: Left, seed: u64) -> Sample {
        let (live, dir, older) = (directory(), directory(), directory());
        let store = options().open(live.path()).unwrap();
        fill(&store, 70, seed);
        beside(&store, "mailer", 31);
        beside(&store, "billing", 12);
        store.close().unwrap();
        write(&files(live.path()), older.path());
        let store = options().open(live.path()).unwrap();
        let last_batch = fill(&store, 190, seed);
        beside(&store, "mailer", 120);
        let events = store.read_all(ReadAll::after(Position::START)).map(|event| line(&event.unwrap())).collect();
        let cursors = ["mailer", "billing"].map(|name| CursorName::new(name).unwrap());
        let cursors = cursors.map(|name| (name.clone(), store.cursor(&name).unwrap().position())).into();
        if left == Left::Closed {
            store.close().unwrap();
            write(&files(live.path()), dir.path());
        } else {
            write(&files(live.path()), dir.path());
            drop(store);
        }
        let files_now = files(dir.path());
        let records = files_now.iter().filter(|(path, _)| is_segment(path));
        let records = records.map(|(path, bytes)| (path.clone(), records_in(bytes))).collect();
        let older_files = files(older.path());
        Sample { dir, older, left, events, files: files_now, older_files, cursors, records, last_batch }
    }

    /// A copy of the store, to be damaged.
    pub fn copy(&self) -> TempDir {
        let copy = directory();
        write(&self.files, copy.path());
        copy
    }

    /// The store itself: whoever changes it puts it back.
    pub fn path(&self) -> &Path {
        let _ = &self.older;
        self.dir.path()
    }

    /// The events that have a byte in this part of a file.
    pub fn events_in(&self, file: &Path, range: Range<usize>) -> Vec<u64> {
        let records = self.records.get(file).into_iter().flatten();
        let touched = records.filter(|(_, record)| record.start < range.end && range.start < record.end);
        touched.map(|(position, _)| *position).collect()
    }

    pub fn versions(&self) -> BTreeMap<StreamName, Version> {
        let numbers = 0..STREAMS;
        let ends_with = |number: &u64| {
            let name = format!(" {} ", stream(*number));
            self.events.iter().filter(|line| line.contains(&name)).count() as u64
        };
        numbers.map(|number| (stream(number), Version::new(ends_with(&number)))).collect()
    }
}

pub fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "seg")
}

/// The records of a segment as `docs/format.md` has them: position, and the bytes from the first to the last of the padding.
fn records_in(bytes: &[u8]) -> Vec<(u64, Range<usize>)> {
    let (mut found, mut at) = (Vec::new(), 4096);
    while at + 32 <= bytes.len() {
        let length = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        if length == 0 {
            break;
        }
        let position = u64::from_le_bytes(bytes[at + 8..at + 16].try_into().unwrap());
        let end = at + length.next_multiple_of(8);
        found.push((position, at..end));
        at = end;
    }
    found
}
