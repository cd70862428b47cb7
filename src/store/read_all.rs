//! Reading the whole log, or a choice of it.
//!
//! Without a choice the records are read as they lie; otherwise the index leads to them.

use std::collections::BTreeSet;

use super::{
    Store,
    ahead::Ahead,
    lost::StandIn,
    read::{direction, ends},
    recorded,
};
use crate::{
    error::{Error, Lost, Result},
    event::{RecordedEvent, StreamName, Timestamp},
    event_store::ReadAll,
    index::{Found, Index, ListHash, Matches, Selection, Union},
    log::{LogScan, SegmentView},
    version::Position,
};

/// The events of the log: see [`Store::read_all`].
pub struct AllEvents<'a> {
    store: &'a Store,
    /// The position behind which nothing is read.
    until: Position,
    view: SegmentView,
    /// Why nothing can be read at all.
    failed: Option<Error>,
    read: ReadAll,
    since: Option<Since>,
    source: Option<Source<'a>>,
    /// The one that was read last.
    event: RecordedEvent,
}

enum Source<'a> {
    /// One after the other, as they lie.
    Scan(LogScan<'a>),
    /// Where something else than the log says.
    Places(Places, Ahead),
}

/// What says where the next events lie.
enum Places {
    /// Every position downwards; the next one.
    Down(Position),
    /// The lists of the index.
    Selected(Selection),
}

impl Places {
    /// Adds the next positions, until there are so many or no more.
    fn take(
        &mut self,
        index: &Index,
        since: &mut Option<Since>,
        (after, until): (Position, Position),
        most: usize,
        positions: &mut Vec<Position>,
    ) -> Result<()> {
        if let (Places::Selected(selection), None) = (&mut *self, &since) {
            return selection.take(most, positions);
        }
        while positions.len() < most
            && let Some(position) = self.next(index, since, after, until)?
        {
            positions.push(position);
        }
        Ok(())
    }

    fn next(
        &mut self,
        index: &Index,
        since: &mut Option<Since>,
        after: Position,
        until: Position,
    ) -> Result<Option<Position>> {
        match self {
            Places::Down(position) if *position <= after => Ok(None),
            Places::Down(position) => {
                let next = *position;
                *position = next.previous();
                Ok(Some(next))
            }
            Places::Selected(selection) => {
                if let Some(since) = since {
                    while let Some(next) = selection.peek()? {
                        match since.pass(index, next, until)? {
                            late if late == next => break,
                            late => selection.seek(late)?,
                        }
                    }
                }
                selection.next()
            }
        }
    }
}

/// Passes over blocks of positions that are older as a whole.
struct Since {
    time: Timestamp,
    /// Up to here it is known whether any event is late enough.
    known: Position,
}

impl Since {
    /// The first position from `next` on that is in a block with an event that is late enough, or one behind `until`.
    fn pass(&mut self, index: &Index, mut next: Position, until: Position) -> Result<Position> {
        if next > self.known && next <= until {
            while let Some(last) = index.skip_before(next, self.time.as_micros())? {
                next = last.next();
            }
            self.known = index.block_end(next);
        }
        Ok(next)
    }
}

/// Whether a stream of the very name of a category is of that category too: then it has no other list than its own.
fn of_its_own_category(category: &str) -> bool {
    StreamName::new(category).is_ok_and(|stream| stream.category() == category)
}

