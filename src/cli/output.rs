//! What a command has to say: data as JSON Lines, buffered, and words on standard error.
//!
//! A line is put into the buffer in one piece, so that what another process sees after a flush is whole lines.

use std::{
    fmt::Display,
    io::{self, BufWriter, Write},
};

use serde::Serialize;

use super::failure::Failure;

const BUFFER_BYTES: usize = 64 << 10;

/// Where a command writes its data.
pub struct Output {
    sink: BufWriter<Box<dyn Write>>,
}

impl Output {
    /// Standard output, locked for this thread.
    pub fn stdout() -> Output {
        Output::to(io::stdout().lock())
    }

    /// Any other place.
    pub fn to(sink: impl Write + 'static) -> Output {
        Output { sink: BufWriter::with_capacity(BUFFER_BYTES, Box::new(sink)) }
    }

    /// Adds `document` as one line of JSON.
    pub fn line(&mut self, document: &impl Serialize) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(document)
            .map_err(|error| Failure::Failed(format!("cannot write the output as JSON: {error}")))?;
        line.push(b'\n');
        self.sink.write_all(&line).map_err(|error| Failure::writing(&error))
    }

    /// Adds lines that are whole already.
    pub fn text(&mut self, lines: &str) -> Result<(), Failure> {
        self.sink.write_all(lines.as_bytes()).map_err(|error| Failure::writing(&error))
    }

    /// Hands everything to the system, so that the reader at the other end sees it now.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.sink.flush().map_err(|error| Failure::writing(&error))
    }

    /// Adds one line and hands it on at once, as an acknowledgement needs it.
    pub fn acknowledge(&mut self, document: &impl Serialize) -> Result<(), Failure> {
        self.line(document)?;
        self.flush()
    }
}

/// Whether standard output is a pipe or terminal that nobody reads any more.
#[cfg(unix)]
pub fn nobody_reads() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let stdout = io::stdout();
    // Of what is not asked for, only that the other end is gone is answered.
    let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut watched, Some(&at_once)).is_ok()
        && watched[0].revents().intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL)
}

/// Whether standard output is read no more; the next line will tell.
#[cfg(not(unix))]
pub fn nobody_reads() -> bool {
    false
}

/// Tells the user something, on standard error.
pub fn say(words: impl Display) {
    // There is no further place to report that standard error is gone.
    // In one write, so that the words of several processes do not mix.
    let _ = io::stderr().write_all(format!("{words}\n").as_bytes());
}

/// A number of things, in words: `1 event`, `2 events`.
pub fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
