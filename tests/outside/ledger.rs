//! What a worker did, kept outside of its store; and whether the store agrees.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use serde_json::Value;

use crate::{
    format,
    support::{command, finish},
    worker::{CURSOR, Name},
};

/// Everything that workers on one store have said.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    sent: BTreeSet<Name>,
    /// Acknowledged appends, and the position of the last event of each.
    stored: BTreeMap<Name, u64>,
    /// Events that were given to the subscriber, by position.
    given: BTreeMap<u64, Value>,
    /// The first and the last that the present worker gave.
    gave: Option<(u64, u64)>,
    /// How far the subscriber was told that its cursor is durable, ...
    noted: u64,
    /// ... and how far it may be.
    noting: u64,
    /// What the cursor said when the present worker began.
    resumed: u64,
    pub failures: Vec<String>,
    pub redelivered: usize,
}

impl Ledger {
    /// Takes down a line of a worker.
    pub fn take(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap();
        let numbers = || rest.split(' ').map(|number| number.parse::<u64>().unwrap()).collect::<Vec<_>>();
        let name = |numbers: &[u64]| {
            let number = |at: usize| numbers[at] as usize;
            Name { run: number(0), writer: number(1), number: number(2), count: number(3) }
        };
        match word {
            "sent" => assert!(self.sent.insert(name(&numbers()))),
            "stored" => {
                let numbers = numbers();
                assert!(self.sent.contains(&name(&numbers)));
                self.stored.insert(name(&numbers), numbers[4]);
            }
            "given" => self.give(rest),
            "noting" => self.noting = numbers()[0],
            "noted" => self.noted = numbers()[0],
            "failed" => self.failures.push(rest.to_owned()),
            _ => panic!("{line}"),
        }
    }

    fn give(&mut self, rest: &str) {
        let (position, data) = rest.split_once(' ').unwrap();
        let (position, data) = (position.parse().unwrap(), serde_json::from_str(data).unwrap());
        match &mut self.gave {
            None => {
                assert_eq!(position, self.resumed + 1, "the subscriber did not resume behind its cursor");
                self.gave = Some((position, position));
            }
            Some((_, last)) => {
                assert_eq!(position, *last + 1, "the subscriber was given something else than the next event");
                *last = position;
            }
        }
        if let Some(before) = self.given.insert(position, data) {
            assert_eq!(before, self.given[&position], "another event was given at position {position} before");
            self.redelivered += 1;
        }
    }

    pub fn acknowledged(&self) -> usize {
        self.stored.len()
    }

    /// How many appends were made, but for those that were found to have come to nothing.
    pub fn sent(&self) -> usize {
        self.sent.len()
    }

    /// How many events the subscriber was given, each counted once.
    pub fn delivered(&self) -> usize {
        self.given.len()
    }

    /// How many acknowledged appends a store does not hold.
    pub fn lost(&self, store: &Path) -> usize {
        let read = finish(&mut command(store, &["read"]), b"");
        let events: Vec<Value> = read.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let found = self.appends(&events, "");
        self.stored.keys().filter(|name| !found.contains_key(name)).count()
    }

    /// Holds the ledger against the store that the worker left behind; gives the number of events in it.
    pub fn check(&mut self, store: &Path, what: &str) -> usize {
        let verified = finish(&mut command(store, &["verify"]), b"");
        assert_eq!(verified.code, Some(0), "{what}: {verified:?}");
        let read = finish(&mut command(store, &["read"]), b"");
        assert_eq!(read.code, Some(0), "{what}: {}", read.stderr);
        let events: Vec<Value> = read.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut versions: HashMap<String, u64> = HashMap::new();
        for (event, position) in events.iter().zip(1..) {
            assert_eq!(event["position"], position, "{what}: positions have a gap");
            let version = versions.entry(event["stream"].as_str().unwrap().to_owned()).or_default();
            *version += 1;
            assert_eq!(event["version"], *version, "{what}: versions have a gap: {event}");
        }
        let found = self.appends(&events, what);
        for (name, position) in &self.stored {
            let at = found.get(name);
            assert_eq!(at, Some(position), "{what}: {name:?} was acknowledged at position {position}");
        }
        for (position, data) in &self.given {
            let event =
                events.get(*position as usize - 1).unwrap_or_else(|| panic!("{what}: {position} was taken back"));
            assert_eq!(event["data"], *data, "{what}: something else was given at {position}");
        }
        let cursor = format::cursor(store, CURSOR).unwrap_or_default();
        assert!(
            cursor == self.noted || cursor == self.noting,
            "{what}: the cursor is at {cursor}, {} was noted and {} perhaps",
            self.noted,
            self.noting
        );
        assert!(cursor as usize <= events.len(), "{what}: the cursor is ahead of the log");
        (self.noted, self.noting, self.resumed, self.gave) = (cursor, cursor, cursor, None);
        // What is not there now, never will be.
        self.sent.retain(|name| found.contains_key(name));
        events.len()
    }

