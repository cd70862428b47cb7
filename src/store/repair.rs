//! Repairing a store: every event that can be proved good is kept, everything else is set aside, and what is missing is named.
//!
//! ```text
//!   verify -> faults --+-- none: nothing is done
//!                      |
//!                      +-- of the log: what can be proved of it -> which positions and versions are lost
//!                      |        segments made anew, lost events marked in them -> manifest -> index from there on set aside
//!                      |
//!                      +-- of a file that can be made anew or done without: set aside
//!   open, close, verify: no fault is left
//! ```
//!
//! Invariants:
//!
//! - a dry run changes no byte;
//! - nothing is deleted: what is replaced or removed lies in `damaged/` afterwards, with a report;
//! - positions and versions of lost events stay taken;
//! - a repair that is interrupted leaves a store that can be repaired: each file is the old one or the new one, and the report
//!   is there before the first is replaced.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    Options,
    aside::Aside,
    beside::Beside,
    cursor_file::{CURSORS, CursorFile},
    directory::{self, LOCK, LOG, LOG_PREPARED, POSITION},
    lost::{LOST, StandIn},
    missing::{Missing, Placed},
    recorded,
    repaired::RepairReport,
    snapshot_file::SNAPSHOTS,
    verify::{VerifyProgress, verify_alone},
};
use crate::{
    disk::{Disk, Entry, OsDisk, create_dir},
    error::{Damage, Error, Holder, Lost, Place, Result},
    event_store::CursorName,
    index::{Evidence, INDEX, ListHash, RunFile},
    log::{MANIFEST, Manifest, Read, Salvage, StandIns, identify, manifest_damage, mended},
    version::Position,
};

/// What [`repair`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepairMode {
    /// It says what it would do.
    DryRun,
    /// It does it.
    Repair,
}

/// Repairs the store in this directory: keeps every event that can be proved good, marks the positions and versions that are
/// lost, sets damaged files aside under `damaged/`, and deletes nothing. Afterwards the store opens and verifies without a
/// fault. Nothing is done to a store without faults; remains of appends that a crash cut off are none.
///
/// A read that meets lost events says so with [`Error::Lost`], and goes on behind them.
///
/// # Errors
///
/// [`Error::InUse`] when the store is open; [`Error::NotAStore`]; [`Error::Damaged`] when so little is left that not even the
/// store's identity can be told, and only a backup helps; [`Error::NoSpace`] and [`Error::Io`] for what the system refuses. After an
/// error it can be called again.
pub fn repair(
    path: impl AsRef<Path>,
    mode: RepairMode,
    progress: &mut dyn FnMut(VerifyProgress),
) -> Result<RepairReport> {
    let (disk, dir) = (OsDisk, path.as_ref());
    directory::check(&disk, dir, false)?;
    let in_use = || Error::InUse { path: dir.to_owned(), holder: Holder::Unknown };
    let mut lock = directory::lock_shared(&disk, dir)?.ok_or_else(in_use)?;
    // Taking the writer's lock writes to its file: what else is in there is set aside first.
    let sound_lock = directory::check_lock(&disk, dir)?.is_none();
    if mode == RepairMode::Repair && sound_lock {
        drop(lock);
        lock = directory::lock(&disk, dir)?;
    }
    let plan = Plan::make(&disk, dir, progress)?;
    if plan.report.faults.is_empty() || mode == RepairMode::DryRun {
        return Ok(plan.report);
    }
    let report = plan.carry_out(&disk, dir)?;
    drop(lock);
    // The index and the published position are made anew by opening.
    Options::new().create(false).open(dir)?.close()?;
    let left = verify_alone(&disk, dir, &mut |_| {})?;
    left.faults.into_iter().next().map_or(Ok(report), |damage| Err(damage.into()))
}

/// What is to be done.
struct Plan {
    report: RepairReport,
    log: Option<MendedLog>,
    /// Files to be moved, relative to the store's directory.
    moved: Vec<PathBuf>,
}

/// A log that has been read as far as it can be.
struct MendedLog {
    salvage: Salvage,
    stand_ins: BTreeMap<Position, StandIn>,
}

impl MendedLog {
    fn mend(&self, disk: &dyn Disk, replace: &mut dyn FnMut(PathBuf, Vec<u8>) -> Result<()>) -> Result<Manifest> {
        let head = |position| self.stand_ins.get(&position).map(StandIn::encode).unwrap_or_default();
        let salt = || {
            let [a, b, c, d, ..] = disk.random();
            u32::from_le_bytes([a, b, c, d])
        };
        self.salvage.mend(&StandIns { kind: LOST, head: &head, salt: &salt }, replace)
    }

