//! Appends: a message for each stream, published on the condition that the stream's newest message is the one that was known.
//!
//! ```text
//!   what is known of the stream, or a look at its newest message
//!     -> judged: made before? refused? else
//!     -> published, expecting that message's sequence number
//!          stored    the answer
//!          moved     somebody was faster: look again
//!          unheard   it may be stored, and then the look will find it: look again
//! ```
//!
//! So an append whose acknowledgement was lost is found by its ids, and of two that are sent on the same condition one at most is stored.
//! Events of several streams are an atomic batch of such messages.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, Hasher},
    sync::Arc,
};

use futures_util::future::join_all;
use xxhash_rust::xxh3::Xxh3Builder;

use super::{
    heads::Head,
    message::{self, Batch},
    place,
    store::{Inner, STORE},
    wire::{Outgoing, Published},
};
use crate::{
    error::{Error, Result},
    event::{EventId, RecordedEvent, StreamName, Timestamp},
    event_store::{Appended, StreamAppend, judge},
    limits,
    version::{ExpectedVersion, Version},
};

/// How many appends without a version may go to different streams at once.
pub(super) const TURNS: usize = 256;

/// What an append is, by what its streams hold.
enum Looked {
    /// It was made before, and these are its answers.
    Repeated(Vec<Appended>),
    /// It may be published behind these.
    Fresh(Vec<Head>),
}

/// Events of one of the streams, from one version to another.
type Range = (usize, Version, Version);

impl Inner {
    /// Appends to one or several streams.
    pub(super) async fn append_all(&self, appends: &[StreamAppend]) -> Result<Vec<Appended>> {
        self.capabilities.check_append(STORE, appends)?;
        // Those of this process that would only be refused because of each other wait for each other instead.
        let _turn = match appends {
            [StreamAppend { stream, expected: ExpectedVersion::Any | ExpectedVersion::StreamExists, .. }] => {
                Some(self.turns[turn_of(stream)].lock().await)
            }
            _ => None,
        };
        let mut trying = self.wire.trying();
        let mut known = self.known(appends);
        loop {
            let heads = match known.take() {
                Some(heads) => heads,
                None => match self.look(appends).await {
                    Ok(Looked::Fresh(heads)) => heads,
                    Ok(Looked::Repeated(answers)) => return Ok(answers),
                    Err(Error::Unavailable { reason, .. }) => return Err(trying.given_up(reason)),
                    Err(error) => return Err(error),
                },
            };
            let messages = self.outgoing(appends, &heads);
            let time = trying.attempt();
            match self.wire.publish(&messages, time).await? {
                Published::Stored(sequence) => return Ok(self.stored(appends, &heads, sequence)),
                Published::Moved => trying.pause("others were always faster".to_owned()).await?,
                Published::NotTaken(said) => trying.pause(said).await?,
                Published::Unheard(said) => trying.unheard(said).await?,
            }
        }
    }

    fn outgoing(&self, appends: &[StreamAppend], heads: &[Head]) -> Vec<Outgoing> {
        let now = Timestamp::now();
        let message = |(append, head): (&StreamAppend, &Head)| Outgoing {
            subject: self.subject(&append.stream),
            expected: Some(head.sequence),
            payload: message::encode(head.version.next(), &append.events, now),
        };
        appends.iter().zip(heads).map(message).collect()
    }

    /// The answers to an append whose last message has this sequence number, and those before it the numbers before that.
    fn stored(&self, appends: &[StreamAppend], heads: &[Head], last: u64) -> Vec<Appended> {
        let sequences = last.saturating_sub(appends.len() as u64 - 1)..=last;
        let answer = |((append, before), sequence): ((&StreamAppend, &Head), u64)| {
            let head = before.behind(sequence, append.events.iter().map(|event| event.id));
            let (first_version, version) = (before.version.next(), head.version);
            self.heads.put(&append.stream, head);
            Appended { first_version, version, position: place::last_of(sequence) }
        };
        appends.iter().zip(heads).zip(sequences).map(answer).collect()
    }

    /// The heads of all streams, if what is known of them is enough to publish.
    fn known(&self, appends: &[StreamAppend]) -> Option<Vec<Head>> {
        let heads = appends.iter().map(|append| {
            let head = self.heads.take(&append.stream);
            match append.expected {
                ExpectedVersion::NoStream | ExpectedVersion::Exact(Version::NONE) => {
                    head.is_none().then(|| Head { recent: Some(Arc::default()), ..Head::default() })
                }
                ExpectedVersion::Exact(version) => head.filter(|head| head.version == version),
                ExpectedVersion::Any | ExpectedVersion::StreamExists => head.filter(|head| {
                    let ids: HashSet<EventId> = append.events.iter().map(|event| event.id).collect();
                    head.recent.as_ref().is_some_and(|recent| !recent.iter().any(|id| ids.contains(id)))
                }),
            }
        });
        heads.collect()
    }

