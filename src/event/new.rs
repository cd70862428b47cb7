//! Events to be appended.

use bytes::Bytes;
use serde::Serialize;

use super::{EventId, EventType, InvalidInput, StreamName, Timestamp};
use crate::limits;

/// An event to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Its identity. Appending the same event again under the same id is recognised as a repetition.
    pub id: EventId,
    /// Its type.
    pub event_type: EventType,
    /// What happened, in a form of the application's choice.
    pub payload: Bytes,
    /// What else is known, such as who caused it; empty for nothing.
    pub metadata: Bytes,
    /// When it was recorded; `None` for the moment of the append. An import sets the time of the original.
    pub timestamp: Option<Timestamp>,
}

impl NewEvent {
    /// An event with a new id, no metadata and the time of its append.
    pub fn new(event_type: EventType, payload: impl Into<Bytes>) -> NewEvent {
        NewEvent {
            id: EventId::generate(),
            event_type,
            payload: payload.into(),
            metadata: Bytes::new(),
            timestamp: None,
        }
    }

    /// An event whose payload is `data` written as JSON.
    ///
    /// # Errors
    ///
    /// When the type breaks a rule of [`EventType`] or `data` cannot be written as JSON.
    pub fn json(event_type: impl Into<String>, data: &impl Serialize) -> Result<NewEvent, InvalidInput> {
        Ok(NewEvent::new(EventType::new(event_type)?, to_json("payload", data)?))
    }

    /// The same event under the given id.
    pub fn with_id(mut self, id: impl Into<EventId>) -> NewEvent {
        self.id = id.into();
        self
    }

    /// The same event with this metadata.
    pub fn with_metadata(mut self, metadata: impl Into<Bytes>) -> NewEvent {
        self.metadata = metadata.into();
        self
    }

    /// The same event with `metadata` written as JSON.
    ///
    /// # Errors
    ///
    /// When `metadata` cannot be written as JSON.
    pub fn with_json_metadata(self, metadata: &impl Serialize) -> Result<NewEvent, InvalidInput> {
        let metadata = to_json("metadata", metadata)?;
        Ok(self.with_metadata(metadata))
    }

    /// The same event with this time instead of the moment of its append.
    pub fn with_timestamp(mut self, timestamp: Timestamp) -> NewEvent {
        self.timestamp = Some(timestamp);
        self
    }

    /// The size that [`limits::EVENT_BYTES`] bounds.
    pub(crate) fn size_in(&self, stream: &StreamName) -> usize {
        [stream.as_bytes().len(), self.event_type.as_bytes().len(), self.metadata.len(), self.payload.len()]
            .into_iter()
            .fold(0, usize::saturating_add)
    }

    /// Checks the rules for one event, as an append to `stream` does with each of its events.
    ///
    /// # Errors
    ///
    /// When the event is larger than [`limits::EVENT_BYTES`], or its time is out of the range that has a text form.
    pub fn check(&self, stream: &StreamName) -> Result<(), InvalidInput> {
        let found = self.size_in(stream);
        if found > limits::EVENT_BYTES {
            return Err(InvalidInput::TooLarge { what: "event", unit: "bytes", found, limit: limits::EVENT_BYTES });
        }
        match self.timestamp {
            Some(time) if !time.has_text_form() => Err(InvalidInput::Time { text: time.to_string() }),
            _ => Ok(()),
        }
    }

    /// Checks the rules for an append as a whole and for each of its events.
    pub(crate) fn check_append<'a>(
        streams: impl Iterator<Item = (&'a StreamName, &'a [NewEvent])>,
    ) -> Result<(), InvalidInput> {
        let too_large = |what, unit, found, limit| Err(InvalidInput::TooLarge { what, unit, found, limit });
        let (mut total, mut count) = (0usize, 0usize);
        for (stream, events) in streams {
            if events.is_empty() {
                return Err(InvalidInput::NoEvents);
            }
            count = count.saturating_add(events.len());
            for event in events {
                event.check(stream)?;
                total = total.saturating_add(event.size_in(stream));
            }
        }
        if count == 0 {
            return Err(InvalidInput::NoEvents);
        }
        if count > limits::APPEND_EVENTS {
            return too_large("append", "events", count, limits::APPEND_EVENTS);
        }
        if total > limits::APPEND_BYTES {
            return too_large("append", "bytes", total, limits::APPEND_BYTES);
        }
        Ok(())
    }
}

fn to_json(what: &'static str, value: &impl Serialize) -> Result<Bytes, InvalidInput> {
    match serde_json::to_vec(value) {
        Ok(json) => Ok(json.into()),
        Err(error) => Err(InvalidInput::Json { what, reason: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_could_not_be_read_back_from_its_text_is_refused() {
        let stream = StreamName::new("s").unwrap();
        let at = |micros| {
            let event = NewEvent::new(EventType::new("T").unwrap(), "");
            event.with_timestamp(Timestamp::from_micros(micros)).check(&stream)
        };
        assert!(matches!(at(i64::MAX), Err(InvalidInput::Time { .. })));
        assert!(matches!(at(i64::MIN), Err(InvalidInput::Time { .. })));
        for micros in [-377_705_023_201_000_000, 253_402_207_200_000_000] {
            let time = Timestamp::from_micros(micros);
            assert_eq!((at(micros), time.to_string().parse()), (Ok(()), Ok(time)));
        }
    }

    #[test]
    fn an_append_beyond_a_limit_is_refused_before_it_reaches_a_store() {
        let stream = StreamName::new("s").unwrap();
        let event = |bytes: usize| NewEvent::new(EventType::new("T").unwrap(), vec![0; bytes]);
        let check = |events: &[NewEvent]| NewEvent::check_append([(&stream, events)].into_iter());
        assert_eq!(check(&[]), Err(InvalidInput::NoEvents));
        assert_eq!(check(&[event(limits::EVENT_BYTES - 2)]), Ok(()));
        assert!(matches!(check(&[event(limits::EVENT_BYTES - 1)]), Err(InvalidInput::TooLarge { what: "event", .. })));
        let half = event(limits::APPEND_BYTES / 2 - 2);
        assert_eq!(check(&[half.clone(), half.clone()]), Ok(()));
        assert!(matches!(check(&[half.clone(), half, event(0)]), Err(InvalidInput::TooLarge { what: "append", .. })));
        assert_eq!(check(&vec![event(0); limits::APPEND_EVENTS]), Ok(()));
        assert!(check(&vec![event(0); limits::APPEND_EVENTS + 1]).is_err());
    }
}
