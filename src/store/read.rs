//! Reading events: of one stream, of the whole log or a choice of it, and the names of the streams.
//!
//! A reader is bounded when it is made: it gives out what was durable then, however much is appended meanwhile. It
//! holds no lock between two events. What it was led to by the index is compared with what was asked for.

use std::collections::BTreeSet;

use super::{Store, lost::StandIn, recorded};
use crate::{
    error::{Damage, Error, Lost, Result},
    event::{RecordedEvent, StreamName, Timestamp},
    event_store::{ReadAll, ReadStream},
    index::{Direction, Found, ListHash, Matches, Selection, Union},
    log::{LogScan, SegmentView},
    version::{Position, Version},
};

impl Store {
    /// The events of a stream, as far as they are durable now. A stream that does not exist has none.
    ///
    /// Each event is read and its checksum verified when the iterator comes to it; after an error the iterator ends. The
    /// exception is [`Error::Lost`], which names events that are lost: behind them it goes on.
    pub fn read_stream(&self, read: impl Into<ReadStream>) -> StreamEvents<'_> {
        StreamEvents {
            store: self,
            until: self.inner.visible(),
            view: self.inner.log.view(),
            read: read.into(),
            matches: None,
        }
    }

    /// The events of the whole log, or those that were asked for, as far as they are durable now.
    ///
    /// Each event is read and its checksum verified when the iterator comes to it; after an error the iterator ends. The
    /// exception is [`Error::Lost`], which names events that are lost: behind them it goes on.
    pub fn read_all(&self, read: ReadAll) -> AllEvents<'_> {
        let (until, failed) = match self.inner.visible() {
            Ok(until) => (until.min(read.before.previous()), None),
            Err(error) => (Position::START, Some(error)),
        };
        AllEvents {
            store: self,
            until,
            view: self.inner.log.view(),
            failed,
            source: None,
            skipped_to: Position::START,
            read,
        }
    }

    /// The streams and their versions, in order of first event, as far as they are durable now. After an error the
    /// iterator ends.
    pub fn streams(&self) -> Streams<'_> {
        Streams { store: self, until: self.inner.visible(), view: self.inner.log.view(), firsts: None, ended: false }
    }

    /// The event of a position; `None` when there is no durable one. A lost one is an error.
    pub(super) fn event_of_position(&self, position: Position) -> Result<Option<RecordedEvent>> {
        if position == Position::START || position > self.inner.visible()? {
            return Ok(None);
        }
        let offset = self.inner.index.offset(position)?.unwrap_or_default();
        match self.event_at(&self.inner.log.view(), Found { position, offset })? {
            Ok(event) => Ok(Some(event)),
            Err(_) => Err(Lost::Positions { first: position, last: position }.into()),
        }
    }

    /// The event at a place, or what stands for it when it is lost.
    fn event_at(&self, view: &SegmentView, found: Found) -> Result<Result<RecordedEvent, StandIn>> {
        let record = self.inner.log.record(view, found.position, found.offset)?;
        match recorded::decode_any(&record.read()) {
            Ok(event) => Ok(event),
            Err(fault) => Err(Damage { place: self.inner.log.place(found.position, found.offset)?, fault }.into()),
        }
    }

    /// The event that the index promised is another.
    fn misled(&self, found: Found, event: Option<&RecordedEvent>, expected: &str) -> Error {
        let there = event.map_or_else(
            || "a lost event".to_owned(),
            |event| format!("version {} of `{}`", event.version(), event.stream()),
        );
        let text = format!("the index led to {there} here, in search of {expected}");
        match self.inner.log.place(found.position, found.offset) {
            Ok(place) => Damage { place, fault: text }.into(),
            Err(error) => error,
        }
    }
}

/// Whether a stream of the very name of a category is of that category too: then it has no other list than its own.
fn of_its_own_category(category: &str) -> bool {
    StreamName::new(category).is_ok_and(|stream| stream.category() == category)
}

fn direction(backwards: bool) -> Direction {
    if backwards { Direction::Backwards } else { Direction::Forwards }
}

