//! What is done to a store, one operation after the other, each noted in the ledger before it begins and when it is answered.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

use factlog::{
    Action, Appended, CodecId, Durability, Error, ExpectedVersion, NewEvent, Options, Position, Snapshot, Store,
    StreamAppend, StreamName, Timestamp, Version,
    sim::{self, Chance, Image, SimDisk},
};

use super::{
    check::{DIR, Expected, cursor_name, find_appends, read_everything},
    ledger::{Answer, Crash, Ledger},
};

/// An operation on a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Do {
    /// One event.
    Append,
    /// Three events, over several sectors.
    Batch,
    /// To two streams at once.
    Streams,
    /// Three appends on their way at once, by a thread.
    Pipeline,
    /// Two appends on their way at once, by tasks.
    Tasks,
    /// One event that fills a segment.
    Roll,
    Snapshot,
    Cursor,
    /// Makes what was acknowledged durable.
    Sync,
    /// Closes and opens.
    Reopen,
    /// The process ends, and another opens.
    Kill,
}

impl Do {
    pub const ALL: [Do; 11] = [
        Do::Append,
        Do::Batch,
        Do::Streams,
        Do::Pipeline,
        Do::Tasks,
        Do::Roll,
        Do::Snapshot,
        Do::Cursor,
        Do::Sync,
        Do::Reopen,
        Do::Kill,
    ];
}

/// Segments of two pages: a page for records.
pub fn options(relaxed: bool) -> Options {
    let durability = if relaxed { Durability::OnDemand } else { Durability::Always };
    Options::new().first_segment_bytes(8 << 10).segment_bytes(8 << 10).durability(durability)
}

/// A store on a simulated disk, and what is known of it.
pub struct Run {
    pub disk: SimDisk,
    pub ledger: Ledger,
    pub options: Options,
    /// Errors are no news: the disk has been told to fail, or has lost its power.
    pub faulty: bool,
    store: Option<Store>,
    /// The append that was told that the outcome is unknown.
    poisoned: Option<usize>,
}

type Outcome<T = ()> = Result<T, String>;

