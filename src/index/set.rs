//! The whole index: runs and parts as one.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    hash::ListHash,
    heads::Heads,
    matches::{Direction, Matches, Piece},
    part::{Indexed, Part},
    run::{INDEX, ListPlace, Run, TIME_BLOCK},
    worker::Worker,
};
use crate::{
    disk::{Disk, names},
    error::{Damage, Error, Result},
    sync::{Condvar, Mutex, RwLock},
    version::{Position, Version},
};

/// How many frozen parts may wait to be written before appends are held up.
const MOST_FROZEN: usize = 4;

/// What an index is made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexOptions {
    /// The store's id, which seeds the hashes.
    pub(crate) store: [u8; 16],
    /// A part is frozen when it covers so many bytes of the log.
    pub(crate) part_bytes: u64,
    /// Whether runs are written of frozen parts; whoever only reads waits for the writer to do it.
    pub(crate) writes: bool,
}

/// The newest event of a stream among those up to a position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looked {
    pub(crate) version: Version,
    pub(crate) position: Position,
    pub(crate) until: Position,
}

/// The index of a store.
#[derive(Debug)]
pub(crate) struct Index {
    shared: Arc<Shared>,
    worker: Worker,
    /// The files that were there at the opening and are not used.
    unused: Vec<PathBuf>,
    /// Why some of them are not.
    faults: Vec<Damage>,
}

/// What the thread that writes runs shares with the others.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) options: IndexOptions,
    pub(super) state: RwLock<State>,
    /// Signalled when a frozen part has become a run, or could not.
    pub(super) written: Condvar,
    /// Frozen parts whose run could not be written, until the next attempt.
    pub(super) failed: Mutex<bool>,
}

/// In order of position.
#[derive(Debug)]
pub(super) struct State {
    pub(super) runs: Arc<Vec<Arc<Run>>>,
    pub(super) frozen: Vec<Arc<Part>>,
    active: Part,
    heads: Heads,
    /// A part that has become a run, without its events: the next one is begun in its memory.
    pub(super) spare: Option<Part>,
}

/// Where an event lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) position: Position,
    /// In its segment.
    pub(crate) offset: u64,
}

/// As [`Found`], and how many bytes lie before the next event; 0 if that lies elsewhere.
pub(crate) type FoundWhole = (Found, u64);

impl State {
    /// The run that covers a position.
    pub(super) fn run_of(&self, position: Position) -> Option<&Arc<Run>> {
        let at = self.runs.partition_point(|run| run.last < position);
        self.runs.get(at).filter(|run| run.holds(position))
    }

    /// The parts in memory, the newest first.
    fn parts(&self) -> impl DoubleEndedIterator<Item = &Part> {
        [&self.active].into_iter().chain(self.frozen.iter().rev().map(|part| &**part))
    }

    /// The last position that the runs and parts know.
    fn last(&self) -> Position {
        self.active.end().previous()
    }

    fn newest(&self, stream: ListHash, until: Position) -> Result<(Version, Position)> {
        let newest = match self.heads.get(stream) {
            Some((version, position)) if position <= until => Some((version, position)),
            Some(_) => self.newest_in_parts(stream, until, Position::MAX),
            None => self.newest_in_parts(stream, until, self.heads.forgotten()),
        };
        newest.map_or_else(|| newest_in_runs(&self.runs, stream, until), Ok)
    }

    /// The newest event of a stream in the parts, none behind `until`, unless only the runs can tell. It has no event behind `last`.
    fn newest_in_parts(&self, stream: ListHash, until: Position, last: Position) -> Option<(Version, Position)> {
        let mut version = None;
        for part in self.parts().filter(|part| part.from <= last) {
            match part.newest(stream, until) {
                Some((version, Some(position))) => return Some((version, position)),
                // It is behind `until` here: what is before it is in an older part or run.
                Some((before, None)) => version = Some(before),
                None => {}
            }
        }
        (version == Some(Version::NONE)).then_some((Version::NONE, Position::START))
    }
}

