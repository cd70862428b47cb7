//! What a store must hold: a list of events that knows nothing of files.

use std::collections::HashMap;

use factlog::{
    Error, ExpectedVersion, Position, ReadAll, ReadStream, RecordedEvent, Result, Store, StreamName, Version,
};

/// An event that was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub stream: StreamName,
    pub version: u64,
    pub payload: Vec<u8>,
}

/// The events of a store, in order of position.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub events: Vec<Event>,
    /// How many the last append had.
    pub last_append: usize,
}

impl Model {
    /// The version that a stream is at.
    pub fn version(&self, stream: &StreamName) -> u64 {
        self.events.iter().filter(|event| event.stream == *stream).count() as u64
    }

    /// Whether an append that expects this is to be accepted.
    pub fn accepts(&self, stream: &StreamName, expected: ExpectedVersion) -> bool {
        let version = self.version(stream);
        match expected {
            ExpectedVersion::Any => true,
            ExpectedVersion::NoStream => version == 0,
            ExpectedVersion::StreamExists => version > 0,
            ExpectedVersion::Exact(exact) => version == exact.get(),
        }
    }

    /// Adds the events of one append.
    pub fn append(&mut self, stream: &StreamName, payloads: &[Vec<u8>]) {
        for payload in payloads {
            let version = self.version(stream) + 1;
            self.events.push(Event { stream: stream.clone(), version, payload: payload.clone() });
        }
        self.last_append = payloads.len();
    }

    /// Reads everything in a store, in every way, and compares; gives the number of events. An error is one of the store's,
    /// and any difference but that the store ends sooner is a panic.
    pub fn compare(&self, store: &Store) -> Result<usize> {
        let stored: Vec<RecordedEvent> = store.read_all(ReadAll::after(Position::START)).collect::<Result<_>>()?;
        assert!(stored.len() <= self.events.len(), "more than was appended");
        assert_eq!(store.last_position().get() as usize, stored.len());
        for ((event, expected), position) in stored.iter().zip(&self.events).zip(1..) {
            let (version, payload) = (event.version().get(), event.payload().to_vec());
            assert_eq!(Event { stream: event.stream(), version, payload }, *expected);
            assert_eq!(event.position().get(), position);
        }
        let mut streams: HashMap<StreamName, Vec<&RecordedEvent>> = HashMap::new();
        stored.iter().for_each(|event| streams.entry(event.stream()).or_default().push(event));
        for (stream, expected) in streams {
            let read = |read: ReadStream| store.read_stream(read).collect::<Result<Vec<_>>>();
            assert!(read(ReadStream::new(&stream))?.iter().eq(expected.iter().copied()));
            assert!(read(ReadStream::new(&stream).backwards())?.iter().eq(expected.iter().rev().copied()));
            assert_eq!(store.stream_version(&stream)?, Version::new(expected.len() as u64));
            let all = ReadAll::after(Position::START).stream(stream);
            assert!(store.read_all(all).collect::<Result<Vec<_>>>()?.iter().eq(expected.iter().copied()));
        }
        let backwards: Vec<RecordedEvent> =
            store.read_all(ReadAll::after(Position::START).backwards()).collect::<Result<_>>()?;
        assert!(backwards.iter().rev().eq(&stored));
        Ok(stored.len())
    }

    /// Forgets what is behind so many events.
    pub fn truncate(&mut self, events: usize) {
        self.events.truncate(events);
    }
}

/// Whether an error says that files are damaged, and not that something else went wrong.
pub fn is_damage(error: &Error) -> bool {
    matches!(error, Error::Damaged(_) | Error::NotAStore { .. })
}
