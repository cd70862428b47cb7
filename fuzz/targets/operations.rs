//! Operations on a store, with kills and faults, held against a model.
#![no_main]

use std::path::Path;

use arbitrary::Arbitrary;
use factlog::{
    BincodeCodec, CursorName, Error, EventType, ExpectedVersion, NewEvent, Position, ReadAll, Snapshot, Store,
    StreamName, Subscribe, Version,
};
use factlog_fuzz::{
    ground::{Fault, Ground},
    model::{Model, is_damage},
};

#[derive(Arbitrary, Debug)]
enum Operation {
    Append {
        stream: u8,
        expected: Expected,
        sizes: Vec<u16>,
    },
    /// The last append again, under the same ids.
    Repeat,
    SaveCursor {
        position: u8,
    },
    SaveSnapshot {
        stream: u8,
        version: u8,
    },
    Subscribe,
    Compare,
    Verify,
    /// Closes the store, and opens it again.
    Close,
    /// What a kill leaves at this moment is opened, and goes on in place of the store.
    Kill,
    /// What a kill leaves, and then a fault.
    KillAndHarm {
        fault: Fault,
    },
    /// Closes the store; a copy of it suffers a fault.
    CloseAndHarm {
        fault: Fault,
    },
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Expected {
    Any,
    NoStream,
    StreamExists,
    Right,
    Exact(u8),
}

/// A store, its files, and what must be in it.
struct System {
    ground: Ground,
    /// `None` only for a moment.
    store: Option<Store>,
    model: Model,
    last: Option<(StreamName, Vec<NewEvent>, Version)>,
    cursor: u64,
}

libfuzzer_sys::fuzz_target!(|operations: Vec<Operation>| {
    let ground = Ground::default();
    let store = Some(ground.open().unwrap());
    let mut system = System { ground, store, model: Model::default(), last: None, cursor: 0 };
    operations.iter().take(60).for_each(|operation| system.run(operation));
    system.compare();
});

fn stream(number: u8) -> StreamName {
    StreamName::new(format!("fuzz-{}", number % 4)).unwrap()
}

fn cursor() -> CursorName {
    CursorName::new("fuzz").unwrap()
}

impl System {
    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn run(&mut self, operation: &Operation) {
        match operation {
            Operation::Append { stream: number, expected, sizes } => self.append(&stream(*number), *expected, sizes),
            Operation::Repeat => self.repeat(),
            Operation::SaveCursor { position } => self.save_cursor((*position).into()),
            Operation::SaveSnapshot { stream: number, version } => self.save_snapshot(&stream(*number), *version),
            Operation::Subscribe => self.subscribe(),
            Operation::Compare => self.compare(),
            Operation::Verify => assert_eq!(self.store().verify().unwrap().faults, []),
            Operation::Close => {
                self.store.take().unwrap().close().unwrap();
                assert_eq!(self.ground.verify().unwrap(), 0);
                self.store = Some(self.ground.open().unwrap());
                self.compare();
            }
            Operation::Kill => {
                let left = self.ground.copy();
                self.go_on(left);
                self.compare();
            }
            Operation::KillAndHarm { fault } => self.kill_and_harm(*fault),
            Operation::CloseAndHarm { fault } => self.close_and_harm(*fault),
        }
    }

    fn append(&mut self, stream: &StreamName, expected: Expected, sizes: &[u16]) {
        let expected = match expected {
            Expected::Any => ExpectedVersion::Any,
            Expected::NoStream => ExpectedVersion::NoStream,
            Expected::StreamExists => ExpectedVersion::StreamExists,
            Expected::Right => Version::new(self.model.version(stream)).into(),
            Expected::Exact(version) => ExpectedVersion::Exact(Version::new(version.into())),
        };
        let payloads: Vec<Vec<u8>> = sizes.iter().take(6).map(|size| vec![*size as u8; (size % 3000).into()]).collect();
        let event = |payload: &Vec<u8>| NewEvent::new(EventType::new("T").unwrap(), payload.clone());
        let events: Vec<NewEvent> = payloads.iter().map(event).collect();
        match self.store().append(stream, expected, events.clone()) {
            Ok(appended) => {
                assert!(self.model.accepts(stream, expected) && !payloads.is_empty());
                self.model.append(stream, &payloads);
                assert_eq!(appended.position.get() as usize, self.model.events.len());
                assert_eq!(appended.version.get(), self.model.version(stream));
                self.last = Some((stream.clone(), events, appended.version));
            }
            Err(Error::WrongExpectedVersion { actual, .. }) => {
                assert!(!self.model.accepts(stream, expected));
                assert_eq!(actual.get(), self.model.version(stream));
            }
            Err(Error::Invalid(_)) => assert!(payloads.is_empty()),
            Err(other) => panic!("{other}"),
        }
    }

