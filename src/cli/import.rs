//! `factlog import`: the lines of `read` into a store, with their ids, times and order.
//!
//! ```text
//!   lines    a1 a2 a3   b1   a4 a5   c1 ...
//!   appends  [a1 a2 a3] [b1] [a4 a5] [c1]      submitted in this order, one sync for many
//! ```
//!
//! Consecutive lines of one stream share an append, as many as [`BATCH_EVENTS`] and [`BATCH_BYTES`] allow. Appends are
//! submitted one behind the other without waiting; when as many are on their way as [`ON_THEIR_WAY`] and
//! [`BYTES_ON_THEIR_WAY`] allow, all of them are waited for.
//!
//! Whatever line an import stops at, the lines before it are in the store, durably, when the command ends; it and those
//! behind it are not. A killed import leaves a beginning of the lines.

use std::{
    collections::{HashMap, VecDeque},
    io::BufRead,
    path::PathBuf,
};

use clap::Args;
use factlog::{Error, ExpectedVersion, NewEvent, StreamName, Version, limits};

use super::{
    event_line::{self, Imported},
    failure::Failure,
    files,
    lines::{Lines, Number},
    open::{self, OnItsWay, Opened},
    output::{count, say},
    place::Place,
    progress::{Progress, Unit},
};

/// Most events in one append of an import.
const BATCH_EVENTS: usize = 1000;

/// Bytes of payload and metadata beyond which an append of an import takes no further event.
const BATCH_BYTES: usize = 4 << 20;

/// Most appends that are on their way at a time.
const ON_THEIR_WAY: usize = 2000;

/// Bytes of payload and metadata on their way beyond which no further append follows.
const BYTES_ON_THEIR_WAY: usize = 4 << 20;

const _: () = assert!(BATCH_EVENTS <= limits::APPEND_EVENTS);
const _: () = assert!(BATCH_BYTES + limits::EVENT_BYTES + BATCH_EVENTS * 1024 <= limits::APPEND_BYTES);

/// Append events as `read` and `export` print them, from a file or from standard input
#[derive(Debug, Args)]
pub struct Import {
    /// The file; standard input when it is left out, or `-`
    file: Option<PathBuf>,
}

impl Import {
    pub fn run(self, place: &Place) -> Result<(), Failure> {
        let input = files::input(self.file.as_deref())?;
        let progress = Progress::new(Unit::Bytes, input.length);
        let mut lines = Lines::of(input.reader);
        let mut importing = Importing::into(place);
        let taken = importing.take(&mut lines, &progress);
        // What stands before a bad line is stored all the same, and what fails of it failed first.
        let batch = importing.submit_batch();
        let done = importing.acknowledge().and(batch).and(taken);
        drop(progress);
        say(format_args!("imported {}", count(importing.events, "event")));
        done?;
        importing.store()?;
        if let Some(opened) = importing.opened {
            opened.close();
        }
        Ok(())
    }
}

struct Importing<'a> {
    place: &'a Place,
    /// Opened at the first good line, so that input of another kind leaves no store behind.
    opened: Option<Opened>,
    batch: Option<Batch>,
    on_their_way: OnTheirWay,
    /// How many events were acknowledged.
    events: u64,
}

/// What was submitted and is not acknowledged.
#[derive(Default)]
struct OnTheirWay {
    appends: VecDeque<Submitted>,
    bytes: usize,
    /// The versions that their streams come to.
    versions: HashMap<StreamName, Version>,
}

struct Submitted {
    pending: OnItsWay,
    events: u64,
    first_line: Number,
}

/// Consecutive events of one stream.
struct Batch {
    stream: StreamName,
    /// The version of its last event.
    version: Version,
    events: Vec<NewEvent>,
    bytes: usize,
    first_line: Number,
}

impl Batch {
    fn takes(&self, next: &Imported) -> bool {
        self.stream == next.stream
            && self.version.next() == next.version
            && self.events.len() < BATCH_EVENTS
            && self.bytes < BATCH_BYTES
    }
}

impl Importing<'_> {
    fn into(place: &Place) -> Importing<'_> {
        Importing { place, opened: None, batch: None, on_their_way: OnTheirWay::default(), events: 0 }
    }

    fn take(&mut self, lines: &mut Lines<impl BufRead>, progress: &Progress) -> Result<(), Failure> {
        while let Some((number, line)) = lines.next()? {
            let imported = event_line::parse_printed(line).map_err(|failure| failure.at(number))?;
            // Here, where the line is known, and not when its batch is refused as a whole.
            imported.event.check(&imported.stream).map_err(|error| Failure::from(error).at(number))?;
            self.push(imported, number)?;
            progress.set(lines.bytes_read());
        }
        Ok(())
    }

    fn push(&mut self, imported: Imported, line: Number) -> Result<(), Failure> {
        if !self.batch.as_ref().is_some_and(|batch| batch.takes(&imported)) {
            self.submit_batch()?;
        }
        let Imported { stream, version, event } = imported;
        let batch =
            self.batch.get_or_insert_with(|| Batch { stream, version, events: Vec::new(), bytes: 0, first_line: line });
        batch.version = version;
        batch.bytes += event.payload.len() + event.metadata.len();
        batch.events.push(event);
        Ok(())
    }

    fn submit_batch(&mut self) -> Result<(), Failure> {
        let Some(Batch { stream, version, events, bytes, first_line }) = self.batch.take() else { return Ok(()) };
        let count = events.len() as u64;
        let submitted = self.submit(stream, version, events);
        let pending = submitted.map_err(|failure| failure.at(first_line))?;
        let on_their_way = &mut self.on_their_way;
        on_their_way.bytes += bytes;
        on_their_way.appends.push_back(Submitted { pending, events: count, first_line });
        let full = on_their_way.appends.len() >= ON_THEIR_WAY || on_their_way.bytes >= BYTES_ON_THEIR_WAY;
        if full { self.acknowledge() } else { Ok(()) }
    }

    /// Submits events that bring their stream to a version.
    fn submit(&mut self, stream: StreamName, version: Version, events: Vec<NewEvent>) -> Result<OnItsWay, Failure> {
        let Some(before) = version.get().checked_sub(events.len() as u64).map(Version::new) else {
            return Err(Failure::WrongVersion("the first version of a stream is 1, not 0".to_owned()));
        };
        let coming_to = self.on_their_way.versions.get(&stream).copied();
        let store = self.store()?;
        // The store would answer the same events at the same versions as a repetition. Here they are lines that do not
        // follow. Nobody else appends to the store, so what is seen here stays true.
        let actual = coming_to.map_or_else(|| store.stream_version(&stream), Ok)?;
        let expected = ExpectedVersion::Exact(before);
        if actual != before {
            return Err(Error::WrongExpectedVersion { stream, expected, actual }.into());
        }
        let pending = store.submit(&stream, expected, events)?;
        self.on_their_way.versions.insert(stream, version);
        Ok(pending)
    }

    /// Waits for all that are on their way.
    fn acknowledge(&mut self) -> Result<(), Failure> {
        let OnTheirWay { appends, .. } = std::mem::take(&mut self.on_their_way);
        // The first one takes the others along.
        for Submitted { pending, events, first_line } in appends {
            pending.wait().map_err(|failure| failure.at(first_line))?;
            self.events += events;
        }
        Ok(())
    }

    fn store(&mut self) -> Result<&Opened, Failure> {
        match &mut self.opened {
            Some(store) => Ok(store),
            none => Ok(none.insert(open::for_writing(self.place)?)),
        }
    }
}
