//! An append on its way to its places in the log.
//!
//! ```text
//!   check, lay out --> sequence, under the lock --+--> it has its places
//!                            ^                    |
//!                            |                    +--> it cannot be stored like this: wait until what it met is durable,
//!                            +-- it can ----------------- then judge it by what the streams hold
//!                                                         +--> it was made before: the first answer
//!                                                         +--> it is refused
//! ```

use parking_lot::Mutex;

use super::{Store, recent::Recent, recent::Recents, recorded};
use crate::{
    error::{Error, Result},
    event::{EventId, EventType, NewEvent, RecordedEvent},
    event_store::{Appended, ReadStream, StreamAppend, Topic, judge},
    index::{Index, Indexed, ListHash, Looked},
    limits,
    log::{Draft, Sequencing},
    version::{ExpectedVersion, Position, Version},
};

/// An append to one or more streams, checked and laid out.
#[derive(Default)]
pub(super) struct Request {
    appends: Vec<StreamAppend>,
    streams: Vec<Stream>,
    draft: Draft,
    /// Of each event, the list of its type and its time.
    events: Vec<(ListHash, i64)>,
    /// What the events are about.
    topics: Vec<Topic>,
    /// A stream has come past the version that is expected of it, with the event of this position: nothing else is known then,
    /// as the request will never have places.
    pub(super) outrun_by: Option<Position>,
}

/// What the request knows of one of its streams.
struct Stream {
    list: ListHash,
    category: Option<ListHash>,
    /// What was found before the lock was taken.
    looked: Looked,
    /// Under the lock: what it is at.
    version: Version,
    /// The stream's newest ids, when they had to be read.
    recent: Option<Recent>,
}

/// What became of a request under the lock.
pub(super) enum Sequenced {
    /// It has its places.
    Placed(Vec<Appended>),
    /// It met something that may speak against it, and that is durable with this position.
    Stopped(Position),
}

/// What wakes a subscriber of a category: the streams of the category, and the stream of that very name.
pub(super) fn topics_of_category(index: &Index, category: &str) -> [Topic; 2] {
    [index.category(category).topic(), index.stream(category).topic()]
}

fn names_no_version(expected: ExpectedVersion) -> bool {
    matches!(expected, ExpectedVersion::Any | ExpectedVersion::StreamExists)
}

/// Whether a stream at this version has come past the expected one for ever.
fn is_past(version: Version, expected: ExpectedVersion) -> bool {
    match expected {
        ExpectedVersion::Any | ExpectedVersion::StreamExists => false,
        ExpectedVersion::NoStream => version > Version::NONE,
        ExpectedVersion::Exact(expected) => version > expected,
    }
}

impl Store {
    /// Checks an append and lays it out.
    pub(super) fn request(&self, appends: Vec<StreamAppend>) -> Result<Request> {
        self.inner.check_writable()?;
        StreamAppend::check_events(&appends)?;
        let (index, now) = (&self.inner.index, self.inner.disk.now());
        let lists: Vec<ListHash> = appends.iter().map(|append| index.stream(append.stream.as_str())).collect();
        if may_be_twice(&lists) {
            StreamAppend::check_streams(&appends)?;
        }
        // The version check may have to ask the disk: that is done before anyone is held up by it.
        let all_looked = index.look(&lists)?;
        let mut versions = appends.iter().zip(&all_looked);
        if let Some((_, outrun)) = versions.find(|(append, looked)| is_past(looked.version, append.expected)) {
            return Ok(Request { appends, outrun_by: Some(outrun.position), ..Request::default() });
        }
        let draft = recorded::draft(&appends, now);
        let mut streams = Vec::with_capacity(appends.len());
        let mut topics = Vec::with_capacity(2 * appends.len() + draft.len());
        let mut events = Vec::with_capacity(draft.len());
        let mut last: Option<(&EventType, ListHash)> = None;
        for ((append, list), looked) in appends.iter().zip(lists).zip(all_looked) {
            let category = recorded::category_list(index, append.stream.as_str());
            streams.push(Stream { list, category, looked, version: looked.version, recent: None });
            topics.push(list.topic());
            topics.extend(category.map(ListHash::topic));
            for event in &append.events {
                // Neighbours often have the same type.
                let hash = match last {
                    Some((event_type, hash)) if *event_type == event.event_type => hash,
                    _ => {
                        let hash = index.event_type(event.event_type.as_str());
                        topics.push(hash.topic());
                        hash
                    }
                };
                last = Some((&event.event_type, hash));
                events.push((hash, event.timestamp.unwrap_or(now).as_micros()));
            }
        }
        Ok(Request { appends, streams, draft, events, topics, outrun_by: None })
    }

