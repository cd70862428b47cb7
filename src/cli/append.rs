//! `factlog append`: events from standard input into one stream.

use std::{io, str::FromStr};

use clap::Args;
use factlog::{Appended, EventStore, ExpectedVersion, MemoryStore, NewEvent, StreamName, Version, block_on, limits};
use serde::Serialize;

use super::{event_line, failure::Failure, lines::Lines, open, output::Output, place::Place};

/// Append events to a stream, one JSON object a line of standard input: {"type", "data", "metadata"?, "id"?}
#[derive(Debug, Args)]
pub struct Append {
    /// The stream
    stream: StreamName,

    /// What must be true of the stream: `any`, `none` (it does not exist), `exists`, or the version that it is at
    #[arg(long, value_name = "any|none|exists|N", default_value = "any")]
    expect: Expect,

    /// Append each line by itself, as it arrives, instead of all lines at once
    #[arg(long)]
    each: bool,
}

#[derive(Clone, Copy, Debug)]
struct Expect(ExpectedVersion);

impl FromStr for Expect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = match text {
            "any" => ExpectedVersion::Any,
            "none" | "0" => ExpectedVersion::NoStream,
            "exists" => ExpectedVersion::StreamExists,
            number => match number.parse() {
                Ok(number) => ExpectedVersion::Exact(Version::new(number)),
                Err(_) => return Err("expected `any`, `none`, `exists` or a version".to_owned()),
            },
        };
        Ok(Expect(expected))
    }
}

#[derive(Serialize)]
struct Line<'a> {
    stream: &'a str,
    version: u64,
    position: u64,
}

/// Prints that an append is durable, and hands it on at once.
pub fn acknowledge(stream: &StreamName, appended: &Appended, out: &mut Output) -> Result<(), Failure> {
    let (version, position) = (appended.version.get(), appended.position.get());
    out.acknowledge(&Line { stream: stream.as_str(), version, position })
}

impl Append {
    pub fn run(self, store: &Place, out: &mut Output) -> Result<(), Failure> {
        let mut lines = Lines::of(io::stdin().lock());
        if self.each { self.each_line(&mut lines, store, out) } else { self.all_lines(&mut lines, store, out) }
    }

    fn all_lines(&self, lines: &mut Lines<impl io::BufRead>, place: &Place, out: &mut Output) -> Result<(), Failure> {
        let (mut events, mut bytes) = (Vec::new(), 0);
        while let Some((number, line)) = lines.next()? {
            let event = event_line::parse_new(line).map_err(|failure| failure.at(number))?;
            bytes += event.payload.len() + event.metadata.len();
            events.push(event);
            // The store will refuse this, and say so: there is no need to hold the rest as well.
            if events.len() > limits::APPEND_EVENTS || bytes > limits::APPEND_BYTES {
                break;
            }
        }
        if events.is_empty() {
            return Err(no_lines());
        }
        self.check(&events)?;
        let store = open::for_writing(place)?;
        let appended = self.append(&*store.shared(), self.expect.0, events)?;
        acknowledge(&self.stream, &appended, out)?;
        store.close();
        Ok(())
    }

    fn each_line(&self, lines: &mut Lines<impl io::BufRead>, place: &Place, out: &mut Output) -> Result<(), Failure> {
        // Opened at the first good line, so that input without one leaves no store behind.
        let mut opened = None;
        let mut expected = self.expect.0;
        while let Some((number, line)) = lines.next()? {
            let event = event_line::parse_new(line).map_err(|failure| failure.at(number))?;
            let store = match &opened {
                Some(store) => store,
                None => {
                    self.check(std::slice::from_ref(&event)).map_err(|failure| failure.at(number))?;
                    opened.insert(open::for_writing(place)?)
                }
            };
            let appended =
                self.append(&*store.shared(), expected, vec![event]).map_err(|failure| failure.at(number))?;
            acknowledge(&self.stream, &appended, out)?;
            if expected != ExpectedVersion::Any {
                expected = ExpectedVersion::Exact(appended.version);
            }
        }
        opened.ok_or_else(no_lines)?.close();
        Ok(())
    }

    /// What no store takes makes none.
    fn check(&self, events: &[NewEvent]) -> Result<(), Failure> {
        self.append(&MemoryStore::new(), ExpectedVersion::Any, events.to_vec()).map(drop)
    }

    fn append(
        &self,
        store: &dyn EventStore,
        expected: ExpectedVersion,
        events: Vec<NewEvent>,
    ) -> Result<Appended, Failure> {
        Ok(block_on(store.append(&self.stream, expected, events))?)
    }
}

fn no_lines() -> Failure {
    Failure::BadInput("there is no event on standard input".to_owned())
}
