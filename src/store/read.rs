//! Reading events: of one stream, of the whole log or a choice of it, and the names of the streams.
//!
//! A reader is bounded when it is made: it gives out what was durable then, however much is appended meanwhile. It
//! holds no lock between two events. What it was led to by the index is compared with what was asked for.

use bytes::Bytes;

use super::{AllEvents, Store, ahead::Ahead, lost::StandIn, recorded};
use crate::{
    error::{Damage, Error, Lost, Result},
    event::{RecordedEvent, StreamName},
    event_store::{ReadAll, ReadStream},
    index::{Direction, Found, Matches},
    log::SegmentView,
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
            ahead: Ahead::default(),
            event: RecordedEvent::none(),
        }
    }

    /// The events of the whole log, or those that were asked for, as far as they are durable now.
    ///
    /// Each event is read and its checksum verified when the iterator comes to it; after an error the iterator ends. The
    /// exception is [`Error::Lost`], which names events that are lost: behind them it goes on.
    pub fn read_all(&self, read: ReadAll) -> AllEvents<'_> {
        AllEvents::new(self, read)
    }

    /// The streams and their versions, in order of first event, as far as they are durable now. After an error the
    /// iterator ends.
    pub fn streams(&self) -> Streams<'_> {
        self.streams_after(Position::START)
    }

    /// The streams whose first event lies behind a position.
    pub(crate) fn streams_after(&self, after: Position) -> Streams<'_> {
        let (until, view) = (self.inner.visible(), self.inner.log.view());
        Streams { store: self, until, view, firsts: None, ahead: Ahead::default(), position: after, ended: false }
    }

    /// The event of a position; `None` when there is no durable one. A lost one is an error.
    pub(super) fn event_of_position(&self, position: Position) -> Result<Option<RecordedEvent>> {
        if position == Position::START || position > self.inner.visible()? {
            return Ok(None);
        }
        let offset = self.inner.index.offset(position)?.unwrap_or_default();
        let mut event = RecordedEvent::none();
        match self.read_into(&mut self.inner.log.view(), Found { position, offset }, &mut event)? {
            Ok(()) => Ok(Some(event)),
            Err(_) => Err(Lost::Positions { first: position, last: position }.into()),
        }
    }

    /// Reads the event that lies there, in place of the one that `event` was. The inner error is what stands for a lost one.
    pub(super) fn read_into(
        &self,
        view: &mut SegmentView,
        found: Found,
        event: &mut RecordedEvent,
    ) -> Result<Result<(), StandIn>> {
        let mut buffer = Bytes::new();
        let record = self.inner.log.record(view, found.position, found.offset, &mut buffer)?;
        match recorded::decode_any_into(&record, event) {
            Ok(read) => Ok(read),
            Err(fault) => Err(Damage { place: self.inner.log.place(found.position, found.offset)?, fault }.into()),
        }
    }

    /// The event that the index promised is another.
    pub(super) fn misled(&self, found: Found, event: Option<&RecordedEvent>, expected: &str) -> Error {
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

/// Whether a reader ends with this: behind lost events it goes on.
pub(super) fn ends(error: &Error) -> bool {
    !matches!(error, Error::Lost(_))
}

pub(super) fn direction(backwards: bool) -> Direction {
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
    ahead: Ahead,
    /// The one that was read last.
    event: RecordedEvent,
}

impl StreamEvents<'_> {
    /// Lends the next event, until the next call: see [`AllEvents::lend`].
    ///
    /// # Errors
    ///
    /// When it cannot be read or is damaged. After an error there are no more.
    pub fn lend(&mut self) -> Result<Option<&RecordedEvent>> {
        match self.step() {
            Ok(there) => Ok(there.then_some(&self.event)),
            Err(error) => {
                if ends(&error) {
                    self.read.limit = 0;
                }
                Err(error)
            }
        }
    }

    /// Reads the next event, if there is one.
    fn step(&mut self) -> Result<bool> {
        let Self { store, read, until, view, matches, ahead, event } = self;
        let ReadStream { stream, from, to, limit, backwards } = read;
        if *limit == 0 {
            return Ok(false);
        }
        let (matches, expected) = match matches {
            Some(left) => left,
            none => {
                let index = &store.inner.index;
                let (from, until) = ((*from).max(Version::FIRST), until.clone()?);
                let list = index.stream(stream.as_str());
                let matches = index.matches(list, Some((from, *to)), until, direction(*backwards))?;
                none.insert((matches, (!*backwards).then_some(from)))
            }
        };
        let Some(found) = ahead.next(store, view, *limit, |most, positions| matches.take(most, positions))? else {
            return Ok(false);
        };
        let read = store.read_into(view, found, event)?;
        let version = match &read {
            Ok(()) => event.version(),
            Err(lost) => lost.stream.map_or(Version::NONE, |(_, version)| version),
        };
        let is_of = match &read {
            Ok(()) => event.is_of(stream),
            Err(lost) => lost.stream.is_some_and(|(hash, _)| hash == store.inner.index.stream(stream.as_str())),
        };
        if !is_of || expected.is_some_and(|expected| expected != version) {
            let wanted = expected.map_or_else(|| "an event".to_owned(), |version| format!("version {version}"));
            let there = read.is_ok().then_some(&*event);
            return Err(store.misled(found, there, &format!("{wanted} of `{stream}`")));
        }
        *expected = Some(if *backwards { Version::new(version.get() - 1) } else { version.next() });
        read.map_err(|lost| lost.error_of(stream))?;
        *limit -= 1;
        Ok(true)
    }
}

