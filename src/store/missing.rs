//! Which versions of which streams are lost, when positions are.
//!
//! ```text
//!   position   10   11   12   13   14   15
//!   stream a   v5   #              v7          v6 of a is lost, and lay at one of 11, 12, 13
//!   stream b        #    #    v2               v1 of b is lost, and lay at 11 or 12, or before
//!   stream c             #                     v9 of c is lost at 12: the index says so
//! ```
//!
//! Versions of a stream have no gap, so each one that is missing between two events that are there was at a lost position
//! between them. Where the index or a snapshot says which, it is that one. The others are given to lost positions so that each
//! lies where it can have been; which of them exactly, nobody can tell and nobody needs to: a reader is told that the
//! version is lost, or that the position is.
//!
//! What was lost behind the last event of a stream shows only where the index or a snapshot knows of it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap},
};

use super::lost::StandIn;
use crate::{
    event::{StreamName, Timestamp},
    index::ListHash,
    log::LostRange,
    version::{Position, Version},
};

/// What is known of the streams of a log that has lost events. Its events are given to it in order.
#[derive(Debug)]
pub(super) struct Missing {
    lost: Vec<LostRange>,
    /// The newest version of each stream that is there, and its position.
    newest: HashMap<ListHash, (Version, Position)>,
    gaps: HashMap<ListHash, Vec<Gap>>,
    names: HashMap<ListHash, StreamName>,
    /// For each range of lost positions, the time of the first event behind it.
    times: Vec<Timestamp>,
    /// Events that cannot be of this log: their stream has come to their version already.
    pub(super) contradictory: BTreeSet<Position>,
}

/// Versions of a stream that are missing.
#[derive(Clone, Copy, Debug)]
struct Gap {
    first: Version,
    last: Version,
    after: Position,
    before: Position,
}

/// Versions of one stream that are lost, one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LostVersions {
    /// The stream; `None` when no event that is there, and no snapshot, has its name.
    pub stream: Option<StreamName>,
    /// The first version that is lost.
    pub first: Version,
    /// The last version that is lost.
    pub last: Version,
}

/// What stands for the lost events.
#[derive(Debug, Default)]
pub(super) struct Placed {
    pub(super) stand_ins: BTreeMap<Position, StandIn>,
    pub(super) versions: Vec<LostVersions>,
    /// How many lost positions are of streams that nobody knows.
    pub(super) unknown: u64,
    /// Versions that are missing and for which no position is lost.
    pub(super) unplaced: u64,
}

impl Missing {
    pub(super) fn new(lost: Vec<LostRange>) -> Missing {
        Missing {
            lost,
            newest: HashMap::new(),
            gaps: HashMap::new(),
            names: HashMap::new(),
            times: Vec::new(),
            contradictory: BTreeSet::new(),
        }
    }

    /// An event, or one that an earlier repair has found lost, that is there.
    pub(super) fn event(&mut self, stream: ListHash, name: Option<&StreamName>, version: Version, position: Position) {
        let (newest, after) = self.newest.get(&stream).copied().unwrap_or_default();
        if version <= newest || is_too_far((newest, after), (version, position)) {
            self.contradictory.insert(position);
            return;
        }
        if version > newest.next() {
            let gap = Gap { first: newest.next(), last: version.previous(), after, before: position };
            self.gaps.entry(stream).or_default().push(gap);
            if let Some(name) = name {
                self.names.insert(stream, name.clone());
            }
        }
        self.newest.insert(stream, (version, position));
    }

    /// Something of this time lies at a position.
    pub(super) fn time(&mut self, position: Position, time: Timestamp) {
        while self.lost.get(self.times.len()).is_some_and(|range| *range.end() < position) {
            self.times.push(time);
        }
    }

    pub(super) fn name(&mut self, stream: ListHash, name: &StreamName) {
        self.names.entry(stream).or_insert_with(|| name.clone());
    }

