//! Reads of streams and of the log.
//!
//! A read of a stream asks its leader for the newest message first: that says which versions there are. One of the log goes on until the
//! leader says that there is no more. What comes is checked: versions of a stream, and sequence numbers of the log, have no gaps; where one
//! has, the events in it are lost, and nobody is led past them.

use futures_util::future::{Either, join, ready};

use super::{failure, heads::Head, message::Batch, names, place, store::Inner, stored::Stored};
use crate::{
    error::{Lost, Result},
    event::{RecordedEvent, StreamName},
    event_store::{ReadAll, ReadStream},
    version::{Position, Version},
};

/// How many events a read answers with at most, give or take the events of one message.
const PAGE_EVENTS: usize = 4096;
/// How many messages are asked for at once.
const PAGE_MESSAGES: usize = 1_000;
/// So many bytes, and what else comes with them, end a page.
const PAGE_BYTES: usize = 8 << 20;
/// All that the log holds. Named like that, the server looks at no subject: with a pattern it does so for each message.
const EVERYTHING: &str = ">";
/// A stream is read from its beginning rather than searched for a version that is not further in.
const NOT_FAR: u64 = 256;

/// What a read of the log came to.
pub(super) struct Found {
    pub(super) events: Vec<RecordedEvent>,
    /// The last message that was looked at.
    pub(super) looked: u64,
}

impl Inner {
    /// The subject of a stream's messages.
    pub(super) fn subject(&self, stream: &StreamName) -> String {
        format!("{}.{}", self.log, names::tokens(stream))
    }

    /// The subjects that a read is of.
    pub(super) fn subjects(&self, stream: Option<&StreamName>, category: Option<&str>) -> String {
        match (stream, category) {
            (Some(stream), _) => self.subject(stream),
            (None, Some(category)) => format!("{}.{}.*", self.log, names::category_token(category)),
            (None, None) => format!("{}.*.*", self.log),
        }
    }

    /// A message of the log, read.
    pub(super) fn decode(&self, stored: &Stored) -> Result<Batch> {
        let damaged = |fault: String| failure::damaged(&self.wire.place, stored.sequence, fault);
        let tokens = stored.subject.strip_prefix(&self.log).and_then(|rest| rest.strip_prefix('.'));
        let stream = tokens.and_then(names::stream_of);
        let stream = stream.ok_or_else(|| damaged(format!("`{}` is the subject of no stream", stored.subject)))?;
        Batch::new(stream, stored.sequence, stored.payload.clone()).map_err(damaged)
    }

    /// Events of a message, from one version to another.
    fn events(&self, batch: &Batch, from: Version, to: Version) -> Result<Vec<RecordedEvent>> {
        let damaged = |fault| failure::damaged(&self.wire.place, batch.sequence, fault);
        batch.events(from, to).map_err(damaged)
    }

    /// The newest message of a stream.
    pub(super) async fn newest_of(&self, stream: &StreamName) -> Result<Option<Batch>> {
        let mut trying = self.wire.trying();
        loop {
            let known = self.heads.sequence(stream);
            let newest = self.wire.newest(&self.log, &self.subject(stream)).await?;
            if newest.as_ref().map_or(0, |newest| newest.sequence) >= known {
                return newest.map(|newest| self.decode(&newest)).transpose();
            }
            // A leader that has not heard that it is none any more.
            trying.pause("the server that answers is behind what this store knows".to_owned()).await?;
        }
    }

    /// The sequence number of the newest message of the log.
    pub(super) async fn last_sequence(&self) -> Result<u64> {
        let newest = self.wire.newest(&self.log, &self.subjects(None, None)).await?;
        Ok(newest.map_or(0, |newest| newest.sequence))
    }

    /// Reads a page of a stream.
    pub(super) async fn read_stream(&self, read: &ReadStream) -> Result<Vec<RecordedEvent>> {
        let most = read.limit.min(PAGE_EVENTS);
        if most == 0 || read.from > read.to {
            return Ok(Vec::new());
        }
        // Most reads begin at the beginning, and most streams are short: both questions at once.
        let first_page = if read.backwards || read.from > Version::FIRST {
            Either::Left(ready(Vec::new()))
        } else {
            let subject = self.subject(&read.stream);
            Either::Right(async move { self.wire.page_of(&self.log, &subject, 1, most.min(PAGE_MESSAGES)).await })
        };
        let (newest, first_page) = join(self.newest_of(&read.stream), first_page).await;
        let Some(newest) = newest? else { return Ok(Vec::new()) };
        let (from, to) = (read.from.max(Version::FIRST), read.to.min(newest.last));
        self.heads.put(&read.stream, Head { sequence: newest.sequence, version: newest.last, recent: None });
        if !read.backwards {
            let to = to.min(Version::new(from.get().saturating_add(most as u64 - 1)));
            return self.part(&read.stream, &newest, from, to, first_page).await;
        }
        let mut from = from.max(Version::new((to.get() + 1).saturating_sub(most as u64)));
        loop {
            let mut events = self.part(&read.stream, &newest, from, to, Vec::new()).await?;
            match events.last() {
                // Large events have ended it early: those nearer to the end are wanted.
                Some(last) if last.version() < to => from = last.version().next(),
                _ => {
                    events.reverse();
                    return Ok(events);
                }
            }
        }
    }

