//! Copies into other engines and out of them, on servers of the tests' own, and the commands that work on them as on a directory.

use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

#[cfg(feature = "jetstream")]
use std::sync::atomic::AtomicUsize;

#[cfg(feature = "jetstream")]
use factlog::{EventStore, block_on};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    copied, copy, exported, factlog, filled,
    interrupted::{MANY, begun, said, seen},
    process::Process,
    support::finish,
    text,
};

#[cfg(feature = "jetstream")]
use crate::nats;
#[cfg(feature = "postgres")]
use crate::postgres::{PASSWORD, Postgres, USER};

const AT: &str = "2018-08-15T12:00:00Z";

/// The events of a store, without their positions.
fn events(store: &str) -> Vec<String> {
    let bare = |line: String| line.split_once(',').unwrap().1.to_owned();
    exported(store).into_iter().map(bare).collect()
}

#[cfg(feature = "postgres")]
fn last(store: &str) -> u64 {
    let run = factlog(&["--store", store, "read", "--backwards", "--limit", "1"]);
    run.lines().first().map_or(0, |line| serde_json::from_str::<Value>(line).unwrap()["position"].as_u64().unwrap())
}

/// The addresses of new stores, one in each engine that this was built with.
fn fresh() -> Vec<String> {
    vec![
        #[cfg(feature = "postgres")]
        Postgres::shared().database(),
        #[cfg(feature = "jetstream")]
        {
            static LOGS: AtomicUsize = AtomicUsize::new(0);
            nats::alone().address(&format!("copy-{}", LOGS.fetch_add(1, Ordering::Relaxed)))
        },
    ]
}

#[test]
fn a_store_goes_through_each_engine_and_a_server_back_into_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let [from, served, to] = ["from", "served", "to"].map(|name| directory.path().join(name));
    filled(&from, 1000);
    let server = Process::on(&served, "127.0.0.1:0");
    let (first, mut second) = (fresh(), fresh());
    // From each engine into each other and itself, too.
    second.reverse();
    let ends = [vec![text(&from).to_owned()], first.clone(), second, vec![server.url(), text(&to).to_owned()]].concat();
    let line = copied(&ends[0], &ends[1]);
    let again = copied(&ends[0], &ends[1]);
    assert_eq!((again["copied"].as_u64(), &again["checksum"]), (Some(0), &line["checksum"]));
    for pair in ends[1..].windows(2) {
        assert_eq!(copied(&pair[0], &pair[1]), line, "{pair:?}");
    }
    assert!(exported(text(&to)) == exported(text(&from)));
    let other = "{\"type\":\"T\",\"data\":1}\n";
    for engine in first {
        assert!(events(&engine) == events(text(&from)), "{engine}");
        finish(crate::process::factlog().args(["--store", &engine, "append", "own"]), other.as_bytes());
        let refused = copy(text(&from), &engine);
        assert!(refused.code == Some(2) && refused.stderr.contains("its last event at position"), "{refused:?}");
    }
}

#[test]
fn a_copy_of_a_source_that_grows_ends_with_what_was_there_and_the_next_one_adds_the_rest() {
    for source in fresh() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        filled(&from, 3000);
        let whole = copied(text(&from), &source);
        // Lines that come one by one, until there are no more.
        let mut command = crate::process::factlog();
        command.stdin(Stdio::piped()).stdout(Stdio::null()).args(["--store", &source, "append", "grows", "--each"]);
        let mut growing = command.spawn().unwrap();
        let mut lines = growing.stdin.take().unwrap();
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let fed = scope.spawn(|| {
                let mut number = 0;
                while !over.load(Ordering::SeqCst) {
                    writeln!(lines, "{{\"type\":\"T\",\"data\":{number}}}").unwrap();
                    number += 1;
                }
                drop(lines);
                number
            });
            for _ in 0..3 {
                let part = copied(&source, text(&to));
                assert!(part["events"].as_u64() >= whole["events"].as_u64(), "{part}");
            }
            over.store(true, Ordering::SeqCst);
            let grown: u64 = fed.join().unwrap();
            assert!(growing.wait().unwrap().success());
            assert_eq!(copied(&source, text(&to))["events"].as_u64(), Some(whole["events"].as_u64().unwrap() + grown));
        });
        assert!(events(&source) == events(text(&to)));
    }
}

#[test]
fn two_copies_into_one_store_at_once_leave_what_one_would() {
    for target in fresh() {
        let directory = tempfile::tempdir().unwrap();
        let from = directory.path().join("from");
        filled(&from, 200);
        let arguments = ["copy", "--from", text(&from), "--to", &target];
        let mut copying = [begun(&arguments), begun(&arguments)];
        for copying in &mut copying {
            let code = copying.wait().unwrap().code();
            // One may find a half of what it is about to send.
            assert!(matches!(code, Some(0..=3)), "{}", said(copying));
        }
        copied(text(&from), &target);
        assert!(events(&target) == events(text(&from)));
    }
}