    /// The appends that these events are, each whole, once, and one that was made; and the position of its last event.
    fn appends(&self, events: &[Value], what: &str) -> BTreeMap<Name, u64> {
        let mut found = BTreeMap::new();
        let mut rest = events;
        while let Some(first) = rest.first() {
            let numbers: [usize; 4] = serde_json::from_value(first["data"]["name"].clone()).unwrap();
            let [run, writer, number, count] = numbers;
            let name = Name { run, writer, number, count };
            assert!(self.sent.contains(&name), "{what}: nobody appended {name:?}, or it came back");
            assert!(rest.len() >= count, "{what}: {name:?} is not whole");
            for (place, event) in rest[..count].iter().enumerate() {
                let expected: Value = serde_json::from_str(&name.data(place)).unwrap();
                assert_eq!((&event["data"], &event["stream"]), (&expected, &name.stream().into()), "{what}: {name:?}");
            }
            let last = rest[count - 1]["position"].as_u64().unwrap();
            assert_eq!(found.insert(name, last), None, "{what}: {name:?} is there twice");
            rest = &rest[count..];
        }
        found
    }
}

#[test]
fn the_ledger_notices_what_is_lost_invented_or_ahead() {
    use crate::{
        support::Factlog,
        worker::{Role, Worker},
    };

    let factlog = Factlog::new();
    let mut ledger = Ledger::default();
    let mut worker = Worker::start(&factlog.store(), Role::Crowd { run: 0, writers: 2 });
    while ledger.acknowledged() < 20 || ledger.noted == 0 {
        ledger.take(&worker.line().unwrap());
    }
    worker.kill();
    while let Some(line) = worker.line() {
        ledger.take(&line);
    }
    ledger.clone().check(&factlog.store(), "the truth");
    let notices = |what: &str, lie: &dyn Fn(&mut Ledger)| {
        let mut ledger = ledger.clone();
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            lie(&mut ledger);
            ledger.check(&factlog.store(), what);
        }));
        assert!(told.is_err(), "{what}: not noticed");
    };
    let (last, given) = (*ledger.stored.values().max().unwrap(), ledger.gave.unwrap().1);
    let line = |word: &str, numbers: &str| format!("{word} 7 0 1 1{numbers}");
    notices("an acknowledged append is gone", &|ledger| {
        ledger.take(&line("sent", ""));
        ledger.take(&line("stored", &format!(" {}", last + 1)));
    });
    notices("an append has moved", &|ledger| *ledger.stored.values_mut().next().unwrap() += 1);
    notices("an event was never sent", &|ledger| assert!(ledger.sent.pop_first().is_some()));
    notices("what was given was taken back", &|ledger| drop(ledger.given.insert(last + 1000, Value::Null)));
    notices("something else was given", &|ledger| drop(ledger.given.insert(1, Value::Null)));
    notices("the cursor is ahead of what was acknowledged", &|ledger| (ledger.noted, ledger.noting) = (0, 0));
    notices("an event is left out", &|ledger| ledger.take(&format!("given {} {{}}", given + 2)));
    notices("a subscriber did not resume", &|ledger| {
        ledger.gave = None;
        ledger.take("given 3 {}");
    });
}
