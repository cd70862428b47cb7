//! Recognising an append that was made before.
//!
//! Whoever did not hear the answer to an append sends the same again: the same event ids, with the same content, at the
//! same expected version or at none. It gets the first answer, and nothing is stored twice.
//!
//! What counts as the same is looked for in the stream: behind the expected version, for ever; with no particular version
//! expected, among its newest [`limits::RECENT_EVENTS`] events. One of its events there is enough: the others are looked for
//! around it.

use super::{Appended, StreamAppend};
use crate::{
    error::{Error, Result},
    event::{NewEvent, RecordedEvent},
    limits,
    version::{ExpectedVersion, Version},
};

/// What an append to one stream is, by what the stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judged {
    /// It may be stored.
    Fresh,
    /// It was stored before, with this answer.
    Repeated(Appended),
}

/// Judges an append to several streams. `Some` is the first answers to an append that was made before; `None` is for one that
/// may be stored. `version` gives a stream's version, `read` its events from one version to another.
///
/// # Errors
///
/// [`Error::WrongExpectedVersion`] or [`Error::DuplicateEventId`] for an append that is to be refused.
pub(crate) fn judge(
    appends: &[StreamAppend],
    version: impl Fn(&StreamAppend) -> Result<Version>,
    read: impl Fn(&StreamAppend, Version, Version) -> Result<Vec<RecordedEvent>>,
) -> Result<Option<Vec<Appended>>> {
    let mut answers = Vec::with_capacity(appends.len());
    let mut stored = None;
    for append in appends {
        if let Judged::Repeated(appended) = judge_one(append, version(append)?, |from, to| read(append, from, to))? {
            answers.push(appended);
            stored = stored.or(Some((append, appended.first_version)));
        }
    }
    match stored {
        None => Ok(None),
        Some(_) if answers.len() == appends.len() => Ok(Some(answers)),
        // A part of it was stored, and a part was not: it is another append that uses the same ids.
        Some((append, version)) => Err(duplicate(append, &append.events[0], version)),
    }
}

fn judge_one(
    append: &StreamAppend,
    actual: Version,
    read: impl Fn(Version, Version) -> Result<Vec<RecordedEvent>>,
) -> Result<Judged> {
    let StreamAppend { stream, expected, events } = append;
    let count = events.len() as u64;
    let refused = || Error::WrongExpectedVersion { stream: stream.clone(), expected: *expected, actual };
    let behind = match expected {
        ExpectedVersion::NoStream => Some(Version::NONE),
        ExpectedVersion::Exact(version) => Some(*version),
        ExpectedVersion::Any | ExpectedVersion::StreamExists => None,
    };
    let stored = match behind {
        Some(version) if version == actual => return Ok(Judged::Fresh),
        Some(version) => read(version.next(), version.plus(count))?,
        None => {
            let oldest = actual.get().saturating_sub(limits::RECENT_EVENTS as u64);
            let newest = read(Version::new(oldest + 1), actual)?;
            // The place in the append of an event that is known, and its version.
            let known = |recorded: &RecordedEvent| {
                let at = events.iter().position(|event| event.id == recorded.id())?;
                Some((at as u64, recorded.version()))
            };
            match newest.iter().find_map(known) {
                // Those before it may be older than what was looked at.
                Some((at, version)) => {
                    let behind = Version::new((version.get() - 1).saturating_sub(at));
                    read(behind.next(), behind.plus(count))?
                }
                None if expected.accepts(actual) => return Ok(Judged::Fresh),
                None => return Err(refused()),
            }
        }
    };
    let same = |(event, recorded): (&NewEvent, &RecordedEvent)| {
        event.id == recorded.id()
            && event.event_type == recorded.event_type()
            && event.payload == recorded.payload()
            && event.metadata == recorded.metadata()
    };
    if stored.len() == events.len()
        && events.iter().zip(&stored).all(same)
        && let (Some(first), Some(last)) = (stored.first(), stored.last())
    {
        let (first_version, version, position) = (first.version(), last.version(), last.position());
        return Ok(Judged::Repeated(Appended { first_version, version, position }));
    }
    let twice = |recorded: &RecordedEvent| events.iter().find(|event| event.id == recorded.id());
    match stored.iter().find_map(|recorded| Some((twice(recorded)?, recorded.version()))) {
        Some((event, version)) => Err(duplicate(append, event, version)),
        None => Err(refused()),
    }
}

fn duplicate(append: &StreamAppend, event: &NewEvent, version: Version) -> Error {
    Error::DuplicateEventId { stream: append.stream.clone(), id: event.id, version }
}
