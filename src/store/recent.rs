//! The newest event ids of the streams that are appended to without a particular version.
//!
//! Such an append must be recognised if it was made before, also when it was made a moment ago and is not durable yet. So for
//! these streams the ids are kept in memory, and added to under the lock that gives out versions.
//!
//! Invariants:
//!
//! - what is kept of a stream is complete: its newest [`limits::RECENT_EVENTS`] events, or all, up to the newest sequenced;
//! - it is bounded: streams that were not appended to for long are forgotten, and read again from the log when needed.

use std::collections::{HashMap, VecDeque};

use crate::{event::EventId, index::ListHash, limits, version::Version};

/// How many ids are kept, of all streams together.
const MOST_IDS: usize = 64 << 10;

/// The newest ids of one stream, in order of version.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// The version of the last of them, and of the stream.
    version: Version,
    ids: VecDeque<EventId>,
    known: HashMap<EventId, u32>,
}

impl Recent {
    /// A stream at this version without ids, to which its newest are to be added.
    pub(super) fn at(version: Version) -> Recent {
        Recent { version, ..Recent::default() }
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    pub(super) fn push(&mut self, id: EventId) {
        self.version = self.version.next();
        self.ids.push_back(id);
        *self.known.entry(id).or_default() += 1;
        if self.ids.len() > limits::RECENT_EVENTS
            && let Some(oldest) = self.ids.pop_front()
            && let Some(count) = self.known.get_mut(&oldest)
        {
            *count -= 1;
            if *count == 0 {
                self.known.remove(&oldest);
            }
        }
    }

    pub(super) fn contains(&self, id: EventId) -> bool {
        self.known.contains_key(&id)
    }
}

/// The ids of all streams that are kept.
#[derive(Debug, Default)]
pub(super) struct Recents {
    streams: HashMap<ListHash, Recent>,
    /// In the order in which they came in.
    order: VecDeque<ListHash>,
    ids: usize,
}

impl Recents {
    pub(super) fn get(&self, stream: ListHash) -> Option<&Recent> {
        self.streams.get(&stream)
    }

    pub(super) fn insert(&mut self, stream: ListHash, recent: Recent) {
        self.ids += recent.ids.len();
        if let Some(before) = self.streams.insert(stream, recent) {
            self.ids -= before.ids.len();
        } else {
            self.order.push_back(stream);
        }
        self.forget_some();
    }

    /// Adds the ids of events that have just been given the versions behind those that are kept, if any are.
    pub(super) fn extend(&mut self, stream: ListHash, ids: impl Iterator<Item = EventId>) {
        if self.streams.is_empty() {
            return;
        }
        if let Some(recent) = self.streams.get_mut(&stream) {
            let before = recent.ids.len();
            ids.for_each(|id| recent.push(id));
            self.ids += recent.ids.len() - before;
            self.forget_some();
        }
    }

    fn forget_some(&mut self) {
        while self.ids > MOST_IDS
            && let Some(oldest) = self.order.pop_front()
        {
            if let Some(forgotten) = self.streams.remove(&oldest) {
                self.ids -= forgotten.ids.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: usize) -> ListHash {
        ListHash::of_stream(&[1; 16], &number.to_string())
    }

    #[test]
    fn the_newest_thousand_ids_of_a_stream_are_known_and_older_ones_are_not() {
        let ids: Vec<EventId> = (0..limits::RECENT_EVENTS + 5).map(|_| EventId::generate()).collect();
        let mut recent = Recent::at(Version::new(7));
        ids.iter().for_each(|id| recent.push(*id));
        assert_eq!(recent.version(), Version::new(7 + ids.len() as u64));
        assert!(ids[5..].iter().all(|id| recent.contains(*id)));
        assert!(!ids[..5].iter().any(|id| recent.contains(*id)));
    }

    #[test]
    fn memory_is_bounded_and_the_streams_that_came_first_are_forgotten_first() {
        let mut recents = Recents::default();
        for stream in 0..1000 {
            recents.insert(hash(stream), Recent::at(Version::NONE));
            recents.extend(hash(stream), (0..100).map(|_| EventId::generate()));
        }
        assert!(recents.ids <= MOST_IDS && recents.ids > MOST_IDS - 200);
        assert!(recents.get(hash(0)).is_none() && recents.get(hash(999)).is_some());
        assert_eq!(recents.ids, recents.streams.values().map(|recent| recent.ids.len()).sum::<usize>());
    }
}
