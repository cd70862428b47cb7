//! Verifying a store: every byte of every segment, the events against each other, and snapshots and cursors against the
//! events.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::beside::Beside;
use super::open::{check_directory, check_event, load_manifest, lock};
use super::{
    Store,
    recorded::{self, Decoded},
};
use crate::{
    disk::{Access, Disk, OsDisk},
    error::{Damage, Error, Result},
    event::RecordedEvent,
    index::{Index, IndexOptions},
    log::{Depth, Segment, StoredRecord, Tail, Visitor, walk},
    version::Position,
};

/// What [`verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Segment files that could be read.
    pub segments: u64,
    /// Events that are whole.
    pub events: u64,
    /// Bytes of segments that were read.
    pub bytes: u64,
    /// Bytes of a torn tail behind the last event: remains of appends that were never acknowledged. No fault.
    pub torn_bytes: u64,
    /// Files of snapshots.
    pub snapshots: u64,
    /// Files of cursors.
    pub cursors: u64,
    /// Everything that is not as it was written. Empty: the store is whole.
    pub faults: Vec<Damage>,
}

/// How far [`verify`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyProgress {
    /// Bytes of segments read so far.
    pub bytes: u64,
    /// Bytes of all segments.
    pub total_bytes: u64,
}

/// Reads every byte of the store in this directory and names each fault, also of a store that does not open. Changes
/// nothing.
///
/// # Errors
///
/// When there is no store, when it is in use, or when the system refuses to read. Damage is no error here, but part of
/// the result.
pub fn verify(path: impl AsRef<Path>, progress: &mut dyn FnMut(VerifyProgress)) -> Result<Verified> {
    let (disk, dir) = (OsDisk, path.as_ref());
    check_directory(&disk, dir, false)?;
    let _lock = lock(&disk, dir)?;
    verify_files(&disk, dir, progress)
}

fn verify_files(disk: &dyn Disk, dir: &Path, progress: &mut dyn FnMut(VerifyProgress)) -> Result<Verified> {
    let mut verified = Verified::default();
    let manifest = match load_manifest(disk, dir) {
        Ok(Some(manifest)) => manifest,
        Ok(None) => {
            return Err(Error::NotAStore { path: PathBuf::from(dir), reason: "there is no store here".to_owned() });
        }
        Err(Error::Damaged(damage)) => {
            verified.faults.push(*damage);
            return Ok(verified);
        }
        Err(error) => return Err(error),
    };
    let total_bytes = manifest.segments.iter().map(|entry| entry.bytes).sum();
    let last = manifest.segments.last().map_or(Position::START, |entry| entry.base.previous());
    let options = IndexOptions { store: manifest.store, part_bytes: u64::MAX };
    let index = Index::open(Arc::new(OsDisk), dir, options, manifest.durable.max(last))?;
    index.check(&mut |error| {
        if let Error::Damaged(damage) = error {
            verified.faults.push(*damage);
        }
    });
    let beside = Beside::read(disk, dir, manifest.store)?;
    let index_faults = verified.faults.len();
    let mut check = Check { index, beside, verified, index_faults, total_bytes, progress };
    let walked = walk(disk, dir, &manifest, Access::Read, Depth::Full, &mut check)?;
    check.verified.segments = walked.readable;
    if let Some((_, Tail::Torn { bytes, .. })) = walked.tail {
        check.verified.torn_bytes = bytes;
    }
    let (mut verified, mut beside) = (check.verified, check.beside);
    beside.finish(walked.next);
    (verified.snapshots, verified.cursors) = (beside.snapshots, beside.cursors);
    verified.faults.append(&mut beside.faults);
    Ok(verified)
}

impl Store {
    /// Reads every byte of this store and names each fault. Appends wait until it is done.
    ///
    /// # Errors
    ///
    /// When the system refuses to read. Damage is no error here, but part of the result.
    pub fn verify(&self) -> Result<Verified> {
        let log = &self.inner.log;
        log.while_quiet(|disk, dir| verify_files(disk, dir, &mut |_| {}))
    }
}

/// Notes faults and goes on.
struct Check<'a> {
    index: Index,
    beside: Beside,
    verified: Verified,
    /// How many of the faults are the index's.
    index_faults: usize,
    total_bytes: u64,
    progress: &'a mut dyn FnMut(VerifyProgress),
}

impl Check<'_> {
    /// Compares an event with what the index has of it, or with those before it where no run covers it.
    fn check(&self, event: &RecordedEvent, previous: Position, offset: u64, bytes: u64) -> Result<Result<(), String>> {
        let (stream, version) = (event.stream(), event.version());
        let checked = match self.index.run_holds(self.index.stream(stream.as_str()), version, event.position())? {
            Some(true) => Ok(()),
            Some(false) => Err(format!("the index does not know version {version} of `{stream}` here")),
            None => {
                let checked = check_event(&self.index, event, previous);
                recorded::index(&self.index, event, offset, bytes);
                checked?
            }
        };
        Ok(checked)
    }
}

impl Visitor for Check<'_> {
    fn record(&mut self, _: &Segment, offset: u64, record: &StoredRecord) -> Result<(), String> {
        let Decoded { event, previous } = recorded::decode(record)?;
        self.verified.events += 1;
        self.beside.compare(&event);
        let checked = self.check(&event, previous, offset, record.footprint());
        match checked {
            // A hole that was named already makes every later version of its streams look wrong.
            Ok(Err(_)) if self.verified.faults.len() > self.index_faults => Ok(()),
            Ok(checked) => checked,
            // Where the index is at fault, no segment is to be blamed, and once is enough.
            Err(_) if self.index_faults > 0 => Ok(()),
            Err(Error::Damaged(damage)) => {
                self.verified.faults.push(*damage);
                self.index_faults += 1;
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn fault(&mut self, damage: Damage) -> Result<()> {
        self.verified.faults.push(damage);
        Ok(())
    }

    fn progress(&mut self, bytes: u64) {
        self.verified.bytes += bytes;
        (self.progress)(VerifyProgress { bytes: self.verified.bytes, total_bytes: self.total_bytes });
    }
}
