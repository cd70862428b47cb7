//! `factlog backup`: a copy of the store that is a store, also while another process writes.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{
    failure::Failure,
    open,
    output::Output,
    place::Place,
    progress::{Progress, Unit},
};

/// Copy the store to a directory, or bring the copy there up to date, and verify it; opening the copy restores it
#[derive(Debug, Args)]
pub struct Backup {
    /// The directory of the copy; it is made if it is missing
    destination: PathBuf,
}

#[derive(Serialize)]
struct Summary {
    last_position: u64,
    segments: u64,
    copied_segments: u64,
    copied_bytes: u64,
    events: u64,
    lost: u64,
}

impl Backup {
    pub fn run(self, store: &Place, out: &mut Output) -> Result<(), Failure> {
        let store = open::directory_for_reading(store.directory("backup")?)?;
        let mut progress = None;
        let report = store.backup(&self.destination, &mut |so_far| {
            progress.get_or_insert_with(|| Progress::new(Unit::Bytes, Some(so_far.total_bytes))).set(so_far.bytes);
        });
        drop(progress);
        let report = report?;
        out.line(&Summary {
            last_position: report.last_position.get(),
            segments: report.segments,
            copied_segments: report.copied_segments,
            copied_bytes: report.copied_bytes,
            events: report.verified.events,
            lost: report.verified.lost,
        })
    }
}