    /// Puts the segments that were made anew, and their manifest, in place of the old ones.
    fn replace(&self, disk: &dyn Disk, dir: &Path, aside: &mut Aside<'_>) -> Result<()> {
        let log_dir = dir.join(LOG);
        create_dir(disk, &log_dir).map_err(|error| Error::io("create", &log_dir, error))?;
        let mut anew = Vec::new();
        let manifest = self.mend(disk, &mut |name, content| {
            let path = dir.join(mended(&name));
            // One that an interrupted repair left may be all there is of a segment.
            if disk.entry(&path).map_err(|error| Error::io("look at", &path, error))?.is_none() {
                aside.removes(path.clone());
            }
            write(disk, &path, &content)?;
            anew.push(name);
            Ok(())
        })?;
        for name in &anew {
            aside.copy(name)?;
        }
        aside.copy(Path::new(MANIFEST))?;
        aside.keep();
        let io = |operation, name: &Path| {
            let name = dir.join(name);
            move |error| Error::io(operation, name, error)
        };
        for name in &anew {
            disk.rename(&dir.join(mended(name)), &dir.join(name)).map_err(io("rename", name))?;
        }
        disk.sync_dir(&log_dir).map_err(io("sync", Path::new(LOG)))?;
        manifest.store(disk, dir)?;
        Ok(())
    }
}

impl Plan {
    fn make(disk: &dyn Disk, dir: &Path, progress: &mut dyn FnMut(VerifyProgress)) -> Result<Plan> {
        let faults = verify_alone(disk, dir, progress)?.faults;
        let mut plan =
            Plan { report: RepairReport { faults, ..RepairReport::default() }, log: None, moved: Vec::new() };
        let of_log = |damage: &&Damage| damage.place.file == Path::new(MANIFEST) || is_segment(&damage.place.file);
        let mut faults = plan.report.faults.clone();
        let mut cut = None;
        if faults.iter().any(|damage| of_log(&damage)) {
            let (log, beside) = plan.read_log(disk, dir)?;
            faults.retain(|damage| !is_beside(&damage.place.file));
            faults.extend(beside.faults);
            let mut anew = Vec::new();
            log.mend(disk, &mut |name, _| {
                anew.push(name);
                Ok(())
            })?;
            cut = anew.first().and_then(|name| crate::log::Segment::base_in_name(name.file_name()?.to_str()?));
            plan.report.made_anew = anew;
            plan.report.made_anew.push(MANIFEST.into());
            plan.moved.extend(log.salvage.strays().iter().cloned());
            plan.log = Some(log);
        }
        for damage in &faults {
            let file = &damage.place.file;
            let made_anew = plan.report.made_anew.contains(file);
            if is_beside(file)
                || [LOCK, POSITION, LOG_PREPARED].iter().any(|name| file == Path::new(name))
                || is_directory(file)
                || !made_anew && !is_file(disk, &dir.join(file))?
            {
                plan.moved.push(file.clone());
            }
            if file.starts_with(INDEX) {
                let at = RunFile::all(disk, dir)?.into_iter().find(|run| run.path == *file).map(|run| run.last);
                cut = [cut, at].into_iter().flatten().min();
            }
        }
        // Runs are used only without a gap before them.
        let runs = RunFile::all(disk, dir)?.into_iter().filter(|run| cut.is_some_and(|cut| run.last >= cut));
        plan.moved.extend(runs.map(|run| run.path));
        plan.moved.sort();
        plan.moved.dedup();
        let cursors = plan.moved.iter().filter(|file| file.starts_with(CURSORS));
        let names: Vec<CursorName> =
            cursors.filter_map(|file| CursorFile::name_in_file(file.file_name()?.to_str()?)).collect();
        plan.report.cursors = names;
        plan.report.set_aside.clone_from(&plan.moved);
        Ok(plan)
    }

