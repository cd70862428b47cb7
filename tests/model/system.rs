//! The stores that are compared with the model: the one on disk, directly and through the trait, and the one in memory.

use std::{fs, path::Path};

use factlog::{
    Durability, Error, EventStore, EventType, ExpectedVersion, MemoryStore, NewEvent, Options, Position, ReadAll,
    ReadStream, RecordedEvent, Store, StreamAppend, StreamName, Timestamp, Version, block_on, verify,
};
use tempfile::TempDir;
use uuid::Uuid;

use super::{
    operations::{AllRead, Batch, Lost, Operation, Part, Setup, Spec, StreamRead, TYPES, Way, stream_name},
    reference::{Answer, Fact, Model, Past},
};

pub struct System {
    dir: TempDir,
    /// `None` only between closing and opening.
    store: Option<Store>,
    memory: MemoryStore,
}

/// In memory where that is possible: nothing here shows what a sync is for, and there it costs nothing.
fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { TempDir::new().unwrap() }
}

fn name(stream: usize) -> StreamName {
    StreamName::new(stream_name(stream)).unwrap()
}

/// Bytes that differ from event to event and from place to place.
fn content(number: u64, bytes: usize) -> Vec<u8> {
    let word = |at: u64| (number ^ at << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    let mut content = Vec::with_capacity(bytes + 8);
    for at in 0..bytes.div_ceil(8) {
        content.extend_from_slice(&word(at as u64));
    }
    content.truncate(bytes);
    content
}

fn new_event(number: u64, spec: Spec) -> NewEvent {
    let event = NewEvent::new(EventType::new(TYPES[spec.event_type]).unwrap(), content(number, spec.payload))
        .with_id(Uuid::from_u128(number.into()))
        .with_metadata(content(!number, spec.metadata));
    match spec.time {
        Some(time) => event.with_timestamp(Timestamp::from_micros(time)),
        None => event,
    }
}

/// The events of a batch, numbered on from `numbers`.
fn new_events(numbers: &mut u64, batch: &Batch) -> Vec<NewEvent> {
    let specs = batch.iter().flat_map(|(count, spec)| (0..*count).map(|index| spec.nth(index)));
    let numbered = specs.map(|spec| {
        *numbers += 1;
        new_event(*numbers, spec)
    });
    numbered.collect()
}

fn answer(appended: factlog::Result<factlog::Appended>) -> Answer {
    match appended {
        Ok(appended) => Ok((appended.first_version.get(), appended.version.get(), appended.position.get())),
        Err(Error::WrongExpectedVersion { actual, .. }) => Err(actual.get()),
        Err(other) => panic!("{other}"),
    }
}

fn read_stream(read: &StreamRead) -> ReadStream {
    let (from, to) = (Version::new(read.from), Version::new(read.to));
    let asked = ReadStream::new(&name(read.stream)).from(from).to(to).limit(read.limit);
    if read.backwards { asked.backwards() } else { asked }
}

fn read_all(read: &AllRead) -> ReadAll {
    let mut asked = ReadAll::after(Position::new(read.after)).before(Position::new(read.before)).limit(read.limit);
    for event_type in &read.types {
        asked = asked.event_type(EventType::new(TYPES[*event_type]).unwrap());
    }
    asked.category = read.category.map(str::to_owned);
    asked.since = read.since.map(Timestamp::from_micros);
    asked.backwards = read.backwards;
    asked
}

/// Reads through the trait, page by page, until a page is empty.
fn stream_by_pages(store: &dyn EventStore, mut read: ReadStream) -> Vec<RecordedEvent> {
    let mut all = Vec::new();
    loop {
        let page = block_on(store.read_stream(read.clone())).unwrap();
        let Some(last) = page.last().map(RecordedEvent::version) else { return all };
        match read.backwards {
            true => read.to = Version::new(last.get() - 1),
            false => read.from = last.next(),
        }
        read.limit -= page.len();
        all.extend(page);
    }
}

fn all_by_pages(store: &dyn EventStore, mut read: ReadAll) -> Vec<RecordedEvent> {
    let mut all = Vec::new();
    loop {
        let page = block_on(store.read_all(read.clone())).unwrap();
        let Some(last) = page.last().map(RecordedEvent::position) else { return all };
        if read.backwards {
            read.before = last
        } else {
            read.after = last
        }
        read.limit -= page.len();
        all.extend(page);
    }
}

fn assert_same(who: &str, found: &[RecordedEvent], wanted: &[(u64, Fact)]) {
    let positions = |events: &[RecordedEvent]| events.iter().map(|event| event.position().get()).collect::<Vec<_>>();
    let wanted_positions: Vec<u64> = wanted.iter().map(|(position, _)| *position).collect();
    assert_eq!(positions(found), wanted_positions, "positions, {who}");
    for (event, (position, fact)) in found.iter().zip(wanted) {
        let Fact { stream, version, number, spec } = *fact;
        let same = event.version().get() == version
            && event.stream() == stream_name(stream).as_str()
            && event.event_type() == TYPES[spec.event_type]
            && event.id().as_uuid() == Uuid::from_u128(number.into())
            && event.payload() == content(number, spec.payload)
            && event.metadata() == content(!number, spec.metadata)
            && spec.time.is_none_or(|time| event.timestamp().as_micros() == time);
        assert!(same, "{who} has {event:?} at {position}, where {fact:?} belongs");
    }
}

/// The files of a directory in order of name; none when it is missing.
fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Copies what is there. Files of the index come and go in the background: one that has gone is not copied.
fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy(&path, &target);
        } else if !path.ends_with("LOCK") {
            match fs::copy(&path, target) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
                _ => {}
            }
        }
    }
}