/// The events of a stream: see [`Store::read_stream`].
#[derive(Debug)]
pub struct StreamEvents<'a> {
    store: &'a Store,
    read: ReadStream,
    /// The position behind which nothing is read.
    until: Result<Position>,
    view: SegmentView,
    /// What is left, and the version that comes next if it is known.
    matches: Option<(Matches, Option<Version>)>,
}

impl StreamEvents<'_> {
    fn step(&mut self) -> Result<Option<RecordedEvent>> {
        if self.read.limit == 0 {
            return Ok(None);
        }
        let ReadStream { stream, from, to, backwards, .. } = &self.read;
        let (matches, expected) = match &mut self.matches {
            Some(left) => left,
            none => {
                let index = &self.store.inner.index;
                let (from, until) = ((*from).max(Version::FIRST), self.until.clone()?);
                let list = index.stream(stream.as_str());
                let matches = index.matches(list, Some((from, *to)), until, direction(*backwards))?;
                none.insert((matches, (!backwards).then_some(from)))
            }
        };
        let Some(found) = matches.next()? else { return Ok(None) };
        let event = self.store.event_at(&self.view, found)?;
        let version = match &event {
            Ok(event) => event.version(),
            Err(lost) => lost.stream.map_or(Version::NONE, |(_, version)| version),
        };
        let is_of = match &event {
            Ok(event) => event.is_of(stream),
            Err(lost) => lost.stream.is_some_and(|(hash, _)| hash == self.store.inner.index.stream(stream.as_str())),
        };
        if !is_of || expected.is_some_and(|expected| expected != version) {
            let wanted = expected.map_or_else(|| "an event".to_owned(), |version| format!("version {version}"));
            return Err(self.store.misled(found, event.as_ref().ok(), &format!("{wanted} of `{stream}`")));
        }
        *expected = Some(if *backwards { Version::new(version.get() - 1) } else { version.next() });
        let event = event.map_err(|lost| lost.error_of(stream))?;
        self.read.limit -= 1;
        Ok(Some(event))
    }
}

impl Iterator for StreamEvents<'_> {
    type Item = Result<RecordedEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if ends(&step) {
            self.read.limit = 0;
        }
        step.transpose()
    }
}

/// Whether an iterator ends with this: behind lost events it goes on.
fn ends<T>(step: &Result<T>) -> bool {
    matches!(step, Err(error) if !matches!(error, Error::Lost(_)))
}

/// The events of the log: see [`Store::read_all`].
pub struct AllEvents<'a> {
    store: &'a Store,
    /// The position behind which nothing is read.
    until: Position,
    view: SegmentView,
    /// Why nothing can be read at all.
    failed: Option<Error>,
    read: ReadAll,
    source: Option<Source<'a>>,
    /// Up to here it is known whether any event is late enough.
    skipped_to: Position,
}

enum Source<'a> {
    /// One after the other, as they lie.
    Scan(LogScan<'a>),
    /// Every position downwards; the next one.
    Down(Position),
    /// Those that the index names.
    Selected(Selection),
}

