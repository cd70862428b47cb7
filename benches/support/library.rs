//! Stores that hold the same events, for reading: ten in a stream, those of a stream far apart.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use factlog::{Durability, ExpectedVersion, Options, Store, StreamAppend, StreamName};
use tempfile::TempDir;

use super::{
    data::{EVENTS_IN_STREAM, Event, content_bytes, stream_name},
    peer::{Append, Peer},
    peers::{self, Indexes},
    place::place,
    raw_log::RawLog,
};

const STREAMS: u64 = 100_000;
/// So that there are more than ten segments.
const SEGMENT_BYTES: u64 = 32 << 20;
/// Streams in one append to factlog, and appends in one transaction of a peer.
const TOGETHER: usize = 5_000;

pub struct Library {
    place: TempDir,
    pub streams: u64,
    /// The names of all streams.
    pub names: Vec<StreamName>,
    pub store: Store,
    pub peers: Vec<Arc<dyn Peer>>,
    pub raw: RawLog,
}

impl Library {
    pub fn new() -> Library {
        eprintln!("filling stores with {} events each", STREAMS * EVENTS_IN_STREAM);
        let place = place();
        let dir = place.path();
        let store = fill(Options::new().segment_bytes(SEGMENT_BYTES), &dir.join("factlog"), order(STREAMS));
        let peers = peers::all(dir, Indexes::All);
        for peer in &peers {
            fill_peer(&**peer, STREAMS);
        }
        let raw = RawLog::new(dir, STREAMS * EVENTS_IN_STREAM);
        let names = (0..STREAMS).map(|stream| StreamName::new(stream_name(stream)).unwrap()).collect();
        Library { streams: STREAMS, names, store, peers, raw, place }
    }

    /// Closes all stores; the files stay until what this returns is dropped.
    pub fn close(self) -> Shelf {
        let Library { place, store, peers, streams, .. } = self;
        store.close().unwrap();
        drop(peers);
        Shelf { place, streams }
    }
}

/// The files of a library.
pub struct Shelf {
    place: TempDir,
    streams: u64,
}

impl Shelf {
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    pub fn factlog(&self) -> PathBuf {
        self.place.path().join("factlog")
    }

    pub fn events(&self) -> u64 {
        self.streams * EVENTS_IN_STREAM
    }

    /// Bytes of all names, types, ids and payloads.
    pub fn content_bytes(&self) -> u64 {
        order(self.streams).map(|(stream, version)| content_bytes(stream, version)).sum()
    }
}

/// The first events of all streams, then the second ones, and so on.
pub fn order(streams: u64) -> impl Iterator<Item = (u64, u64)> + Send {
    (1..=EVENTS_IN_STREAM).flat_map(move |version| (0..streams).map(move |stream| (stream, version)))
}

/// Makes a store of these events, each given by its stream and version, in this order. A store of only some of the events
/// numbers them anew.
pub fn fill(options: Options, dir: &Path, events: impl Iterator<Item = (u64, u64)>) -> Store {
    let store = options.durability(Durability::OnDemand).open(dir).unwrap();
    let mut appends: Vec<StreamAppend> = Vec::new();
    let mut previous = 0;
    for (stream, version) in events {
        // A stream stands once in an append.
        if appends.len() == TOGETHER || version != previous {
            commit(&store, &mut appends);
            previous = version;
        }
        let name = StreamName::new(stream_name(stream)).unwrap();
        appends.push(StreamAppend::new(name, ExpectedVersion::Any, vec![Event::new(stream, version).to_new()]));
    }
    commit(&store, &mut appends);
    store.sync().unwrap();
    store
}

fn commit(store: &Store, appends: &mut Vec<StreamAppend>) {
    if !appends.is_empty() {
        store.append_streams(std::mem::take(appends)).unwrap();
    }
}

/// Puts the same events into a peer.
pub fn fill_peer(peer: &dyn Peer, streams: u64) {
    let mut appends = Vec::with_capacity(TOGETHER);
    let commit = |appends: &mut Vec<Append>| {
        assert!(peer.commit(appends).iter().all(Result::is_ok));
        appends.clear();
    };
    for (stream, version) in order(streams) {
        let events = vec![Event::new(stream, version)];
        appends.push(Append { stream: stream_name(stream), expected: version - 1, events });
        if appends.len() == TOGETHER {
            commit(&mut appends);
        }
    }
    commit(&mut appends);
}