    /// Reads what the request needs to know of its streams' newest ids, and others have not read already. To be called
    /// without the lock, before each attempt.
    pub(super) fn look_up(&self, request: &mut Request) -> Result<()> {
        for (append, stream) in request.appends.iter().zip(&mut request.streams) {
            if !names_no_version(append.expected) || self.inner.recents.lock().get(stream.list).is_some() {
                continue;
            }
            let until = self.inner.log.visible();
            let (version, _) = self.inner.index.newest(stream.list, until)?;
            let oldest = Version::new(version.get().saturating_sub(limits::RECENT_EVENTS as u64));
            let mut recent = Recent::at(oldest);
            for event in self.read_stream(ReadStream::new(&append.stream).from(oldest.next()).to(version)) {
                match event {
                    // To append it again is no repetition, so an id that is nobody's stands for its own.
                    Err(Error::Lost(_)) => recent.push(EventId::generate()),
                    event => recent.push(event?.id()),
                }
            }
            stream.recent = Some(recent);
        }
        Ok(())
    }

    /// Judges a request that was stopped, when what stopped it is durable: the first answers if it was made before, `None`
    /// if another attempt is due.
    pub(super) fn settle(&self, request: &Request) -> Result<Option<Vec<Appended>>> {
        judge(
            &request.appends,
            |append| self.stream_version(&append.stream),
            |append, from, to| -> Result<Vec<RecordedEvent>> {
                let events = self.read_stream(ReadStream::new(&append.stream).from(from).to(to));
                // What is lost is no proof that the append was made.
                events.filter(|event| !matches!(event, Err(Error::Lost(_)))).collect()
            },
        )
    }
}

impl Request {
    /// The bytes that it takes up in a segment.
    pub(super) fn footprint(&self) -> usize {
        self.draft.footprint()
    }

    /// Checks the expected versions and the ids, gives the events their places and adds them to the index.
    pub(super) fn sequence(
        &mut self,
        sequencing: &mut Sequencing<'_>,
        index: &Index,
        recents: &Mutex<Recents>,
    ) -> Result<Sequenced> {
        if sequencing.is_new_segment() {
            index.freeze();
        }
        let known = index.last();
        for (append, stream) in self.appends.iter().zip(&mut self.streams) {
            let Looked { version, position, until } = stream.looked;
            // Mostly nothing was appended since.
            let (version, position) =
                if until == known { (version, position) } else { index.newest(stream.list, Position::MAX)? };
            if !append.expected.accepts(version) || is_suspect(append, stream, version, recents) {
                return Ok(Sequenced::Stopped(position));
            }
            stream.version = version;
        }
        let placed = self.place(sequencing, index);
        let mut recents = recents.lock();
        for (append, stream) in self.appends.iter().zip(&self.streams) {
            recents.extend(stream.list, append.events.iter().map(|event| event.id));
        }
        Ok(Sequenced::Placed(placed))
    }

    fn place(&mut self, sequencing: &mut Sequencing<'_>, index: &Index) -> Vec<Appended> {
        let Request { appends, streams, draft, events, topics, .. } = self;
        let first = sequencing.next();
        let mut count = 0;
        let mut placed = Vec::with_capacity(appends.len());
        for (append, Stream { version, .. }) in appends.iter().zip(&*streams) {
            recorded::place(draft, count, append.events.len(), *version);
            count += append.events.len();
            let last = version.plus(append.events.len() as u64);
            let position = first.plus(count as u64).previous();
            placed.push(Appended { first_version: version.next(), version: last, position });
        }
        let offset = sequencing.offset();
        let of_streams = appends.iter().zip(&*streams).flat_map(|(append, stream)| {
            (1..=append.events.len() as u64).map(move |behind| (stream.version.plus(behind), stream))
        });
        index.add(events.iter().zip(of_streams).enumerate().map(|(at, ((event_type, time), (version, stream)))| {
            let start = draft.offset(at);
            let indexed = Indexed {
                position: first.plus(at as u64),
                offset: offset + start as u64,
                version,
                time: *time,
                stream: stream.list,
                event_type: *event_type,
                category: stream.category,
            };
            (indexed, (draft.offset(at + 1) - start) as u64)
        }));
        // Behind the index, which the version check has just brought into the processor's caches.
        sequencing.push(draft, topics);
        placed
    }
}

/// Whether two of the streams may be one, by their hashes.
fn may_be_twice(lists: &[ListHash]) -> bool {
    let mut topics: Vec<Topic> = lists.iter().map(|list| list.topic()).collect();
    topics.sort_unstable();
    topics.windows(2).any(|pair| pair[0] == pair[1])
}

/// Whether one of the events may be in the stream already, though the expected version says nothing against it. The
/// stream's newest ids are kept from now on.
fn is_suspect(append: &StreamAppend, stream: &mut Stream, version: Version, recents: &Mutex<Recents>) -> bool {
    if !names_no_version(append.expected) {
        return false;
    }
    let mut recents = recents.lock();
    if recents.get(stream.list).is_none() {
        // What was read may be out of date; a stream that does not exist has no ids.
        let read = stream.recent.take().filter(|recent| recent.version() == version);
        match read.or((version == Version::NONE).then(|| Recent::at(Version::NONE))) {
            Some(recent) => recents.insert(stream.list, recent),
            None => return true,
        }
    }
    let known = |event: &NewEvent| recents.get(stream.list).is_none_or(|recent| recent.contains(event.id));
    append.events.iter().any(known)
}
