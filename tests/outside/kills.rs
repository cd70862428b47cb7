//! `kill -9` at random moments.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    format,
    ledger::Ledger,
    setting::{Random, cycles},
    support::{Factlog, command, finish},
    worker::{CURSOR, Role, Worker},
};

/// Kills of writers of one store. All of it is read after each, so the long run takes more stores and not more kills of each.
const KILLS: usize = 20;

#[test]
fn every_acknowledged_event_survives_a_kill_at_any_moment() {
    let stores = cycles(1, 10);
    let mut random = Random::seeded();
    let (mut acknowledged, mut events) = (0, 0);
    for _ in 0..stores {
        let factlog = Factlog::new();
        // What was sent as each version; the last ones may not have been stored.
        let mut sent: Vec<u64> = Vec::new();
        for kill in 0..KILLS {
            let acks = append_until_killed(&factlog, &mut random, &mut sent);
            acknowledged += acks.len();
            let stored: Vec<u64> =
                factlog.json(&["read", "s"], "").iter().map(|event| event["data"]["n"].as_u64().unwrap()).collect();
            for (version, position) in acks {
                assert_eq!(version, position, "the log holds one stream");
                assert!(version <= stored.len(), "kill {kill}: version {version} was acknowledged and is gone");
            }
            assert!(stored.len() <= sent.len(), "kill {kill}: more stored than sent");
            assert_eq!(stored, sent[..stored.len()], "kill {kill}");
            sent.truncate(stored.len());
        }
        assert_eq!(factlog.run(&["verify"], "").code, Some(0));
        events += sent.len();
    }
    let kills = stores * KILLS;
    say!("the command: {kills} kills, {acknowledged} acknowledgements, {events} events");
    assert!(acknowledged > kills * 10, "too few acknowledgements to show anything: {acknowledged}");
}

/// Appends events until the process is killed, and gives the versions and positions that it had acknowledged by then.
fn append_until_killed(factlog: &Factlog, random: &mut Random, sent: &mut Vec<u64>) -> Vec<(usize, usize)> {
    let mut child = factlog.spawn(&["append", "s", "--each"]);
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let (lines_before, spin) = (random.below(200), Duration::from_nanos(random.below(2_000_000)));
    let mut sizes = random.other();
    let mut next = sent.last().map_or(0, |last| last + 1);
    std::thread::scope(|scope| {
        let feeding = scope.spawn(move || {
            let mut fed = Vec::new();
            loop {
                let padding = "x".repeat(sizes.below(4000) as usize);
                fed.push(next);
                if writeln!(stdin, r#"{{"type":"T","data":{{"n":{next},"x":"{padding}"}}}}"#).is_err() {
                    return fed;
                }
                next += 1;
            }
        });
        let mut acks = Vec::new();
        let mut take = |stdout: &mut BufReader<_>| {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            // The last line may be cut short by the kill.
            let ack: Option<Value> = serde_json::from_str(&line).ok();
            let number = |ack: &Value, field: &str| ack[field].as_u64().unwrap() as usize;
            acks.extend(ack.map(|ack| (number(&ack, "version"), number(&ack, "position"))));
            !line.is_empty()
        };
        for _ in 0..lines_before {
            assert!(take(&mut stdout), "the command ended by itself");
        }
        // Some moment between two acknowledgements.
        wait(spin);
        child.kill().unwrap();
        while take(&mut stdout) {}
        child.wait().unwrap();
        sent.extend(feeding.join().unwrap());
        acks
    })
}

