//! What is appended: every event says in its payload which append it belongs to, so that whoever reads it can tell what it must
//! be, byte for byte, and which other events must be there with it.

use factlog::{EventId, EventType, NewEvent, RecordedEvent, StreamAppend, StreamName, Version};
use xxhash_rust::xxh3::xxh3_128;

/// Random numbers from a seed (splitmix64).
#[derive(Clone)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Less than `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

pub const CATEGORIES: [&str; 3] = ["account", "order", "meter"];
pub const TYPES: u64 = 4;
/// Batches from here on end a round: every subscription gives some of it out.
const BELL: u64 = 1 << 62;
/// The one that ends the last round.
const LAST_BELL: u64 = 1 << 63;

pub fn stream_name(number: u32) -> StreamName {
    let category = CATEGORIES[number as usize % CATEGORIES.len()];
    StreamName::new(format!("{category}-{number}")).unwrap()
}

pub fn event_type(number: u64) -> EventType {
    EventType::new(format!("Type{number}")).unwrap()
}

/// The events of one append: how many for which stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub number: u64,
    pub parts: Vec<(u32, u16)>,
}

/// The place of an event in its append.
#[derive(Clone, Debug)]
pub struct Mark {
    pub batch: Batch,
    pub index: u16,
}

impl Batch {
    pub fn new(number: u64, parts: Vec<(u32, u16)>) -> Batch {
        Batch { number, parts }
    }

    /// One that every subscription hears: events of all types in streams of all categories.
    pub fn bell(round: u64, last: bool) -> Batch {
        let streams = 0..CATEGORIES.len() as u32;
        let number = BELL | round | if last { LAST_BELL } else { 0 };
        Batch::new(number, streams.map(|stream| (stream, TYPES as u16)).collect())
    }

    pub fn is_last_bell(&self) -> bool {
        self.number & LAST_BELL != 0
    }

    pub fn len(&self) -> u16 {
        self.parts.iter().map(|(_, count)| count).sum()
    }

    pub fn stream_of(&self, index: u16) -> u32 {
        let mut end = 0;
        let part = self.parts.iter().find(|(_, count)| {
            end += count;
            index < end
        });
        part.expect("an event of the batch").0
    }

    pub fn type_of(&self, index: u16) -> EventType {
        event_type((self.number + u64::from(index)) % TYPES)
    }

    pub fn event(&self, index: u16) -> NewEvent {
        let mut payload = self.number.to_le_bytes().to_vec();
        payload.extend(index.to_le_bytes());
        payload.push(self.parts.len() as u8);
        for (stream, count) in &self.parts {
            payload.extend(stream.to_le_bytes());
            payload.extend(count.to_le_bytes());
        }
        let id = xxh3_128(&payload);
        let mut rng = Rng(id as u64);
        let filler = match rng.below(4000) {
            // Larger than a segment.
            0 => 150_000,
            1..50 => rng.below(4000),
            _ => rng.below(300),
        };
        let byte = rng.next() as u8;
        payload.resize(payload.len() + filler as usize, byte);
        let metadata = if index.is_multiple_of(3) { format!("{{\"index\":{index}}}") } else { String::new() };
        let id = EventId::from(uuid::Uuid::from_u128(id));
        NewEvent::new(self.type_of(index), payload).with_id(id).with_metadata(metadata)
    }

    pub fn events(&self) -> Vec<NewEvent> {
        (0..self.len()).map(|index| self.event(index)).collect()
    }

    /// The append of all parts, without versions.
    pub fn appends(&self, expected: impl Fn(u32) -> factlog::ExpectedVersion) -> Vec<StreamAppend> {
        let mut events = self.events().into_iter();
        let part = |(stream, count): &(u32, u16)| {
            let events = events.by_ref().take(usize::from(*count)).collect();
            StreamAppend::new(stream_name(*stream), expected(*stream), events)
        };
        self.parts.iter().map(part).collect()
    }
}

impl Mark {
    /// Reads the mark, and compares everything else of the event with what was appended.
    pub fn of(event: &RecordedEvent) -> Mark {
        let payload = event.payload();
        let number = u64::from_le_bytes(payload[..8].try_into().unwrap());
        let index = u16::from_le_bytes(payload[8..10].try_into().unwrap());
        let parts = payload[11..].chunks_exact(6).take(usize::from(payload[10])).map(|part| {
            let (stream, count) = part.split_at(4);
            (u32::from_le_bytes(stream.try_into().unwrap()), u16::from_le_bytes(count.try_into().unwrap()))
        });
        let mark = Mark { batch: Batch::new(number, parts.collect()), index };
        let sent = mark.batch.event(index);
        assert_eq!(event.id(), sent.id, "{event:?}");
        assert_eq!(event.stream(), stream_name(mark.stream()), "{event:?}");
        assert_eq!(event.event_type(), sent.event_type, "{event:?}");
        assert!(event.payload() == sent.payload && event.metadata() == sent.metadata, "other content: {event:?}");
        assert_ne!(event.version(), Version::NONE);
        mark
    }

    pub fn stream(&self) -> u32 {
        self.batch.stream_of(self.index)
    }
}
