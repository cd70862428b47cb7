//! Standard output: JSON Lines, buffered.
//!
//! A line is written in one piece into the buffer, so that what another process sees after a flush is whole lines.

use std::io::{self, BufWriter, StdoutLock, Write};

use serde::Serialize;

use super::failure::Failure;

const BUFFER_BYTES: usize = 64 << 10;

/// Where a command writes its data.
pub struct Output {
    stdout: BufWriter<StdoutLock<'static>>,
}

impl Output {
    /// Standard output, locked for this thread.
    pub fn stdout() -> Output {
        Output { stdout: BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock()) }
    }

    /// Adds `document` as one line of JSON.
    pub fn line(&mut self, document: &impl Serialize) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(document)
            .map_err(|error| Failure::Failed(format!("cannot write the output as JSON: {error}")))?;
        line.push(b'\n');
        self.bytes(&line)
    }

    /// Adds text for people, of a command that prints no JSON.
    #[allow(dead_code)]
    pub fn text(&mut self, text: impl std::fmt::Display) -> Result<(), Failure> {
        writeln!(self.stdout, "{text}").map_err(|error| Failure::writing(&error))
    }

    /// Adds bytes that are whole lines already.
    pub fn bytes(&mut self, lines: &[u8]) -> Result<(), Failure> {
        self.stdout.write_all(lines).map_err(|error| Failure::writing(&error))
    }

    /// Hands everything to the system, so that the reader at the other end sees it now.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.stdout.flush().map_err(|error| Failure::writing(&error))
    }

    /// Adds one line and hands it on at once, as an acknowledgement needs it.
    pub fn acknowledge(&mut self, document: &impl Serialize) -> Result<(), Failure> {
        self.line(document)?;
        self.flush()
    }
}
