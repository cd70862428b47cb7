//! `factlog stats`: how much is in a store.

use clap::Args;
use serde::Serialize;

use super::{
    failure::Failure,
    open::{self, Opened},
    output::Output,
    place::Place,
    streams,
};

/// Print how much is in the store, as one JSON object
#[derive(Debug, Args)]
pub struct Stats {}

#[derive(Serialize)]
struct Line {
    events: u64,
    streams: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    last_position: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    index_runs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index_bytes: Option<u64>,
}

impl Stats {
    pub fn run(self, store: &Place, out: &mut Output) -> Result<(), Failure> {
        out.line(&line(&open::for_reading(store)?)?)
    }
}

fn line(store: &Opened) -> Result<Line, Failure> {
    let stats = match store {
        Opened::Local(store) => store.stats(),
        Opened::Remote(client) => client.stats()?,
        Opened::Engine(_) => return counted(store),
    };
    Ok(Line {
        events: stats.events,
        streams: stats.streams,
        segments: Some(stats.segments),
        bytes: Some(stats.bytes),
        last_position: stats.last_position.get(),
        index_runs: Some(stats.index_runs),
        index_bytes: Some(stats.index_bytes),
    })
}

/// Of a store that has no files of its own. A version counts the events of its stream, as positions need not count those of the log.
fn counted(store: &Opened) -> Result<Line, Failure> {
    let last_position = store.last_position()?.get();
    let (mut events, mut streams) = (0, 0);
    for listed in streams::list(store, "")? {
        events += listed?.1.get();
        streams += 1;
    }
    Ok(Line { events, streams, segments: None, bytes: None, last_position, index_runs: None, index_bytes: None })
}
