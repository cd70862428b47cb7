//! The real binary, run on a directory of its own.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// The command `factlog` with `--store` in a temporary directory, which goes away with this.
pub struct Factlog {
    directory: TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Factlog {
    pub fn new() -> Factlog {
        Factlog { directory: tempfile::tempdir().unwrap() }
    }

    /// Where the store is, once something was appended.
    pub fn store(&self) -> PathBuf {
        self.file("store")
    }

    /// Flips a bit of the event at a position in the first segment. The store is closed.
    pub fn damage(&self, position: usize) {
        let segment = self.store().join("log/00000000000000000001.seg");
        let mut bytes = std::fs::read(&segment).unwrap();
        let mut at = 4096;
        for _ in 1..position {
            at += u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()).next_multiple_of(8) as usize;
        }
        bytes[at + 40] ^= 1;
        std::fs::write(segment, bytes).unwrap();
    }

    /// A path beside the store.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The command with these arguments behind `--store`.
    pub fn command(&self, arguments: &[&str]) -> Command {
        command(&self.store(), arguments)
    }

    /// Runs it to its end with `input` on standard input.
    pub fn run(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Run {
        finish(&mut self.command(arguments), input.as_ref())
    }

    /// Runs it, expecting exit code 0, and gives the lines that it printed.
    pub fn lines(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Vec<String> {
        let run = self.run(arguments, input);
        assert_eq!(run.code, Some(0), "{arguments:?}: {run:?}");
        run.lines()
    }

    /// The same, each line parsed.
    pub fn json(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Vec<Value> {
        self.lines(arguments, input).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Starts it, its standard input and output being pipes.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        piped(&mut self.command(arguments)).spawn().unwrap()
    }
}

impl Run {
    pub fn lines(&self) -> Vec<String> {
        String::from_utf8(self.stdout.clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

/// The command on any store.
pub fn command(store: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_factlog"));
    command.arg("--store").arg(store).args(arguments);
    command
}

/// Runs a command to its end, feeding it while it runs.
pub fn finish(command: &mut Command, input: &[u8]) -> Run {
    let mut child = piped(command).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // A command that stops reading closes the pipe; that is its business.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    });
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Run { code: output.status.code(), stdout: output.stdout, stderr }
}

fn piped(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped())
}

/// A line of `append`'s input.
pub fn event(data: impl std::fmt::Display) -> String {
    format!("{{\"type\":\"Noted\",\"data\":{data}}}\n")
}