impl<'a> AllEvents<'a> {
    /// Begins behind `after`, or before it when reading backwards.
    fn begin(&self, first: Position) -> Result<Source<'a>> {
        let inner = &self.store.inner;
        let direction = direction(self.read.backwards);
        let union = |lists: Result<Vec<Matches>>| lists.map(|lists| Union::new(lists, direction));
        let list = |hash| inner.index.matches(hash, None, self.until, direction);
        // A type that was named twice is one list all the same: no event comes twice.
        let types: BTreeSet<_> = self.read.types.iter().collect();
        let types = types.into_iter().map(|event_type| inner.index.event_type(event_type.as_str()));
        // What is lost may have been what is wanted.
        let types = types.chain([ListHash::LOST]).map(list);
        let category = self.read.category.as_deref().map(|category| {
            let own = of_its_own_category(category).then(|| inner.index.stream(category));
            union([inner.index.category(category), ListHash::LOST].into_iter().chain(own).map(list).collect())
        });
        let category = match &self.read.stream {
            Some(stream) => Some(union([list(inner.index.stream(stream.as_str()))].into_iter().collect())?),
            None => category.transpose()?,
        };
        let mut selection = match (self.read.types.is_empty(), category) {
            (true, None) if self.read.backwards => return Ok(Source::Down(first)),
            (true, None) => {
                let offset = inner.index.offset(first)?.unwrap_or_default();
                return Ok(Source::Scan(inner.log.scan(first, offset, self.until)?));
            }
            (true, Some(category)) => Selection::new(category, None),
            (false, category) => Selection::new(union(types.collect())?, category),
        };
        selection.seek(first)?;
        Ok(Source::Selected(selection))
    }

    fn step(&mut self) -> Result<Option<RecordedEvent>> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        loop {
            let Some((found, event)) = self.candidate()? else { return Ok(None) };
            let position = found.position;
            let within = if self.read.backwards { position > self.read.after } else { position <= self.until };
            if !within {
                self.read.limit = 0;
                return Ok(None);
            }
            let event = match event {
                Ok(event) => event,
                Err(lost) => match self.pass_over(&lost, position) {
                    Some(lost) => return Err(lost.into()),
                    None => continue,
                },
            };
            self.check(found, &event)?;
            if self.read.since.is_none_or(|since| event.timestamp() >= since) {
                self.read.limit -= 1;
                return Ok(Some(event));
            }
        }
    }

    /// Goes on behind lost events, the first of which lies here. `None` when they are older than what was asked for.
    fn pass_over(&mut self, lost: &StandIn, position: Position) -> Option<Lost> {
        let ReadAll { after, since, backwards, .. } = &mut self.read;
        let wanted = since.is_none_or(|since| lost.time >= since);
        let lost = match backwards {
            true => Lost::Positions { first: lost.first.max(after.next()), last: position },
            false => Lost::Positions { first: position, last: lost.last.min(self.until) },
        };
        self.source = None;
        match (&lost, backwards) {
            (Lost::Positions { first, .. }, true) => self.until = first.previous(),
            (Lost::Positions { last, .. }, false) => *after = *last,
            (Lost::Version { .. }, _) => {}
        }
        wanted.then_some(lost)
    }

    /// The next event that may be wanted.
    fn candidate(&mut self) -> Result<Option<(Found, Result<RecordedEvent, StandIn>)>> {
        let foreign =
            |stream: &StreamName| self.read.category.as_deref().is_some_and(|category| stream.category() != category);
        if self.read.limit == 0 || self.read.after >= self.until || self.read.stream.as_ref().is_some_and(foreign) {
            return Ok(None);
        }
        if self.source.is_none() {
            let first = if self.read.backwards { self.until } else { self.read.after.next() };
            self.source = Some(self.begin(first)?);
        }
        if let (Some(since), false) = (self.read.since, self.read.backwards) {
            self.skip_old(since)?;
        }
        let store = self.store;
        match &mut self.source {
            Some(Source::Scan(scan)) => {
                let Some((read, offset)) = scan.next()? else { return Ok(None) };
                let found = Found { position: read.record.header.position, offset };
                match recorded::decode_any(&read) {
                    Ok(event) => Ok(Some((found, event))),
                    Err(fault) => Err(scan.segment().damage(offset, found.position, fault).into()),
                }
            }
            Some(Source::Down(position)) => {
                let next = *position;
                if next <= self.read.after {
                    return Ok(None);
                }
                *position = next.previous();
                let offset = store.inner.index.offset(next)?.unwrap_or_default();
                let found = Found { position: next, offset };
                Ok(Some((found, store.event_at(&self.view, found)?)))
            }
            Some(Source::Selected(selection)) => {
                let Some(found) = selection.next()? else { return Ok(None) };
                Ok(Some((found, store.event_at(&self.view, found)?)))
            }
            None => Ok(None),
        }
    }

    /// Passes over blocks of positions that are older as a whole.
    fn skip_old(&mut self, since: Timestamp) -> Result<()> {
        let next = match &mut self.source {
            Some(Source::Scan(scan)) => scan.position(),
            Some(Source::Selected(selection)) => selection.peek()?,
            _ => None,
        };
        let Some(mut next) = next.filter(|next| *next > self.skipped_to && *next <= self.until) else { return Ok(()) };
        let first = next;
        while let Some(last) = self.store.inner.index.skip_before(next, since.as_micros())? {
            next = last.next();
        }
        self.skipped_to = self.store.inner.index.block_end(next);
        if next > first {
            if next > self.until {
                self.read.limit = 0;
            } else if let Some(Source::Selected(selection)) = &mut self.source {
                selection.seek(next)?;
            } else {
                self.source = Some(self.begin(next)?);
            }
        }
        Ok(())
    }

    fn check(&self, found: Found, event: &RecordedEvent) -> Result<()> {
        let types = &self.read.types;
        let right_type = types.is_empty() || types.iter().any(|event_type| event.is_a(event_type));
        let right_category = self.read.category.as_deref().is_none_or(|category| event.is_of_category(category));
        let right_stream = self.read.stream.as_ref().is_none_or(|stream| event.is_of(stream));
        if right_type && right_category && right_stream && event.position() == found.position {
            return Ok(());
        }
        Err(self.store.misled(found, Some(event), &format!("types {types:?} in category {:?}", self.read.category)))
    }
}