    /// Says what stands at each lost position. `pins` are what the index and the snapshots know of them; `now` is the time of
    /// what is lost behind the last event.
    pub(super) fn place(mut self, pins: BTreeMap<Position, (ListHash, Version)>, now: Timestamp) -> Placed {
        let pinned = self.fitting(pins);
        self.add_tails(&pinned);
        let mut placed = Placed::default();
        let mut at: BTreeMap<Position, (ListHash, Version)> = BTreeMap::new();
        let mut jobs = Vec::new();
        for (stream, gaps) in &self.gaps {
            for gap in gaps {
                let pins = pinned.get(stream);
                jobs.extend(gap.jobs(*stream, pins, &mut at));
                let (first, last) = (gap.first, gap.last);
                placed.versions.push(LostVersions { stream: self.names.get(stream).cloned(), first, last });
            }
        }
        placed.versions.sort_by(|a, b| (&a.stream, a.first).cmp(&(&b.stream, b.first)));
        placed.unplaced = assign(&self.lost, jobs, &mut at);
        for (number, range) in self.lost.iter().enumerate() {
            let (first, last) = (*range.start(), *range.end());
            for position in (first.get()..=last.get()).map(Position::new) {
                let time = self.times.get(number).copied().unwrap_or(now);
                let stream = at.get(&position).copied();
                placed.unknown += u64::from(stream.is_none());
                placed.stand_ins.insert(position, StandIn { stream, time, first, last });
            }
        }
        placed
    }

    /// The pins that agree with the events that are there and with each other, by stream and version.
    fn fitting(&self, pins: BTreeMap<Position, (ListHash, Version)>) -> HashMap<ListHash, BTreeMap<Version, Position>> {
        let mut fitting: HashMap<ListHash, BTreeMap<Version, Position>> = HashMap::new();
        for (position, (stream, version)) in pins {
            let (newest, last) = self.newest.get(&stream).copied().unwrap_or_default();
            let in_gap =
                |gap: &Gap| (gap.first..=gap.last).contains(&version) && gap.after < position && position < gap.before;
            let fits = version > newest && position > last && !is_too_far((newest, last), (version, position))
                || self.gaps.get(&stream).is_some_and(|gaps| gaps.iter().any(in_gap));
            let of_stream = fitting.entry(stream).or_default();
            // In order of position, and so of version.
            if fits && of_stream.last_key_value().is_none_or(|(last, _)| *last < version) {
                of_stream.insert(version, position);
            }
        }
        fitting
    }

    /// Versions behind the last event of a stream, up to the newest that is known to have been.
    fn add_tails(&mut self, pinned: &HashMap<ListHash, BTreeMap<Version, Position>>) {
        for (stream, pins) in pinned {
            let (newest, after) = self.newest.get(stream).copied().unwrap_or_default();
            if let Some((last, _)) = pins.last_key_value().filter(|(last, _)| **last > newest) {
                let gap = Gap { first: newest.next(), last: *last, after, before: Position::MAX };
                self.gaps.entry(*stream).or_default().push(gap);
            }
        }
    }
}

/// Versions of a stream come no faster than positions.
fn is_too_far(from: (Version, Position), to: (Version, Position)) -> bool {
    to.0.get().saturating_sub(from.0.get()) > to.1.get().saturating_sub(from.1.get())
}

/// A version that is to be given a lost position within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Job {
    before: Position,
    version: Version,
    stream: ListHash,
    after: Position,
}

impl Gap {
    /// Puts those versions in place whose position is known, and gives the others with their bounds.
    fn jobs(
        &self,
        stream: ListHash,
        pins: Option<&BTreeMap<Version, Position>>,
        at: &mut BTreeMap<Position, (ListHash, Version)>,
    ) -> Vec<Job> {
        let (mut jobs, mut after) = (Vec::new(), self.after);
        for version in (self.first.get()..=self.last.get()).map(Version::new) {
            let pin = pins.and_then(|pins| pins.get(&version));
            if let Some(position) = pin {
                at.insert(*position, (stream, version));
                after = *position;
                continue;
            }
            let next = pins.and_then(|pins| pins.range(version..=self.last).next());
            let before = next.map_or(self.before, |(_, position)| *position);
            jobs.push(Job { before, version, stream, after });
        }
        jobs
    }
}

/// Gives each job a lost position that is free, the most pressing first; how many found none.
fn assign(lost: &[LostRange], mut jobs: Vec<Job>, at: &mut BTreeMap<Position, (ListHash, Version)>) -> u64 {
    jobs.sort_by_key(|job| Reverse(job.after));
    let mut waiting: BinaryHeap<Reverse<Job>> = BinaryHeap::new();
    let mut unplaced = 0;
    for position in lost.iter().flat_map(|range| range.start().get()..=range.end().get()).map(Position::new) {
        while let Some(job) = jobs.pop_if(|job| job.after < position) {
            waiting.push(Reverse(job));
        }
        if at.contains_key(&position) {
            continue;
        }
        while let Some(Reverse(job)) = waiting.pop() {
            if job.before > position {
                at.insert(position, (job.stream, job.version));
                break;
            }
            unplaced += 1;
        }
    }
    unplaced + (jobs.len() + waiting.len()) as u64
}
