//! What a repair has found and done, or would do.

use std::path::PathBuf;

use serde_json::json;

use super::missing::LostVersions;
use crate::{
    error::{Damage, Lost},
    event_store::CursorName,
};

/// What [`super::repair`] has found and done, or would do in a dry run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairReport {
    /// Everything that was not as it was written. Empty: there was nothing to do, and nothing was done.
    pub faults: Vec<Damage>,
    /// The positions whose events are lost, in order.
    pub lost: Vec<Lost>,
    /// The versions of streams that are lost, as far as that can be told.
    pub versions: Vec<LostVersions>,
    /// How many of the lost positions are of streams that nobody knows: those may have lost their newest events, and will give
    /// the versions of these again.
    pub unknown: u64,
    /// The cursors that were set aside: their owners say where to go on.
    pub cursors: Vec<CursorName>,
    /// The files that were moved aside, relative to the store's directory.
    pub set_aside: Vec<PathBuf>,
    /// The files that were made anew, after they had been copied aside.
    pub made_anew: Vec<PathBuf>,
    /// Where the report and what was set aside are, relative to the store's directory; `None` when nothing was done.
    pub directory: Option<PathBuf>,
}

impl RepairReport {
    /// How many events are lost.
    pub fn lost_events(&self) -> u64 {
        let count = |lost: &Lost| match lost {
            Lost::Positions { first, last } => last.get() - first.get() + 1,
            Lost::Version { .. } => 1,
        };
        self.lost.iter().map(count).sum()
    }

    /// The report as lines of JSON, as `report.jsonl` has it. Each has one of the members `fault`, `lost`, `cursor`,
    /// `set_aside` and `made_anew`.
    pub fn to_json_lines(&self) -> String {
        let mut lines = Vec::new();
        for Damage { place, fault } in &self.faults {
            let (file, offset, position) = (place.file.display().to_string(), place.offset, place.position.get());
            lines.push(json!({ "fault": fault, "file": file, "offset": offset, "position": position }));
        }
        for lost in &self.lost {
            if let Lost::Positions { first, last } = lost {
                lines.push(json!({ "lost": "positions", "first": first.get(), "last": last.get() }));
            }
        }
        for LostVersions { stream, first, last } in &self.versions {
            let stream = stream.as_ref().map(|stream| stream.as_str());
            lines.push(json!({ "lost": "versions", "stream": stream, "first": first.get(), "last": last.get() }));
        }
        if self.unknown > 0 {
            lines.push(json!({ "lost": "events of unknown streams", "count": self.unknown }));
        }
        lines.extend(self.cursors.iter().map(|name| json!({ "cursor": name.as_str() })));
        lines.extend(self.set_aside.iter().map(|file| json!({ "set_aside": file.display().to_string() })));
        lines.extend(self.made_anew.iter().map(|file| json!({ "made_anew": file.display().to_string() })));
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}
