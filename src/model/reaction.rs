//! Commands that follow from events, each carried out once.
//!
//! Whoever reacts to an event may be handed it again, after a crash between its reaction and its note of it, or because the
//! same process runs twice. So the events that a reaction leads to have ids made from the event that caused them and the
//! stream that they go to, and before anything is decided that stream is searched for them, behind that event:
//!
//! ```text
//!   load at version v ---> is one of the ids in the stream? ---> decide ---> append behind v
//!                              yes: done before                                 refused: somebody was faster, again
//! ```
//!
//! An event of the same id that is stored between the search and the append makes the append fail, since the stream is not at
//! `v` any more.

use uuid::Builder;
use xxhash_rust::xxh3::xxh3_128;

use super::{
    aggregate::{Aggregate, AggregateRoot},
    command::{AggregateCommand, Committed},
    error::ModelError,
    metadata::Metadata,
    repository::Repository,
};
use crate::{
    error::{Error, Lost},
    event::{EventId, RecordedEvent, StreamName, Timestamp},
    event_store::ReadAll,
};

/// How often a reaction is decided at most. Each conflict means that another writer got through.
const DECISIONS: usize = 100;

impl<A: Aggregate> Repository<A> {
    /// Carries out a command that follows from an event, once: however often and by however many this is called with the same
    /// `cause` and `step` for an aggregate, its events are stored one time. `step` tells several reactions of one aggregate to
    /// one event apart. The events' metadata name the cause, and keep its correlation. `None` when it was carried out before.
    ///
    /// # Errors
    ///
    /// As for [`Repository::execute`]. A command that is refused has left nothing, and is decided again the next time.
    pub async fn execute_once<C: AggregateCommand<Aggregate = A>>(
        &self,
        command: &C,
        cause: &RecordedEvent,
        step: &str,
    ) -> Result<Option<Committed>, ModelError> {
        let metadata = Metadata::caused_by(cause);
        let mut decisions = 1;
        loop {
            let mut root = match command.creates() {
                true => AggregateRoot::new(command.aggregate_id())?,
                false => self.load(command.aggregate_id()).await?,
            };
            if self.has_followed(&root, cause, step).await? {
                return Ok(None);
            }
            let events = command.decide(root.state()).map_err(ModelError::refused)?;
            for (index, event) in events.iter().enumerate() {
                root.record_as(event, follower(cause, root.stream(), step, index), Timestamp::now())?;
            }
            match self.save(&mut root, &metadata).await {
                Err(ModelError::Concurrency(_)) if decisions < DECISIONS && !command.creates() => decisions += 1,
                // By another one that decided otherwise.
                Err(ModelError::Store(Error::DuplicateEventId { .. })) => return Ok(None),
                saved => return saved.map(Some),
            }
        }
    }

    async fn has_followed(
        &self,
        root: &AggregateRoot<A>,
        cause: &RecordedEvent,
        step: &str,
    ) -> Result<bool, ModelError> {
        let id = follower(cause, root.stream(), step, 0);
        let mut read = ReadAll::after(cause.position()).stream(root.stream().clone());
        loop {
            let page = match self.store().read_all(read.clone()).await {
                // The stream could be loaded, so none of these was of it.
                Err(Error::Lost(Lost::Positions { last, .. })) => {
                    read.after = last;
                    continue;
                }
                page => page?,
            };
            let Some(last) = page.last() else { return Ok(false) };
            if page.iter().any(|event| event.id() == id) {
                return Ok(true);
            }
            read.after = last.position();
        }
    }
}

/// The id of an event that follows from another in a stream: always the same, and of version 8, as it is made by a rule of its
/// own. Followers in several streams have several ids, as what follows from them is told apart by those.
fn follower(cause: &RecordedEvent, stream: &StreamName, step: &str, index: usize) -> EventId {
    let mut name = cause.id().as_uuid().as_bytes().to_vec();
    name.extend_from_slice(&(index as u64).to_le_bytes());
    name.extend_from_slice(&(stream.as_str().len() as u64).to_le_bytes());
    name.extend_from_slice(stream.as_str().as_bytes());
    name.extend_from_slice(step.as_bytes());
    Builder::from_custom_bytes(xxh3_128(&name).to_be_bytes()).into_uuid().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{EventType, Recorded},
        version::{Position, Version},
    };

    #[test]
    fn the_id_of_a_follower_depends_on_the_cause_the_stream_the_step_and_the_index_alone() {
        let recorded = |id: u128, position| {
            let id = uuid::Uuid::from_u128(id).into();
            let (position, version) = (Position::new(position), Version::FIRST);
            let recorded = Recorded { position, version, id, timestamp: Timestamp::from_micros(0) };
            let (stream, event_type) = (StreamName::new("s").unwrap(), EventType::new("T").unwrap());
            RecordedEvent::new(recorded, &stream, &event_type, b"", b"")
        };
        let [order, other] = ["order-1", "order-2"].map(|name| StreamName::new(name).unwrap());
        let id = follower(&recorded(1, 1), &order, "ship", 0);
        assert_eq!(id.to_string(), follower(&recorded(1, 2), &order, "ship", 0).to_string());
        let others = [
            follower(&recorded(2, 1), &order, "ship", 0),
            follower(&recorded(1, 1), &other, "ship", 0),
            follower(&recorded(1, 1), &order, "bill", 0),
            follower(&recorded(1, 1), &order, "ship", 1),
        ];
        assert!(!others.contains(&id));
        assert_eq!(id.as_uuid().get_version_num(), 8);
    }
}