    /// All events of a stream from one version to another, as far as there are any.
    pub(super) async fn range(
        &self,
        stream: &StreamName,
        newest: Option<&Batch>,
        mut from: Version,
        to: Version,
    ) -> Result<Vec<RecordedEvent>> {
        let mut events = Vec::new();
        let Some(newest) = newest else { return Ok(events) };
        let to = to.min(newest.last);
        while from <= to {
            let part = self.part(stream, newest, from, to, Vec::new()).await?;
            let Some(last) = part.last() else { break };
            from = last.version().next();
            events.extend(part);
        }
        Ok(events)
    }

    /// The first of these events; all, if they are no more than a page. `page` is what is there of the stream's beginning.
    async fn part(
        &self,
        stream: &StreamName,
        newest: &Batch,
        from: Version,
        to: Version,
        mut page: Vec<Stored>,
    ) -> Result<Vec<RecordedEvent>> {
        let (mut events, mut bytes) = (Vec::new(), 0);
        let (mut sequence, mut next) = (1, None);
        if page.is_empty() && from < newest.first {
            sequence = self.locate(stream, newest, from).await?;
        }
        while from < newest.first && sequence < newest.sequence {
            if page.is_empty() {
                page =
                    self.wire.scan(&self.log, &self.subject(stream), sequence, PAGE_MESSAGES, newest.sequence).await?;
            }
            for stored in page.drain(..).take_while(|stored| stored.sequence < newest.sequence) {
                let batch = self.decode(&stored)?;
                self.check_order(stream, next, &batch)?;
                (sequence, next) = (batch.sequence + 1, Some(batch.last.next()));
                bytes += stored.payload.len();
                events.extend(self.events(&batch, from, to)?);
                if batch.last >= to || bytes >= PAGE_BYTES {
                    return Ok(events);
                }
            }
            if next == Some(newest.first) {
                break;
            }
        }
        if from < newest.first {
            self.check_order(stream, next, newest)?;
        }
        events.extend(self.events(newest, from, to)?);
        Ok(events)
    }

    /// Versions have no gaps.
    fn check_order(&self, stream: &StreamName, expected: Option<Version>, batch: &Batch) -> Result<()> {
        match expected {
            Some(expected) if batch.first > expected => {
                Err(Lost::Version { stream: stream.clone(), version: expected }.into())
            }
            Some(expected) if batch.first < expected => {
                let fault = format!("it begins with version {}, but {expected} is the next of its stream", batch.first);
                Err(failure::damaged(&self.wire.place, batch.sequence, fault))
            }
            _ => Ok(()),
        }
    }

    /// A sequence number from which on the stream's messages hold a version, with few that do not before it.
    async fn locate(&self, stream: &StreamName, newest: &Batch, version: Version) -> Result<u64> {
        let subject = self.subject(stream);
        // The version is in a message from `low` on and before `high`; `below` is the version before `low`.
        let (mut low, mut high, mut below, mut above) = (1, newest.sequence, 0, newest.first.get());
        let mut guess = true;
        while version.get() - below > NOT_FAR && high > low + 1 {
            // Versions are often spread evenly, but need not be.
            let share = (version.get() - below) as f64 / (above - below) as f64;
            let middle = if guess { low + (share * (high - low) as f64) as u64 } else { low + (high - low) / 2 };
            let middle = middle.saturating_sub(if guess { 1 } else { 0 }).clamp(low + 1, high - 1);
            guess = !guess;
            let page = self.wire.page_of(&self.log, &subject, middle, 1).await;
            let Some(stored) = page.first() else { break };
            let batch = self.decode(stored)?;
            if batch.first > version {
                (high, above) = (middle, batch.first.get());
            } else if batch.last >= version {
                return Ok(batch.sequence);
            } else {
                (low, below) = (batch.sequence + 1, batch.last.get());
            }
        }
        Ok(low)
    }