    /// Reads what can be proved of the log, and says what is lost.
    fn read_log(&mut self, disk: &dyn Disk, dir: &Path) -> Result<(MendedLog, Beside)> {
        let manifest = match Manifest::load(disk, dir) {
            Ok(manifest) => manifest,
            Err(Error::Damaged(_)) => None,
            Err(error) => return Err(error),
        };
        let named = manifest.as_ref().map(|manifest| manifest.store);
        let others: Vec<_> = named.into_iter().chain(directory::position_store(disk, dir)?).collect();
        let Some(store) = identify(disk, dir, &others)? else {
            let fault = "no file of the log says whose it is; only a backup helps".to_owned();
            return Err(manifest_damage(fault).into());
        };
        let evidence = Evidence::read(disk, dir, &store)?;
        let mut beside = Beside::read(disk, dir, store)?;
        let known: Vec<Position> = evidence.lasts().chain(beside.positions()).collect();
        let mut salvage = Salvage::read(disk, dir, store, manifest, &known)?;
        let mut missing = survey(&salvage, &store);
        if !missing.contradictory.is_empty() {
            salvage.reject(std::mem::take(&mut missing.contradictory));
            missing = survey(&salvage, &store);
        }
        let lost = salvage.lost();
        let mut pins = BTreeMap::new();
        evidence.of(&lost, &mut |position, stream, version| {
            pins.insert(position, (stream, version));
        })?;
        for (position, stream, version) in beside.snapshots_at() {
            let hash = ListHash::of_stream(&store, stream.as_str());
            missing.name(hash, stream);
            if lost.iter().any(|range| range.contains(&position)) {
                pins.insert(position, (hash, version));
            }
        }
        let wanted: std::collections::HashSet<ListHash> = pins.values().map(|(stream, _)| *stream).collect();
        salvage.visit(&mut |record| {
            if let Ok(event) = recorded::decode(record) {
                beside.compare(&event);
                let stream = event.stream();
                let hash = ListHash::of_stream(&store, stream.as_str());
                if wanted.contains(&hash) {
                    missing.name(hash, &stream);
                }
            }
        });
        beside.finish(salvage.next());
        let Placed { stand_ins, versions, unknown, unplaced } = missing.place(pins, disk.now());
        if unplaced > 0 {
            let fault = format!("{unplaced} versions are missing for which no position is; only a backup helps");
            let place = Place { file: MANIFEST.into(), offset: 0, position: salvage.next() };
            return Err(Damage { place, fault }.into());
        }
        let ranges = lost.iter().map(|range| Lost::Positions { first: *range.start(), last: *range.end() });
        (self.report.lost, self.report.versions, self.report.unknown) = (ranges.collect(), versions, unknown);
        Ok((MendedLog { salvage, stand_ins }, beside))
    }

    fn carry_out(mut self, disk: &dyn Disk, dir: &Path) -> Result<RepairReport> {
        let mut aside = Aside::new(disk, dir, disk.now())?;
        self.report.directory = Some(aside.place.clone());
        match self.replace(disk, dir, &mut aside) {
            Ok(()) => Ok(self.report),
            Err(error) => {
                aside.abandon();
                Err(error)
            }
        }
    }

    fn replace(&self, disk: &dyn Disk, dir: &Path, aside: &mut Aside<'_>) -> Result<()> {
        aside.report(&self.report.to_json_lines())?;
        // What is in the way of others.
        let (first, others) = self.moved.iter().partition::<Vec<_>, _>(|file| is_lock(file) || is_directory(file));
        for file in &first {
            aside.take(file)?;
        }
        let _lock = match first.iter().any(|file| is_lock(file)) {
            true => Some(directory::lock(disk, dir)?),
            false => None,
        };
        if let Some(log) = &self.log {
            log.replace(disk, dir, aside)?;
        }
        others.into_iter().try_for_each(|file| aside.take(file))
    }
}

/// What the events that are there say of those that are not.
fn survey(salvage: &Salvage, store: &[u8; 16]) -> Missing {
    let mut missing = Missing::new(salvage.lost());
    salvage.visit(&mut |record: &Read<'_>| {
        let position = record.header().position;
        match recorded::decode_any(record) {
            Ok(Ok(event)) => {
                let stream = event.stream();
                let hash = ListHash::of_stream(store, stream.as_str());
                missing.event(hash, Some(&stream), event.version(), position);
                missing.time(position, event.timestamp());
            }
            Ok(Err(StandIn { stream: Some((hash, version)), .. })) => missing.event(hash, None, version, position),
            Ok(Err(StandIn { stream: None, .. })) => {}
            Err(_) => drop(missing.contradictory.insert(position)),
        }
    });
    missing
}

fn write(disk: &dyn Disk, path: &Path, content: &[u8]) -> Result<()> {
    let file = disk.create(path).map_err(|error| Error::io("create", path, error))?;
    file.write_at(content, 0).map_err(|error| Error::io("write", path, error))?;
    file.sync().map_err(|error| Error::io("sync", path, error))
}

fn is_segment(file: &Path) -> bool {
    file.starts_with(LOG) && file != Path::new(LOG_PREPARED)
}

fn is_beside(file: &Path) -> bool {
    (file.starts_with(SNAPSHOTS) || file.starts_with(CURSORS)) && !is_directory(file)
}

fn is_lock(file: &Path) -> bool {
    file == Path::new(LOCK)
}

/// Whether it has the name of one of the store's directories.
fn is_directory(file: &Path) -> bool {
    [LOG, INDEX, SNAPSHOTS, CURSORS].iter().any(|name| file == Path::new(name))
}

/// Whether nothing but a file, or nothing at all, lies there.
fn is_file(disk: &dyn Disk, path: &Path) -> Result<bool> {
    let kind = disk.entry(path).map_err(|error| Error::io("look at", path, error))?;
    Ok(kind.is_none_or(|kind| kind == Entry::File))
}