impl Iterator for AllEvents<'_> {
    type Item = Result<RecordedEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        // One after the other and nothing to look for: the short way. Errors and the end are found again on the long one.
        if let (Some(Source::Scan(scan)), None, 1..) = (&mut self.source, self.read.since, self.read.limit)
            && let Ok(Some((read, offset))) = scan.next()
        {
            return Some(match recorded::decode(&read) {
                Ok(event) => {
                    self.read.limit -= 1;
                    Ok(event)
                }
                Err(fault) => {
                    let position = read.record.header.position;
                    let lost = StandIn::decode(&read);
                    let damage = scan.segment().damage(offset, position, fault);
                    match lost.and_then(|lost| self.pass_over(&lost, position)) {
                        Some(lost) => Err(lost.into()),
                        None => {
                            self.read.limit = 0;
                            Err(damage.into())
                        }
                    }
                }
            });
        }
        let step = self.step();
        if ends(&step) {
            self.read.limit = 0;
        }
        step.transpose()
    }
}

/// The streams: see [`Store::streams`].
#[derive(Debug)]
pub struct Streams<'a> {
    store: &'a Store,
    until: Result<Position>,
    view: SegmentView,
    firsts: Option<Matches>,
    ended: bool,
}

impl Streams<'_> {
    fn step(&mut self) -> Result<Option<(StreamName, Version)>> {
        let until = self.until.clone()?;
        let index = &self.store.inner.index;
        let firsts = match &mut self.firsts {
            Some(firsts) => firsts,
            none => none.insert(index.firsts(until)?),
        };
        let Some(found) = firsts.next()? else { return Ok(None) };
        let event = match self.store.event_at(&self.view, found)? {
            Ok(event) if event.version() != Version::FIRST => {
                return Err(self.store.misled(found, Some(&event), "the first event of a stream"));
            }
            Ok(event) => Some(event),
            Err(lost) => self.first_there(&lost, until)?,
        };
        let lost = Lost::Positions { first: found.position, last: found.position };
        let stream = event.ok_or(lost)?.stream();
        let (version, _) = index.newest(index.stream(stream.as_str()), until)?;
        Ok(Some((stream, version)))
    }
}

impl Streams<'_> {
    /// The first event that is there of the stream whose first event is lost.
    fn first_there(&self, lost: &StandIn, until: Position) -> Result<Option<RecordedEvent>> {
        let Some((list, _)) = lost.stream else { return Ok(None) };
        let mut matches = self.store.inner.index.matches(list, None, until, Direction::Forwards)?;
        while let Some(found) = matches.next()? {
            if let Ok(event) = self.store.event_at(&self.view, found)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }
}

impl Iterator for Streams<'_> {
    type Item = Result<(StreamName, Version)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let step = self.step();
        self.ended = matches!(step, Ok(None)) || ends(&step);
        step.transpose()
    }
}
