//! The order of system calls, as `strace` sees it: written, then synced, then acknowledged; and nothing acknowledged
//! once a write or a sync has failed.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::support::{Factlog, Run, finish};

/// Events of so many bytes outgrow the first segment after six of them, so that a new one is begun on the way.
const EVENTS: usize = 12;
const PADDING: usize = 40_000;

/// The marker of an event stands near the beginning of its record, and so of what is written.
const SHOWN_BYTES: usize = 4600;

fn marker(event: usize) -> String {
    format!("marker-{event}.")
}

fn input() -> String {
    let padding = "x".repeat(PADDING);
    (1..=EVENTS).map(|event| format!("{{\"type\":\"T\",\"data\":\"{}{padding}\"}}\n", marker(event))).collect()
}

/// Whether `strace` is there and may trace. Says so if not.
fn can_trace() -> bool {
    let traced = Command::new("strace").args(["-e", "trace=none", "true"]).stderr(Stdio::null()).status();
    let can = traced.as_ref().is_ok_and(|status| status.success());
    if !can {
        println!("SKIPPED: strace cannot be run here ({traced:?})");
    }
    can
}

/// Appends the events one by one under `strace`, with these arguments of it, and gives the calls in the order in which they
/// ended.
fn traced(factlog: &Factlog, arguments: &[&str]) -> (Run, Vec<Call>) {
    let trace = factlog.file("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-s", &SHOWN_BYTES.to_string(), "-e", "trace=pwrite64,write,fdatasync,fsync"]);
    strace.args(arguments).arg("-o").arg(&trace).arg(env!("CARGO_BIN_EXE_factlog"));
    strace.arg("--store").arg(factlog.store()).args(["append", "s", "--each"]);
    let run = finish(&mut strace, input().as_bytes());
    (run, calls(&trace))
}

/// A system call that has ended.
#[derive(Debug)]
struct Call {
    name: String,
    /// The number of the file descriptor and what it is open on: `4</path>`.
    on: String,
    text: String,
    failed: bool,
}

impl Call {
    /// The number of the event that this acknowledges on standard output.
    fn acknowledges(&self) -> Option<usize> {
        if self.name != "write" || !self.on.starts_with("1<") {
            return None;
        }
        let number = self.text.split_once(r#"\"position\":"#)?.1;
        number.split_once('}')?.0.parse().ok()
    }

    fn writes_event(&self) -> bool {
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
        let failed = whole.contains(") = -1 ");
        calls.push(Call { name: name.to_owned(), on: on.to_owned(), failed, text: whole.clone() });
    }
    calls
}

/// Checks the order of calls, and gives how many events were acknowledged.
fn check_order(what: &str, calls: &[Call]) -> usize {
    let mut acknowledged = 0;
    for (at, call) in calls.iter().enumerate() {
        let Some(event) = call.acknowledges() else { continue };
        acknowledged += 1;
        assert_eq!(event, acknowledged, "{what}: acknowledged out of order");
        let before = &calls[..at];
        let written = before.iter().position(|call| call.writes_event() && call.text.contains(&marker(event)));
        let written = written.unwrap_or_else(|| panic!("{what}: event {event} acknowledged and never written"));
        assert!(!before[written].failed, "{what}: event {event} acknowledged after a failed write");
        let synced = before[written..].iter().find(|call| call.name == "fdatasync" && call.on == before[written].on);
        assert!(synced.is_some_and(|sync| !sync.failed), "{what}: event {event} acknowledged and not synced");
    }
    acknowledged
}

#[test]
fn every_acknowledgement_comes_after_a_write_and_a_successful_sync() {
    if !can_trace() {
        return;
    }
    let factlog = Factlog::new();
    let (run, calls) = traced(&factlog, &[]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(check_order("undisturbed", &calls), EVENTS);
    let files: std::collections::HashSet<&str> =
        calls.iter().filter(|call| call.writes_event()).map(|call| call.on.as_str()).collect();
    assert!(files.len() > 1, "all events are in one segment: {files:?}");
}

#[test]
fn a_wrong_order_of_calls_would_be_seen() {
    let call = |name: &str, on: &str, text: &str, failed| Call {
        name: name.to_owned(),
        on: on.to_owned(),
        text: text.to_owned(),
        failed,
    };
    let write = || call("pwrite64", "4<a.seg>", "marker-1.", false);
    let sync = |failed| call("fdatasync", "4<a.seg>", "", failed);
    let ack = || call("write", "1<pipe>", r#"{\"stream\":\"s\",\"version\":1,\"position\":1}"#, false);
    assert_eq!(check_order("right", &[write(), sync(false), ack()]), 1);
    let wrong = [
        vec![ack()],
        vec![write(), ack()],
        vec![sync(false), write(), ack()],
        vec![write(), ack(), sync(false)],
        vec![write(), sync(true), ack()],
        vec![write(), sync(true), sync(false), ack()],
        vec![write(), call("fdatasync", "5<b.seg>", "", false), ack()],
    ];
    for calls in wrong {
        let checked = std::panic::catch_unwind(|| check_order("wrong", &calls));
        assert!(checked.is_err(), "{calls:?} went through");
    }
}

#[test]
fn nothing_is_acknowledged_after_a_failed_sync() {
    after_each_failure("fdatasync");
}

#[test]
fn nothing_is_acknowledged_after_a_failed_write() {
    after_each_failure("pwrite64");
}

/// Lets the first, the second, the third of these calls fail, and so on, until a run is left undisturbed.
fn after_each_failure(name: &str) {
    if !can_trace() {
        return;
    }
    let mut failed_commits = 0;
    for when in 1.. {
        let what = format!("{name} number {when} fails");
        let factlog = Factlog::new();
        let (run, calls) = traced(&factlog, &["-e", &format!("inject={name}:error=EIO:when={when}")]);
        let acknowledged = check_order(&what, &calls);
        let Some(failure) = calls.iter().position(|call| call.failed && call.name == name) else {
            assert_eq!((run.code, acknowledged), (Some(0), EVENTS), "{what}: {}", run.stderr);
            break;
        };
        assert_eq!((run.code, run.lines().len()), (Some(1), acknowledged), "{what}: {}", run.stderr);
        let on = &calls[failure].on;
        if calls[..=failure].iter().any(|call| call.writes_event() && call.on == *on) {
            failed_commits += 1;
            let late = calls[failure..].iter().find_map(Call::acknowledges);
            assert_eq!(late, None, "{what}: acknowledged afterwards");
        }
        // What the failure left behind opens, and holds at least what was acknowledged.
        if acknowledged > 0 {
            let stored = factlog.lines(&["read"], "");
            assert!(stored.len() >= acknowledged, "{what}: {} of {acknowledged} events are left", stored.len());
            assert!(stored.iter().zip(1..).all(|(line, event)| line.contains(&marker(event))), "{what}");
        }
        assert_eq!(factlog.run(&["append", "s"], input()).code, Some(0), "{what}: appending afterwards");
    }
    println!("{failed_commits} commits failed");
    assert!(failed_commits >= EVENTS, "only {failed_commits} of {EVENTS} commits failed");
}
