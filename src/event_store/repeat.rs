//! Recognising an append that was made before.
//!
//! Whoever did not hear the answer to an append sends the same again: the same event ids, with the same content, at the
//! same expected version or at none. It gets the first answer, and nothing is stored twice.
//!
//! What counts as the same is looked for in the stream: behind the expected version, for ever; with no particular version
//! expected, among its newest [`limits::RECENT_EVENTS`] events.

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
    let mut fresh = None;
    for append in appends {
        match judge_one(append, version(append)?, |from, to| read(append, from, to))? {
            Judged::Fresh => fresh = Some(append),
            Judged::Repeated(appended) => answers.push(appended),
        }
    }
    match fresh {
        None => Ok(Some(answers)),
        Some(_) if answers.is_empty() => Ok(None),
        // A part of it was stored, and a part was not: it is another append that uses the same ids.
        Some(_) => Err(duplicate(&appends[0], &appends[0].events[0], answers[0].first_version)),
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
            let known = |recorded: &&RecordedEvent| events.iter().any(|event| event.id == recorded.id());
            match newest.iter().position(|recorded| known(&recorded)) {
                Some(first) => newest.into_iter().skip(first).take(events.len()).collect(),
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
