//! Stands in for the engine until it lands; deleted then.

use std::{path::Path, sync::Arc};

use factlog::{EventStore, MemoryStore, Position, ReadAll, Result, StreamName, Version, block_on};

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
        if !self.create && !path.exists() {
            return Err(factlog::Error::NotAStore { path: path.into(), reason: "there is no store here".into() });
        }
        Ok(Store(Arc::new(MemoryStore::new())))
    }
}

#[derive(Clone)]
pub struct Store(pub Arc<MemoryStore>);

impl Store {
    pub fn open(path: &Path) -> Result<Store> {
        Options::new().open(path)
    }

    pub fn last_position(&self) -> Position {
        block_on(self.0.last_position()).unwrap_or_default()
    }

    pub fn streams(&self) -> impl Iterator<Item = (StreamName, Version)> {
        let mut all: Vec<(StreamName, Version)> = Vec::new();
        for event in block_on(self.0.read_all(ReadAll::after(Position::START))).unwrap_or_default() {
            match all.iter_mut().find(|(name, _)| *name == event.stream()) {
                Some((_, version)) => *version = event.version(),
                None => all.push((event.stream(), event.version())),
            }
        }
        all.into_iter()
    }
}
