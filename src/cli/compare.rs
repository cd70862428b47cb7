//! Two stores side by side: the same events in the same order, or the first place where they differ.

use std::{hash::Hasher, thread};

use factlog::{Position, ReadAll, RecordedEvent};
use xxhash_rust::xxh3::Xxh3;

use super::{
    copy::ahead,
    failure::Failure,
    open::Opened,
    output::count,
    progress::{Progress, Unit},
};

/// What both sides have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// How many events.
    pub events: u64,
    /// The XXH3 of all that is kept of them.
    pub checksum: u64,
}

/// One side, as far as it was read.
#[derive(Default)]
struct Side {
    events: u64,
    hash: Xxh3,
}

impl Side {
    fn take(&mut self, event: &RecordedEvent) {
        self.events += 1;
        // With their lengths, so that no part can pass for the end of the one before.
        for part in [
            event.stream_str().as_bytes(),
            event.event_type_str().as_bytes(),
            event.metadata_slice(),
            event.payload_slice(),
        ] {
            self.hash.write_u64(part.len() as u64);
            self.hash.write(part);
        }
        self.hash.write_u64(event.version().get());
        self.hash.write(event.id().as_uuid().as_bytes());
        self.hash.write_i64(event.timestamp().as_micros());
    }

    fn result(&self) -> Compared {
        Compared { events: self.events, checksum: self.hash.finish() }
    }
}

/// Whether two events are the same but for their positions.
pub fn same(one: &RecordedEvent, other: &RecordedEvent) -> bool {
    one.id() == other.id()
        && one.version() == other.version()
        && one.timestamp() == other.timestamp()
        && one.stream_str() == other.stream_str()
        && one.event_type_str() == other.event_type_str()
        && one.metadata_slice() == other.metadata_slice()
        && one.payload_slice() == other.payload_slice()
}

/// Reads both sides, the first up to `end` and the second to its end, and finds the same or fails.
pub fn up_to(from: &Opened, to: &Opened, end: Position) -> Result<Compared, Failure> {
    let total = from.capabilities().dense_positions.then_some(end.get());
    let progress = Progress::new(Unit::Things("events compared"), total);
    let all = ReadAll::after(Position::START);
    let (mut source, mut copied) = (Side::default(), Side::default());
    thread::scope(|scope| {
        let mut ours = ahead(scope, to, all.clone());
        for theirs in ahead(scope, from, all.before(end.next())) {
            let (theirs, ours) = (theirs?, ours.next().transpose()?);
            source.take(&theirs);
            match ours {
                Some(ours) if same(&theirs, &ours) => copied.take(&ours),
                ours => return Err(differ(source.events, &theirs, ours.as_ref())),
            }
            progress.set(source.events);
        }
        match ours.next().transpose()? {
            None => Ok(()),
            Some(more) => Err(Failure::Failed(format!(
                "the stores differ: the copy has all of {}, and behind them {}",
                count(source.events, "event"),
                named(&more)
            ))),
        }
    })?;
    match (source.result(), copied.result()) {
        (source, copied) if source == copied => Ok(source),
        (source, copied) => Err(Failure::Failed(format!("the stores differ: {source:?} was read, and {copied:?}"))),
    }
}

fn differ(number: u64, theirs: &RecordedEvent, ours: Option<&RecordedEvent>) -> Failure {
    let (theirs, ours) = (named(theirs), ours.map_or_else(|| "nothing".to_owned(), named));
    Failure::Failed(format!("the stores differ at event {number}: where the source has {theirs}, the copy has {ours}"))
}

fn named(event: &RecordedEvent) -> String {
    let (stream, version, position, id) = (event.stream(), event.version(), event.position(), event.id());
    format!("version {version} of stream `{stream}` with the id {id} at position {position}")
}