fn wait(time: Duration) {
    let started = Instant::now();
    while started.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// What was seen at several writers and a subscriber.
#[derive(Debug, Default)]
struct Seen {
    before_the_first_append: usize,
    acknowledged: usize,
    events: usize,
    redelivered: usize,
    behind: usize,
}

#[test]
fn several_writers_and_a_subscriber_are_killed_at_any_moment() {
    let stores = cycles(1, 10);
    let mut random = Random::seeded();
    let mut seen = Seen::default();
    for _ in 0..stores {
        kill_a_crowd(&mut random, &mut seen);
    }
    let kills = stores * KILLS;
    let Seen { before_the_first_append, acknowledged, events, redelivered, behind } = seen;
    say!(
        "several writers and a subscriber: {kills} kills, {before_the_first_append} of them before the first append, \
         {acknowledged} appends acknowledged, {events} events, all delivered, {redelivered} again after a kill, \
         {behind} times with some behind the cursor"
    );
    assert!(acknowledged > kills * 20 && redelivered > kills / 5 && behind > kills / 2, "too little to show anything");
}

fn kill_a_crowd(random: &mut Random, seen: &mut Seen) {
    let factlog = Factlog::new();
    let mut ledger = Ledger::default();
    let mut events = 0;
    for run in 0..KILLS {
        let mut worker = Worker::start(&factlog.store(), Role::Crowd { run, writers: 1 + run % 4 });
        // Now and then while it is still opening the store, or has just done so.
        let (lines, spin) = if run % 5 == 4 { (0, 20_000_000) } else { (random.below(800), 3_000_000) };
        for _ in 0..lines {
            ledger.take(&worker.line().expect("the worker ended by itself"));
        }
        wait(Duration::from_nanos(random.below(spin)));
        worker.kill();
        let before = ledger.acknowledged();
        while let Some(line) = worker.line() {
            ledger.take(&line);
        }
        seen.before_the_first_append += usize::from(lines == 0 && ledger.acknowledged() == before);
        assert_eq!(ledger.failures, [""; 0], "kill {run}");
        events = ledger.check(&factlog.store(), &format!("kill {run}"));
        seen.behind += usize::from(format::cursor(&factlog.store(), CURSOR).unwrap_or_default() < events as u64);
    }
    drain(&factlog.store(), &mut ledger, KILLS, events);
    assert_eq!(ledger.delivered(), events, "some were never delivered");
    seen.acknowledged += ledger.acknowledged();
    seen.redelivered += ledger.redelivered;
    seen.events += events;
}

/// Lets a subscriber without writers come to the end.
fn drain(store: &Path, ledger: &mut Ledger, run: usize, events: usize) {
    let mut worker = Worker::start(store, Role::Crowd { run, writers: 0 });
    while ledger.delivered() < events {
        ledger.take(&worker.line().expect("the worker ended by itself"));
    }
    worker.kill();
    while let Some(line) = worker.line() {
        ledger.take(&line);
    }
    ledger.check(store, "at the end");
}

/// Kills a process some time after it was started, if it has not ended by then.
fn kill_soon(mut command: std::process::Command, most: Duration, random: &mut Random) -> Option<i32> {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (started, spin) = (Instant::now(), Duration::from_nanos(random.below(most.as_nanos() as u64)));
    while started.elapsed() < spin {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap().code()
}

#[test]
fn a_backup_that_is_killed_beside_a_writer_is_completed_by_the_next_and_never_a_shorter_store() {
    let mut random = Random::seeded();
    let kills = cycles(20, 200);
    let (factlog, mut killed, mut finished, mut opened) = (Factlog::new(), 0, 0, 0);
    let copy = factlog.file("copy");
    let destination = copy.to_str().unwrap();
    let padding = "x".repeat(3000);
    let line = |number: u64| format!("{{\"type\":\"T\",\"data\":{{\"n\":{number},\"x\":\"{padding}\"}}}}\n");
    factlog.lines(&["append", "s", "--each"], (0..400).map(line).collect::<String>());
    let took = Instant::now();
    factlog.lines(&["backup", destination], "");
    // Some are killed before they have begun, and some have ended before.
    let mut most = took.elapsed() * 5 / 4;
    let (mut in_copy, mut next) = (400, 400);
    let mut writer = factlog.spawn(&["append", "s", "--each"]);
    let (mut feed, mut acks) = (writer.stdin.take().unwrap(), BufReader::new(writer.stdout.take().unwrap()));
    for round in 0..kills {
        for _ in 0..50 {
            feed.write_all(line(next).as_bytes()).unwrap();
            next += 1;
            acks.read_line(&mut String::new()).unwrap();
        }
        match kill_soon(factlog.command(&["backup", destination]), most, &mut random) {
            // How long one takes depends on what else the machine does: so both are seen, whatever that is.
            None => (killed, most) = (killed + 1, most * 5 / 4),
            Some(code) => {
                assert_eq!(code, 0, "round {round}");
                (finished, most) = (finished + 1, most * 3 / 4);
            }
        }
        let run = finish(&mut command(&copy, &["read", "s"]), b"");
        match run.code {
            Some(0) => {
                let events = run.lines().len() as u64;
                assert!((in_copy..=next).contains(&events), "round {round}: {events} events, and {in_copy} were there");
                (in_copy, opened) = (events, opened + 1);
            }
            code => {
                assert_eq!(code, Some(2), "round {round}: {}", run.stderr);
                assert!(run.stderr.contains("not finished"), "round {round}: {}", run.stderr);
            }
        }
    }
    factlog.lines(&["backup", destination], "");
    drop(feed);
    writer.wait().unwrap();
    let copied = finish(&mut command(&copy, &["read"]), b"").lines();
    assert_eq!(copied, factlog.lines(&["read"], ""));
    assert_eq!(copied.len() as u64, next);
    assert_eq!(finish(&mut command(&copy, &["verify"]), b"").code, Some(0));
    println!("{killed} backups killed and {finished} finished, {opened} of the copies opened meanwhile, {next} events");
    assert!(killed >= kills / 4 && opened > 0);
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_repair_that_is_killed_is_completed_by_the_next_and_loses_nothing_more() {
    let mut random = Random::seeded();
    let (template, kills) = (Factlog::new(), cycles(20, 200));
    let line =
        |number: u64| format!("{{\"type\":\"T\",\"data\":{{\"n\":{number},\"x\":\"{}\"}}}}\n", "x".repeat(12_000));
    template.lines(&["append", "s", "--each"], (0..100).map(line).collect::<String>());
    // One byte of an event in the middle, and the manifest.
    let (segments, manifest) = (format::segments(&template.store()), template.store().join("MANIFEST"));
    let records = &segments[1].records;
    let damaged = &records[records.len() / 2];
    flip(&segments[1].path, damaged.offset as usize + 100);
    flip(&manifest, 40);
    let (lost, damaged_store) = (damaged.position, format::contents(&template.store()));
    let whole = Factlog::new();
    format::restore(&whole.store(), &damaged_store);
    let took = Instant::now();
    whole.lines(&["repair"], "");
    let most = took.elapsed() * 5 / 4;
    let (mut killed, mut finished) = (0, 0);
    for round in 0..kills {
        let factlog = Factlog::new();
        format::restore(&factlog.store(), &damaged_store);
        match kill_soon(factlog.command(&["repair"]), most, &mut random) {
            None => killed += 1,
            Some(_) => finished += 1,
        }
        factlog.lines(&["repair"], "");
        assert_eq!(factlog.run(&["verify"], "").code, Some(0), "round {round}");
        let run = factlog.run(&["read", "--skip-lost"], "");
        let position = |line: &String| serde_json::from_str::<Value>(line).unwrap()["position"].as_u64().unwrap();
        let positions: Vec<u64> = run.lines().iter().map(position).collect();
        assert_eq!(positions, (1..=100).filter(|position| *position != lost).collect::<Vec<_>>(), "round {round}");
    }
    println!("{killed} repairs killed and {finished} finished");
    assert!(killed >= kills / 4);
}
