//! The command `factlog` as a user meets it: arguments and lines in, lines and exit codes out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

mod following;
mod importing;
mod reading;
mod repairing;
#[path = "../support/mod.rs"]
mod support;
mod users;

use std::io::{BufRead, BufReader, Read, Write};

use factlog::limits;
use serde_json::{Value, json};
use support::{Factlog, event, finish};

const KEYS: [&str; 8] = ["position", "stream", "version", "id", "type", "timestamp", "data", "metadata"];

/// The keys of a JSON object in the order in which they stand.
fn keys(line: &str) -> Vec<String> {
    struct Keys(Vec<String>);
    impl<'de> serde::Deserialize<'de> for Keys {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Keys, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Keys;
                fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                    let mut keys = Vec::new();
                    while let Some((key, _)) = map.next_entry::<String, serde::de::IgnoredAny>()? {
                        keys.push(key);
                    }
                    Ok(Keys(keys))
                }
            }
            deserializer.deserialize_map(Visitor)
        }
    }
    serde_json::from_str::<Keys>(line).unwrap().0
}

#[test]
fn lines_appended_are_one_append_and_are_read_as_they_came() {
    let factlog = Factlog::new();
    let id = "018f4a3e-0000-7000-8000-00000000abcd";
    let input = format!(
        "\n{{\"type\":\"Opened\",\"data\":{{\"b\": 1.50,  \"a\":12345678901234567890.10}},\"id\":\"{id}\"}}\n  \n\
         {{\"metadata\":{{\"by\" : \"me\"}},\"type\":\"Closed\",\"data\":null,\"unknown\":[1]}}"
    );
    let lines = factlog.lines(&["append", "door-1"], input);
    assert_eq!(lines, [r#"{"stream":"door-1","version":2,"position":2}"#]);

    let lines = factlog.lines(&["read", "door-1"], "");
    assert_eq!(lines.len(), 2);
    for line in &lines {
        assert_eq!(keys(line), KEYS);
    }
    assert!(
        lines[0].starts_with(&format!(r#"{{"position":1,"stream":"door-1","version":1,"id":"{id}","type":"Opened""#))
    );
    assert!(lines[0].ends_with(r#""data":{"b": 1.50,  "a":12345678901234567890.10},"metadata":null}"#), "{}", lines[0]);
    assert!(lines[1].ends_with(r#""data":null,"metadata":{"by" : "me"}}"#), "{}", lines[1]);
    let event: Value = serde_json::from_str(&lines[1]).unwrap();
    let time = event["timestamp"].as_str().unwrap();
    assert_eq!((time.len(), time.ends_with('Z')), ("2018-08-15T10:10:18.000000Z".len(), true));
    assert_eq!(&event["id"].as_str().unwrap()[14..15], "7");
}

#[test]
fn expectations_are_met_or_end_with_exit_code_3_and_store_nothing() {
    let factlog = Factlog::new();
    let append = |expect: &str| factlog.run(&["append", "s", "--expect", expect], event(1));
    assert_eq!(append("exists").code, Some(3));
    assert_eq!(append("1").code, Some(3));
    assert_eq!(append("0").code, Some(0));
    let refused = append("none");
    assert_eq!(refused.code, Some(3));
    assert!(refused.stderr.contains("Expected version 0, but current version is 1"), "{}", refused.stderr);
    assert!(refused.stdout.is_empty());
    assert_eq!(append("0").code, Some(3));
    assert_eq!(append("exists").code, Some(0));
    assert_eq!(append("2").code, Some(0));
    assert_eq!(append("any").code, Some(0));
    for nonsense in ["-1", "some", "1.0", "", "18446744073709551616"] {
        assert_eq!(append(nonsense).code, Some(2), "{nonsense}");
    }
    assert_eq!(factlog.lines(&["read"], "").len(), 4);
}

#[test]
fn each_line_is_acknowledged_as_soon_as_it_arrives() {
    let factlog = Factlog::new();
    let mut child = factlog.spawn(&["append", "s", "--each", "--expect", "none"]);
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for number in 1..=3 {
        // The next line is sent only when the answer to this one has come.
        stdin.write_all(event(number).as_bytes()).unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, format!("{{\"stream\":\"s\",\"version\":{number},\"position\":{number}}}\n"));
    }
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let counted_on = factlog.run(&["append", "s", "--each", "--expect", "3"], event(4) + &event(5));
    assert_eq!(counted_on.lines().len(), 2);
    assert_eq!(factlog.run(&["append", "s", "--each", "--expect", "3"], event(4)).code, Some(3));
}

#[test]
fn a_bad_line_ends_with_exit_code_2_and_names_its_number() {
    let factlog = Factlog::new();
    let bad = ["no json", "[1]", "7", r#"{"type":"T"}"#, r#"{"data":1}"#, r#"{"type":"","data":1}"#, "{", "\u{feff}{}"];
    for bad in bad {
        let run = factlog.run(&["append", "s"], event(1) + bad);
        assert_eq!((run.code, run.stdout.len()), (Some(2), 0), "{bad}");
        assert!(run.stderr.contains("line 2: "), "{}", run.stderr);
    }
    for nothing in ["", "\n", " \n\t\r\n"] {
        assert_eq!(factlog.run(&["append", "s"], nothing).code, Some(2));
        assert_eq!(factlog.run(&["append", "s", "--each"], nothing).code, Some(2));
    }
    assert!(!factlog.store().exists(), "bad input left a store behind");

    let run = factlog.run(&["append", "s", "--each"], event(1) + "\n" + &event(2) + "{\n" + &event(3));
    assert_eq!((run.code, run.lines().len()), (Some(2), 2));
    assert!(run.stderr.contains("line 4: "), "{}", run.stderr);
    assert_eq!(factlog.lines(&["read", "s"], "").len(), 2);
}

#[test]
fn what_exceeds_a_limit_is_refused_before_anything_is_written() {
    let factlog = Factlog::new();
    factlog.lines(&["append", "s"], event(0));
    let (long, at_limit) = ("x".repeat(limits::STREAM_NAME_BYTES + 1), "x".repeat(limits::STREAM_NAME_BYTES));
    for name in ["", "$s", "a\nb", &long] {
        assert_eq!(factlog.run(&["append", name], event(1)).code, Some(2), "{name}");
    }
    assert_eq!(factlog.run(&["append", &at_limit], event(1)).code, Some(0));

    let many = |count: usize| event(1).repeat(count);
    let run = factlog.run(&["append", "s"], many(limits::APPEND_EVENTS + 1));
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("at most 10000 are allowed"), "{}", run.stderr);
    assert_eq!(factlog.run(&["append", "s"], many(limits::APPEND_EVENTS)).code, Some(0));

    let of_bytes = |bytes: usize| event(format_args!("\"{}\"", "x".repeat(bytes - 2)));
    let around = "s".len() + "Noted".len();
    assert_eq!(factlog.run(&["append", "s"], of_bytes(limits::EVENT_BYTES - around)).code, Some(0));
    assert_eq!(factlog.run(&["append", "s"], of_bytes(limits::EVENT_BYTES - around + 1)).code, Some(2));
    let half = of_bytes(limits::APPEND_BYTES / 2 - around);
    assert_eq!(factlog.run(&["append", "s"], half.repeat(2) + &event(1)).code, Some(2));
    assert_eq!(factlog.run(&["append", "s"], half.repeat(2)).code, Some(0));
    let version = factlog.json(&["streams", "--prefix", "s"], "")[0]["version"].clone();
    assert_eq!(version, json!(1 + limits::APPEND_EVENTS + 3));
}

#[test]
fn streams_and_stats_count_what_is_there() {
    let factlog = Factlog::new();
    for stream in ["order-2", "user-1", "order-1", "order-2"] {
        factlog.lines(&["append", stream], event(0));
    }
    assert_eq!(
        factlog.lines(&["streams"], ""),
        [
            r#"{"stream":"order-2","version":2}"#,
            r#"{"stream":"user-1","version":1}"#,
            r#"{"stream":"order-1","version":1}"#
        ]
    );
    assert_eq!(factlog.lines(&["streams", "--prefix", "order-"], "").len(), 2);
    let stats = factlog.lines(&["stats"], "");
    assert_eq!(
        keys(&stats[0]),
        ["events", "streams", "segments", "bytes", "last_position", "index_runs", "index_bytes"]
    );
    let stats: Value = serde_json::from_str(&stats[0]).unwrap();
    assert_eq!((&stats["events"], &stats["streams"], &stats["last_position"]), (&json!(4), &json!(3), &json!(4)));
}

#[test]
fn commands_that_only_read_never_create_a_store() {
    let factlog = Factlog::new();
    for command in ["read", "streams", "stats", "verify", "export"] {
        let run = factlog.run(&[command], "");
        assert_eq!((run.code, run.stdout.len()), (Some(2), 0), "{command}: {run:?}");
        assert!(!run.stderr.is_empty());
        assert!(!factlog.store().exists(), "{command} created a store");
    }
    std::fs::write(factlog.store(), "a file").unwrap();
    for command in ["read", "append", "import", "verify"] {
        let line = if command == "append" { event(1) } else { String::new() };
        assert_eq!(
            factlog.run(&[command, "s"][..if command == "append" { 2 } else { 1 }], line).code,
            Some(2),
            "{command}"
        );
    }
    assert_eq!(std::fs::read(factlog.store()).unwrap(), b"a file");
}

#[test]
fn the_place_of_the_store_may_stand_before_or_behind_the_command() {
    let factlog = Factlog::new();
    factlog.lines(&["append", "s"], event(1));
    let place = factlog.store();
    let mut behind = std::process::Command::new(env!("CARGO_BIN_EXE_factlog"));
    behind.args(["read", "s", "--store"]).arg(&place);
    assert_eq!(finish(&mut behind, b"").lines().len(), 1);
    let mut nowhere = std::process::Command::new(env!("CARGO_BIN_EXE_factlog"));
    nowhere.current_dir(place.parent().unwrap()).arg("append").arg("s");
    assert_eq!(finish(&mut nowhere, event(1).as_bytes()).code, Some(0));
    assert!(factlog.file("factlog-data").is_dir());
}

#[test]
fn usage_goes_to_the_right_place_with_the_right_code() {
    let factlog = Factlog::new();
    for wrong in [&[][..], &["frobnicate"], &["append"], &["read", "--from", "1"], &["stats", "x"]] {
        let run = factlog.run(wrong, "");
        assert_eq!((run.code, run.stdout.len()), (Some(2), 0), "{wrong:?}");
    }
    for right in [&["--help"][..], &["append", "--help"], &["--version"]] {
        let run = factlog.run(right, "");
        assert_eq!((run.code, run.stderr.len()), (Some(0), 0), "{right:?}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_command_well() {
    let factlog = Factlog::new();
    factlog.lines(&["append", "s"], event(format_args!("\"{}\"", "x".repeat(1000))).repeat(5000));
    for command in [&["read"][..], &["export"], &["read", "s"]] {
        let mut child = factlog.spawn(command);
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut String::new()).unwrap();
        drop(stdout);
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""), "{command:?}");
    }
}

#[test]
fn appending_ends_well_when_nobody_reads_the_acknowledgements() {
    let factlog = Factlog::new();
    let mut child = factlog.spawn(&["append", "s", "--each"]);
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    // Until the command has noticed and gone.
    while stdin.write_all(event(1).as_bytes()).is_ok() {}
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(factlog.lines(&["read"], "").len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let factlog = Factlog::new();
    factlog.lines(&["append", "s"], event(1));
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = factlog.command(&["read"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn ctrl_c_ends_with_130_and_leaves_what_was_acknowledged() {
    let factlog = Factlog::new();
    let mut child = factlog.spawn(&["append", "s", "--each"]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(event(1).as_bytes()).unwrap();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(factlog.lines(&["read"], "").len(), 1);
}

#[test]
fn a_store_in_use_is_exit_code_5_and_names_the_process() {
    let factlog = Factlog::new();
    let mut child = factlog.spawn(&["append", "s", "--each"]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(event(1).as_bytes()).unwrap();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
    let run = factlog.run(&["append", "s"], event(2));
    assert_eq!(run.code, Some(5));
    assert!(run.stderr.contains(&format!("process {}", child.id())), "{}", run.stderr);
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(factlog.run(&["append", "s"], event(2)).code, Some(0));
}

#[test]
fn a_sound_store_verifies_with_a_summary() {
    let factlog = Factlog::new();
    factlog.lines(&["append", "s"], event(1).repeat(10));
    let summary = factlog.json(&["verify"], "");
    assert_eq!(summary.len(), 1);
    assert_eq!((&summary[0]["events"], &summary[0]["faults"]), (&json!(10), &json!(0)));
}
