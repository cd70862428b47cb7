//! `kill -9` at random moments.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use crate::support::Factlog;

const KILLS: usize = 20;

/// Numbers that look random (xorshift64*), all from one seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) % end
    }
}

fn seed() -> u64 {
    let seed = match env::var("OUTSIDE_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 | 1,
    };
    println!("OUTSIDE_SEED={seed}");
    seed
}

#[test]
fn every_acknowledged_event_survives_a_kill_at_any_moment() {
    let mut random = Random(seed());
    let factlog = Factlog::new();
    // What was sent as each version; the last ones may not have been stored.
    let mut sent: Vec<u64> = Vec::new();
    let mut acknowledged = 0;
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
    println!("{KILLS} kills, {acknowledged} acknowledgements, {} events", sent.len());
    assert!(acknowledged > KILLS * 10, "too few acknowledgements to show anything: {acknowledged}");
}

/// Appends events until the process is killed, and gives the versions and positions that it had acknowledged by then.
fn append_until_killed(factlog: &Factlog, random: &mut Random, sent: &mut Vec<u64>) -> Vec<(usize, usize)> {
    let mut child = factlog.spawn(&["append", "s", "--each"]);
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let (lines_before, spin) = (random.below(200), Duration::from_nanos(random.below(2_000_000)));
    let mut sizes = Random(random.below(u64::MAX) | 1);
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
        let started = Instant::now();
        while started.elapsed() < spin {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        while take(&mut stdout) {}
        child.wait().unwrap();
        sent.extend(feeding.join().unwrap());
        acks
    })
}
