//! What a store knows of the newest messages of streams, so that an append need not look.
//!
//! It may be outdated at any time: a publication that relies on it has a condition, which then is not met.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    event::{EventId, StreamName},
    limits,
    version::Version,
};

/// How many streams are known, and in the generation before. Then the older generation is forgotten.
const STREAMS: usize = 16 << 10;
/// How many ids are known, of 16 bytes each, likewise.
const IDS: usize = 256 << 10;

/// The newest message of a stream; [`Head::default`] of a stream that does not exist.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    pub(super) sequence: u64,
    pub(super) version: Version,
    /// The ids of the newest [`limits::RECENT_EVENTS`] events, or some more; `None` when they were not looked at.
    pub(super) recent: Option<Arc<Vec<EventId>>>,
}

impl Head {
    /// The head behind an append to this one.
    pub(super) fn behind(&self, sequence: u64, appended: impl ExactSizeIterator<Item = EventId>) -> Head {
        let version = self.version.plus(appended.len() as u64);
        let recent = self.recent.clone().map(|mut recent| {
            let ids = Arc::make_mut(&mut recent);
            ids.extend(appended);
            if ids.len() > 2 * limits::RECENT_EVENTS {
                ids.drain(..ids.len() - limits::RECENT_EVENTS);
            }
            recent
        });
        Head { sequence, version, recent }
    }

    fn ids(&self) -> usize {
        self.recent.as_ref().map_or(0, |recent| recent.len())
    }
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<StreamName, Head>,
    old: HashMap<StreamName, Head>,
    /// In the young generation.
    ids: usize,
}

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Heads(Mutex<Generations>);

impl Heads {
    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a stream. It is given away: whoever appends puts the new head back.
    pub(super) fn take(&self, stream: &StreamName) -> Option<Head> {
        let mut known = self.lock();
        let Generations { young, old, ids } = &mut *known;
        if let Some(head) = young.remove(stream) {
            *ids -= head.ids();
            return Some(head);
        }
        old.remove(stream)
    }

    /// The sequence number of the newest message that is known of a stream.
    pub(super) fn sequence(&self, stream: &StreamName) -> u64 {
        let known = self.lock();
        known.young.get(stream).or_else(|| known.old.get(stream)).map_or(0, |head| head.sequence)
    }

    /// Remembers a head, unless a newer one is known.
    pub(super) fn put(&self, stream: &StreamName, head: Head) {
        let mut known = self.lock();
        let Generations { young, old, ids } = &mut *known;
        let before = young.get(stream).or_else(|| old.get(stream));
        let newer = |before: &Head| {
            before.sequence > head.sequence || (before.sequence == head.sequence && before.recent.is_some())
        };
        if before.is_some_and(newer) {
            return;
        }
        *ids += head.ids();
        if let Some(before) = young.insert(stream.clone(), head) {
            *ids -= before.ids();
        }
        if young.len() > STREAMS || *ids > IDS {
            *old = mem::take(young);
            *ids = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(number: usize) -> StreamName {
        StreamName::new(format!("s-{number}")).unwrap()
    }

    fn head(sequence: u64, ids: usize) -> Head {
        let recent = Arc::new((0..ids).map(|_| EventId::generate()).collect());
        Head { sequence, version: Version::new(sequence), recent: Some(recent) }
    }

    #[test]
    fn the_newest_head_of_a_stream_is_known_and_given_away_once() {
        let heads = Heads::default();
        heads.put(&stream(1), head(5, 1));
        heads.put(&stream(1), head(4, 1));
        heads.put(&stream(1), Head { recent: None, ..head(5, 0) });
        assert_eq!(heads.sequence(&stream(1)), 5);
        let taken = heads.take(&stream(1)).unwrap();
        assert!(taken.sequence == 5 && taken.recent.is_some(), "{taken:?}");
        assert!(heads.take(&stream(1)).is_none());
        assert_eq!(heads.lock().ids, 0);
    }

    #[test]
    fn streams_and_ids_that_were_not_used_for_long_are_forgotten() {
        let heads = Heads::default();
        for number in 0..3 * STREAMS {
            heads.put(&stream(number), Head { sequence: 1, ..Head::default() });
        }
        assert!(heads.take(&stream(0)).is_none() && heads.take(&stream(3 * STREAMS - 1)).is_some());
        for number in 0..3 * IDS / 1000 {
            heads.put(&stream(number), head(2, 1000));
            let known = heads.lock();
            let ids: usize = known.young.values().chain(known.old.values()).map(Head::ids).sum();
            assert!(ids <= 2 * (IDS + 1000) && known.young.len() + known.old.len() <= 2 * STREAMS + 2);
        }
    }

    #[test]
    fn ids_behind_the_newest_thousand_are_let_go() {
        let mut head = Head { recent: Some(Arc::default()), ..Head::default() };
        for sequence in 1..=5 {
            let ids: Vec<EventId> = (0..700).map(|_| EventId::generate()).collect();
            head = head.behind(sequence, ids.iter().copied());
            assert_eq!((head.sequence, head.version.get()), (sequence, 700 * sequence));
            let known = head.recent.clone().unwrap();
            assert!(
                known.ends_with(&ids) && known.len() >= 700.max(limits::RECENT_EVENTS.min(700 * sequence as usize))
            );
            assert!(known.len() <= 2 * limits::RECENT_EVENTS);
        }
    }
}
