//! What a store promises beyond the contract, and how much it takes.
//!
//! The [contract](super) holds for every store. What differs between engines stands here, so that nobody has to find it out:
//! who asks a store for what it does not state gets a typed error, and nothing is stored. The conformance suite holds a store to both.

use super::{Snapshot, StreamAppend};
use crate::{
    error::{Error, Result},
    event::{InvalidInput, StreamName},
    limits,
};

/// What a store promises beyond the contract, and how much it takes: see [`crate::EventStore::capabilities`].
///
/// Another store begins with [`Capabilities::full`] and takes away what it does not do. No limit is wider than those of
/// [`crate::limits`]. Sizes of events are counted as for [`limits::EVENT_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Positions of the whole log are 1, 2, 3 and so on, and those of one append follow each other. Otherwise positions grow, but
    /// some are never given to an event: their number says nothing of how many events there are.
    pub dense_positions: bool,
    /// To how many streams one append may be, all or none; 1 where an append to several streams is refused with
    /// [`Error::Unsupported`].
    pub append_streams: usize,
    /// Most events in one append.
    pub append_events: usize,
    /// Largest append, in bytes.
    pub append_bytes: usize,
    /// Largest event, in bytes.
    pub event_bytes: usize,
    /// Largest state of a snapshot, in bytes.
    pub snapshot_bytes: usize,
    /// Longest stream name, in bytes.
    pub stream_name_bytes: usize,
}

impl Capabilities {
    /// All that the trait knows of: what the embedded store and its server do.
    pub const fn full() -> Capabilities {
        Capabilities {
            dense_positions: true,
            append_streams: limits::APPEND_EVENTS,
            append_events: limits::APPEND_EVENTS,
            append_bytes: limits::APPEND_BYTES,
            event_bytes: limits::EVENT_BYTES,
            snapshot_bytes: limits::SNAPSHOT_BYTES,
            stream_name_bytes: limits::STREAM_NAME_BYTES,
        }
    }

    /// Checks an append to one or several streams, for a store of this name: the rules that hold everywhere, and then the store's own limits.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for what breaks a rule or a limit; [`Error::Unsupported`] for several streams where they are not taken.
    pub fn check_append(&self, store: &str, appends: &[StreamAppend]) -> Result<()> {
        StreamAppend::check(appends)?;
        if appends.len() > 1 && self.append_streams <= 1 {
            return Err(Error::Unsupported {
                store: store.to_owned(),
                what: "an append to several streams".to_owned(),
            });
        }
        within("append", "streams", appends.len(), self.append_streams)?;
        let (mut count, mut total) = (0, 0);
        for StreamAppend { stream, events, .. } in appends {
            self.check_stream(stream)?;
            count += events.len();
            for event in events {
                let size = event.size_in(stream);
                within("event", "bytes", size, self.event_bytes)?;
                total += size;
            }
        }
        within("append", "events", count, self.append_events)?;
        within("append", "bytes", total, self.append_bytes)?;
        Ok(())
    }

    /// Checks a snapshot by itself: the rules that hold everywhere, and then the store's own limits.
    ///
    /// # Errors
    ///
    /// When it breaks one.
    pub fn check_snapshot(&self, snapshot: &Snapshot) -> Result<()> {
        snapshot.check()?;
        self.check_stream(&snapshot.stream)?;
        Ok(within("snapshot", "bytes", snapshot.state.len(), self.snapshot_bytes)?)
    }

    fn check_stream(&self, stream: &StreamName) -> Result<(), InvalidInput> {
        within("stream name", "bytes", stream.as_str().len(), self.stream_name_bytes)
    }
}

fn within(what: &'static str, unit: &'static str, found: usize, limit: usize) -> Result<(), InvalidInput> {
    if found > limit { Err(InvalidInput::TooLarge { what, unit, found, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::CodecId,
        event::{EventType, NewEvent},
        version::{ExpectedVersion, Version},
    };

    fn to(name: &str, sizes: &[usize]) -> StreamAppend {
        let event = |size: &usize| NewEvent::new(EventType::new("T").unwrap(), vec![0; *size]);
        StreamAppend::new(StreamName::new(name).unwrap(), ExpectedVersion::Any, sizes.iter().map(event).collect())
    }

    #[test]
    fn what_is_beyond_the_stores_own_limit_is_refused_with_both_numbers_and_the_limit_itself_is_not() {
        let mut own = Capabilities::full();
        (own.append_streams, own.append_events, own.append_bytes) = (2, 3, 30);
        (own.event_bytes, own.snapshot_bytes, own.stream_name_bytes) = (20, 5, 4);
        let refused = |appends: &[StreamAppend]| match own.check_append("X", appends) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        };
        // The name and the type are two bytes.
        assert_eq!(refused(&[to("a", &[18]), to("b", &[8])]), "");
        assert_eq!(refused(&[to("a", &[19])]), "the event has 21 bytes; at most 20 are allowed");
        assert_eq!(refused(&[to("a", &[18, 9])]), "the append has 31 bytes; at most 30 are allowed");
        assert_eq!(refused(&[to("a", &[0, 0, 0])]), "");
        assert_eq!(refused(&[to("a", &[0, 0]), to("b", &[0, 0])]), "the append has 4 events; at most 3 are allowed");
        let three = [to("a", &[0]), to("b", &[0]), to("c", &[0])];
        assert_eq!(refused(&three), "the append has 3 streams; at most 2 are allowed");
        assert_eq!(refused(&[to("name", &[0])]), "");
        assert_eq!(refused(&[to("names", &[0])]), "the stream name has 5 bytes; at most 4 are allowed");
        let state = |size: usize| {
            let stream = StreamName::new("s").unwrap();
            own.check_snapshot(&Snapshot::new(&stream, Version::FIRST, CodecId::JSON, 1, vec![0; size]))
        };
        assert!(state(5).is_ok());
        assert_eq!(state(6).unwrap_err().to_string(), "the snapshot has 6 bytes; at most 5 are allowed");
    }

    #[test]
    fn several_streams_are_unsupported_where_one_is_all_that_is_taken() {
        let mut own = Capabilities::full();
        own.append_streams = 1;
        assert!(own.check_append("X", &[to("a", &[1])]).is_ok());
        let refused = own.check_append("X", &[to("a", &[1]), to("b", &[1])]).unwrap_err();
        assert_eq!(refused.to_string(), "X does not support an append to several streams");
        assert_eq!(refused.action(), crate::Action::FixInput);
    }
}