    /// Reads a page of the log.
    pub(super) async fn read_all(&self, read: &ReadAll) -> Result<Vec<RecordedEvent>> {
        if read.limit == 0 || read.after >= read.before {
            return Ok(Vec::new());
        }
        if read.backwards {
            return self.read_back(read).await;
        }
        Ok(self.read_on(read, u64::MAX).await?.events)
    }

    /// Reads on behind a position until there are events that are wanted, or no more up to a message that is known to be there.
    pub(super) async fn read_on(&self, read: &ReadAll, known: u64) -> Result<Found> {
        let whole = read.stream.is_none() && read.category.is_none();
        let subjects = match whole {
            true => EVERYTHING.to_owned(),
            false => self.subjects(read.stream.as_ref(), read.category.as_deref()),
        };
        let end = place::last_before(read.before);
        let mut found = Found { events: Vec::new(), looked: place::first_behind(read.after) - 1 };
        let messages =
            if read.types.is_empty() && read.since.is_none() { read.limit.saturating_add(1) } else { PAGE_MESSAGES };
        while found.events.is_empty() && found.looked < end {
            let from = found.looked + 1;
            let mut page = self.wire.scan(&self.log, &subjects, from, messages.min(PAGE_MESSAGES), known).await?;
            if whole {
                page = self.without_gap(page, from).await?;
            }
            if page.is_empty() {
                break;
            }
            for stored in page {
                if stored.sequence > end {
                    found.looked = end;
                    break;
                }
                if found.events.len() >= PAGE_EVENTS.min(read.limit) {
                    break;
                }
                let batch = self.decode(&stored)?;
                found.looked = stored.sequence;
                let events = self.events(&batch, Version::FIRST, Version::MAX)?;
                found.events.extend(events.into_iter().filter(|event| read.wants(event)));
            }
        }
        found.events.truncate(read.limit);
        Ok(found)
    }

    /// As much of a page of the whole log as follows on without a gap.
    async fn without_gap(&self, mut page: Vec<Stored>, from: u64) -> Result<Vec<Stored>> {
        let gap = (from..).zip(&page).position(|(expected, stored)| stored.sequence != expected);
        let Some(at) = gap else { return Ok(page) };
        if at > 0 {
            page.truncate(at);
            return Ok(page);
        }
        // A replica may have lost what the leader has.
        let there = self.wire.first_from(&self.log, EVERYTHING, from).await?;
        match there {
            Some(stored) if stored.sequence > from => {
                let (first, last) = (place::last_of(from - 1).next(), place::last_of(stored.sequence - 1));
                Err(Lost::Positions { first, last }.into())
            }
            there => Ok(there.into_iter().collect()),
        }
    }

    /// Reads back from a position, in windows of messages that grow where little is wanted.
    async fn read_back(&self, read: &ReadAll) -> Result<Vec<RecordedEvent>> {
        let subjects = self.subjects(read.stream.as_ref(), read.category.as_deref());
        let newest = self.wire.newest(&self.log, &subjects).await?.map_or(0, |newest| newest.sequence);
        let (mut high, low) = (newest.min(place::last_before(read.before)), place::first_behind(read.after));
        let mut width = PAGE_MESSAGES as u64;
        while high >= low {
            let start = low.max((high + 1).saturating_sub(width));
            let mut forwards = read.clone();
            forwards.backwards = false;
            forwards.limit = usize::MAX;
            forwards.after = read.after.max(place::last_of(start - 1));
            forwards.before = read.before.min(place::last_of(high).next());
            let mut events: Vec<RecordedEvent> = Vec::new();
            let (mut complete, mut bytes) = (true, 0);
            loop {
                let Found { events: some, .. } = self.read_on(&forwards, high).await?;
                let Some(last) = some.last().map(RecordedEvent::position) else { break };
                forwards.after = last;
                bytes +=
                    some.iter().map(|event| event.payload_slice().len() + event.metadata_slice().len()).sum::<usize>();
                events.extend(some);
                if (events.len() > PAGE_EVENTS || bytes > 2 * PAGE_BYTES) && width > 1 {
                    complete = false;
                    break;
                }
            }
            if !complete {
                width = (width / 8).max(1);
            } else if events.is_empty() {
                high = start - 1;
                width = width.saturating_mul(4);
            } else {
                events.reverse();
                events.truncate(read.limit);
                return Ok(events);
            }
        }
        Ok(Vec::new())
    }

    /// Where the log ends now.
    pub(super) async fn last_position(&self) -> Result<Position> {
        Ok(place::last_of(self.last_sequence().await?))
    }
}