impl<'a> AllEvents<'a> {
    pub(super) fn new(store: &'a Store, read: ReadAll) -> AllEvents<'a> {
        let (until, failed) = match store.inner.visible() {
            Ok(until) => (until.min(read.before.previous()), None),
            Err(error) => (Position::START, Some(error)),
        };
        // Backwards there is nothing to pass over before the first that is late enough.
        let since = read.since.filter(|_| !read.backwards).map(|time| Since { time, known: Position::START });
        let view = store.inner.log.view();
        AllEvents { store, until, view, failed, read, since, source: None, event: RecordedEvent::none() }
    }

    /// Lends the next event, until the next call. The iterator gives each event away instead, and so counts the references to
    /// the memory that it lies in once more: a tenth of what a scan costs. A clone of what is lent may be kept.
    ///
    /// ```
    /// # use factlog::{EventType, ExpectedVersion, NewEvent, Position, ReadAll, Store, StreamName};
    /// # let dir = tempfile::TempDir::new()?;
    /// # let store = Store::open(dir.path())?;
    /// # let paid = NewEvent::new(EventType::new("Paid")?, "{}");
    /// # store.append(&StreamName::new("order-1")?, ExpectedVersion::Any, vec![paid])?;
    /// let mut bytes = 0;
    /// let mut events = store.read_all(ReadAll::after(Position::START));
    /// while let Some(event) = events.lend()? {
    ///     bytes += event.payload_slice().len();
    /// }
    /// assert_eq!(bytes, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When it cannot be read or is damaged. After an error there are no more.
    #[inline]
    pub fn lend(&mut self) -> Result<Option<&RecordedEvent>> {
        // One after the other and nothing to look for: the short way. Errors and the end are found again on the long one.
        if let (Some(Source::Scan(scan)), None, 1..) = (&mut self.source, &self.since, self.read.limit)
            && let Ok(true) = scan.advance()
        {
            if let Err(fault) = recorded::decode_into(&scan.record(), &mut self.event) {
                let (lost, position) = (StandIn::decode(&scan.record()), scan.record().header().position);
                let damage = scan.damage(fault);
                if let Some(lost) = lost.and_then(|lost| self.pass_over(&lost, position)) {
                    return Err(lost.into());
                }
                self.read.limit = 0;
                return Err(damage.into());
            }
            self.read.limit -= 1;
            return Ok(Some(&self.event));
        }
        if self.take_known() {
            return Ok(Some(&self.event));
        }
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

    /// Reads the next event where its place is known already, if all is well with it. If not, that is found again on the long way.
    fn take_known(&mut self) -> bool {
        let (Some(Source::Places(_, ahead)), None, 1..) = (&self.source, self.read.since, self.read.limit) else {
            return false;
        };
        let Some(found) = ahead.known() else { return false };
        let read = self.store.inner.log.sound_record(&mut self.view, found.position, found.offset);
        let there = read.is_some_and(|read| recorded::decode_into(&read, &mut self.event).is_ok());
        if !there || found.position > self.until || found.position <= self.read.after || !self.is_wanted() {
            return false;
        }
        if let Some(Source::Places(_, ahead)) = &mut self.source {
            ahead.pass();
        }
        self.read.limit -= 1;
        true
    }

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
        let lost = list(ListHash::LOST)?.peek()?.map(|_| ListHash::LOST);
        let types = types.chain(lost).map(list);
        let category = self.read.category.as_deref().map(|category| {
            let own = of_its_own_category(category).then(|| inner.index.stream(category));
            union([inner.index.category(category)].into_iter().chain(lost).chain(own).map(list).collect())
        });
        let category = match &self.read.stream {
            Some(stream) => Some(union([list(inner.index.stream(stream.as_str()))].into_iter().collect())?),
            None => category.transpose()?,
        };
        let mut selection = match (self.read.types.is_empty(), category) {
            (true, None) if self.read.backwards => return Ok(Source::Places(Places::Down(first), Ahead::default())),
            (true, None) => return self.scan_from(first),
            (true, Some(category)) => Selection::new(category, None),
            (false, category) => Selection::new(union(types.collect())?, category),
        };
        selection.seek(first)?;
        Ok(Source::Places(Places::Selected(selection), Ahead::default()))
    }

    fn scan_from(&self, first: Position) -> Result<Source<'a>> {
        let inner = &self.store.inner;
        let offset = inner.index.offset(first)?.unwrap_or_default();
        Ok(Source::Scan(inner.log.scan(first, offset, self.until)?))
    }

