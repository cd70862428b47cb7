//! `read --follow`, and the commands that read a store while another process writes it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, ChildStdout},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{Factlog, event};

/// Four events of two streams of two types.
fn store() -> Factlog {
    let factlog = Factlog::new();
    for (stream, event_type) in [("order-1", "A"), ("order-2", "B"), ("user-1", "A"), ("order-1", "B")] {
        factlog.lines(&["append", stream], event(0).replace("Noted", event_type));
    }
    factlog
}

fn positions<'a>(lines: impl IntoIterator<Item = &'a String>) -> Vec<u64> {
    let position = |line: &String| serde_json::from_str::<Value>(line).unwrap()["position"].as_u64().unwrap();
    lines.into_iter().map(position).collect()
}

/// Starts to follow, and reads so many lines: they come although the command goes on.
fn follow(factlog: &Factlog, arguments: &[&str], count: usize) -> (Child, BufReader<ChildStdout>, Vec<u64>) {
    let mut child = factlog.spawn(&[&["read", "--follow"], arguments].concat());
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut lines = vec![String::new(); count];
    lines.iter_mut().for_each(|line| assert!(stdout.read_line(line).unwrap() > 0));
    let positions = positions(&lines);
    (child, stdout, positions)
}

#[test]
fn following_ends_at_the_limit() {
    let factlog = store();
    let followed = |arguments: &[&str]| positions(&factlog.lines(&[&["read", "--follow"], arguments].concat(), ""));
    assert_eq!(followed(&["--limit", "4"]), [1, 2, 3, 4]);
    assert_eq!(followed(&["--limit", "3"]), [1, 2, 3]);
    assert_eq!(followed(&["--limit", "0"]), [0; 0]);
    assert_eq!(followed(&["--limit", "2", "--after", "2"]), [3, 4]);
    assert_eq!(followed(&["--limit", "3", "--category", "order"]), [1, 2, 4]);
    assert_eq!(followed(&["--limit", "2", "--type", "A"]), [1, 3]);
    assert_eq!(followed(&["--limit", "2", "order-1"]), [1, 4]);
    assert_eq!(followed(&["--limit", "1", "order-1", "--from", "2"]), [4]);
    assert_eq!(followed(&["--limit", "1", "order-1", "--type", "B", "--since", "2020-01-01T00:00:00Z"]), [4]);
}

#[test]
fn what_is_there_is_handed_on_while_more_is_waited_for_until_ctrl_c() {
    let factlog = store();
    for (arguments, expected) in [
        (&[][..], &[1, 2, 3, 4][..]),
        (&["order-1"], &[1, 4]),
        (&["--category", "order", "--type", "B", "--limit", "3"], &[2, 4]),
        (&["--after", "3"], &[4]),
    ] {
        let (mut child, mut stdout, read) = follow(&factlog, arguments, expected.len());
        assert_eq!(read, expected);
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

#[test]
fn following_ends_well_when_nobody_reads_any_more_though_nothing_comes() {
    let factlog = store();
    let (mut child, stdout, _) = follow(&factlog, &[], 4);
    drop(stdout);
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}

/// A process that has the store open, and appends when it is told to.
struct Writer {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Writer {
    fn new(factlog: &Factlog, stream: &str) -> Writer {
        let mut child = factlog.spawn(&["append", stream, "--each"]);
        let (stdin, stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Writer { child, stdin, stdout }
    }

    /// Appends an event, and waits until it is acknowledged.
    fn append(&mut self, event_type: &str) {
        self.stdin.write_all(event(0).replace("Noted", event_type).as_bytes()).unwrap();
        assert!(self.stdout.read_line(&mut String::new()).unwrap() > 0);
    }

    fn close(self) {
        let Writer { mut child, stdin, .. } = self;
        drop(stdin);
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn what_another_process_appends_comes_event_by_event() {
    let factlog = store();
    let mut writer = Writer::new(&factlog, "order-2");
    writer.append("A");
    let (mut all, mut all_lines, read) = follow(&factlog, &[], 5);
    assert_eq!(read, [1, 2, 3, 4, 5]);
    let (mut some, mut some_lines, read) = follow(&factlog, &["--category", "order", "--type", "B", "--limit", "4"], 2);
    assert_eq!(read, [2, 4]);
    let (mut later, mut later_lines, read) = follow(&factlog, &["order-2", "--from", "4", "--limit", "1"], 0);
    assert_eq!(read, [0; 0]);
    for (event_type, position) in [("B", 6), ("A", 7), ("B", 8)] {
        writer.append(event_type);
        // The next one is appended only when this one has come.
        let mut line = String::new();
        all_lines.read_line(&mut line).unwrap();
        assert_eq!(positions([&line]), [position]);
    }
    for (child, lines, expected) in
        [(&mut some, &mut some_lines, &[6, 8][..]), (&mut later, &mut later_lines, &[7][..])]
    {
        let rest: Vec<String> = lines.lines().map(Result::unwrap).collect();
        assert_eq!(positions(&rest), expected);
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    // The follower goes on when the writer is gone, and when another comes.
    writer.close();
    let mut writer = Writer::new(&factlog, "user-1");
    writer.append("C");
    let mut line = String::new();
    all_lines.read_line(&mut line).unwrap();
    assert_eq!(positions([&line]), [9]);
    kill_process(Pid::from_child(&all), Signal::INT).unwrap();
    assert_eq!(all.wait().unwrap().code(), Some(130));
    writer.close();
}

#[test]
fn every_command_that_reads_works_beside_a_writer() {
    let factlog = Factlog::new();
    let mut writer = Writer::new(&factlog, "s");
    (0..3).for_each(|_| writer.append("A"));
    assert_eq!(factlog.lines(&["read"], "").len(), 3);
    assert_eq!(factlog.lines(&["read", "s", "--backwards", "--limit", "2"], "").len(), 2);
    assert_eq!(factlog.lines(&["streams"], ""), [r#"{"stream":"s","version":3}"#]);
    assert_eq!(factlog.json(&["stats"], "")[0]["events"], 3);
    assert_eq!(factlog.json(&["verify"], "")[0]["events"], 3);
    assert_eq!(factlog.lines(&["export"], "").len(), 3);
    assert_eq!(factlog.json(&["orders", "list", "--user", "u"], "")[0]["pagination"]["total"], 0);
    assert_eq!(factlog.run(&["orders", "show", "1"], "").code, Some(1));
    assert_eq!(factlog.lines(&["orders", "history", "1"], "").len(), 0);
    let lines = factlog.run(&["read"], "").stdout;
    for (command, input) in
        [(&["append", "s"][..], event(1).into_bytes()), (&["import"], lines), (&["orders", "confirm", "1"], Vec::new())]
    {
        let run = factlog.run(command, input);
        assert_eq!((run.code, run.stdout.len()), (Some(5), 0), "{command:?}: {}", run.stderr);
    }
    writer.close();
}
