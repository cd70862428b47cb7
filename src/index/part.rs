//! The index of the newest events, in memory.
//!
//! Every event is in three lists: its stream's, its type's, its category's. Appending only notes in which. They are linked when
//! somebody looks for one, up to the newest event: a list is the number of its events, its newest, and for each event a link to the
//! one before it in that list:
//!
//! ```text
//!   events: | offset, lists | offset, lists | offset, lists | ...     one for each position from `from` on
//!
//!   lists: hash -> first version, count, newest ---+
//!                                                  v
//!   links:  | links         | links         | links         | ...     up to where somebody has looked
//!                ^-----------------------------/
//! ```
//!
//! That is 32 bytes an event, and what has been linked takes 12 more and some 40 a list, however long it is. When the log has grown
//! by enough, the part is frozen, and a [run](super::run) on disk takes its place, made by sorting: of a bulk load that nobody
//! reads meanwhile nothing is ever linked.

use std::collections::HashMap;

use super::{
    hash::{BuildAlreadyHashed, ListHash},
    run::TIME_BLOCK,
};
use crate::{
    sync::RwLock,
    version::{Position, Version},
};

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
    others: Others,
    /// The places of the events with version 1.
    firsts: Vec<u32>,
    /// For each block of positions, the largest time.
    times: Vec<i64>,
    /// How much of the log the events take up.
    bytes: u64,
    linked: RwLock<Linked>,
}

#[derive(Clone, Copy, Debug)]
struct Event {
    version: Version,
    /// Of its stream.
    key: u64,
    check: u32,
    unit: u32,
    /// The numbers of its type and its category, if it has one.
    others: [u32; LISTS - 1],
}

impl Event {
    fn stream(&self) -> ListHash {
        ListHash { key: self.key, check: self.check }
    }
}

/// The lists other than streams, numbered from 1 on: mostly they are few.
#[derive(Debug, Default)]
struct Others {
    lists: Vec<ListHash>,
    numbers: HashMap<ListHash, u32, BuildAlreadyHashed>,
}

impl Others {
    fn number(&mut self, list: ListHash) -> u32 {
        let Others { lists, numbers } = self;
        *numbers.entry(list).or_insert_with(|| {
            lists.push(list);
            lists.len() as u32
        })
    }

    /// The list of a number; none of [`NONE`].
    fn list(&self, number: u32) -> Option<ListHash> {
        self.lists.get(number.checked_sub(1)? as usize).copied()
    }
}

/// The lists, up to some event.
#[derive(Debug, Default)]
struct Linked {
    /// Of each event, to the one before it in each of its lists.
    links: Vec<[u32; LISTS]>,
    lists: HashMap<ListHash, List, BuildAlreadyHashed>,
}

#[derive(Clone, Copy, Debug)]
struct List {
    first_version: Version,
    count: u32,
    newest: u32,
    /// Which of an event's links belongs to this list.
    link: u8,
}

impl Linked {
    fn link(&mut self, event: &Event, others: &Others) {
        let place = self.links.len() as u32;
        let mut links = [NONE; LISTS];
        let [event_type, category] = event.others.map(|number| others.list(number));
        for (link, hash) in [Some(event.stream()), event_type, category].into_iter().enumerate() {
            let Some(hash) = hash else { continue };
            let version = if link == 0 { event.version } else { Version::NONE };
            let fresh = List { first_version: version, count: 0, newest: NONE, link: link as u8 };
            let list = self.lists.entry(hash).or_insert(fresh);
            links[link] = list.newest;
            list.newest = place + 1;
            list.count += 1;
        }
        self.links.push(links);
    }

    /// The places of a list, but for so many before them.
    fn places(&self, list: &List, before: u32) -> Vec<u32> {
        let mut places = vec![0; (list.count - before) as usize];
        let mut at = list.newest;
        for slot in places.iter_mut().rev() {
            let Some(place) = at.checked_sub(1) else { break };
            *slot = place;
            at = self.links[place as usize][usize::from(list.link)];
        }
        places
    }
}

impl Part {
    /// An empty part, for the events from this position on.
    pub(super) fn new(from: Position) -> Part {
        let (others, linked) = (Others::default(), RwLock::new(Linked::default()));
        Part { from, events: Vec::new(), others, firsts: Vec::new(), times: Vec::new(), bytes: 0, linked }
    }