impl Iterator for StreamEvents<'_> {
    type Item = Result<RecordedEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        self.lend().map(Option::<&RecordedEvent>::cloned).transpose()
    }
}

/// The streams: see [`Store::streams`].
#[derive(Debug)]
pub struct Streams<'a> {
    store: &'a Store,
    until: Result<Position>,
    view: SegmentView,
    firsts: Option<Matches>,
    ahead: Ahead,
    /// Of the first event of the stream that was given out last.
    position: Position,
    ended: bool,
}

impl Streams<'_> {
    /// The position of the first event of the stream that was given out last.
    #[cfg(feature = "server")]
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    fn step(&mut self) -> Result<Option<(StreamName, Version)>> {
        let until = self.until.clone()?;
        let index = &self.store.inner.index;
        let firsts = match &mut self.firsts {
            Some(firsts) => firsts,
            none => {
                let firsts = none.insert(index.firsts(until)?);
                firsts.seek(self.position.next())?;
                firsts
            }
        };
        let ahead = &mut self.ahead;
        let more = |most: usize, positions: &mut Vec<Position>| firsts.take(most, positions);
        let Some(found) = ahead.next(self.store, &mut self.view, usize::MAX, more)? else { return Ok(None) };
        self.position = found.position;
        let mut event = RecordedEvent::none();
        let there = match self.store.read_into(&mut self.view, found, &mut event)? {
            Ok(()) if event.version() != Version::FIRST => {
                return Err(self.store.misled(found, Some(&event), "the first event of a stream"));
            }
            Ok(()) => Some(event),
            Err(lost) => self.first_there(&lost, until)?,
        };
        let lost = Lost::Positions { first: found.position, last: found.position };
        let stream = there.ok_or(lost)?.stream();
        let (version, _) = index.newest(index.stream(stream.as_str()), until)?;
        Ok(Some((stream, version)))
    }
}

impl Streams<'_> {
    /// The first event that is there of the stream whose first event is lost.
    fn first_there(&mut self, lost: &StandIn, until: Position) -> Result<Option<RecordedEvent>> {
        let Some((list, _)) = lost.stream else { return Ok(None) };
        let mut matches = self.store.inner.index.matches(list, None, until, Direction::Forwards)?;
        while let Some(position) = matches.next()? {
            let offset = self.store.inner.index.offset(position)?.unwrap_or_default();
            let found = Found { position, offset };
            let mut event = RecordedEvent::none();
            if self.store.read_into(&mut self.view, found, &mut event)?.is_ok() {
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
        self.ended = match &step {
            Ok(found) => found.is_none(),
            Err(error) => ends(error),
        };
        step.transpose()
    }
}
