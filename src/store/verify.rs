//! Verifying a store: every byte of every segment, the events against each other, and snapshots and cursors against the
//! events.

use std::{path::Path, sync::Arc};

use super::{
    Store,
    beside::Beside,
    directory::{
        self, POSITION, check_position, load_manifest, lock_shared, missing, position_store, unreadable_position,
    },
    lost::StandIn,
    open::{add_checked, add_lost},
    recorded::Indexing,
};
use crate::{
    disk::{Access, Disk, OsDisk},
    error::{Damage, Error, Place, Result},
    event::RecordedEvent,
    index::{Index, IndexOptions, Indexed},
    log::{Depth, Manifest, Read, Salvage, Segment, StandIns, Tail, Visitor, identify, walk},
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
    /// Positions whose events an earlier repair has found lost. No fault any more.
    pub lost: u64,
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
    directory::check(&disk, dir, false)?;
    // Without a writer, none may come before it is done: what it writes would look like damage.
    let alone = lock_shared(&disk, dir)?;
    let writer = if alone.is_some() { Writer::Nobody } else { Writer::Another };
    verify_files(&disk, dir, writer, progress)
}

/// As [`verify`], while no writer can come.
pub(super) fn verify_alone(disk: &dyn Disk, dir: &Path, progress: &mut dyn FnMut(VerifyProgress)) -> Result<Verified> {
    verify_files(disk, dir, Writer::Nobody, progress)
}

/// The manifest that the segments themselves speak of, where the one that is there cannot be read.
fn manifest_by_segments(disk: &dyn Disk, dir: &Path) -> Result<Option<Manifest>> {
    let others: Vec<_> = position_store(disk, dir)?.into_iter().collect();
    let Some(store) = identify(disk, dir, &others)? else { return Ok(None) };
    let salvage = Salvage::read(disk, dir, store, None, &[])?;
    let stand_ins = StandIns { kind: 0, head: &|_| Vec::new(), salt: &|| 0 };
    salvage.mend(&stand_ins, &mut |_, _| Ok(())).map(Some)
}

/// Who writes the store while it is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    Nobody,
    /// This process, which waits, with everything up to this position on the disk.
    Waits(Position),
    /// Another process: only what it has published is looked at.
    Another,
}

fn verify_files(
    disk: &dyn Disk,
    dir: &Path,
    writer: Writer,
    progress: &mut dyn FnMut(VerifyProgress),
) -> Result<Verified> {
    let mut verified = Verified::default();
    let load = || load_manifest(disk, dir)?.ok_or_else(|| missing(dir));
    let loaded = load().and_then(|manifest| {
        let position = check_position(disk, dir, &manifest.store);
        // The position before the manifest: so no segment is missing that holds anything up to it.
        Ok((position, load()?))
    });
    let (position, manifest) = match loaded {
        Ok(loaded) => loaded,
        Err(Error::Damaged(damage)) => {
            verified.faults.push(*damage);
            let manifest = if writer == Writer::Nobody { manifest_by_segments(disk, dir)? } else { None };
            let Some(manifest) = manifest else { return Ok(verified) };
            (check_position(disk, dir, &manifest.store), manifest)
        }
        Err(error) => return Err(error),
    };
    let unreadable = match &position {
        Ok(None) => Some("the file is missing"),
        Ok(Some(_)) => None,
        Err(fault) => Some(fault.as_str()),
    };
    if let (Writer::Another, Some(fault)) = (writer, unreadable) {
        verified.faults.push(unreadable_position(fault));
        return Ok(verified);
    }
    let published = Position::new(position.as_ref().ok().copied().flatten().unwrap_or_default());
    let until = match writer {
        Writer::Nobody => None,
        Writer::Waits(last) => Some(last),
        Writer::Another => Some(published.max(manifest.durable)),
    };
    let total_bytes = manifest.segments.iter().map(|entry| entry.bytes).sum();
    let last = manifest.segments.last().map_or(Position::START, |entry| entry.base.previous());
    let options = IndexOptions { store: manifest.store, part_bytes: u64::MAX, writes: false };
    let index = Index::open(Arc::new(OsDisk), dir, options, manifest.durable.max(last))?;
    index.check(&mut |damage| verified.faults.push(damage));
    let beside = Beside::read(disk, dir, manifest.store)?;
    let index_faults = verified.faults.len();
    let indexing = Indexing::new();
    let mut check = Check { index, indexing, beside, verified, index_faults, total_bytes, progress };
    let walked = walk(disk, dir, &manifest, Access::Read, Depth::Full, until, &mut check)?;
    check.verified.segments = walked.readable;
    if let Some((_, Tail::Torn { bytes, .. })) = walked.tail {
        check.verified.torn_bytes = bytes;
    }
    let (mut verified, mut beside) = (check.verified, check.beside);
    if writer == Writer::Nobody {
        verified.faults.extend(directory::check_idle(disk, dir)?);
    }
    if writer != Writer::Another {
        beside.finish(walked.next);
    }
    if writer == Writer::Nobody {
        check_published(position, walked.next.previous(), manifest.clean, &mut verified);
    }
    (verified.snapshots, verified.cursors) = (beside.snapshots, beside.cursors);
    verified.faults.append(&mut beside.faults);
    Ok(verified)
}