#[test]
fn of_appends_whose_process_was_killed_all_that_it_was_told_of_are_there_once_and_in_order() {
    for store in fresh() {
        let mut command = crate::process::factlog();
        command.stdin(Stdio::piped()).args(["--store", &store, "append", "killed", "--each"]);
        let mut appending = command.spawn().unwrap();
        let (mut lines, answers) = (appending.stdin.take().unwrap(), appending.stdout.take().unwrap());
        thread::spawn(move || (0..).all(|number| writeln!(lines, "{{\"type\":\"T\",\"data\":{number}}}").is_ok()));
        let told = BufReader::new(answers).lines().take(100).map_while(Result::ok).count();
        kill_process(Pid::from_child(&appending), Signal::KILL).unwrap();
        appending.wait().unwrap();
        let stored = exported(&store);
        assert!(told == 100 && stored.len() >= told, "{} of {told}", stored.len());
        for (number, line) in stored.iter().enumerate() {
            let event: Value = serde_json::from_str(line).unwrap();
            assert_eq!(
                (event["data"].as_u64(), event["version"].as_u64()),
                (Some(number as u64), Some(number as u64 + 1))
            );
        }
    }
}

#[cfg(feature = "jetstream")]
#[test]
fn an_event_that_is_too_large_for_the_copy_ends_it_and_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let from = directory.path().join("from");
    let store = factlog::Store::open(&from).unwrap();
    for bytes in [10, 900 << 10, 10] {
        let event = factlog::NewEvent::new("T".parse().unwrap(), vec![b'x'; bytes]);
        store.append(&"s".parse().unwrap(), factlog::ExpectedVersion::Any, vec![event]).unwrap();
    }
    store.close().unwrap();
    let target = nats::alone().address("too-large");
    for _ in 0..2 {
        let refused = copy(text(&from), &target);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains("the event at position 2: the event has"), "{}", refused.stderr);
        assert_eq!(exported(&target).len(), 1);
    }
}

#[test]
fn a_store_that_is_copied_into_itself_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path().join("here");
    filled(&here, 100);
    for store in [vec![text(&here).to_owned()], fresh()].concat() {
        if store != text(&here) {
            copied(text(&here), &store);
        }
        let before = exported(&store);
        let run = copy(&store, &store);
        assert!(matches!(run.code, Some(0 | 5)), "{run:?}");
        assert!(exported(&store) == before);
    }
}

#[test]
fn a_copy_that_is_killed_while_it_compares_is_compared_by_the_next() {
    for target in fresh() {
        let directory = tempfile::tempdir().unwrap();
        let from = directory.path().join("from");
        filled(&from, 2000);
        let whole = copied(text(&from), &target);
        for _ in 0..3 {
            let mut comparing = begun(&["copy", "--from", text(&from), "--to", &target]);
            kill_process(Pid::from_child(&comparing), Signal::KILL).unwrap();
            comparing.wait().unwrap();
        }
        let again = copied(text(&from), &target);
        assert_eq!((again["copied"].as_u64(), &again["checksum"]), (Some(0), &whole["checksum"]));
    }
}

#[test]
fn commands_do_the_same_on_each_engine_as_on_a_directory() {
    fresh().iter().for_each(|engine| do_the_same(engine));
}

fn do_the_same(engine: &str) {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path().join("store");
    let both = |arguments: &[&str], input: &str| {
        let views = directory.path().join("there.sqlite");
        let views: &[&str] = if arguments[0] == "orders" { &["--views", text(&views)] } else { &[] };
        let on_here =
            finish(crate::process::factlog().args(["--store", text(&here)]).args(arguments), input.as_bytes());
        let there = [&["--store", engine], arguments, views].concat();
        let on_there = finish(crate::process::factlog().args(there), input.as_bytes());
        assert_eq!((on_here.code, on_here.lines().len()), (on_there.code, on_there.lines().len()), "{on_there:?}");
        (on_here, on_there)
    };
    let two = "{\"type\":\"T\",\"data\":1}\n{\"type\":\"U\",\"data\":{\"a\":2}}\n";
    both(&["append", "order-1", "--expect", "none"], two);
    let (refused, same) = both(&["append", "order-1", "--expect", "none"], two);
    assert_eq!((refused.code, refused.stderr), (Some(3), same.stderr));
    both(&["append", "order-2", "--each"], two);
    both(&["append", "$own"], two);
    let item = r#"{"productId":"p","productName":"P","quantity":1,"unitPrice":2.50}"#;
    let address = r#"{"street":"s","city":"c","state":"s","zipCode":"1","country":"c"}"#;
    let create = ["orders", "create", "7", "--user", "u", "--item", item, "--address", address, "--at", AT];
    both(&create, "");
    both(&["orders", "pay", "7", "--payment", "x", "--at", AT], "");
    both(&["orders", "deliver", "7"], "");
    for arguments in [
        &["read"][..],
        &["read", "order-1", "--from", "2"],
        &["read", "--type", "U", "--backwards"],
        &["read", "--category", "order", "--after", "1", "--limit", "2"],
        &["read", "--follow", "--limit", "6"],
        &["export"],
        &["orders", "history", "7"],
        &["orders", "list", "--user", "u"],
    ] {
        both(arguments, "");
    }
    for arguments in [&["streams"][..], &["streams", "--prefix", "order-2"], &["orders", "show", "7"]] {
        let (one, other) = both(arguments, "");
        assert_eq!(one.lines(), other.lines(), "{arguments:?}");
    }
    let stats: Value = serde_json::from_str(&both(&["stats"], "").1.lines()[0]).unwrap();
    assert_eq!((stats["events"].as_u64(), stats["streams"].as_u64()), (Some(6), Some(3)));
    assert!(stats.get("segments").is_none());
}

