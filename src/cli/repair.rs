//! `factlog repair`: what is damaged set aside, what can be proved good kept, what is lost named.

use clap::Args;
use factlog::{RepairMode, RepairReport};

use super::{
    failure::Failure,
    output::{Output, count, say},
    place::Place,
    progress::{Progress, Unit},
};

/// Repair a damaged store and print what was found and done, one line of JSON each; nothing is deleted
#[derive(Debug, Args)]
pub struct Repair {
    /// Only print what would be done; change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Repair {
    pub fn run(self, store: &Place, out: &mut Output) -> Result<(), Failure> {
        let mut progress = None;
        let mode = if self.dry_run { RepairMode::DryRun } else { RepairMode::Repair };
        let report = factlog::repair(store.directory("repair")?, mode, &mut |so_far| {
            progress.get_or_insert_with(|| Progress::new(Unit::Bytes, Some(so_far.total_bytes))).set(so_far.bytes);
        });
        drop(progress);
        let report = report?;
        out.text(&report.to_json_lines())?;
        out.flush()?;
        say(format_args!("factlog: {}", summary(&report)));
        match self.dry_run && !report.faults.is_empty() {
            true => Err(Failure::Damaged("damaged store: nothing was changed, as it was a dry run".to_owned())),
            false => Ok(()),
        }
    }
}

fn summary(report: &RepairReport) -> String {
    if report.faults.is_empty() {
        return "the store has no fault; nothing to repair".to_owned();
    }
    let faults = count(report.faults.len() as u64, "fault");
    let events = match report.lost_events() {
        0 => "no event is lost".to_owned(),
        1 => "1 event is lost".to_owned(),
        lost => format!("{lost} events are lost"),
    };
    match &report.directory {
        Some(directory) => format!("repaired {faults}; {events}; what was damaged is in {}", directory.display()),
        None => format!("would repair {faults}; {events}"),
    }
}