/// The published position is never ahead of the log, and after a clean close it is the last.
fn check_published(position: Result<Option<u64>, String>, last: Position, clean: bool, verified: &mut Verified) {
    let fault = match position {
        Ok(Some(published)) if published > last.get() || clean && published != last.get() => {
            format!("the position {published} was published, but the last one is {last}")
        }
        Ok(_) => return,
        Err(fault) => fault,
    };
    let place = Place { file: POSITION.into(), offset: 0, position: last };
    verified.faults.push(Damage { place, fault });
}

impl Store {
    /// Reads every byte of this store and names each fault. Appends wait until it is done.
    ///
    /// # Errors
    ///
    /// When the system refuses to read. Damage is no error here, but part of the result.
    pub fn verify(&self) -> Result<Verified> {
        if self.inner.check_writable().is_err() {
            return verify(&self.inner.dir, &mut |_| {});
        }
        let log = &self.inner.log;
        log.while_quiet(|disk, dir| verify_files(disk, dir, Writer::Waits(log.durable()), &mut |_| {}))
    }
}

/// Notes faults and goes on.
struct Check<'a> {
    index: Index,
    indexing: Indexing,
    beside: Beside,
    verified: Verified,
    /// How many of the faults are the index's.
    index_faults: usize,
    total_bytes: u64,
    progress: &'a mut dyn FnMut(VerifyProgress),
}

impl Check<'_> {
    /// Compares an event with what the index has of it, or with those before it where no run covers it.
    fn check(&self, event: &RecordedEvent, indexed: &Indexed, bytes: u64) -> Result<Result<(), String>> {
        let version = indexed.version;
        match self.index.run_holds(indexed.stream, version, indexed.position)? {
            Some(true) => Ok(Ok(())),
            Some(false) => {
                let fault = format!("it does not know version {version} of `{}` there", event.stream_str());
                Err(self.unknown(indexed.position, fault))
            }
            None => add_checked(&self.index, indexed, event, bytes),
        }
    }

    /// As [`Check::check`], for what stands for a lost event.
    fn check_lost(&self, lost: &StandIn, position: Position, offset: u64, bytes: u64) -> Result<Result<(), String>> {
        match self.index.run_holds_lost(position)? {
            Some(true) => Ok(Ok(())),
            Some(false) => Err(self.unknown(position, "it does not know that the event there is lost".to_owned())),
            None => add_lost(&self.index, lost, position, offset, bytes),
        }
    }

    /// A run that is whole and does not fit the log.
    fn unknown(&self, position: Position, fault: String) -> Error {
        let file = self.index.run_file(position).unwrap_or_default();
        Damage { place: Place { file, offset: 0, position }, fault }.into()
    }
}

impl Visitor for Check<'_> {
    fn record(&mut self, _: &Segment, offset: u64, record: &Read<'_>) -> Result<(), String> {
        let checked = match self.indexing.next(&self.index, record, offset) {
            Ok(indexed) => {
                let event = self.indexing.event();
                self.verified.events += 1;
                self.beside.compare(event);
                self.check(event, &indexed, record.footprint())
            }
            Err(fault) => {
                let lost = StandIn::decode(record).ok_or(fault)?;
                self.verified.lost += 1;
                self.check_lost(&lost, record.header().position, offset, record.footprint())
            }
        };
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
