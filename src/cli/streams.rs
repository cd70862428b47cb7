//! `factlog streams`: the streams of a store, in the order of their first events.

use clap::Args;
use serde::Serialize;

use super::{failure::Failure, open, output::Output, place::Place};

/// List the streams, in order of their first events
#[derive(Debug, Args)]
pub struct Streams {
    /// Only streams whose names begin with this
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: String,
}

#[derive(Serialize)]
struct Line<'a> {
    stream: &'a str,
    version: u64,
}

impl Streams {
    pub fn run(self, store: &Place, out: &mut Output) -> Result<(), Failure> {
        for listed in open::for_reading(store)?.streams(&self.prefix) {
            let (stream, version) = listed?;
            out.line(&Line { stream: stream.as_str(), version: version.get() })?;
        }
        Ok(())
    }
}
