//! What `strace` sees of the command: which system calls it makes, and in which order.

use std::{collections::HashMap, fs, path::Path, process::Command};

use crate::{
    setting::{can_run, skipped},
    support::{Factlog, Run, finish},
};

/// Whatever writes, syncs, renames, removes or takes up room.
pub const CALLS: [&str; 7] = ["pwrite64", "write", "fdatasync", "fsync", "/^rename", "fallocate", "/^unlink"];

/// The marker of an event stands near the beginning of its record, and so of what is written.
const SHOWN_BYTES: usize = 4600;

/// What the event of this position begins with.
pub fn marker(position: usize) -> String {
    format!("marker-{position}.")
}

/// A line for each of the events behind a position, each of so many bytes and some.
pub fn input(behind: usize, events: usize, bytes: usize) -> String {
    let padding = "x".repeat(bytes);
    let line = |position| format!("{{\"type\":\"T\",\"data\":\"{}{padding}\"}}\n", marker(position));
    (behind + 1..=behind + events).map(line).collect()
}

/// Whether `strace` is there and may trace. Says so if not.
pub fn can_trace() -> bool {
    match can_run(&["strace", "-f", "-e", "trace=none", "true"]) {
        Ok(()) => true,
        Err(why) => {
            skipped(format_args!("nothing can be traced: {why}"));
            false
        }
    }
}

/// Appends events one by one under `strace`, with these arguments of it, and gives the calls in the order in which they ended.
pub fn traced(factlog: &Factlog, arguments: &[&str], input: &str) -> (Run, Vec<Call>) {
    let trace = factlog.file("trace");
    let mut strace = Command::new("strace");
    let calls_traced = format!("trace={}", CALLS.join(","));
    strace.args(["-f", "-y", "-s", &SHOWN_BYTES.to_string(), "-e", &calls_traced]);
    strace.args(arguments).arg("-o").arg(&trace).arg(env!("CARGO_BIN_EXE_factlog"));
    strace.arg("--store").arg(factlog.store()).args(["append", "s", "--each"]);
    let run = finish(&mut strace, input.as_bytes());
    (run, calls(&trace))
}

/// A system call that has ended.
#[derive(Debug)]
pub struct Call {
    pub name: String,
    /// The number of the file descriptor and what it is open on: `4</path>`.
    pub on: String,
    pub text: String,
    pub failed: bool,
    /// It was not made, or not answered, as `strace` had been asked to see to.
    pub injected: bool,
}

impl Call {
    /// The number of the event that this acknowledges on standard output.
    pub fn acknowledges(&self) -> Option<usize> {
        if self.failed || self.name != "write" || !self.on.starts_with("1<") {
            return None;
        }
        let number = self.text.split_once(r#"\"position\":"#)?.1;
        number.split_once('}')?.0.parse().ok()
    }

    pub fn writes_event(&self) -> bool {
        self.name == "pwrite64" && self.text.contains("marker-")
    }
}

/// Reads what `strace` wrote. A call that others interrupted stands there in two pieces.
fn calls(trace: &Path) -> Vec<Call> {
    let text = fs::read_to_string(trace).unwrap();
    let mut begun: HashMap<&str, &str> = HashMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let Some((thread, line)) = line.split_once(char::is_whitespace) else { continue };
        let line = line.trim_start();
        if let Some(start) = line.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, start);
            continue;
        }
        let resumed = line.strip_prefix("<... ").and_then(|rest| rest.split_once("resumed>"));
        let whole = match resumed {
            Some((_, rest)) => format!("{}{rest}", begun.remove(thread).unwrap_or_default()),
            None => line.to_owned(),
        };
        let Some((name, arguments)) = whole.split_once('(') else { continue };
        let on = arguments.split([',', ')']).next().unwrap_or_default();
        let failed = whole.rsplit(" = ").next().is_some_and(|result| result.starts_with("-1 "));
        let injected = whole.ends_with("(INJECTED)");
        calls.push(Call { name: name.to_owned(), on: on.to_owned(), failed, injected, text: whole.clone() });
    }
    calls
}

/// Checks the order of calls: how many events behind a position were acknowledged, or which one wrongly.
pub fn check_order(calls: &[Call], behind: usize) -> Result<usize, String> {
    let mut acknowledged = 0;
    for (at, call) in calls.iter().enumerate() {
        let Some(event) = call.acknowledges() else { continue };
        acknowledged += 1;
        let before = &calls[..at];
        let written = before.iter().position(|call| call.writes_event() && call.text.contains(&marker(event)));
        let synced = written.and_then(|written| {
            before[written..].iter().find(|call| call.name == "fdatasync" && call.on == before[written].on)
        });
        match (written, synced) {
            _ if event != behind + acknowledged => return Err(format!("event {event} was acknowledged out of order")),
            (None, _) => return Err(format!("event {event} was acknowledged and never written")),
            (Some(written), _) if before[written].failed => return Err(format!("the write of event {event} failed")),
            (_, None) => return Err(format!("event {event} was acknowledged before it was synced")),
            (_, Some(sync)) if sync.failed => return Err(format!("the sync of event {event} failed")),
            _ => {}
        }
    }
    Ok(acknowledged)
}
