//! Opens what a crash has left and compares it with the ledger.

use std::collections::BTreeMap;

use factlog::{
    Appended, CursorName, ExpectedVersion, NewEvent, Options, Position, ReadAll, ReadStream, RecordedEvent, Store,
    StreamName, Version,
    sim::{self, Chance, Image, SimDisk, Tally},
};

use super::ledger::{Crash, Fate, Ledger};

pub const DIR: &str = "/store";

/// What a store must look like.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    pub ledger: &'a Ledger,
    pub mark: u64,
    pub crash: Crash,
}

/// Where each append is that is in the log.
pub type There = BTreeMap<usize, Vec<Appended>>;

pub fn told<T>(what: &str, result: factlog::Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error}"))
}

pub fn cursor_name(name: &str) -> CursorName {
    CursorName::new(name).unwrap()
}

fn stream_name(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

/// All events of the log, each as it was sent, positions and versions without a gap.
pub fn read_everything(store: &Store) -> Result<Vec<RecordedEvent>, String> {
    let events = told("reading", store.read_all(ReadAll::after(Position::START)).collect::<Result<Vec<_>, _>>())?;
    let mut versions: BTreeMap<String, u64> = BTreeMap::new();
    for (at, event) in events.iter().enumerate() {
        if event.position().get() != at as u64 + 1 {
            return Err(format!("position {} stands where {} belongs", event.position(), at + 1));
        }
        let version = versions.entry(event.stream().to_string()).or_default();
        *version += 1;
        if event.version().get() != *version {
            return Err(format!("stream {} has version {} for {version}", event.stream(), event.version()));
        }
    }
    Ok(events)
}

/// Where each append lies, whole and in the order of sending.
pub fn find_appends(ledger: &Ledger, events: &[RecordedEvent]) -> Result<There, String> {
    let mut there = There::new();
    let mut expected: Option<(usize, usize, usize)> = None;
    for event in events {
        let found = ledger.find(event)?;
        let (append, part, index) = found;
        let begins = index == 0 && part == 0 && there.last_key_value().is_none_or(|(last, _)| *last < append);
        if expected.is_some_and(|expected| expected != found) || expected.is_none() && !begins {
            return Err(format!("at position {} lies {found:?}, for {expected:?}", event.position()));
        }
        let places = there.entry(append).or_default();
        if index == 0 {
            places.push(Appended {
                first_version: event.version(),
                version: event.version(),
                position: event.position(),
            });
        }
        if let Some(place) = places.last_mut() {
            (place.version, place.position) = (event.version(), event.position());
        }
        let parts = &ledger.appends[append].parts;
        expected = if index + 1 < parts[part].1.len() {
            Some((append, part, index + 1))
        } else {
            (part + 1 < parts.len()).then_some((append, part + 1, 0))
        };
    }
    match expected {
        Some(missing) => Err(format!("the log ends in the middle of an append: {missing:?} is missing")),
        None => Ok(there),
    }
}

impl Expected<'_> {
    /// Compares an open store with the ledger.
    pub fn compare(&self, store: &Store) -> Result<There, String> {
        let Expected { ledger, mark, crash } = *self;
        let events = read_everything(store)?;
        let there = find_appends(ledger, &events)?;
        let mut missing = None;
        for append in 0..ledger.appends.len() {
            let fate = ledger.fate(append, mark, crash);
            match (there.get(&append), fate) {
                (None, Fate::Must) => return Err(format!("append {append} was acknowledged and is missing")),
                (Some(_), Fate::MustNot) => return Err(format!("append {append} is there, and must not be")),
                (Some(places), _) => {
                    if let Some(missing) = missing {
                        return Err(format!("append {append} is there, and {missing} before it is not"));
                    }
                    let told = ledger.places(append, mark);
                    if told.is_some_and(|told| told != places) {
                        return Err(format!("append {append} is at {places:?}, and was told {told:?}"));
                    }
                }
                (None, Fate::May) => missing = Some(append),
                (None, Fate::MustNot) => {}
            }
        }
        self.compare_streams(store, &events)?;
        self.compare_saved(store)?;
        Ok(there)
    }

    /// The index gives what the log holds.
    fn compare_streams(&self, store: &Store, events: &[RecordedEvent]) -> Result<(), String> {
        let mut streams: BTreeMap<String, Vec<&RecordedEvent>> = BTreeMap::new();
        let sent = self.ledger.appends.iter().flat_map(|sent| &sent.parts);
        for (stream, _) in sent {
            streams.entry(stream.clone()).or_default();
        }
        events.iter().for_each(|event| streams.entry(event.stream().to_string()).or_default().push(event));
        for (stream, events) in streams {
            let name = stream_name(&stream);
            let version = told("the version", store.stream_version(&name))?;
            let found = store.read_stream(&name).collect::<Result<Vec<_>, _>>();
            let found = told("reading a stream", found)?;
            if version.get() != events.len() as u64 || !found.iter().eq(events) {
                return Err(format!(
                    "stream {stream} is at {version} with {} events read through the index",
                    found.len()
                ));
            }
            let newest = store.read_stream(ReadStream::new(&name).backwards().limit(1)).next().transpose();
            if told("reading backwards", newest)?.map_or(Version::NONE, |event| event.version()) != version {
                return Err(format!("stream {stream} read backwards does not begin with {version}"));
            }
        }
        Ok(())
    }

    /// Cursors and snapshots are what was saved, and never ahead.
    fn compare_saved(&self, store: &Store) -> Result<(), String> {
        for name in self.ledger.names() {
            let found = match name.strip_prefix("snapshot of ") {
                Some(stream) => {
                    let loaded = told("loading", store.load_snapshot(&stream_name(stream), Version::MAX))?;
                    if let Some(skipped) = loaded.skipped.first() {
                        return Err(format!("a snapshot is not usable: {skipped:?}"));
                    }
                    let state = |snapshot: factlog::Snapshot| {
                        let version = snapshot.version.get();
                        (snapshot.state == version.to_string().as_bytes()).then_some(version)
                    };
                    match loaded.snapshot.map(state) {
                        Some(version) => version.ok_or("a snapshot's state is another version's")?,
                        None => 0,
                    }
                }
                None => told("the cursor", store.cursor(&cursor_name(name)))?.position().get(),
            };
            let may_be = self.ledger.may_be_saved(name, self.mark);
            if !may_be.contains(&found) {
                return Err(format!("{name} is at {found}, and may be at {may_be:?}"));
            }
        }
        Ok(())
    }

    /// Opens the store and compares it; every byte is as it should be, and it can be appended to.
    pub fn check(&self, options: &Options, image: &Image, chance: &mut Chance) -> Result<There, String> {
        let disk = image.disk(chance.below(1 << 40));
        disk.keep_moments();
        let store = told("opening", sim::open(options, &disk, DIR))?;
        let moments = disk.moments();
        let there = self.compare(&store)?;
        verified(&store)?;
        self.append_more(options, &disk, store, there.len())?;
        if let Some(violation) = disk.violations().first() {
            return Err(violation.clone());
        }
        // Recovery cut off, and begun again.
        let moment = &moments[chance.below(moments.len() as u64) as usize];
        let again = moment.image.after_power_cut(chance, &mut Tally::default());
        let store = told("opening after a crash while opening", sim::open(options, &again.disk(1), DIR))?;
        let cut = Expected { crash: Crash::PowerCut, ..*self };
        let found = cut.compare(&store).map_err(|error| format!("after a crash while opening: {error}"))?;
        // What a kill has left may still be lost, until it has been shown.
        let must_be = image.pending() == 0 || moment.before == "the end";
        if found != there && must_be {
            let before = &moment.before;
            return Err(format!(
                "recovery was cut off before `{before}`, and found {found:?} where it had been {there:?}"
            ));
        }
        Ok(there)
    }

    /// The store goes on: an append is there after closing, and nothing else has changed.
    fn append_more(&self, options: &Options, disk: &SimDisk, store: Store, appends: usize) -> Result<(), String> {
        let stream = stream_name("s-1");
        let version = told("the version", store.stream_version(&stream))?;
        let expected = if version == Version::NONE { ExpectedVersion::NoStream } else { version.into() };
        let event = NewEvent::new(factlog::EventType::new("Later").unwrap(), "later")
            .with_id(uuid::Uuid::from_u128(1 << 100 | appends as u128));
        let before = store.last_position();
        let appended = told("appending after recovery", store.append(&stream, expected, vec![event]))?;
        if (appended.position, appended.version) != (before.next(), version.next()) {
            return Err(format!("appended {appended:?} behind {before} and version {version}"));
        }
        told("closing", store.close())?;
        let store = told("opening after a close", sim::open(options, disk, DIR))?;
        let events = read_everything(&store)?;
        if events.last().map(|event| event.position()) != Some(appended.position) || store.dropped_bytes() > 0 {
            return Err("what was appended after recovery is not there".to_owned());
        }
        verified(&store)
    }
}

pub fn verified(store: &Store) -> Result<(), String> {
    match told("verifying", store.verify())?.faults.first() {
        Some(fault) => Err(format!("verifying: {fault}")),
        None => Ok(()),
    }
}
