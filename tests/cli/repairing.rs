//! `repair` and `backup`, and reading a store that has lost events.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Factlog, command, event, finish};

/// A closed store with ten events, one of which is damaged: the sixth.
fn damaged() -> Factlog {
    let factlog = Factlog::new();
    factlog.lines(&["append", "s-1", "--each"], (1..=10).map(event).collect::<String>());
    factlog.damage(6);
    factlog
}

fn parsed(lines: &[String]) -> Vec<Value> {
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_damaged_store_names_the_command_that_repairs_it_and_a_dry_run_says_what_it_would_do() {
    let factlog = damaged();
    let read = factlog.run(&["read"], "");
    assert_eq!(read.code, Some(4));
    assert!(read.stderr.contains("factlog repair --dry-run") && read.stderr.contains("backup"), "{}", read.stderr);
    let dry = factlog.run(&["repair", "--dry-run"], "");
    assert_eq!(dry.code, Some(4), "{dry:?}");
    let lines = parsed(&dry.lines());
    assert!(lines.contains(&json!({ "lost": "positions", "first": 6, "last": 6 })), "{lines:?}");
    assert!(lines.contains(&json!({ "lost": "versions", "stream": "s-1", "first": 6, "last": 6 })), "{lines:?}");
    assert!(dry.stderr.contains("would repair 1 fault; 1 event is lost"), "{}", dry.stderr);
    assert!(!factlog.store().join("damaged").exists());
    assert_eq!(factlog.run(&["read"], "").code, Some(4), "nothing was changed");
}

#[test]
fn a_repaired_store_says_what_is_lost_where_it_is_read_and_takes_appends() {
    let factlog = damaged();
    let repaired = factlog.run(&["repair"], "");
    assert_eq!(repaired.code, Some(0), "{repaired:?}");
    assert!(repaired.stderr.contains("repaired 1 fault; 1 event is lost; what was damaged is in damaged/"));
    let place = fs::read_dir(factlog.store().join("damaged")).unwrap().next().unwrap().unwrap().path();
    let report = fs::read(place.join("report.jsonl")).unwrap();
    assert_eq!(report, repaired.stdout);
    assert!(place.join("log/00000000000000000001.seg").exists());

    let verified = parsed(&factlog.lines(&["verify"], ""));
    assert_eq!((&verified[0]["events"], &verified[0]["lost"]), (&json!(9), &json!(1)));
    for (arguments, fault) in [
        (&["read"][..], "the event at position 6 is lost"),
        (&["read", "s-1"], "version 6 of stream `s-1` is lost"),
        (&["read", "--type", "Noted"], "the event at position 6 is lost"),
        (&["export"], "the event at position 6 is lost"),
    ] {
        let run = factlog.run(arguments, "");
        assert_eq!((run.code, run.lines().len()), (Some(4), 5), "{arguments:?}: {run:?}");
        assert!(run.stderr.contains(fault), "{arguments:?}: {}", run.stderr);
        let run = factlog.run(&[arguments, &["--skip-lost"]].concat(), "");
        assert_eq!((run.code, run.lines().len()), (Some(0), 9), "{arguments:?}: {run:?}");
        assert!(run.stderr.contains(fault), "{arguments:?}: {}", run.stderr);
    }
    let followed = factlog.run(&["read", "--follow", "--skip-lost", "--limit", "9"], "");
    assert_eq!((followed.code, followed.lines().len()), (Some(0), 9));
    let appended = factlog.json(&["append", "s-1", "--expect", "10"], event(11));
    assert_eq!((&appended[0]["version"], &appended[0]["position"]), (&json!(11), &json!(11)));
    let again = factlog.run(&["repair"], "");
    assert_eq!((again.code, again.stdout.len()), (Some(0), 0));
    assert!(again.stderr.contains("nothing to repair"), "{}", again.stderr);
}

#[test]
fn a_store_in_use_is_neither_repaired_nor_previewed() {
    let factlog = Factlog::new();
    factlog.lines(&["append", "s"], event(1));
    let mut writer = factlog.spawn(&["append", "s", "--each"]);
    let mut stdin = writer.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, event(2).as_bytes()).unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(writer.stdout.as_mut().unwrap()), &mut line).unwrap();
    for arguments in [&["repair"][..], &["repair", "--dry-run"]] {
        assert_eq!(factlog.run(arguments, "").code, Some(5), "{arguments:?}");
    }
    drop(stdin);
    writer.wait().unwrap();
}

#[test]
fn a_backup_is_opened_as_a_store_and_a_destination_with_something_else_is_refused() {
    let factlog = Factlog::new();
    factlog.lines(&["append", "s"], (1..=10).map(event).collect::<String>());
    let copy = factlog.file("copy");
    let destination = copy.to_str().unwrap();
    let report = factlog.json(&["backup", destination], "");
    assert_eq!((&report[0]["last_position"], &report[0]["events"]), (&json!(10), &json!(10)));
    assert_eq!(finish(&mut command(&copy, &["read"]), b"").lines(), factlog.lines(&["read"], ""));
    fs::create_dir(factlog.file("letters")).unwrap();
    fs::write(factlog.file("letters/a.txt"), "Dear").unwrap();
    let refused = factlog.run(&["backup", factlog.file("letters").to_str().unwrap()], "");
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("a.txt"), "{}", refused.stderr);
}
