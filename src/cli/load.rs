//! Events into a store in a given order, each at its version: what `import` and `copy` do.
//!
//! ```text
//!   events    a1 a2 a3   b1   a4 a5   c1 ...
//!   runs      [a1 a2 a3] [b1] [a4 a5] [c1]     consecutive events of one stream
//!   appends   in a directory, or to a server: one for each run, submitted in this order, one sync for many
//!             to an engine: one for as many runs of different streams as it takes, one behind the other
//! ```
//!
//! Whatever is refused, the events before it are in the store, durably, when [`Loader::finish`] returns; it and those behind it are not. A killed
//! process leaves a beginning of the events, to every store: nothing is sent to one that could be stored without what was sent before.

use std::{collections::HashMap, fmt, mem};

use factlog::{Action, Error, ExpectedVersion, NewEvent, StreamAppend, StreamName, Version, block_on};

use super::{
    failure::Failure,
    open::{OnItsWay, Opened},
};

/// Most events in one append.
const APPEND_EVENTS: usize = 1000;

/// Most bytes in one append that has more than one event.
const APPEND_BYTES: usize = 4 << 20;

/// Most appends that are on their way at a time.
const ON_THEIR_WAY: usize = 2000;

/// Bytes on their way beyond which no further append follows.
const BYTES_ON_THEIR_WAY: usize = 4 << 20;

/// The versions of so many streams are remembered.
const VERSIONS: usize = 1 << 17;

/// Takes events, in order. Each has a mark, such as the number of its line, by which failures name it.
pub struct Loader<M> {
    store: Opened,
    /// Most streams, events and bytes in one append.
    most: (usize, usize, usize),
    /// Whether a run that is there already is refused, and not taken for a repetition.
    fresh: bool,
    run: Option<Run<M>>,
    /// What the next append has; no stream twice.
    append: Vec<Run<M>>,
    on_their_way: Vec<Submitted<M>>,
    bytes_on_their_way: usize,
    /// What some streams come to.
    versions: HashMap<StreamName, Version>,
    acknowledged: u64,
}

struct Submitted<M> {
    pending: OnItsWay,
    events: u64,
    mark: M,
}

/// Consecutive events of one stream.
struct Run<M> {
    stream: StreamName,
    /// The version of its last event.
    version: Version,
    events: Vec<NewEvent>,
    bytes: usize,
    /// Of its first event.
    mark: M,
}

impl<M> Run<M> {
    /// The version that its stream must be at; `None` for a first version below 1.
    fn before(&self) -> Option<Version> {
        self.version.get().checked_sub(self.events.len() as u64).map(Version::new)
    }
}

impl<M: fmt::Display + Copy> Loader<M> {
    /// Loads into a store. What it has already counts as loaded.
    pub fn into(store: Opened) -> Loader<M> {
        let own = store.capabilities();
        let streams = if matches!(store, Opened::Engine(_)) { own.append_streams } else { 1 };
        Loader {
            store,
            most: (streams, own.append_events.min(APPEND_EVENTS), own.append_bytes.min(APPEND_BYTES)),
            fresh: false,
            run: None,
            append: Vec::new(),
            on_their_way: Vec::new(),
            bytes_on_their_way: 0,
            versions: HashMap::new(),
            acknowledged: 0,
        }
    }

    /// Loads only what the store does not have.
    pub fn fresh(mut self) -> Loader<M> {
        self.fresh = true;
        self
    }

    /// Takes the next event.
    pub fn push(&mut self, stream: StreamName, version: Version, event: NewEvent, mark: M) -> Result<(), Failure> {
        let bytes =
            stream.as_str().len() + event.event_type.as_str().len() + event.payload.len() + event.metadata.len();
        let (_, most_events, most_bytes) = self.most;
        let goes_on = |run: &Run<M>| {
            run.stream == stream
                && run.version.next() == version
                && run.events.len() < most_events
                && run.bytes + bytes <= most_bytes
        };
        if !self.run.as_ref().is_some_and(goes_on) {
            self.end_run()?;
        }
        let run = self.run.get_or_insert_with(|| Run { stream, version, events: Vec::new(), bytes: 0, mark });
        run.version = version;
        run.bytes += bytes;
        run.events.push(event);
        Ok(())
    }

    /// Loads what has been taken, and waits for it.
    pub fn finish(&mut self) -> Result<(), Failure> {
        let sent = self.end_run();
        // What stands before a refused run is loaded all the same.
        let sent = self.send().and(sent);
        self.wait().and(sent)
    }

    /// How many events were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// The store, when nothing more is to be loaded.
    pub fn into_store(self) -> Opened {
        self.store
    }

    /// Puts the run into the next append, or into one of its own.
    fn end_run(&mut self) -> Result<(), Failure> {
        let Some(run) = self.run.take() else { return Ok(()) };
        self.check(&run).map_err(|failure| failure.at(run.mark))?;
        let (streams, most_events, most_bytes) = self.most;
        let sum = |of: fn(&Run<M>) -> usize| self.append.iter().map(of).sum::<usize>() + of(&run);
        let fits = self.append.len() < streams
            && sum(|run| run.events.len()) <= most_events
            && sum(|run| run.bytes) <= most_bytes
            && self.append.iter().all(|other| other.stream != run.stream);
        if !fits {
            self.send()?;
        }
        self.append.push(run);
        if streams > 1 { Ok(()) } else { self.send() }
    }

