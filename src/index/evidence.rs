//! What the index files prove of a log that has lost events: that they were there, and whose they were.
//!
//! A run is of durable events only. So where the log is damaged, a run that is whole tells which version of which stream lay
//! at a position, though not what was in it.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use super::{
    Index, ListHash,
    matches::Piece,
    run::{INDEX, Run},
};
use crate::{
    disk::{Disk, names},
    error::{Error, Result},
    version::{Position, Version},
};

/// A file of the index, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunFile {
    pub(crate) path: PathBuf,
    pub(crate) last: Position,
}

/// The runs of a store that are whole.
#[derive(Debug)]
pub(crate) struct Evidence {
    runs: Vec<Run>,
}

impl RunFile {
    /// All files of the index in `dir`.
    pub(crate) fn all(disk: &dyn Disk, dir: &Path) -> Result<Vec<RunFile>> {
        let ranges = ranges(disk, dir)?;
        Ok(ranges.into_iter().map(|(first, last)| RunFile { path: Run::name(first, last), last }).collect())
    }
}

fn ranges(disk: &dyn Disk, dir: &Path) -> Result<Vec<(Position, Position)>> {
    Ok(names(disk, &dir.join(INDEX))?.iter().filter_map(|name| Run::range_in_name(name)).collect())
}

impl Evidence {
    /// Opens all runs of this store and keeps those that are whole.
    pub(crate) fn read(disk: &dyn Disk, dir: &Path, store: &[u8; 16]) -> Result<Evidence> {
        let mut runs = Vec::new();
        for (first, last) in ranges(disk, dir)? {
            match Run::open(disk, dir, store, first, last).and_then(|run| run.check().map(|()| run)) {
                Ok(run) => runs.push(run),
                Err(Error::Damaged(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Evidence { runs })
    }

    /// The last position of each run: the log was durable up to it.
    pub(crate) fn lasts(&self) -> impl Iterator<Item = Position> {
        self.runs.iter().map(|run| run.last)
    }

    /// Gives the streams and versions of the events at these positions, as far as they are known.
    pub(crate) fn of(
        &self,
        wanted: &[RangeInclusive<Position>],
        each: &mut dyn FnMut(Position, ListHash, Version),
    ) -> Result<()> {
        let is_wanted = |position: Position| {
            let at = wanted.partition_point(|range| *range.end() < position);
            wanted.get(at).is_some_and(|range| range.contains(&position))
        };
        let mut block = Vec::new();
        for run in &self.runs {
            if !wanted.iter().any(|range| *range.start() <= run.last && run.first <= *range.end()) {
                continue;
            }
            let mut at = 0;
            while let Some((hash, list)) = run.list_at(at)? {
                at = list.postings.end;
                // Types, categories and the like have no versions.
                if list.first_version == Version::NONE {
                    continue;
                }
                let postings = run.postings(&list)?;
                let mut version = list.first_version;
                for number in 0..postings.blocks() {
                    postings.block(number, &mut block).ok_or_else(|| run.bad_postings())?;
                    for place in &block {
                        let position = run.first.plus((*place).into());
                        if is_wanted(position) {
                            each(position, hash, version);
                        }
                        version = version.next();
                    }
                }
            }
        }
        Ok(())
    }
}

impl Index {
    /// Whether the run that covers a position has it among the lost ones; `None` when no run covers it.
    pub(crate) fn run_holds_lost(&self, position: Position) -> Result<Option<bool>> {
        let Some(run) = self.run_of(position) else { return Ok(None) };
        let Some(list) = run.find(ListHash::LOST)? else { return Ok(Some(false)) };
        let mut piece = Piece::of_run(run, list)?;
        let at = piece.lower_bound(position)?;
        Ok(Some(at < piece.len() && piece.position(at)? == position))
    }

    /// The file of the run that covers a position.
    pub(crate) fn run_file(&self, position: Position) -> Option<PathBuf> {
        self.run_of(position).map(|run| Run::name(run.first, run.last))
    }
}