#[cfg(feature = "postgres")]
#[test]
fn a_copy_into_a_database_goes_on_when_it_and_the_server_are_killed() {
    let postgres = Postgres::new();
    let url = postgres.database();
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    filled(&from, MANY / 4);
    let arguments = ["copy", "--from", text(&from), "--to", &url];
    let mut copying = begun(&arguments);
    let mut kills = 0;
    let mut before = last(&url);
    while seen(&mut copying, || last(&url) > before) {
        if kills % 2 == 0 {
            postgres.kill();
            postgres.start();
        } else {
            kill_process(Pid::from_child(&copying), Signal::KILL).unwrap();
            copying.wait().unwrap();
            copying = begun(&arguments);
        }
        kills += 1;
        before = last(&url);
        if kills == 6 {
            break;
        }
    }
    assert!(kills >= 4, "{kills} kills: this shows nothing");
    assert_eq!(copying.wait().unwrap().code(), Some(0));
    let back = copied(&url, text(&to));
    assert_eq!(back["events"], copied(text(&from), &url)["events"]);
    assert!(exported(text(&to)) == exported(text(&from)));
}

#[cfg(feature = "jetstream")]
#[test]
fn a_copy_into_a_cluster_goes_on_when_it_and_the_leader_are_killed_and_when_all_are() {
    let mut nats = nats::Nats::cluster();
    let url = nats.address("killed");
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    // The copy must still have far to go when who watches has heard of the new leader.
    filled(&from, MANY);
    let watching = nats.open("killed");
    let last = || block_on(watching.last_position()).unwrap().get();
    let arguments = ["copy", "--from", text(&from), "--to", &url];
    let mut copying = begun(&arguments);
    let (mut kills, mut before) = (0, 0);
    while kills < 3 && seen(&mut copying, || last() > before) {
        match kills {
            0 => {
                let leader = nats.leader("killed");
                nats.nodes[leader].kill();
                before = last();
                assert!(seen(&mut copying, || last() > before), "without the leader: {}", said(&mut copying));
                nats.restart();
            }
            1 => {
                nats.nodes.iter_mut().for_each(nats::Node::kill);
                nats.restart();
            }
            _ => {
                kill_process(Pid::from_child(&copying), Signal::KILL).unwrap();
                copying.wait().unwrap();
                copying = begun(&arguments);
            }
        }
        kills += 1;
        before = last();
    }
    assert_eq!(kills, 3, "this shows nothing");
    assert_eq!(copying.wait().unwrap().code(), Some(0));
    assert_eq!(copied(&url, text(&to))["events"], copied(text(&from), &url)["events"]);
    assert!(exported(text(&to)) == exported(text(&from)));
}

#[cfg(feature = "postgres")]
#[test]
fn a_password_comes_from_a_file_and_is_in_nothing_that_is_printed() {
    let directory = tempfile::tempdir().unwrap();
    let url = Postgres::shared().database();
    let bare = url.replace(&format!("{USER}:{PASSWORD}@"), &format!("{USER}@"));
    let file = |content: &str| {
        let file = directory.path().join(content);
        std::fs::write(&file, content).unwrap();
        file
    };
    let (good, wrong) = (file(PASSWORD), file("something-else"));
    let run = factlog(&["--store", &bare, "--token-file", text(&good), "streams"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let refused = factlog(&["--store", &bare, "--token-file", text(&wrong), "streams"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(!refused.stderr.contains("something-else"), "{}", refused.stderr);
    let missing = factlog(&["--store", &url.replace("/test_", "/none_"), "streams"]);
    assert_eq!(missing.code, Some(2), "{missing:?}");
    assert!(missing.stderr.contains("createdb") && !missing.stderr.contains(PASSWORD), "{}", missing.stderr);
}
