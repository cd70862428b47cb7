//! Input by the line: numbered from 1, blank lines skipped, and no line so long that it fills the memory.

use std::io::{BufRead, Read};

use factlog::limits;

use super::failure::Failure;

/// Longest line in bytes: an event of the largest size fits, shown as JSON and in base64 beside it.
pub const LINE_BYTES: usize = 4 * limits::EVENT_BYTES;

/// The lines of an input.
pub struct Lines<R> {
    input: R,
    number: u64,
    read: u64,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// The lines of `input`.
    pub fn of(input: R) -> Lines<R> {
        Lines { input, number: 0, read: 0, line: Vec::new() }
    }

    /// The next line that is not blank, with its number.
    pub fn next(&mut self) -> Result<Option<(Number, &[u8])>, Failure> {
        loop {
            self.line.clear();
            self.number += 1;
            let number = Number(self.number);
            let most = LINE_BYTES as u64 + 1;
            let read = (&mut self.input)
                .take(most)
                .read_until(b'\n', &mut self.line)
                .map_err(|error| Failure::Failed(format!("cannot read the input: {error}")).at(number))?;
            self.read += read as u64;
            if read == 0 {
                return Ok(None);
            }
            if read as u64 == most && self.line.last() != Some(&b'\n') {
                return Err(Failure::BadInput(format!("longer than {LINE_BYTES} bytes")).at(number));
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some((number, &self.line)));
            }
        }
    }

    /// How many bytes were read until now.
    pub fn bytes_read(&self) -> u64 {
        self.read
    }
}

/// The number of a line, the first being 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number(u64);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_are_counted_and_skipped_and_the_last_line_needs_no_end() {
        let mut lines = Lines::of(&b"\n  \r\none\n\t\ntwo"[..]);
        assert_eq!(lines.next(), Ok(Some((Number(3), &b"one\n"[..]))));
        assert_eq!(lines.next(), Ok(Some((Number(5), &b"two"[..]))));
        assert_eq!(lines.next(), Ok(None));
        assert_eq!(lines.bytes_read(), 14);
    }

    #[test]
    fn a_line_without_an_end_is_refused_before_it_fills_the_memory() {
        let endless = std::io::BufReader::new(std::io::repeat(b'x'));
        let mut lines = Lines::of(endless);
        assert_eq!(lines.next(), Err(Failure::BadInput(format!("line 1: longer than {LINE_BYTES} bytes"))));
        let full = [vec![b'x'; LINE_BYTES], vec![b'\n']].concat();
        assert!(Lines::of(&full[..]).next().is_ok());
    }
}