fn newest_in_runs(runs: &[Arc<Run>], stream: ListHash, until: Position) -> Result<(Version, Position)> {
    for run in runs.iter().rev().filter(|run| run.first <= until) {
        let Some(list) = run.find(stream)? else { continue };
        let (mut piece, first_version) = piece_of_run(run, list, until)?;
        if let Some(newest) = piece.len().checked_sub(1) {
            return Ok((first_version.plus(newest as u64), piece.position(newest)?));
        }
    }
    Ok((Version::NONE, Position::START))
}

/// What a run holds of a list, none behind `until`, and the first version. A run may have been written since the reader
/// was bounded.
fn piece_of_run(run: &Arc<Run>, list: ListPlace, until: Position) -> Result<(Piece, Version)> {
    let first_version = list.first_version;
    let mut piece = Piece::of_run(run.clone(), list)?;
    if run.last > until {
        let behind = piece.lower_bound(until.next())?;
        piece.narrow(0, behind);
    }
    Ok((piece, first_version))
}

/// What the runs hold of a list, as [`piece_of_run`] says it of each.
fn pieces_of_runs(runs: &[Arc<Run>], list: ListHash, until: Position) -> Result<Vec<(Piece, Version)>> {
    let mut buckets = Vec::with_capacity(runs.len());
    for run in runs.iter().take_while(|run| run.first <= until) {
        if let Some(bucket) = run.bucket(list)? {
            buckets.push((run, bucket));
        }
    }
    // All at once, and not one after the other.
    buckets.iter().for_each(|(run, bucket)| run.look_at(bucket));
    let mut pieces = Vec::with_capacity(buckets.len());
    for (run, bucket) in buckets {
        if let Some(list) = run.find_in(bucket, list)? {
            pieces.push(piece_of_run(run, list, until)?);
        }
    }
    Ok(pieces)
}

