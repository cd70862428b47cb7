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
        let failed = whole.rsplit(" = ").next().is_some_and(|result| result.starts_with("-1 "));
        calls.push(Call { name: name.to_owned(), on: on.to_owned(), failed, text: whole.clone() });
    }
    calls
}

/// Checks the order of calls: how many events were acknowledged, or which one wrongly.
fn check_order(calls: &[Call]) -> Result<usize, String> {
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
            _ if event != acknowledged => return Err(format!("event {event} was acknowledged out of order")),
            (None, _) => return Err(format!("event {event} was acknowledged and never written")),
            (Some(written), _) if before[written].failed => return Err(format!("the write of event {event} failed")),
            (_, None) => return Err(format!("event {event} was acknowledged before it was synced")),
            (_, Some(sync)) if sync.failed => return Err(format!("the sync of event {event} failed")),
            _ => {}
        }
    }
    Ok(acknowledged)
}

#[test]
fn every_acknowledgement_comes_after_a_write_and_a_successful_sync() {
    if !can_trace() {
        return;
    }
    let factlog = Factlog::new();
    let (run, calls) = traced(&factlog, &[]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(check_order(&calls), Ok(EVENTS));
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
    assert_eq!(check_order(&[write(), sync(false), ack()]), Ok(1));
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
        assert!(check_order(&calls).is_err(), "{calls:?} went through");
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
        let acknowledged = check_order(&calls).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
        assert_eq!(run.lines().len(), acknowledged, "{what}: {}", run.stderr);
        let failed = |at: &usize| calls[*at].failed && calls[*at].name == name;
        if !(0..calls.len()).any(|at| failed(&at)) {
            assert_eq!((run.code, acknowledged), (Some(0), EVENTS), "{what}: {}", run.stderr);
            break;
        }
        let of_commit = |at: &usize| calls[..=*at].iter().any(|call| call.writes_event() && call.on == calls[*at].on);
        if let Some(failure) = (0..calls.len()).find(|at| failed(at) && of_commit(at)) {
            failed_commits += 1;
            let late = calls[failure..].iter().find_map(Call::acknowledges);
            assert_eq!((run.code, late), (Some(1), None), "{what}: {}", run.stderr);
        }
        // The next segment is prepared beside the commits. When that fails, it may be tried again.
        assert!(run.code == Some(1) || acknowledged == EVENTS, "{what}: {run:?}");
        // What the failure left behind opens, and holds at least what was acknowledged.
        if acknowledged > 0 {
            let stored = factlog.lines(&["read"], "");
            assert!(stored.len() >= acknowledged, "{what}: {} of {acknowledged} events are left", stored.len());
            assert!(stored.iter().zip(1..).all(|(line, event)| line.contains(&marker(event))), "{what}");
        }
        assert_eq!(factlog.run(&["append", "s"], input()).code, Some(0), "{what}: appending afterwards");
    }
    println!("{failed_commits} commits failed");
    // The count of calls is one for each thread, and which thread prepares a segment is not the same in every run.
    assert!(failed_commits >= EVENTS / 2, "only {failed_commits} commits failed");
}