    fn repeat(&self) {
        if let Some((stream, events, version)) = &self.last {
            let appended = self.store().append(stream, ExpectedVersion::Any, events.clone()).unwrap();
            assert_eq!(appended.version, *version, "the first answer again");
        }
    }

    fn save_cursor(&mut self, position: u64) {
        let last = self.model.events.len() as u64;
        match self.store().save_cursor(&cursor(), Position::new(position)) {
            Ok(()) => {
                assert!(position <= last);
                self.cursor = position;
            }
            Err(Error::CursorAhead { .. }) => assert!(position > last),
            Err(other) => panic!("{other}"),
        }
    }

    fn save_snapshot(&self, stream: &StreamName, version: u8) {
        let actual = self.model.version(stream);
        let version = u64::from(version) % (actual + 2);
        let snapshot = Snapshot::encode(stream, Version::new(version), &BincodeCodec, 1, &version).unwrap();
        match self.store().save_snapshot(snapshot) {
            Ok(()) => assert!(version <= actual),
            Err(Error::SnapshotAhead { .. }) => assert!(version > actual),
            Err(Error::Invalid(_)) => assert_eq!(version, 0),
            Err(other) => panic!("{other}"),
        }
        let loaded = self.store().load_snapshot(stream, Version::new(actual)).unwrap();
        assert!(loaded.skipped.is_empty());
    }

    fn subscribe(&self) {
        let mut subscription = self.store().subscribe(Subscribe::new().cursor(cursor())).unwrap();
        for position in self.cursor + 1..=self.model.events.len() as u64 {
            assert_eq!(subscription.try_next().unwrap().map(|event| event.position().get()), Some(position));
        }
        assert!(subscription.try_next().unwrap().is_none());
    }

    fn compare(&self) {
        assert_eq!(self.model.compare(self.store()).unwrap(), self.model.events.len());
        let saved = self.store().cursor(&cursor()).unwrap().position();
        assert_eq!(saved.get(), self.cursor);
        let types = ReadAll::after(Position::new(self.cursor)).event_type(EventType::new("T").unwrap());
        assert_eq!(self.store().read_all(types).count(), self.model.events.len() - self.cursor as usize);
    }

    /// The store on other files, in place of the one that is open.
    fn go_on(&mut self, ground: Ground) {
        drop(self.store.take());
        self.ground = ground;
        self.store = Some(self.ground.open().unwrap());
    }

    fn kill_and_harm(&mut self, fault: Fault) {
        let (left, whole) = (self.ground.copy(), self.ground.copy());
        let harmed = left.harm(fault);
        if let (Ok(store), true) = (opened(&left), harmed.is_some()) {
            match self.model.compare(&store) {
                Err(error) => assert!(is_damage(&error), "{error}"),
                Ok(events) => {
                    // One byte takes the last append at most: what is before has been testified to.
                    let least = self.model.events.len() - self.model.last_append;
                    assert!(events >= least || !matches!(fault, Fault::Flip { .. }), "{events} events, {harmed:?}");
                    let missing = events < self.model.events.len();
                    assert!(!missing || store.dropped_bytes() > 0 || !matches!(fault, Fault::Flip { .. }));
                }
            }
        }
        drop(left);
        self.go_on(whole);
        self.compare();
    }

    fn close_and_harm(&mut self, fault: Fault) {
        self.store.take().unwrap().close().unwrap();
        let copy = self.ground.copy();
        if let Some(harmed) = copy.harm(fault) {
            let named = copy.verify().map_or_else(|error| is_damage(&error), |faults| faults > 0);
            match opened(&copy).and_then(|store| self.model.compare(&store)) {
                Ok(events) => assert_eq!(events, self.model.events.len(), "{harmed:?}: passed over in silence"),
                Err(error) => assert!(is_damage(&error) && named, "{harmed:?}: {error}, verify: {named}"),
            }
            // A prepared segment holds nothing, and the session in `POSITION` is any number.
            let matters = !harmed.ends_with("prepared") && harmed != Path::new("POSITION");
            let flipped = matches!(fault, Fault::Flip { .. });
            assert!(named || !flipped || !matters, "{harmed:?}: verify does not name it");
        }
        self.store = Some(self.ground.open().unwrap());
    }
}

/// Opens a store whose files were harmed: it opens, or names the damage.
fn opened(ground: &Ground) -> Result<Store, Error> {
    let opened = ground.open();
    if let Err(error) = &opened {
        assert!(is_damage(error), "{error}");
    }
    opened
}