fn lose(dir: &Path, lost: Lost) {
    let index = files(&dir.join("index"));
    let at = |place: usize| index.get(place % index.len().max(1));
    match lost {
        Lost::Nothing => {}
        Lost::All => index.iter().for_each(|file| fs::remove_file(file).unwrap()),
        Lost::One(place) => at(place).into_iter().for_each(|file| fs::remove_file(file).unwrap()),
        Lost::AllButOne(place) => {
            index.iter().filter(|file| Some(*file) != at(place)).for_each(|file| fs::remove_file(file).unwrap());
        }
        Lost::Half(place) => at(place).into_iter().for_each(|path| {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        }),
    }
}

/// The smallest segments, and the default durability.
const PLAIN: Setup = Setup { first_segment_kib: 8, segment_kib: 8, relaxed: false };

fn open(dir: &Path, setup: Setup) -> Store {
    let options =
        Options::new().first_segment_bytes(setup.first_segment_kib << 10).segment_bytes(setup.segment_kib << 10);
    options.durability(if setup.relaxed { Durability::OnDemand } else { Durability::Always }).open(dir).unwrap()
}

impl System {
    pub fn new() -> System {
        let dir = directory();
        System { store: Some(open(dir.path(), PLAIN)), memory: MemoryStore::new(), dir }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    /// Does what was done to the model, and compares the answers.
    pub fn apply(&mut self, model: &Model, operation: Operation) {
        let mut numbers = model.numbers_before;
        let mut answers = model.answers.iter();
        if let Some(past) = &model.repeated {
            self.repeat(past);
        }
        let mut pending = Vec::new();
        let mut append = |stream: usize, expected: ExpectedVersion, batch: &Batch, way: Way| {
            let (store, stream) = (self.store(), name(stream));
            let events = new_events(&mut numbers, batch);
            let wanted = *answers.next().unwrap();
            assert_eq!(answer(block_on(self.memory.append(&stream, expected, events.clone()))), wanted, "in memory");
            let appended = match way {
                Way::Append => store.append(&stream, expected, events),
                Way::Task => block_on(store.append_async(&stream, expected, events)),
                Way::Submit => store.submit(&stream, expected, events).map(|submitted| {
                    let appended = submitted.appended();
                    pending.push(submitted);
                    appended
                }),
            };
            assert_eq!(answer(appended), wanted, "{way:?}");
        };
        match operation {
            Operation::Append { stream, expected, batch, way } => append(stream, expected, &batch, way),
            Operation::AppendStreams(parts) => self.append_streams(model, &parts),
            Operation::Repeat(_) => {}
            Operation::Spread { first, count, spec, way } => {
                (first..first + count).for_each(|stream| append(stream, ExpectedVersion::Any, &[(1, spec)], way));
            }
            Operation::ReadWhileAppending { stream, all, taken, appends } => {
                let store = self.store();
                let (mut of_stream, mut of_all) =
                    (store.read_stream(read_stream(&stream)), store.read_all(read_all(&all)));
                let mut streams = store.streams();
                let mut found_stream: Vec<_> = of_stream.by_ref().take(taken).map(Result::unwrap).collect();
                let mut found_all: Vec<_> = of_all.by_ref().take(taken).map(Result::unwrap).collect();
                let mut found_streams: Vec<_> = streams.by_ref().take(taken).map(Result::unwrap).collect();
                appends.iter().for_each(|(stream, batch)| append(*stream, ExpectedVersion::Any, batch, Way::Append));
                found_stream.extend(of_stream.map(Result::unwrap));
                found_all.extend(of_all.map(Result::unwrap));
                found_streams.extend(streams.map(Result::unwrap));
                assert_same("a reader of a stream", &found_stream, &model.read_stream(&stream, model.before));
                assert_same("a reader of the log", &found_all, &model.read_all(&all, model.before));
                assert_streams(found_streams, model.streams(model.before));
            }
            Operation::ReadStream(read) => self.check_stream(model, &read),
            Operation::ReadAll(read) => self.check_all(model, &read),
            Operation::Ask => self.ask(model),
            Operation::Reopen(setup, lost) => self.reopen(model, setup, lost),
            Operation::Crash(setup, lost) => self.crash(model, setup, lost),
            Operation::Verify => self.verify(model),
        }
        for submitted in pending {
            submitted.wait().unwrap();
        }
    }

    fn append_streams(&self, model: &Model, parts: &[Part]) {
        let mut numbers = model.numbers_before;
        let append = |(stream, expected, batch): &Part| {
            StreamAppend::new(name(*stream), *expected, new_events(&mut numbers, batch))
        };
        let appends: Vec<_> = parts.iter().map(append).collect();
        let answers = |appended: factlog::Result<Vec<factlog::Appended>>| match appended {
            Ok(appended) => appended.into_iter().map(|appended| answer(Ok(appended))).collect(),
            Err(error) => vec![answer(Err(error))],
        };
        assert_eq!(answers(block_on(self.memory.append_streams(appends.clone()))), model.answers, "in memory");
        assert_eq!(answers(self.store().append_streams(appends)), model.answers);
    }

    /// The same once more has the first answer.
    fn repeat(&self, past: &Past) {
        let stream = name(past.stream);
        let events = new_events(&mut past.numbers.clone(), &past.batch);
        let in_memory = block_on(self.memory.append(&stream, past.expected, events.clone()));
        assert_eq!(answer(in_memory), Ok(past.answer), "in memory, {past:?}");
        assert_eq!(answer(self.store().append(&stream, past.expected, events)), Ok(past.answer), "{past:?}");
    }

    fn check_stream(&self, model: &Model, read: &StreamRead) {
        let wanted = model.read_stream(read, model.log.len());
        let found: Vec<_> = self.store().read_stream(read_stream(read)).map(Result::unwrap).collect();
        assert_same("the store", &found, &wanted);
        assert_same("the store by pages", &stream_by_pages(self.store(), read_stream(read)), &wanted);
        assert_same("memory", &stream_by_pages(&self.memory, read_stream(read)), &wanted);
    }

    fn check_all(&self, model: &Model, read: &AllRead) {
        let wanted = model.read_all(read, model.log.len());
        let found: Vec<_> = self.store().read_all(read_all(read)).map(Result::unwrap).collect();
        assert_same("the store", &found, &wanted);
        assert_same("the store by pages", &all_by_pages(self.store(), read_all(read)), &wanted);
        assert_same("memory", &all_by_pages(&self.memory, read_all(read)), &wanted);
    }

    fn ask(&self, model: &Model) {
        let streams: Vec<_> = self.store().streams().map(Result::unwrap).collect();
        assert_streams(streams, model.streams(model.log.len()));
        for stream in 0..40 {
            let (stream, version) = (name(stream), Version::new(model.version(stream)));
            assert_eq!(self.store().stream_version(&stream).unwrap(), version, "{stream}");
            assert_eq!(block_on(self.memory.stream_version(&stream)).unwrap(), version, "{stream} in memory");
        }
        let stats = self.store().stats();
        let sizes: Vec<u64> = files(&self.dir.path().join("log"))
            .iter()
            .filter(|path| path.extension().is_some_and(|ending| ending == "seg"))
            .map(|path| fs::metadata(path).unwrap().len())
            .collect();
        assert_eq!((stats.segments, stats.bytes), (sizes.len() as u64, sizes.iter().sum()));
    }

    /// What every operation leaves true.
    pub fn check(&self, model: &Model) {
        let stats = self.store().stats();
        let last = model.log.len() as u64;
        assert_eq!((stats.events, stats.last_position.get()), (last, last));
        assert_eq!(stats.streams, model.streams(model.log.len()).len() as u64);
        assert_eq!(self.store().last_position().get(), last);
        assert_eq!(block_on(self.memory.last_position()).unwrap().get(), last);
    }

    /// Everything there is, in every order.
    fn compare(&self, model: &Model) {
        self.check(model);
        let whole = AllRead::whole(false);
        let found: Vec<_> = self.store().read_all(read_all(&whole)).map(Result::unwrap).collect();
        assert_same("the store", &found, &model.read_all(&whole, model.log.len()));
        let positions = |read: &AllRead| -> Vec<u64> {
            self.store().read_all(read_all(read)).map(|event| event.unwrap().position().get()).collect()
        };
        assert!(positions(&AllRead::whole(true)).into_iter().eq((1..=model.log.len() as u64).rev()));
        for event_type in 0..TYPES.len() {
            let read = AllRead { types: vec![event_type], ..AllRead::whole(event_type % 2 == 0) };
            let wanted = model.read_all(&read, model.log.len()).into_iter().map(|(position, _)| position);
            assert!(positions(&read).into_iter().eq(wanted), "{read:?}");
        }
        for stream in 0..30 {
            let (from, to, limit) = (0, u64::MAX, usize::MAX);
            let read = StreamRead { stream, from, to, limit, backwards: stream % 2 == 0 };
            let found: Vec<_> = self.store().read_stream(read_stream(&read)).map(Result::unwrap).collect();
            assert_same("the store", &found, &model.read_stream(&read, model.log.len()));
        }
        self.ask(model);
    }

    fn reopen(&mut self, model: &Model, setup: Setup, lost: Lost) {
        self.store.take().unwrap().close().unwrap();
        lose(self.dir.path(), lost);
        self.store = Some(open(self.dir.path(), setup));
        assert_eq!(self.store().dropped_bytes(), 0);
        self.compare(model);
    }

    fn crash(&mut self, model: &Model, setup: Setup, lost: Lost) {
        let dir = directory();
        copy(self.dir.path(), dir.path());
        lose(dir.path(), lost);
        self.store = Some(open(dir.path(), setup));
        self.dir = dir;
        assert_eq!(self.store().dropped_bytes(), 0);
        self.compare(model);
    }

    fn verify(&self, model: &Model) {
        let verified = self.store().verify().unwrap();
        assert_eq!(verified.faults, []);
        assert_eq!((verified.events, verified.torn_bytes), (model.log.len() as u64, 0));
    }

    /// The end of a sequence: everything is compared as it is, and again with an index that was made anew.
    pub fn finish(mut self, model: &Model) {
        self.compare(model);
        self.verify(model);
        self.reopen(model, PLAIN, Lost::All);
        self.store.take().unwrap().close().unwrap();
        let verified = verify(self.dir.path(), &mut |_| {}).unwrap();
        assert_eq!((verified.faults, verified.events), (vec![], model.log.len() as u64));
    }
}

fn assert_streams(found: Vec<(StreamName, Version)>, wanted: Vec<(String, u64)>) {
    let found: Vec<_> = found.into_iter().map(|(name, version)| (name.as_str().to_owned(), version.get())).collect();
    assert_eq!(found, wanted);
}