impl Index {
    /// Opens the runs that cover the log from its first position on without a gap, none behind `until`. What they do not
    /// cover is to be [added](Index::add).
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: &Path, options: IndexOptions, until: Position) -> Result<Index> {
        let Opened { runs, unused, faults } = open_runs(&*disk, dir, &options.store, until)?;
        let covered = runs.last().map_or(Position::START, |run| run.last);
        let shared = Arc::new(Shared {
            disk,
            dir: dir.to_owned(),
            options,
            state: RwLock::new(State {
                runs: Arc::new(runs),
                frozen: Vec::new(),
                active: Part::new(covered.next()),
                heads: Heads::default(),
                spare: None,
            }),
            written: Condvar::new(),
            failed: Mutex::new(false),
        });
        Ok(Index { worker: Worker::new(shared.clone()), shared, unused, faults })
    }

    /// The hash that stands for a stream.
    pub(crate) fn stream(&self, name: &str) -> ListHash {
        ListHash::of_stream(&self.shared.options.store, name)
    }

    /// The hash that stands for an event type.
    pub(crate) fn event_type(&self, event_type: &str) -> ListHash {
        ListHash::of_type(&self.shared.options.store, event_type)
    }

    /// The hash that stands for a category.
    pub(crate) fn category(&self, category: &str) -> ListHash {
        ListHash::of_category(&self.shared.options.store, category)
    }

    /// The list of the first events of all streams, none behind `until`.
    pub(crate) fn firsts(&self, until: Position) -> Result<Matches> {
        self.matches(ListHash::FIRSTS, None, until, Direction::Forwards)
    }

    /// The last position that the runs and parts know.
    pub(crate) fn last(&self) -> Position {
        self.shared.state.read().last()
    }

    /// Adds the next events. Each takes up so many bytes of the log.
    pub(crate) fn add(&self, events: impl Iterator<Item = (Indexed, u64)> + Clone) {
        let mut state = self.shared.state.write();
        let State { active, heads, .. } = &mut *state;
        heads.look_at(events.clone().map(|(event, _)| event.stream));
        for (event, bytes) in events {
            active.add(&event, bytes);
            heads.put(event.stream, event.version, event.position);
        }
    }

    /// Adds the next event, and gives the version that its stream was at before.
    pub(crate) fn add_checked(&self, event: &Indexed, bytes: u64) -> Result<Version> {
        let mut state = self.shared.state.write();
        let (before, _) = state.newest(event.stream, Position::MAX)?;
        state.active.add(event, bytes);
        state.heads.put(event.stream, event.version, event.position);
        Ok(before)
    }

    /// Everything known so far is durable: if it is enough, it is to become a run.
    pub(crate) fn freeze(&self) {
        let mut state = self.shared.state.write();
        if state.active.bytes() >= self.shared.options.part_bytes {
            self.freeze_active(&mut state);
        }
    }

    fn freeze_active(&self, state: &mut State) {
        let end = state.active.end();
        let mut next = state.spare.take().unwrap_or_else(|| state.active.successor());
        next.from = end;
        let part = std::mem::replace(&mut state.active, next);
        state.frozen.push(Arc::new(part));
        if self.shared.options.writes {
            self.worker.write();
        }
    }

    /// Waits while too many parts wait to be written. Nothing that their writing needs may be locked.
    pub(crate) fn hold_up(&self) {
        if !self.shared.options.writes || self.shared.state.read().frozen.len() <= MOST_FROZEN {
            return;
        }
        let mut failed = self.shared.failed.lock();
        while !*failed && self.shared.state.read().frozen.len() > MOST_FROZEN {
            self.shared.written.wait(&mut failed);
        }
    }

    /// The version of a stream and the position of its newest event, none behind `until`.
    pub(crate) fn newest(&self, stream: ListHash, until: Position) -> Result<(Version, Position)> {
        self.shared.state.read().newest(stream, until)
    }

    /// Looks for the newest events of streams, without holding anyone up while runs are asked.
    pub(crate) fn look(&self, streams: &[ListHash]) -> Result<Vec<Looked>> {
        let state = self.shared.state.read();
        let until = state.last();
        state.heads.look_at(streams.iter().copied());
        let mut found: Vec<_> = streams.iter().map(|stream| state.heads.get(*stream)).collect();
        for (stream, found) in streams.iter().zip(&mut found).filter(|(_, found)| found.is_none()) {
            *found = state.newest_in_parts(*stream, until, state.heads.forgotten());
        }
        let runs = found.contains(&None).then(|| state.runs.clone());
        drop(state);
        let looked = |(stream, found): (&ListHash, Option<_>)| {
            let in_runs = || newest_in_runs(runs.as_deref().map_or(&[], Vec::as_slice), *stream, until);
            let (version, position) = found.map_or_else(in_runs, Ok)?;
            Ok(Looked { version, position, until })
        };
        streams.iter().zip(found).map(looked).collect()
    }

    /// The offset in its segment of an event.
    pub(crate) fn offset(&self, position: Position) -> Result<Option<u64>> {
        let state = self.shared.state.read();
        match state.run_of(position) {
            Some(run) => run.offsets(position).map(|(offset, _)| Some(offset)),
            None => Ok(state.parts().find_map(|part| part.offset(position))),
        }
    }

    /// Adds to `found` where these events lie, up to the first that cannot be told.
    pub(crate) fn locate(&self, positions: &[Position], found: &mut Vec<FoundWhole>) -> Result<()> {
        let state = self.shared.state.read();
        let mut run: Option<&Run> = None;
        for position in positions.iter().copied() {
            // Most lie in the same run.
            run = run.filter(|run| run.holds(position)).or_else(|| state.run_of(position).map(|run| &**run));
            let in_parts = |position| state.parts().find_map(|part| part.offset(position));
            let (offset, next) = match run {
                Some(run) => run.offsets(position)?,
                None => (in_parts(position).unwrap_or_default(), in_parts(position.next())),
            };
            // The next one may lie in another segment.
            found.push((Found { position, offset }, next.unwrap_or_default().saturating_sub(offset)));
        }
        Ok(())
    }

    /// The events of a list, none behind `until`. Of a stream, with the versions in a range.
    pub(crate) fn matches(
        &self,
        list: ListHash,
        versions: Option<(Version, Version)>,
        until: Position,
        direction: Direction,
    ) -> Result<Matches> {
        let state = self.shared.state.read();
        let mut pieces: Vec<Piece> = Vec::new();
        let mut push = |mut piece: Piece, first_version: Version| {
            if let Some((from, to)) = versions {
                let index = |version: Version| version.get().saturating_sub(first_version.get());
                let high = to.get().saturating_add(1).saturating_sub(first_version.get());
                let most = usize::MAX as u64;
                piece.narrow(index(from).min(most) as usize, high.min(most) as usize);
            }
            if piece.len() > 0 {
                pieces.push(piece);
            }
        };
        let runs = state.runs.clone();
        let mut in_memory = Vec::new();
        let from = versions.map_or(Version::NONE, |(from, _)| from);
        for part in state.parts() {
            if let Some((first_version, places)) = part.list(list, from, until) {
                in_memory.push((Piece::of_memory(part.from, places), first_version));
            }
        }
        drop(state);
        pieces_of_runs(&runs, list, until)?.into_iter().for_each(|(piece, first_version)| push(piece, first_version));
        in_memory.into_iter().rev().for_each(|(piece, first_version)| push(piece, first_version));
        Ok(Matches::new(pieces.into_iter(), direction))
    }

    /// Whether a run holds this event under its stream and version; `None` when no run covers its position.
    pub(crate) fn run_holds(&self, stream: ListHash, version: Version, position: Position) -> Result<Option<bool>> {
        let state = self.shared.state.read();
        let Some(run) = state.run_of(position).cloned() else { return Ok(None) };
        drop(state);
        let Some(list) = run.find(stream)? else { return Ok(Some(false)) };
        let index = version.get().checked_sub(list.first_version.get());
        let mut piece = Piece::of_run(run, list)?;
        match index.and_then(|index| usize::try_from(index).ok()).filter(|index| *index < piece.len()) {
            Some(index) => Ok(Some(piece.position(index)? == position)),
            None => Ok(Some(false)),
        }
    }

    /// The run that covers a position.
    pub(super) fn run_of(&self, position: Position) -> Option<Arc<Run>> {
        let state = self.shared.state.read();
        let at = state.runs.partition_point(|run| run.last < position);
        state.runs.get(at).filter(|run| run.first <= position).cloned()
    }

    /// Removes the runs that opening found and does not use: remains of a crash, or of another history of this store if
    /// older files of the log were put in place of newer ones. Those must be gone before the log has grown up to them again.
    pub(crate) fn remove_unused(&self) {
        if self.unused.is_empty() {
            return;
        }
        let Shared { disk, dir, state, .. } = &*self.shared;
        let used: Vec<_> = state.read().runs.iter().map(|run| Run::name(run.first, run.last)).collect();
        for name in self.unused.iter().filter(|name| !used.contains(name)) {
            // Where nothing can be removed, nothing can be appended either.
            let _ = disk.remove(&dir.join(name));
        }
        let _ = disk.sync_dir(&dir.join(INDEX));
    }

    /// Checks every page of every run, and names those that are damaged so that they were not opened.
    pub(crate) fn check(&self, fault: &mut dyn FnMut(Damage)) {
        self.faults.iter().for_each(|damage| fault(damage.clone()));
        let runs = self.shared.state.read().runs.clone();
        for error in runs.iter().filter_map(|run| run.check().err()) {
            if let Error::Damaged(damage) = error {
                fault(*damage);
            }
        }
    }

    /// The last position of the block of positions that `position` is in, if no event in it has a time as late as `time`.
    pub(crate) fn skip_before(&self, position: Position, time: i64) -> Result<Option<Position>> {
        let state = self.shared.state.read();
        let Some(run) = state.run_of(position) else { return Ok(None) };
        let last = self.block_end(position).min(run.last);
        Ok((run.time(position)? < time).then_some(last))
    }

    /// The last position of the block of positions that `position` is in.
    pub(crate) fn block_end(&self, position: Position) -> Position {
        Position::new((position.get() / TIME_BLOCK + 1) * TIME_BLOCK - 1)
    }

    /// The number of streams, none whose first event is behind `until`.
    pub(crate) fn stream_count(&self, until: Position) -> u64 {
        let state = self.shared.state.read();
        let on_disk: u64 = state.runs.iter().map(|run| run.streams()).sum();
        on_disk + state.parts().map(|part| part.first_count(until) as u64).sum::<u64>()
    }

    /// The number of runs and the size of their files in bytes.
    pub(crate) fn size(&self) -> (u64, u64) {
        let runs = &self.shared.state.read().runs;
        (runs.len() as u64, runs.iter().map(|run| run.file_bytes()).sum())
    }

    /// Takes over the runs that another process has written meanwhile, in place of the parts that they cover.
    pub(crate) fn adopt(&self) -> Result<()> {
        let Shared { disk, dir, options, state, .. } = &*self.shared;
        let until = state.read().active.from.previous();
        let runs = open_runs(&**disk, dir, &options.store, until)?.runs;
        let covered = runs.last().map_or(Position::START, |run| run.last);
        let mut state = state.write();
        let known = state.runs.last().map_or(Position::START, |run| run.last);
        // Runs need not end where parts do: then they are taken when they have grown.
        let ends_a_part = |part: &Arc<Part>| part.end() == covered.next();
        if covered > known && state.frozen.iter().any(ends_a_part) {
            state.frozen.retain(|part| part.from > covered);
            state.runs = Arc::new(runs);
        }
        Ok(())
    }

    /// Ends the thread, and leaves what is in memory to be made anew.
    pub(crate) fn abandon(&self) {
        self.shared.state.write().frozen.clear();
        self.worker.stop();
    }

    /// Writes what is in memory as runs, if it is enough to be worth it, and ends the thread. Everything known is durable.
    pub(crate) fn close(&self) {
        if !self.shared.options.writes {
            return;
        }
        let mut state = self.shared.state.write();
        if !state.active.is_empty() && state.active.bytes() >= self.shared.options.part_bytes {
            self.freeze_active(&mut state);
        }
        drop(state);
        self.worker.stop();
    }
}

/// The runs that are in use, and the others.
#[derive(Default)]
struct Opened {
    runs: Vec<Arc<Run>>,
    unused: Vec<PathBuf>,
    faults: Vec<Damage>,
}

/// Opens the runs that cover positions from the first on, the largest first. One that does not open is as good as missing.
fn open_runs(disk: &dyn Disk, dir: &Path, store: &[u8; 16], until: Position) -> Result<Opened> {
    let mut opened = Opened::default();
    let mut ranges: Vec<_> =
        names(disk, &dir.join(INDEX))?.iter().filter_map(|name| Run::range_in_name(name)).collect();
    ranges.sort_unstable_by_key(|(first, last)| (*first, std::cmp::Reverse(*last)));
    for (first, last) in ranges {
        let next = opened.runs.last().map_or(Position::FIRST, |run| run.last.next());
        if first == next && last <= until {
            match Run::open(disk, dir, store, first, last) {
                Ok(run) => {
                    opened.runs.push(Arc::new(run));
                    continue;
                }
                Err(Error::Damaged(damage)) => opened.faults.push(*damage),
                // Perhaps it was merged with others a moment ago.
                Err(_) => {}
            }
        }
        opened.unused.push(Run::name(first, last));
    }
    Ok(opened)
}
