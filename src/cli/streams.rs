//! `factlog streams`: the streams of a store, in the order of their first events.

use std::collections::HashMap;

use clap::Args;
use factlog::{Position, ReadAll, StreamName, Version};
use serde::Serialize;

use super::{
    failure::Failure,
    open::{self, Items, Opened},
    output::Output,
    place::Place,
};

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
        for listed in list(&open::for_reading(store)?, &self.prefix)? {
            let (stream, version) = listed?;
            out.line(&Line { stream: stream.as_str(), version: version.get() })?;
        }
        Ok(())
    }
}

/// The streams whose names begin with `prefix`, and their versions.
pub fn list<'a>(store: &'a Opened, prefix: &'a str) -> Result<Items<'a, (StreamName, Version)>, Failure> {
    let begins = move |listed: &factlog::Result<(StreamName, Version)>| {
        listed.as_ref().map_or(true, |(stream, _)| stream.as_str().starts_with(prefix))
    };
    Ok(match store {
        Opened::Local(store) => Box::new(store.streams().filter(begins)),
        Opened::Remote(client) => Box::new(client.streams(prefix)),
        Opened::Engine(_) => Box::new(found(store)?.into_iter().map(Ok).filter(begins)),
    })
}

/// The streams of a store that cannot be asked for them: all of its events tell.
fn found(store: &Opened) -> Result<Vec<(StreamName, Version)>, Failure> {
    let (mut places, mut streams) = (HashMap::new(), Vec::new());
    for event in store.read_all(ReadAll::after(Position::START)) {
        let event = event?;
        let at = *places.entry(event.stream()).or_insert(streams.len());
        match streams.get_mut(at) {
            Some((_, version)) => *version = event.version(),
            None => streams.push((event.stream(), event.version())),
        }
    }
    Ok(streams)
}
