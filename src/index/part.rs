//! The index of the newest events, in memory.
//!
//! Every event is in three lists: its stream's, its type's, its category's. A list is the number of its events, its
//! newest, and for each event a link to the one before it in that list:
//!
//! ```text
//!   lists: hash -> first version, count, newest ---+
//!                                                  v
//!   events: | offset, links | offset, links | offset, links | ...     one for each position from `from` on
//!                ^-----------------------------/
//! ```
//!
//! That is 24 bytes an event and some 40 a list, however long it is. When the log has grown by enough, the part is frozen,
//! and a [run](super::run) on disk takes its place.

use std::collections::HashMap;

use super::{
    hash::{BuildAlreadyHashed, ListHash},
    run::TIME_BLOCK,
};
use crate::version::{Position, Version};

/// What the index keeps of an event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Indexed {
    pub(crate) position: Position,
    /// In its segment.
    pub(crate) offset: u64,
    pub(crate) version: Version,
    /// Microseconds since the epoch.
    pub(crate) time: i64,
    pub(crate) stream: ListHash,
    pub(crate) event_type: ListHash,
    /// A stream whose name has no `-` is its own category, and needs no list beside its own.
    pub(crate) category: Option<ListHash>,
}

/// How many lists an event is in at most.
const LISTS: usize = 3;

/// Offsets in a segment are multiples of this, and are kept divided by it.
pub(super) const OFFSET_UNIT: u64 = 8;

/// No event: links and newest events are kept as their place plus 1.
const NONE: u32 = 0;

#[derive(Debug)]
pub(super) struct Part {
    pub(super) from: Position,
    events: Vec<Event>,
    lists: HashMap<ListHash, List, BuildAlreadyHashed>,
    /// The places of the events with version 1.
    firsts: Vec<u32>,
    /// For each block of positions, the largest time.
    times: Vec<i64>,
    /// How much of the log the events take up.
    bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Event {
    unit: u32,
    links: [u32; LISTS],
}

#[derive(Clone, Copy, Debug)]
struct List {
    first_version: Version,
    count: u32,
    newest: u32,
    /// Which of an event's links belongs to this list.
    link: u8,
}

impl Part {
    /// An empty part, for the events from this position on.
    pub(super) fn new(from: Position) -> Part {
        Part { from, events: Vec::new(), lists: HashMap::default(), firsts: Vec::new(), times: Vec::new(), bytes: 0 }
    }

    /// Adds the next event, which takes up so many bytes of the log.
    pub(super) fn add(&mut self, event: &Indexed, bytes: u64) {
        let place = self.events.len() as u32;
        let mut links = [NONE; LISTS];
        let lists = [Some(event.stream), Some(event.event_type), event.category];
        for (link, hash) in lists.into_iter().enumerate() {
            let Some(hash) = hash else { continue };
            let version = if link == 0 { event.version } else { Version::NONE };
            let fresh = List { first_version: version, count: 0, newest: NONE, link: link as u8 };
            let list = self.lists.entry(hash).or_insert(fresh);
            links[link] = list.newest;
            list.newest = place + 1;
            list.count += 1;
        }
        self.events.push(Event { unit: (event.offset / OFFSET_UNIT) as u32, links });
        if event.version == Version::FIRST {
            self.firsts.push(place);
        }
        let block = (event.position.get() / TIME_BLOCK - self.from.get() / TIME_BLOCK) as usize;
        if self.times.len() <= block {
            self.times.resize(block + 1, i64::MIN);
        }
        self.times[block] = self.times[block].max(event.time);
        self.bytes += bytes;
    }

    /// The position behind the last one.
    pub(super) fn end(&self) -> Position {
        self.from.plus(self.events.len() as u64)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The version and position of the newest event of a stream that is not behind `until`. The version is that of the
    /// stream even when none of its events here is: then there is no position.
    pub(super) fn newest(&self, stream: ListHash, until: Position) -> Option<(Version, Option<Position>)> {
        let list = self.lists.get(&stream)?;
        let (mut count, mut at) = (u64::from(list.count), list.newest);
        while let Some(place) = at.checked_sub(1) {
            let position = self.from.plus(place.into());
            if position <= until {
                return Some((list.first_version.plus(count - 1), Some(position)));
            }
            at = self.events[place as usize].links[usize::from(list.link)];
            count -= 1;
        }
        Some((Version::new(list.first_version.get() - 1), None))
    }

    /// The places of a list in order, none behind `until`, and the version of the first of them. Of a stream, none before
    /// version `from`: its newest are found whatever its length.
    pub(super) fn list(&self, hash: ListHash, from: Version, until: Position) -> Option<(Version, Vec<u32>)> {
        let (first_version, mut places) = match hash {
            ListHash::FIRSTS => (Version::NONE, self.firsts.clone()),
            hash => {
                let list = self.lists.get(&hash)?;
                let before = from.get().saturating_sub(list.first_version.get()).min(list.count.into()) as u32;
                (list.first_version.plus(before.into()), self.places(list, before))
            }
        };
        while places.last().is_some_and(|place| self.from.plus((*place).into()) > until) {
            places.pop();
        }
        Some((first_version, places))
    }

    /// The places of a list, but for so many before them.
    fn places(&self, list: &List, before: u32) -> Vec<u32> {
        let mut places = vec![0; (list.count - before) as usize];
        let mut at = list.newest;
        for slot in places.iter_mut().rev() {
            let Some(place) = at.checked_sub(1) else { break };
            *slot = place;
            at = self.events[place as usize].links[usize::from(list.link)];
        }
        places
    }

    /// Every list, in order of hash: the hash, the first version, the places in order.
    pub(super) fn sorted_lists(&self) -> impl Iterator<Item = (ListHash, Version, Vec<u32>)> {
        let mut hashes: Vec<_> = self.lists.keys().copied().chain([ListHash::FIRSTS]).collect();
        hashes.sort_unstable();
        hashes.into_iter().map(|hash| match self.lists.get(&hash) {
            Some(list) => (hash, list.first_version, self.places(list, 0)),
            None => (hash, Version::NONE, self.firsts.clone()),
        })
    }

    /// The number of streams whose first event is here, none behind `until`.
    pub(super) fn first_count(&self, until: Position) -> usize {
        self.firsts.partition_point(|place| self.from.plus((*place).into()) <= until)
    }

    pub(super) fn times(&self) -> &[i64] {
        &self.times
    }

    /// The offsets of the events, divided by [`OFFSET_UNIT`].
    pub(super) fn units(&self) -> impl Iterator<Item = u32> {
        self.events.iter().map(|event| event.unit)
    }

    /// The offset in its segment of an event.
    pub(super) fn offset(&self, position: Position) -> Option<u64> {
        let place = position.get().checked_sub(self.from.get())?;
        let event = self.events.get(usize::try_from(place).ok()?)?;
        Some(u64::from(event.unit) * OFFSET_UNIT)
    }
}
