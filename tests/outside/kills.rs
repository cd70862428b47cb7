//! `kill -9` at random moments.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    format,
    ledger::Ledger,
    setting::{Random, cycles},
    support::Factlog,
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
