//! The events of all cases: ten in a stream, with 256 bytes of payload that no compression shortens.

use std::{
    hash::{BuildHasher, RandomState},
    os::unix::fs::FileExt,
    path::Path,
    sync::{LazyLock, OnceLock},
};

use factlog::{EventId, EventType, ExpectedVersion, NewEvent, Options, Store, StreamName};

use super::place::place;

pub const PAYLOAD_BYTES: usize = 256;
pub const EVENTS_IN_STREAM: u64 = 10;

/// One type for each version of a stream, so that each has a tenth of the events.
pub const TYPES: [&str; EVENTS_IN_STREAM as usize] = [
    "OrderPlaced",
    "ItemAdded",
    "ItemRemoved",
    "AddressGiven",
    "PaymentAsked",
    "PaymentMade",
    "OrderPacked",
    "OrderShipped",
    "OrderReceived",
    "OrderClosed",
];

/// The type that reading by type looks for.
pub const TYPE: &str = TYPES[4];
/// The category that reading by category looks for; each tenth stream is of it.
pub const CATEGORY: &str = "refund";

const BLOCK: usize = 1 << 20;

/// Random bytes that payloads are cut from.
fn block() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let random = RandomState::new();
        (0..BLOCK as u64 / 8).flat_map(|word| random.hash_one(word).to_le_bytes()).collect()
    })
}

/// An event as every store gets it.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub id: EventId,
    pub event_type: &'static str,
    /// Its number among the types.
    type_number: usize,
    pub payload: &'static [u8],
}

impl Event {
    /// The event of this version of this stream.
    pub fn new(stream: u64, version: u64) -> Event {
        let at = (stream.wrapping_mul(7919) + version * 263) as usize % (BLOCK - PAYLOAD_BYTES);
        let type_number = (version - 1) as usize % TYPES.len();
        Event {
            id: EventId::generate(),
            event_type: TYPES[type_number],
            type_number,
            payload: &block()[at..at + PAYLOAD_BYTES],
        }
    }

    pub fn to_new(self) -> NewEvent {
        // An application has its types ready.
        static READY: LazyLock<[EventType; TYPES.len()]> =
            LazyLock::new(|| TYPES.map(|name| EventType::new(name).unwrap()));
        NewEvent {
            id: self.id,
            event_type: READY[self.type_number].clone(),
            payload: self.payload.into(),
            metadata: Default::default(),
            timestamp: None,
        }
    }
}

/// The name of a stream.
pub fn stream_name(stream: u64) -> String {
    let category = if stream.is_multiple_of(10) { CATEGORY } else { "order" };
    format!("{category}-{stream:010}")
}

/// Bytes of the event's name, type, id and payload; it has no metadata.
pub fn content_bytes(stream: u64, version: u64) -> u64 {
    let event = Event::new(stream, version);
    (stream_name(stream).len() + event.event_type.len() + 16 + event.payload.len()) as u64
}

/// A pseudo-random walk over numbers below a bound; the same for each contestant that begins with the same seed.
pub struct Walk(u64);

impl Walk {
    pub fn new(seed: u64) -> Walk {
        Walk(seed | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// The bytes that one event takes up in factlog's log: what the limits write and read for it. Looked up in a small store.
pub fn record_bytes() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| {
        let place = place();
        let store = Options::new().first_segment_bytes(1 << 20).open(place.path()).unwrap();
        let streams = 100;
        for number in 0..streams {
            let stream = StreamName::new(stream_name(number)).unwrap();
            let events = (1..=EVENTS_IN_STREAM).map(|version| Event::new(number, version).to_new()).collect();
            store.append(&stream, ExpectedVersion::NoStream, events).unwrap();
        }
        store.close().unwrap();
        let segments = segments(place.path());
        assert_eq!(segments.len(), 1, "the events fit into one segment");
        (used_bytes(&segments[0]) as usize - 4096).div_ceil((streams * EVENTS_IN_STREAM) as usize)
    })
}

/// The segment files of a store, oldest first.
pub fn segments(store: &Path) -> Vec<std::path::PathBuf> {
    let files = std::fs::read_dir(store.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "seg")).collect();
    segments.sort();
    segments
}

/// How far a segment is written: to its last byte that is not zero.
pub fn used_bytes(segment: &Path) -> u64 {
    let file = std::fs::File::open(segment).unwrap();
    let mut end = file.metadata().unwrap().len();
    let mut piece = vec![0; 64 << 10];
    while end > 0 {
        let bytes = end.min(piece.len() as u64) as usize;
        file.read_exact_at(&mut piece[..bytes], end - bytes as u64).unwrap();
        if let Some(last) = piece[..bytes].iter().rposition(|byte| *byte != 0) {
            return end - bytes as u64 + last as u64 + 1;
        }
        end -= bytes as u64;
    }
    0
}

/// A store as it is after some time in use: its segments have their full size.
pub fn grown(options: Options, dir: &Path) -> Store {
    options.first_segment_bytes(factlog::limits::SEGMENT_BYTES).open(dir).unwrap()
}
