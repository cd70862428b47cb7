//! `factlog serve` as a process of its own.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The command.
pub fn factlog() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_factlog"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A server process.
pub struct Process {
    pub child: Child,
    line: Value,
}

impl Process {
    pub fn start(command: &mut Command) -> Process {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        if line.is_empty() {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("it does not serve: {said}");
        }
        Process { child, line: serde_json::from_str(&line).unwrap() }
    }

    pub fn on(store: &Path, address: &str) -> Process {
        let mut command = factlog();
        command.stderr(Stdio::null()).arg("--store").arg(store).args(["serve", "--listen", address]);
        Process::start(&mut command)
    }

    pub fn address(&self, which: &str) -> SocketAddr {
        self.line[which].as_str().unwrap().parse().unwrap()
    }

    pub fn url(&self) -> String {
        format!("tcp://{}", self.address("listening"))
    }

    pub fn kill(&mut self, signal: Signal) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
