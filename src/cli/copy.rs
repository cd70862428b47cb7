//! `factlog copy`: all events of one store into another, of whatever engine, with their streams, versions, ids, types, times, data, metadata
//! and order.
//!
//! ```text
//!   source        1 2 3 4 5 6 7 8 | 9 ...      what comes behind the end that was seen first is for the next run
//!   destination   1 2 3 4 5                    a beginning of the source, at every moment
//!                         |
//!                         its last event says where to go on
//! ```
//!
//! Invariants:
//!
//! - the destination holds a beginning of the source and nothing else: anything else in it is refused before anything is written;
//! - nothing but the destination says how far a copy has come, so a killed one is begun again by the same command;
//! - a copy that ends well has read both sides from the first event to the last, and found the same.

use std::{iter, sync::mpsc, thread};

use clap::Args;
use factlog::{NewEvent, Position, ReadAll, ReadStream, RecordedEvent};
use serde::Serialize;

use super::{
    compare::{self, same},
    failure::Failure,
    load::Loader,
    open::{self, Opened},
    output::Output,
    place::{Access, Place},
    progress::{Progress, Unit},
};

/// Events are handed from the thread that reads them to the one that uses them in bundles of this many, or of so many bytes.
const BUNDLE_EVENTS: usize = 256;
const BUNDLE_BYTES: usize = 1 << 20;

/// How many bundles wait at a time.
const BUNDLES: usize = 4;

/// Copy all events of a store into another, and compare both; run again after an interruption, it goes on where it was
#[derive(Debug, Args)]
pub struct Copy {
    /// The store to copy: a directory, or an address as of --store
    #[arg(long, value_name = "STORE")]
    from: String,

    /// The store to copy into: an empty one, one that does not exist yet, or one that an earlier copy has begun
    #[arg(long, value_name = "STORE")]
    to: String,

    /// A file with the token or password for the store to copy into, if it is another than that of --token-file
    #[arg(long, value_name = "FILE")]
    to_token_file: Option<std::path::PathBuf>,
}

#[derive(Serialize)]
struct Summary {
    copied: u64,
    events: u64,
    checksum: String,
}

impl Copy {
    pub fn run(self, access: &Access, out: &mut Output) -> Result<(), Failure> {
        let from = open::for_reading_patiently(&Place::new(Some(self.from), access.clone()))?;
        let mut access = access.clone();
        access.token_file = self.to_token_file.or(access.token_file);
        let to = open::for_writing_patiently(&Place::new(Some(self.to), access))?;
        let end = end(&from)?;
        let (to, copied) = copy(&from, to, end)?;
        let compared = compare::up_to(&from, &to, end)?;
        to.close();
        out.line(&Summary { copied, events: compared.events, checksum: format!("{:016x}", compared.checksum) })
    }
}

/// The position of the last event that can be read now. An engine may have newer ones that readers are not given yet, because others before
/// them are still being stored.
fn end(from: &Opened) -> Result<Position, Failure> {
    if from.capabilities().dense_positions {
        return from.last_position();
    }
    let newest = from.read_all(ReadAll::after(Position::START).backwards().limit(1)).next().transpose()?;
    Ok(newest.map_or(Position::START, |event| event.position()))
}

/// Copies the events up to `end` that the destination does not have; gives it back with the number of them.
fn copy(from: &Opened, to: Opened, end: Position) -> Result<(Opened, u64), Failure> {
    let start = reached(from, &to)?;
    let total = from.capabilities().dense_positions.then(|| end.get().saturating_sub(start.get()));
    let progress = Progress::new(Unit::Things("events copied"), total);
    let mut loader = Loader::into(to);
    let read = ReadAll::after(start).before(end.next());
    let loaded = thread::scope(|scope| {
        for event in ahead(scope, from, read) {
            let event = event?;
            let new = NewEvent::new(event.event_type(), event.payload()).with_id(event.id());
            let new = new.with_metadata(event.metadata()).with_timestamp(event.timestamp());
            loader.push(event.stream(), event.version(), new, At(event.position()))?;
            progress.set(loader.acknowledged());
        }
        Ok(())
    });
    let loaded = loader.finish().and(loaded);
    let acknowledged = loader.acknowledged();
    loaded.map_err(|failure: Failure| failure.at(format_args!("copied {acknowledged} events, then")))?;
    Ok((loader.into_store(), acknowledged))
}

/// An event by its place in the source.
#[derive(Clone, Copy)]
struct At(Position);

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the event at position {}", self.0)
    }
}

/// The position in the source up to which the destination has it.
fn reached(from: &Opened, to: &Opened) -> Result<Position, Failure> {
    let all = ReadAll::after(Position::START).limit(1);
    let Some(last) = to.read_all(all.clone().backwards()).next().transpose()? else { return Ok(Position::START) };
    let others = |event: &RecordedEvent, what: &str| {
        let (position, stream, version) = (event.position(), event.stream(), event.version());
        Failure::BadInput(format!(
            "the store to copy into has other events than the one to copy: {what} at position {position}, version \
             {version} of stream `{stream}`; copy into an empty store"
        ))
    };
    if let (Some(ours), Some(theirs)) = (to.read_all(all.clone()).next(), from.read_all(all).next()) {
        let (ours, theirs) = (ours?, theirs?);
        if !same(&ours, &theirs) {
            return Err(others(&ours, "its first event"));
        }
    }
    let (stream, version) = (last.stream(), last.version());
    let found = from.read_stream(ReadStream::new(&stream).from(version).to(version)).next().transpose()?;
    let Some(found) = found.filter(|found| same(found, &last)) else { return Err(others(&last, "its last event")) };
    let both_dense = from.capabilities().dense_positions && to.capabilities().dense_positions;
    if both_dense && found.position() != last.position() {
        return Err(others(&last, "its last event, which has another position there,"));
    }
    Ok(found.position())
}

/// What a store is read for on a thread of its own, a little ahead of who takes it.
pub fn ahead<'scope, 'env>(
    scope: &'scope thread::Scope<'scope, 'env>,
    store: &'env Opened,
    read: ReadAll,
) -> impl Iterator<Item = factlog::Result<RecordedEvent>> + use<> {
    let (sender, receiver) = mpsc::sync_channel(BUNDLES);
    scope.spawn(move || {
        let mut events = store.read_all(read);
        loop {
            let (mut bundle, mut bytes) = (Vec::new(), 0);
            while bundle.len() < BUNDLE_EVENTS
                && bytes < BUNDLE_BYTES
                && let Some(event) = events.next()
            {
                bytes += event.as_ref().map_or(0, |event| event.payload_slice().len() + event.metadata_slice().len());
                let failed = event.is_err();
                bundle.push(event);
                if failed {
                    break;
                }
            }
            let over = bundle.last().is_none_or(Result::is_err);
            // Who takes them may have failed, and gone.
            if sender.send(bundle).is_err() || over {
                return;
            }
        }
    });
    iter::from_fn(move || receiver.recv().ok()).flatten()
}
