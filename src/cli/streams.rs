//! `factlog streams`: the streams of a store, in the order of their first events.

use std::path::Path;

use clap::Args;
use serde::Serialize;

use super::{failure::Failure, open, output::Output};

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
    pub fn run(self, store: &Path, out: &mut Output) -> Result<(), Failure> {
        for listed in open::for_reading(store)?.streams() {
            let (stream, version) = listed?;
            if stream.as_str().starts_with(&self.prefix) {
                out.line(&Line { stream: stream.as_str(), version: version.get() })?;
            }
        }
        Ok(())
    }
}
