//! `factlog import`: the lines of `read` into a store, with their ids, times and order.
//!
//! Consecutive lines of one stream share an append, as many as [`BATCH_EVENTS`] and [`BATCH_BYTES`] allow. Whatever line
//! an import stops at, the lines before it are in the store; it and those behind it are not.

use std::{
    io::BufRead,
    path::{Path, PathBuf},
};

use clap::Args;
use factlog::{EventStore, ExpectedVersion, NewEvent, Store, StreamName, Version, block_on, limits};

use super::{
    event_line::{self, Imported},
    failure::Failure,
    files,
    lines::{Lines, Number},
    open,
    output::{count, say},
    progress::{Progress, Unit},
};

/// Most events in one append of an import.
const BATCH_EVENTS: usize = 1000;

/// Bytes of payload and metadata beyond which an append of an import takes no further event.
const BATCH_BYTES: usize = 4 << 20;

const _: () = assert!(BATCH_EVENTS <= limits::APPEND_EVENTS);
const _: () = assert!(BATCH_BYTES + limits::EVENT_BYTES + BATCH_EVENTS * 1024 <= limits::APPEND_BYTES);

/// Append events as `read` and `export` print them, from a file or from standard input
#[derive(Debug, Args)]
pub struct Import {
    /// The file; standard input when it is left out, or `-`
    file: Option<PathBuf>,
}

impl Import {
    pub fn run(self, place: &Path) -> Result<(), Failure> {
        let input = files::input(self.file.as_deref())?;
        let progress = Progress::new(Unit::Bytes, input.length);
        let mut lines = Lines::of(input.reader);
        let mut importing = Importing { place, opened: None, batch: None, events: 0 };
        let taken = importing.take(&mut lines, &progress);
        // What stands before a bad line is stored all the same.
        let done = importing.store_batch().and(taken);
        drop(progress);
        say(format_args!("imported {}", count(importing.events, "event")));
        done?;
        importing.store()?;
        Ok(importing.opened.map_or(Ok(()), Store::close)?)
    }
}

struct Importing<'a> {
    place: &'a Path,
    /// Opened at the first good line, so that input of another kind leaves no store behind.
    opened: Option<Store>,
    batch: Option<Batch>,
    /// How many events were acknowledged.
    events: u64,
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
            self.store_batch()?;
        }
        let Imported { stream, version, event } = imported;
        let batch =
            self.batch.get_or_insert_with(|| Batch { stream, version, events: Vec::new(), bytes: 0, first_line: line });
        batch.version = version;
        batch.bytes += event.payload.len() + event.metadata.len();
        batch.events.push(event);
        Ok(())
    }

    fn store_batch(&mut self) -> Result<(), Failure> {
        let Some(Batch { stream, version, events, first_line, .. }) = self.batch.take() else { return Ok(()) };
        let before = version.get().checked_sub(events.len() as u64).map(Version::new);
        let Some(before) = before else {
            return Err(Failure::WrongVersion("the first version of a stream is 1, not 0".to_owned()).at(first_line));
        };
        let count = events.len() as u64;
        let store: &dyn EventStore = self.store()?;
        let appended = block_on(store.append(&stream, ExpectedVersion::Exact(before), events));
        appended.map_err(|error| Failure::from(error).at(first_line))?;
        self.events += count;
        Ok(())
    }

    fn store(&mut self) -> Result<&Store, Failure> {
        match &mut self.opened {
            Some(store) => Ok(store),
            none => Ok(none.insert(open::for_writing(self.place)?)),
        }
    }
}