    /// A part that is begun behind this one, with room for twice as many events: each segment is twice as large as the one before.
    pub(super) fn successor(&self) -> Part {
        Part { events: Vec::with_capacity(2 * self.events.len()), ..Part::new(self.end()) }
    }

    /// A part without events, in the memory of this one.
    pub(super) fn emptied(self) -> Part {
        let Part { mut events, .. } = self;
        events.clear();
        Part { events, ..Part::new(Position::START) }
    }

    /// Adds the next event, which takes up so many bytes of the log.
    pub(super) fn add(&mut self, event: &Indexed, bytes: u64) {
        let place = self.events.len() as u32;
        let ListHash { key, check } = event.stream;
        let category = event.category.map_or(NONE, |category| self.others.number(category));
        let others = [self.others.number(event.event_type), category];
        let unit = (event.offset / OFFSET_UNIT) as u32;
        self.events.push(Event { version: event.version, key, check, unit, others });
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

    /// Looks at the lists, in which all events are.
    fn with_lists<T>(&self, look: impl FnOnce(&Linked) -> T) -> T {
        let linked = self.linked.read();
        if linked.links.len() == self.events.len() {
            return look(&linked);
        }
        drop(linked);
        let mut linked = self.linked.write();
        let known = linked.links.len();
        self.events[known..].iter().for_each(|event| linked.link(event, &self.others));
        look(&linked)
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
        self.with_lists(|linked| {
            let list = linked.lists.get(&stream)?;
            let (mut count, mut at) = (u64::from(list.count), list.newest);
            while let Some(place) = at.checked_sub(1) {
                let position = self.from.plus(place.into());
                if position <= until {
                    return Some((list.first_version.plus(count - 1), Some(position)));
                }
                at = linked.links[place as usize][usize::from(list.link)];
                count -= 1;
            }
            Some((Version::new(list.first_version.get() - 1), None))
        })
    }

    /// The places of a list in order, none behind `until`, and the version of the first of them. Of a stream, none before
    /// version `from`: its newest are found whatever its length.
    pub(super) fn list(&self, hash: ListHash, from: Version, until: Position) -> Option<(Version, Vec<u32>)> {
        let (first_version, mut places) = match hash {
            ListHash::FIRSTS => (Version::NONE, self.firsts.clone()),
            hash => self.with_lists(|linked| {
                let list = linked.lists.get(&hash)?;
                let before = from.get().saturating_sub(list.first_version.get()).min(list.count.into()) as u32;
                Some((list.first_version.plus(before.into()), linked.places(list, before)))
            })?,
        };
        while places.last().is_some_and(|place| self.from.plus((*place).into()) > until) {
            places.pop();
        }
        Some((first_version, places))
    }

    /// Shows every list, in order of hash: the hash, the first version, the places in order.
    pub(super) fn each_list(&self, mut each: impl FnMut(ListHash, Version, &[u32])) {
        let mut streams = Vec::with_capacity(self.events.len());
        // By number, with the first events in front.
        let mut others = vec![(ListHash::FIRSTS, self.firsts.clone())];
        others.extend(self.others.lists.iter().map(|list| (*list, Vec::new())));
        for (place, event) in (0..).zip(&self.events) {
            streams.push((event.stream(), place));
            let numbers = event.others.iter().filter(|number| **number != NONE);
            numbers.for_each(|number| others[*number as usize].1.push(place));
        }
        streams.sort_unstable();
        let places: Vec<u32> = streams.iter().map(|(_, place)| *place).collect();
        others.sort_unstable_by_key(|(hash, _)| *hash);
        let mut others = others.iter().peekable();
        let mut left = &places[..];
        for stream in streams.chunk_by(|(a, _), (b, _)| a == b) {
            let ((hash, first), of_stream);
            (of_stream, left) = left.split_at(stream.len());
            (hash, first) = stream[0];
            while let Some((other, places)) = others.next_if(|(other, _)| *other < hash) {
                each(*other, Version::NONE, places);
            }
            each(hash, self.events[first as usize].version, of_stream);
        }
        others.for_each(|(other, places)| each(*other, Version::NONE, places));
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
