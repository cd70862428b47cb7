//! `factlog stats`: how much is in a store.

use clap::Args;
use serde::Serialize;

use super::{failure::Failure, open, output::Output, place::Place};

/// Print how much is in the store, as one JSON object
#[derive(Debug, Args)]
pub struct Stats {}

#[derive(Serialize)]
struct Line {
    events: u64,
    streams: u64,
    segments: u64,
    bytes: u64,
    last_position: u64,
    index_runs: u64,
    index_bytes: u64,
}

impl Stats {
    pub fn run(self, store: &Place, out: &mut Output) -> Result<(), Failure> {
        let stats = open::for_reading(store)?.stats()?;
        out.line(&Line {
            events: stats.events,
            streams: stats.streams,
            segments: stats.segments,
            bytes: stats.bytes,
            last_position: stats.last_position.get(),
            index_runs: stats.index_runs,
            index_bytes: stats.index_bytes,
        })
    }
}
