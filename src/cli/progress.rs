//! A progress bar for long work: on standard error, when that is a terminal, and nowhere else.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Redrawn at most so many times a second.
const REDRAWS: u8 = 10;

/// How far a long piece of work has come.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Of work that consists of `total` units, or of an unknown number of them.
    pub fn new(unit: Unit, total: Option<u64>) -> Progress {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(REDRAWS));
        let style = match (unit, total) {
            (Unit::Bytes, Some(_)) => "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            (Unit::Bytes, None) => "{spinner} {bytes} {bytes_per_sec} {elapsed}",
            (Unit::Things(_), Some(_)) => "{wide_bar} {human_pos}/{human_len} {msg} {per_sec} {eta}",
            (Unit::Things(_), None) => "{spinner} {human_pos} {msg} {per_sec} {elapsed}",
        };
        // A template that does not parse leaves the plain bar, which is no reason to stop.
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        if let Unit::Things(name) = unit {
            bar.set_message(name);
        }
        Progress { bar }
    }

    /// The work has come to this point.
    pub fn set(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// So much more is done.
    pub fn add(&self, more: u64) {
        self.bar.inc(more);
    }
}

/// What a bar counts.
#[derive(Clone, Copy)]
pub enum Unit {
    /// Bytes, shown as KiB, MiB and so on.
    Bytes,
    /// Things of this name.
    Things(&'static str),
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