    /// Looks at the streams, and judges.
    async fn look(&self, appends: &[StreamAppend]) -> Result<Looked> {
        let newest = join_all(appends.iter().map(|append| self.newest_of(&append.stream))).await;
        let newest: Vec<Option<Batch>> = newest.into_iter().collect::<Result<_>>()?;
        let places: HashMap<&StreamName, usize> =
            appends.iter().enumerate().map(|(at, append)| (&append.stream, at)).collect();
        // What is judged by in any case, of all streams at once.
        let first = appends.iter().zip(&newest).enumerate().map(|(at, (append, newest))| async move {
            let (from, to) = first_range(append, version_of(newest.as_ref()))?;
            Some(self.range(&append.stream, newest.as_ref(), from, to).await.map(|events| ((at, from, to), events)))
        });
        let first: Vec<_> = join_all(first).await;
        let mut read: HashMap<Range, Vec<RecordedEvent>> = first.into_iter().flatten().collect::<Result<_>>()?;
        loop {
            let (judged, wanted) = judge_by(appends, &places, &newest, &read);
            let Some((at, from, to)) = wanted else {
                return Ok(match judged? {
                    Some(answers) => Looked::Repeated(answers),
                    None => Looked::Fresh(heads_of(appends, &newest, &read)),
                });
            };
            let events = self.range(&appends[at].stream, newest[at].as_ref(), from, to).await?;
            read.insert((at, from, to), events);
        }
    }
}

fn turn_of(stream: &StreamName) -> usize {
    let mut hasher = Xxh3Builder::new().build_hasher();
    hasher.write(stream.as_str().as_bytes());
    (hasher.finish() % TURNS as u64) as usize
}

/// What is looked at first to judge an append to a stream at this version.
fn first_range(append: &StreamAppend, actual: Version) -> Option<(Version, Version)> {
    match append.expected {
        ExpectedVersion::Any | ExpectedVersion::StreamExists => {
            let oldest = actual.get().saturating_sub(limits::RECENT_EVENTS as u64);
            Some((Version::new(oldest + 1), actual))
        }
        // Judged when it turns out that the stream is elsewhere.
        ExpectedVersion::NoStream | ExpectedVersion::Exact(_) => None,
    }
}

/// Judges by what was read, and names what would have to be read to judge.
fn judge_by(
    appends: &[StreamAppend],
    places: &HashMap<&StreamName, usize>,
    newest: &[Option<Batch>],
    read: &HashMap<Range, Vec<RecordedEvent>>,
) -> (Result<Option<Vec<Appended>>>, Option<Range>) {
    let wanted = std::cell::Cell::new(None);
    let place_of = |append: &StreamAppend| places.get(&append.stream).copied().unwrap_or(0);
    let version = |append: &StreamAppend| Ok(version_of(newest[place_of(append)].as_ref()));
    let events = |append: &StreamAppend, from: Version, to: Version| {
        let range = (place_of(append), from, to);
        let found = read.get(&range).cloned();
        found.ok_or_else(|| {
            wanted.set(Some(range));
            Error::OutcomeUnknown { reason: "not read yet".into() }
        })
    };
    (judge(appends, version, events), wanted.take())
}

fn version_of(newest: Option<&Batch>) -> Version {
    newest.map_or(Version::NONE, |newest| newest.last)
}

/// The heads of streams that were looked at, with the ids that were.
fn heads_of(
    appends: &[StreamAppend],
    newest: &[Option<Batch>],
    read: &HashMap<Range, Vec<RecordedEvent>>,
) -> Vec<Head> {
    let head = |(at, (append, newest)): (usize, (&StreamAppend, &Option<Batch>))| {
        let (sequence, version) = (newest.as_ref().map_or(0, |batch| batch.sequence), version_of(newest.as_ref()));
        let looked_at = first_range(append, version).and_then(|(from, to)| read.get(&(at, from, to)));
        let ids = |events: &Vec<RecordedEvent>| Arc::new(events.iter().map(RecordedEvent::id).collect());
        Head { sequence, version, recent: looked_at.map(ids) }
    };
    appends.iter().zip(newest).enumerate().map(head).collect()
}