fn stream_name(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

impl Run {
    /// Nothing yet; the store is opened by the first operation.
    pub fn new(disk: SimDisk, relaxed: bool) -> Run {
        let mut ledger = Ledger::default();
        ledger.relaxed = relaxed;
        Run { disk, ledger, options: options(relaxed), faulty: false, store: None, poisoned: None }
    }

    /// The same store on another disk, such as one with what a crash has left.
    pub fn go_on(&mut self, disk: SimDisk) {
        // Whatever the old one does when it goes, it does to the old disk.
        self.store = None;
        self.disk = disk;
    }

    /// The store; opened, and what it holds noted, if it is not open.
    pub fn store(&mut self) -> Outcome<Option<Store>> {
        if let Some(store) = &self.store {
            return Ok(Some(store.clone()));
        }
        match sim::open(&self.options, &self.disk, DIR) {
            Ok(store) => {
                self.poisoned = None;
                match read_everything(&store) {
                    Ok(events) => {
                        let there = find_appends(&self.ledger, &events)?;
                        let expected =
                            Expected { ledger: &self.ledger, mark: self.ledger.mark(), crash: self.last_crash() };
                        if !self.faulty {
                            expected.compare(&store)?;
                        }
                        self.ledger.resolve(&there);
                    }
                    Err(_) if self.faulty => return Ok(None),
                    Err(error) => return Err(error),
                }
                self.store = Some(store.clone());
                Ok(Some(store))
            }
            Err(error) => self.excuse("opening", &error).map(|()| None),
        }
    }

    /// Closes the store. The next operation opens it again.
    pub fn close(&mut self) -> Outcome {
        match self.store.take().map(Store::close) {
            Some(Err(error)) => self.excuse("closing", &error),
            _ => {
                self.ledger.synced();
                Ok(())
            }
        }
    }

    fn last_crash(&self) -> Crash {
        if self.ledger.relaxed { Crash::PowerCut } else { Crash::Kill }
    }

    /// An error is right only where something fails, and never that of damage.
    fn excuse(&self, what: &str, error: &Error) -> Outcome {
        let fits = matches!(error.action(), Action::Retry | Action::Reopen);
        if self.faulty && fits { Ok(()) } else { Err(format!("{what}: {error}")) }
    }

    pub fn mark(&self) {
        self.disk.mark(self.ledger.mark());
    }

    /// Does one operation. An error is a promise broken.
    pub fn apply(&mut self, what: Do) -> Outcome {
        let Some(store) = self.store()? else { return Ok(()) };
        self.mark();
        let number = self.ledger.appends.len();
        // Few streams, so that there are versions to go on from.
        let stream = |which: usize| format!("s-{}", (number + which) % 2 + 1);
        match what {
            Do::Append => self.append(&store, vec![(stream(0), vec![200])]),
            Do::Batch => self.append(&store, vec![(stream(0), vec![500, 900, 30])]),
            Do::Streams => self.append(&store, vec![(stream(0), vec![300]), (stream(1), vec![20, 400])]),
            Do::Roll => self.append(&store, vec![(stream(0), vec![3600])]),
            Do::Pipeline => self.pipeline(&store, [stream(0), stream(0), stream(1)]),
            Do::Tasks => self.tasks(&store, [stream(0), stream(1)]),
            Do::Snapshot => self.snapshot(&store, &stream(0)),
            Do::Cursor => self.cursor(&store),
            Do::Sync => match store.sync() {
                Ok(()) => {
                    self.ledger.synced();
                    Ok(())
                }
                Err(error) => self.excuse("syncing", &error),
            },
            Do::Reopen => {
                drop(store);
                self.close()?;
                self.store().map(|_| ())
            }
            Do::Kill => {
                let disk = self.disk.image().disk(number as u64);
                self.go_on(disk);
                self.store().map(|_| ())
            }
        }?;
        self.mark();
        self.disk.pass(Duration::from_millis(1));
        self.disk.settle();
        Ok(())
    }

    /// Everything that was acknowledged is visible, also while nothing can be written.
    pub fn read_back(&mut self) -> Outcome {
        let Some(store) = self.store()? else { return Ok(()) };
        match read_everything(&store) {
            Ok(events) => {
                let there = find_appends(&self.ledger, &events)?;
                let missing = (0..self.ledger.appends.len())
                    .find(|append| self.ledger.places(*append, u64::MAX).is_some() && !there.contains_key(append));
                missing.map_or(Ok(()), |append| Err(format!("append {append} was acknowledged and is not visible")))
            }
            Err(_) if self.faulty => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What an append was told, into the ledger.
    fn answered(&mut self, append: usize, result: factlog::Result<Vec<Appended>>) -> Outcome {
        let answer = match result {
            // What was durable before is acknowledged.
            Ok(places) if self.poisoned.is_some_and(|poisoned| append > poisoned) => {
                return Err(format!("a poisoned store acknowledged {places:?}"));
            }
            Ok(places) => Answer::Acknowledged(places),
            Err(error) => {
                self.excuse("appending", &error)?;
                match error.action() {
                    Action::Reopen => {
                        self.poisoned.get_or_insert(append);
                        Answer::Unknown
                    }
                    _ => Answer::Nothing,
                }
            }
        };
        self.ledger.answer(append, answer);
        self.mark();
        Ok(())
    }

    fn send(&mut self, parts: Vec<(String, Vec<usize>)>) -> (usize, Vec<(StreamName, Vec<NewEvent>)>) {
        let sent = self.ledger.send(parts);
        self.mark();
        sent
    }

    fn append(&mut self, store: &Store, parts: Vec<(String, Vec<usize>)>) -> Outcome {
        let (append, parts) = self.send(parts);
        let appends = parts
            .into_iter()
            .map(|(stream, events)| {
                // With the version, where it is known; and without.
                let version = store.stream_version(&stream).unwrap_or(Version::NONE);
                let expected = match version {
                    Version::NONE => ExpectedVersion::Any,
                    version if append % 2 == 0 => version.into(),
                    _ => ExpectedVersion::StreamExists,
                };
                StreamAppend::new(stream, expected, events)
            })
            .collect();
        let result = store.append_streams(appends);
        self.answered(append, result)
    }

    fn pipeline(&mut self, store: &Store, streams: [String; 3]) -> Outcome {
        let mut pending = Vec::new();
        for (index, stream) in streams.into_iter().enumerate() {
            let (append, mut parts) = self.send(vec![(stream, vec![100 + 400 * index])]);
            let Some((stream, events)) = parts.pop() else { continue };
            match store.submit(&stream, ExpectedVersion::Any, events) {
                Ok(submitted) => pending.push((append, submitted)),
                Err(error) => self.answered(append, Err(error))?,
            }
        }
        // When the last is acknowledged, so are the others.
        let waited = pending.pop().map(|(append, last)| (append, last.wait()));
        if let Some((append, result)) = waited {
            let all = result.as_ref().map(|_| ()).map_err(Clone::clone);
            for (append, submitted) in pending {
                let appended = submitted.appended();
                drop(submitted);
                self.answered(append, all.clone().map(|()| vec![appended]))?;
            }
            self.answered(append, result.map(|appended| vec![appended]))?;
        }
        Ok(())
    }

    fn tasks(&mut self, store: &Store, streams: [String; 2]) -> Outcome {
        type Appending = Pin<Box<dyn Future<Output = factlog::Result<Appended>> + Send>>;
        let mut tasks: Vec<(usize, Appending)> = Vec::new();
        let mut context = Context::from_waker(Waker::noop());
        let mut done = Vec::new();
        for stream in streams {
            let (append, mut parts) = self.send(vec![(stream, vec![700])]);
            let Some((stream, events)) = parts.pop() else { continue };
            let mut task: Appending = Box::pin(store.append_async(&stream, ExpectedVersion::Any, events));
            match task.as_mut().poll(&mut context) {
                Poll::Ready(result) => done.push((append, result)),
                Poll::Pending => tasks.push((append, task)),
            }
        }
        for _ in 0..20 {
            self.disk.settle();
            tasks.retain_mut(|(append, task)| match pin!(task).poll(&mut context) {
                Poll::Ready(result) => {
                    done.push((*append, result));
                    false
                }
                Poll::Pending => true,
            });
        }
        if !tasks.is_empty() {
            return Err(format!("{} tasks were never woken", tasks.len()));
        }
        done.into_iter().try_for_each(|(append, result)| self.answered(append, result.map(|appended| vec![appended])))
    }

    fn snapshot(&mut self, store: &Store, stream: &str) -> Outcome {
        let name = stream_name(stream);
        let version = match store.stream_version(&name) {
            Ok(Version::NONE) => return Ok(()),
            Ok(version) => version,
            Err(error) => return self.excuse("the version", &error),
        };
        let mut snapshot = Snapshot::new(&name, version, CodecId::JSON, 1, version.get().to_string());
        snapshot.timestamp = Timestamp::from_micros(0);
        self.save(&format!("snapshot of {stream}"), version.get(), || store.save_snapshot(snapshot))
    }

    fn cursor(&mut self, store: &Store) -> Outcome {
        let position = store.last_position();
        if position == Position::START {
            return Ok(());
        }
        self.save("reader", position.get(), || store.save_cursor(&cursor_name("reader"), position))
    }

    /// Saves something that the log must have reached durably before, at any durability.
    fn save(&mut self, name: &str, value: u64, save: impl FnOnce() -> factlog::Result<()>) -> Outcome {
        self.ledger.begin_save(name, value);
        self.mark();
        let result = save();
        self.ledger.end_save(name, result.is_ok());
        self.mark();
        match result {
            Ok(()) => Ok(()),
            Err(error) => self.excuse("saving", &error),
        }
    }
}

/// The state that all runs begin with: on an empty disk, or with a history.
pub fn base(history: &[Do], relaxed: bool, seed: u64) -> Outcome<(Image, Ledger)> {
    let mut run = Run::new(SimDisk::new(seed), relaxed);
    for what in history {
        run.apply(*what)?;
    }
    run.close()?;
    Ok((run.disk.image(), run.ledger))
}

/// A chance for a name: the same every time.
pub fn chance_of(what: &impl std::hash::Hash) -> Chance {
    let mut hasher = std::hash::DefaultHasher::new();
    what.hash(&mut hasher);
    Chance::seeded(std::hash::Hasher::finish(&hasher))
}
