//! Reading events: of one stream, of the whole log, and the names of the streams.
//!
//! A reader is bounded when it is made: it gives out what was durable then, however much is appended meanwhile. It
//! holds no lock between two events.

use std::{collections::VecDeque, vec};

use super::{Store, recorded};
use crate::{
    error::Result,
    event::{RecordedEvent, StreamName},
    event_store::{ReadAll, ReadStream},
    log::{LogScan, Segment, StoredRecord},
    version::{Position, Version},
};

/// How many entries of the index a reader takes at a time.
const INDEX_PAGE: usize = 256;

impl Store {
    /// The events of a stream in order of version, as far as they are durable now. A stream that does not exist has none.
    ///
    /// Each event is read and its checksum verified when the iterator comes to it; after an error the iterator ends.
    pub fn read_stream(&self, read: impl Into<ReadStream>) -> StreamEvents<'_> {
        let read = read.into();
        let until = self.inner.log.visible();
        StreamEvents {
            store: self,
            next: read.from.max(Version::FIRST),
            left: read.limit,
            read,
            until,
            ahead: VecDeque::new(),
        }
    }

    /// All events in order of position, as far as they are durable now.
    ///
    /// Each event is read and its checksum verified when the iterator comes to it; after an error the iterator ends.
    pub fn read_all(&self, read: ReadAll) -> AllEvents<'_> {
        AllEvents { store: self, until: self.inner.log.visible(), after: read.after, left: read.limit, scan: None }
    }

    /// The streams and their versions, in order of first event, as far as they are durable now.
    pub fn streams(&self) -> Streams<'_> {
        Streams { store: self, until: self.inner.log.visible(), taken: 0, ahead: Vec::new().into_iter() }
    }
}

fn decode(record: &StoredRecord, segment: &Segment, offset: u64) -> Result<RecordedEvent> {
    match recorded::decode(record) {
        Ok(decoded) => Ok(decoded.event),
        Err(fault) => Err(segment.damage(offset, record.header.position, fault).into()),
    }
}

/// The events of a stream: see [`Store::read_stream`].
#[derive(Debug)]
pub struct StreamEvents<'a> {
    store: &'a Store,
    read: ReadStream,
    until: Position,
    next: Version,
    left: usize,
    /// Positions and offsets of the next events.
    ahead: VecDeque<(Position, u64)>,
}

impl StreamEvents<'_> {
    fn look_ahead(&mut self) {
        let wanted = self.read.to.get().saturating_add(1).saturating_sub(self.next.get());
        let limit = INDEX_PAGE.min(self.left).min(usize::try_from(wanted).unwrap_or(usize::MAX));
        let index = self.store.inner.index.read();
        let positions = index.stream(&self.read.stream, self.next, limit, self.until);
        self.ahead.extend(positions.iter().map(|position| (*position, index.offset(*position).unwrap_or_default())));
    }
}

impl Iterator for StreamEvents<'_> {
    type Item = Result<RecordedEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ahead.is_empty() {
            self.look_ahead();
        }
        let (position, offset) = self.ahead.pop_front()?;
        self.next = self.next.next();
        self.left -= 1;
        let read = self.store.inner.log.record(position, offset);
        let event = read.and_then(|(record, segment)| decode(&record, &segment, offset));
        if event.is_err() {
            (self.left, self.ahead) = (0, VecDeque::new());
        }
        Some(event)
    }
}

/// All events: see [`Store::read_all`].
pub struct AllEvents<'a> {
    store: &'a Store,
    until: Position,
    after: Position,
    left: usize,
    scan: Option<LogScan<'a>>,
}

impl AllEvents<'_> {
    fn step(&mut self) -> Result<Option<RecordedEvent>> {
        if self.left == 0 || self.after >= self.until {
            return Ok(None);
        }
        let first = self.after.next();
        let inner = &self.store.inner;
        let scan = match &mut self.scan {
            Some(scan) => scan,
            none => {
                let offset = inner.index.read().offset(first).unwrap_or_default();
                none.insert(inner.log.scan(first, offset, self.until)?)
            }
        };
        let Some((record, offset)) = scan.next()? else { return Ok(None) };
        let event = decode(&record, scan.segment(), offset)?;
        self.after = first;
        self.left -= 1;
        Ok(Some(event))
    }
}

impl Iterator for AllEvents<'_> {
    type Item = Result<RecordedEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.left = 0;
        }
        step.transpose()
    }
}

/// The streams: see [`Store::streams`].
#[derive(Debug)]
pub struct Streams<'a> {
    store: &'a Store,
    until: Position,
    taken: usize,
    ahead: vec::IntoIter<(StreamName, Version)>,
}

impl Iterator for Streams<'_> {
    type Item = (StreamName, Version);

    fn next(&mut self) -> Option<Self::Item> {
        if self.ahead.as_slice().is_empty() {
            let page = self.store.inner.index.read().streams(self.taken, INDEX_PAGE, self.until);
            self.taken += page.len();
            self.ahead = page.into_iter();
        }
        self.ahead.next()
    }
}
