//! `read --follow`.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout},
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
