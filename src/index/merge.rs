//! Making runs: of a frozen part, and of several neighbouring runs.
//!
//! Runs are merged [`FAN_OUT`] at a time, always neighbours of similar size, so that their number grows with the logarithm of
//! the number of events, and so does the number of times that an event is written again.

use std::{path::Path, sync::Arc};

use super::{
    part::{OFFSET_UNIT, Part},
    run::{Run, RunWriter, TIME_BLOCK},
};
use crate::{
    disk::Disk,
    error::Result,
    version::{Position, Version},
};

const FAN_OUT: usize = 8;

/// A run of more events is not merged any more: merging holds the new run in memory, some 16 bytes an event.
const MOST_EVENTS: u64 = 4 << 20;

/// Writes the run of a part that is not empty.
pub(super) fn write_part(disk: &dyn Disk, dir: &Path, store: &[u8; 16], part: &Part) -> Result<Run> {
    let last = part.end().previous();
    let mut run = RunWriter::new(part.from, last, part.first_count(last) as u64);
    run.units(part.units());
    for (block, time) in part.times().iter().enumerate() {
        let first = Position::new((part.from.get() / TIME_BLOCK + block as u64) * TIME_BLOCK);
        run.time(first.max(part.from), *time);
    }
    part.each_list(|hash, first_version, places| run.list(hash, first_version, places));
    run.finish(disk, dir, store)
}

/// Neighbouring runs that should become one, if any: the newest in which none is larger than all others together. So an
/// event is in a run of at least twice the size each time that it is written again. `given_up` are the first positions of
/// groups that could not be merged, because a run is damaged, say.
pub(super) fn choose(runs: &[Arc<Run>], given_up: &[Position]) -> Option<std::ops::Range<usize>> {
    let starts = 0..(runs.len() + 1).saturating_sub(FAN_OUT);
    starts.rev().map(|start| start..start + FAN_OUT).find(|group| {
        let events = || runs[group.clone()].iter().map(|run| run.events());
        let (total, largest) = (events().sum::<u64>(), events().max().unwrap_or_default());
        total <= MOST_EVENTS && largest * 2 <= total && !given_up.contains(&runs[group.start].first)
    })
}

/// Writes one run in place of several neighbours. `None` when it would be too large.
pub(super) fn merge(disk: &dyn Disk, dir: &Path, store: &[u8; 16], runs: &[Arc<Run>]) -> Result<Option<Run>> {
    let (Some(oldest), Some(newest)) = (runs.first(), runs.last()) else { return Ok(None) };
    let streams = runs.iter().map(|run| run.streams()).sum();
    let mut merged = RunWriter::new(oldest.first, newest.last, streams);
    for run in runs {
        let units: Result<Vec<u32>> =
            (0..run.events()).map(|place| Ok((run.offsets(run.first.plus(place))?.0 / OFFSET_UNIT) as u32)).collect();
        merged.units(units?.into_iter());
        let mut position = run.first;
        while position <= run.last {
            merged.time(position, run.time(position)?);
            position = Position::new((position.get() / TIME_BLOCK + 1) * TIME_BLOCK);
        }
    }
    let mut cursors: Vec<usize> = vec![0; runs.len()];
    let (mut places, mut block) = (Vec::new(), Vec::new());
    loop {
        let mut smallest = None;
        for (run, cursor) in runs.iter().zip(&cursors) {
            if let Some((hash, _)) = run.list_at(*cursor)? {
                smallest = Some(smallest.map_or(hash, |other: super::hash::ListHash| other.min(hash)));
            }
        }
        let Some(hash) = smallest else { break };
        places.clear();
        let mut first_version: Option<Version> = None;
        for (run, cursor) in runs.iter().zip(&mut cursors) {
            let Some((found, list)) = run.list_at(*cursor)? else { continue };
            if found != hash {
                continue;
            }
            *cursor = list.postings.end;
            first_version.get_or_insert(list.first_version);
            let shift = (run.first.get() - oldest.first.get()) as u32;
            let postings = run.postings(&list)?;
            for number in 0..postings.blocks() {
                postings.block(number, &mut block).ok_or_else(|| run.bad_postings())?;
                places.extend(block.iter().map(|place| place + shift));
            }
        }
        merged.list(hash, first_version.unwrap_or_default(), &places);
        if !merged.fits() {
            return Ok(None);
        }
    }
    merged.finish(disk, dir, store).map(Some)
}