    /// Reads the next event, if there is one.
    fn step(&mut self) -> Result<bool> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        while let Some((found, read)) = self.candidate()? {
            let position = found.position;
            let within = if self.read.backwards { position > self.read.after } else { position <= self.until };
            if !within {
                break;
            }
            if let Err(lost) = read {
                match self.pass_over(&lost, position) {
                    Some(lost) => return Err(lost.into()),
                    None => continue,
                }
            }
            self.check(found)?;
            if self.read.since.is_none_or(|since| self.event.timestamp() >= since) {
                self.read.limit -= 1;
                return Ok(true);
            }
        }
        self.read.limit = 0;
        Ok(false)
    }

    /// Goes on behind lost events, the first of which lies here. `None` when they are older than what was asked for.
    fn pass_over(&mut self, lost: &StandIn, position: Position) -> Option<Lost> {
        let ReadAll { after, since, backwards, .. } = &mut self.read;
        let wanted = since.is_none_or(|since| lost.time >= since);
        self.source = None;
        let (first, last) = match backwards {
            true => (lost.first.max(after.next()), position),
            false => (position, lost.last.min(self.until)),
        };
        match backwards {
            true => self.until = first.previous(),
            false => *after = last,
        }
        wanted.then_some(Lost::Positions { first, last })
    }

    /// Reads the next event that may be wanted, and gives its place; or what stands there for a lost one.
    fn candidate(&mut self) -> Result<Option<(Found, Result<(), StandIn>)>> {
        let foreign =
            |stream: &StreamName| self.read.category.as_deref().is_some_and(|category| stream.category() != category);
        if self.read.limit == 0 || self.read.after >= self.until || self.read.stream.as_ref().is_some_and(foreign) {
            return Ok(None);
        }
        if self.source.is_none() {
            let first = if self.read.backwards { self.until } else { self.read.after.next() };
            self.source = Some(self.begin(first)?);
        }
        let index = &self.store.inner.index;
        if let (Some(Source::Scan(scan)), Some(since)) = (&self.source, &mut self.since)
            && let Some(next) = scan.position()
        {
            match since.pass(index, next, self.until)? {
                late if late > self.until => return Ok(None),
                late if late > next => self.source = Some(self.scan_from(late)?),
                _ => {}
            }
        }
        let Self { store, view, source, since, event, read, until, .. } = self;
        match source {
            Some(Source::Scan(scan)) => {
                if !scan.advance()? {
                    return Ok(None);
                }
                let record = scan.record();
                let read = recorded::decode_any_into(&record, event);
                let found = Found { position: record.header().position, offset: scan.offset() };
                Ok(Some((found, read.map_err(|fault| scan.damage(fault))?)))
            }
            Some(Source::Places(places, ahead)) => {
                let more = |most: usize, positions: &mut Vec<Position>| {
                    places.take(index, since, (read.after, *until), most, positions)
                };
                let Some(found) = ahead.next(store, view, read.limit, more)? else { return Ok(None) };
                Ok(Some((found, store.read_into(view, found, event)?)))
            }
            None => Ok(None),
        }
    }

    /// Whether the event is one of those that were asked for.
    fn is_wanted(&self) -> bool {
        let (event, types) = (&self.event, &self.read.types);
        let right_type = types.is_empty() || types.iter().any(|event_type| event.is_a(event_type));
        let right_category = self.read.category.as_deref().is_none_or(|category| event.is_of_category(category));
        let right_stream = self.read.stream.as_ref().is_none_or(|stream| event.is_of(stream));
        right_type && right_category && right_stream
    }

    /// What the index promised is what was asked for.
    fn check(&self, found: Found) -> Result<()> {
        let (event, types) = (&self.event, &self.read.types);
        if self.is_wanted() && event.position() == found.position {
            return Ok(());
        }
        Err(self.store.misled(found, Some(event), &format!("types {types:?} in category {:?}", self.read.category)))
    }
}

impl Iterator for AllEvents<'_> {
    type Item = Result<RecordedEvent>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.lend().map(Option::<&RecordedEvent>::cloned).transpose()
    }
}
