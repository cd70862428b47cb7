//! Stands in for the engine until it lands; deleted then.
#![allow(clippy::unwrap_used)]
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    sync::Arc,
};

use factlog::*;

use super::{event_line, output::Output};

pub struct Options {
    create: bool,
}

impl Options {
    pub fn new() -> Options {
        Options { create: true }
    }

    pub fn create(mut self, create: bool) -> Options {
        self.create = create;
        self
    }

    pub fn open(self, path: &Path) -> Result<Store> {
        let no = |reason: &str| Error::NotAStore { path: path.into(), reason: reason.into() };
        if !self.create && !path.exists() {
            return Err(no("there is no store here"));
        }
        std::fs::create_dir_all(path).map_err(|_| no("no directory"))?;
        let memory = MemoryStore::new();
        if let Ok(file) = std::fs::File::open(path.join("shim.jsonl")) {
            for line in BufReader::new(file).lines() {
                let i = event_line::parse_printed(line.unwrap().as_bytes()).unwrap();
                block_on(memory.append(&i.stream, ExpectedVersion::Any, vec![i.event])).unwrap();
            }
        }
        Ok(Store { memory: Arc::new(memory), path: path.into() })
    }
}

pub struct Stats {
    pub events: u64,
    pub streams: u64,
    pub segments: u64,
    pub bytes: u64,
    pub last_position: Position,
}
pub struct VerifyProgress {
    pub bytes: u64,
    pub total_bytes: u64,
}
pub struct Verified {
    pub segments: u64,
    pub events: u64,
    pub bytes: u64,
    pub faults: Vec<Damage>,
}
pub fn verify(path: &Path, progress: &mut dyn FnMut(VerifyProgress)) -> Result<Verified> {
    let stats = Options::new().create(false).open(path)?.stats()?;
    progress(VerifyProgress { bytes: 1, total_bytes: 1 });
    Ok(Verified { segments: 1, events: stats.events, bytes: 1, faults: vec![] })
}

#[derive(Clone)]
pub struct Store {
    memory: Arc<MemoryStore>,
    path: PathBuf,
}

impl EventStore for Store {
    fn append<'a>(
        &'a self,
        stream: &'a StreamName,
        expected: ExpectedVersion,
        events: Vec<NewEvent>,
    ) -> BoxFuture<'a, Result<Appended>> {
        Box::pin(async move {
            let appended = self.memory.append(stream, expected, events).await?;
            let file = std::fs::File::create(self.path.join("shim.jsonl")).unwrap();
            let mut out = Output::to(file);
            let all = ReadAll::after(Position::START);
            super::read::each_of_log(&*self.memory, all, &mut |event| {
                event_line::print(event, &mut out).map(|()| true)
            })
            .unwrap();
            out.flush().unwrap();
            Ok(appended)
        })
    }

    fn read_stream(&self, read: ReadStream) -> BoxFuture<'_, Result<Vec<RecordedEvent>>> {
        self.memory.read_stream(read)
    }

    fn read_all(&self, read: ReadAll) -> BoxFuture<'_, Result<Vec<RecordedEvent>>> {
        self.memory.read_all(read)
    }

    fn stream_version<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Result<Version>> {
        self.memory.stream_version(stream)
    }

    fn last_position(&self) -> BoxFuture<'_, Result<Position>> {
        self.memory.last_position()
    }
}

impl Store {
    pub fn open(path: &Path) -> Result<Store> {
        Options::new().open(path)
    }

    pub fn close(&self) -> Result<()> {
        Ok(())
    }

    pub fn stats(&self) -> Result<Stats> {
        let events = self.last_position();
        Ok(Stats {
            events: events.get(),
            streams: self.streams().count() as u64,
            segments: 1,
            bytes: 1,
            last_position: events,
        })
    }

    pub fn last_position(&self) -> Position {
        block_on(self.memory.last_position()).unwrap_or_default()
    }

    pub fn streams(&self) -> impl Iterator<Item = (StreamName, Version)> {
        let mut all: Vec<(StreamName, Version)> = Vec::new();
        let mut add = |event: &RecordedEvent| {
            match all.iter_mut().find(|(name, _)| *name == event.stream()) {
                Some((_, version)) => *version = event.version(),
                None => all.push((event.stream(), event.version())),
            }
            Ok(true)
        };
        super::read::each_of_log(&*self.memory, ReadAll::after(Position::START), &mut add).unwrap();
        all.into_iter()
    }
}