    /// The store would answer the same events at the same versions as a repetition. Where they are to be new they do not follow.
    /// Nobody else appends to the store, so what is seen here stays true.
    fn check(&mut self, run: &Run<M>) -> Result<(), Failure> {
        let Some(before) = run.before() else {
            return Err(Failure::WrongVersion("the first version of a stream is 1, not 0".to_owned()));
        };
        if !self.fresh {
            return Ok(());
        }
        let actual = match self.versions.get(&run.stream) {
            Some(version) => *version,
            None => self.store.stream_version(&run.stream)?,
        };
        if actual != before {
            let (stream, expected) = (run.stream.clone(), ExpectedVersion::Exact(before));
            return Err(Error::WrongExpectedVersion { stream, expected, actual }.into());
        }
        self.versions.insert(run.stream.clone(), run.version);
        Ok(())
    }

    fn send(&mut self) -> Result<(), Failure> {
        let runs = mem::take(&mut self.append);
        if runs.len() > 1 && self.all_at_once(&runs)? {
            return Ok(());
        }
        // One by one, so that those before a refused one are stored and the failure names it.
        for run in runs {
            let Run { ref stream, ref events, mark, bytes, .. } = run;
            let before = ExpectedVersion::Exact(run.before().unwrap_or_default());
            let pending = self.store.submit(stream, before, events.clone()).map_err(|failure| failure.at(mark))?;
            self.on_their_way.push(Submitted { pending, events: events.len() as u64, mark });
            self.bytes_on_their_way += bytes;
            if self.on_their_way.len() >= ON_THEIR_WAY || self.bytes_on_their_way >= BYTES_ON_THEIR_WAY {
                self.wait()?;
            }
        }
        Ok(())
    }

    /// Sends several runs as one append; `false` when something in it was refused.
    fn all_at_once(&mut self, runs: &[Run<M>]) -> Result<bool, Failure> {
        let append =
            |run: &Run<M>| StreamAppend::new(run.stream.clone(), run.before().unwrap_or_default(), run.events.clone());
        match block_on(self.store.shared().append_streams(runs.iter().map(append).collect())) {
            Ok(_) => {
                self.acknowledged += runs.iter().map(|run| run.events.len() as u64).sum::<u64>();
                Ok(true)
            }
            Err(error) if matches!(error.action(), Action::DecideAgain | Action::FixInput) => Ok(false),
            Err(error) => Err(Failure::from(error).at(runs[0].mark)),
        }
    }

    /// Waits for all that are on their way.
    fn wait(&mut self) -> Result<(), Failure> {
        self.bytes_on_their_way = 0;
        // The first one takes the others along.
        for Submitted { pending, events, mark } in mem::take(&mut self.on_their_way) {
            pending.wait().map_err(|failure| failure.at(mark))?;
            self.acknowledged += events;
        }
        if self.versions.len() > VERSIONS {
            self.versions.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use factlog::{EventType, MemoryStore, Position, ReadAll, RecordedEvent};

    use super::*;

    fn engine() -> Opened {
        Opened::Engine(Arc::new(MemoryStore::new()))
    }

    fn event() -> NewEvent {
        NewEvent::new(EventType::new("T").unwrap(), "x")
    }

    fn stored(store: &Opened) -> Vec<String> {
        let named = |event: RecordedEvent| format!("{}{}", event.stream(), event.version());
        store.read_all(ReadAll::after(Position::START)).map(|event| named(event.unwrap())).collect()
    }

    fn push(loader: &mut Loader<usize>, name: &str, mark: usize) -> Result<(), Failure> {
        let (stream, version) = name.split_at(1);
        loader.push(stream.parse().unwrap(), Version::new(version.parse().unwrap()), event(), mark)
    }

    #[test]
    fn an_engine_gets_all_events_in_their_order_whichever_streams_they_are_of() {
        let names = ["a1", "a2", "b1", "c1", "a3", "c2", "c3", "b2", "b3", "a4"];
        let mut loader = Loader::into(engine());
        for (mark, name) in names.iter().enumerate() {
            push(&mut loader, name, mark).unwrap();
        }
        loader.finish().unwrap();
        assert_eq!(loader.acknowledged(), 10);
        assert_eq!(stored(&loader.into_store()), names);
    }

    #[test]
    fn what_stands_before_a_refused_event_is_stored_and_the_failure_names_that_event() {
        let mut loader = Loader::into(engine());
        // Together they are one append, which is refused as a whole.
        for (mark, name) in ["a1", "b1", "c5", "d1"].iter().enumerate() {
            push(&mut loader, name, mark).unwrap();
        }
        let refused = loader.finish().unwrap_err();
        assert_eq!(refused.message(), Some("2: Expected version 4, but current version is 0 (stream `c`)"));
        assert_eq!(loader.acknowledged(), 2);
        assert_eq!(stored(&loader.into_store()), ["a1", "b1"]);
    }

    #[test]
    fn what_is_there_already_is_loaded_as_a_repetition_and_refused_where_all_must_be_new() {
        let store = engine();
        let one = event();
        for fresh in [false, false, true] {
            let loader = Loader::into(store.clone());
            let mut loader = if fresh { loader.fresh() } else { loader };
            let pushed = loader.push("a".parse().unwrap(), Version::FIRST, one.clone(), 1);
            let loaded = pushed.and(loader.finish());
            assert_eq!(loaded.is_err(), fresh, "{loaded:?}");
            assert_eq!(stored(&store), ["a1"]);
        }
    }
}
