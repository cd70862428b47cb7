//! Snapshots: saving one, and loading it.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

use criterion::Criterion;
use factlog::{CodecId, ExpectedVersion, NewEvent, Options, Snapshot, Store, StreamName, Version};

use crate::support::{
    case::{Case, Role, Run},
    data::{EVENTS_IN_STREAM, Event, grown},
    figure::Figure,
    place::place,
    writers::alone,
};

const GROUP: &str = "snapshot";
const STATE_BYTES: usize = 4096;

pub const CASES: [(&str, Run); 2] = [("save", save), ("load", load)];

fn store_with_stream(dir: &Path) -> (Store, StreamName) {
    let store = grown(Options::new(), dir);
    let stream = StreamName::new("order-1").unwrap();
    let events: Vec<NewEvent> = (1..=EVENTS_IN_STREAM).map(|version| Event::new(1, version).to_new()).collect();
    store.append(&stream, ExpectedVersion::NoStream, events).unwrap();
    (store, stream)
}

fn snapshot(stream: &StreamName, version: u64) -> Snapshot {
    Snapshot::new(stream, Version::new(version), CodecId::JSON, 1, vec![7; STATE_BYTES])
}

/// A new file, synced, in place of the old one, and its directory synced: the least that replaces a file whole.
fn replace(dir: &Path, bytes: &[u8]) {
    let (new, name) = (dir.join("new"), dir.join("bare"));
    let mut file = File::create(&new).unwrap();
    file.write_all(bytes).unwrap();
    file.sync_data().unwrap();
    fs::rename(new, name).unwrap();
    File::open(dir).unwrap().sync_all().unwrap();
}

fn save(criterion: &mut Criterion) -> Figure {
    let place = place();
    let (store, stream) = store_with_stream(&place.path().join("factlog"));
    let bytes = vec![7; STATE_BYTES];
    Case::rate(GROUP, "save", "snapshots/s")
        .rounds(25, 40)
        .contestant(Role::Factlog, "factlog", |time| {
            alone(time, || store.save_snapshot(snapshot(&stream, EVENTS_IN_STREAM)).unwrap())
        })
        .contestant(Role::Limit, "bare replacement", |time| alone(time, || replace(place.path(), &bytes)))
        .run(criterion)
}

fn load(criterion: &mut Criterion) -> Figure {
    let place = place();
    let (store, stream) = store_with_stream(&place.path().join("factlog"));
    store.save_snapshot(snapshot(&stream, EVENTS_IN_STREAM)).unwrap();
    replace(place.path(), &vec![7; STATE_BYTES]);
    let path = place.path().join("bare");
    Case::rate(GROUP, "load", "snapshots/s")
        .rounds(25, 30)
        .contestant(Role::Factlog, "factlog", |time| {
            alone(time, || assert!(store.load_snapshot(&stream, Version::MAX).unwrap().snapshot.is_some()))
        })
        .contestant(Role::Limit, "read + CRC", |time| {
            alone(time, || assert_ne!(crc32fast::hash(&fs::read(&path).unwrap()), 0))
        })
        .run(criterion)
}
