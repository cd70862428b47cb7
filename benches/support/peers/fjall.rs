//! fjall: a keyspace of the events in order of position, and keyspaces of keys that lead to them.

use std::{
    collections::HashMap,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use fjall::{Database, Iter, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use parking_lot::Mutex;

use super::{Indexes, category, event, key, number, value};
use crate::support::peer::{Answer, Append, Peer, Sum};

pub struct Fjall {
    database: Database,
    events: Keyspace,
    streams: Keyspace,
    types: Keyspace,
    categories: Keyspace,
    indexes: Indexes,
    next: AtomicU64,
    relaxed: AtomicBool,
    /// Nobody else appends between the look at a version and the append; fjall itself commits one batch at a time.
    appending: Mutex<()>,
}

impl Fjall {
    pub fn open(dir: &Path, indexes: Indexes) -> Fjall {
        let database = Database::builder(dir).cache_size(64 << 20).open().unwrap();
        let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default).unwrap();
        let [events, streams, types, categories] = ["events", "streams", "types", "categories"].map(keyspace);
        let last = events.last_key_value().map_or(0, |last| number(&last.key().unwrap()));
        let next = AtomicU64::new(last + 1);
        Fjall {
            database,
            events,
            streams,
            types,
            categories,
            indexes,
            next,
            relaxed: AtomicBool::new(false),
            appending: Mutex::new(()),
        }
    }

    fn newest(&self, stream: &str) -> u64 {
        let mut range = self.streams.range(key(stream, 0)..=key(stream, u64::MAX));
        range.next_back().map_or(0, |entry| number(&entry.key().unwrap()))
    }

    fn add_to<'a>(
        &self,
        batch: &mut OwnedWriteBatch,
        batched: &mut HashMap<&'a str, u64>,
        append: &'a Append,
    ) -> Answer {
        let earlier = batched.get(append.stream.as_str()).copied();
        let actual = earlier.unwrap_or_else(|| self.newest(&append.stream));
        if actual != append.expected {
            return Err(actual);
        }
        let mut version = actual;
        for event in &append.events {
            version += 1;
            let position = self.next.fetch_add(1, Ordering::Relaxed);
            batch.insert(&self.events, position.to_be_bytes(), value(&append.stream, version, event));
            batch.insert(&self.streams, key(&append.stream, version), position.to_be_bytes());
            if self.indexes == Indexes::All {
                batch.insert(&self.types, key(event.event_type, position), []);
                batch.insert(&self.categories, key(category(&append.stream), position), []);
            }
        }
        batched.insert(&append.stream, version);
        Ok(())
    }

    fn add(&self, sum: &mut Sum, position: &[u8]) {
        // A value is counted by its references: there is no other that is cheaper.
        sum.add_read(&event(self.events.get(position).unwrap().unwrap()));
    }

    /// The events of keys that end with their position.
    fn selected(&self, keys: Iter) -> Sum {
        let mut sum = Sum::default();
        for entry in keys {
            let key = entry.key().unwrap();
            self.add(&mut sum, &key[key.len() - 8..]);
        }
        sum
    }
}

impl Peer for Fjall {
    fn name(&self) -> &'static str {
        "fjall"
    }

    fn commit(&self, appends: &[Append]) -> Vec<Answer> {
        let _appending = self.appending.lock();
        let relaxed = self.relaxed.load(Ordering::Relaxed);
        let mode = if relaxed { PersistMode::Buffer } else { PersistMode::SyncData };
        let mut batch = self.database.batch().durability(Some(mode));
        // What stands in this batch is not yet in the keyspaces.
        let mut batched = HashMap::new();
        let answers = appends.iter().map(|append| self.add_to(&mut batch, &mut batched, append)).collect();
        batch.commit().unwrap();
        answers
    }

    fn relax(&self) {
        self.relaxed.store(true, Ordering::Relaxed);
    }

    fn sync(&self) {
        self.relaxed.store(false, Ordering::Relaxed);
        self.database.persist(PersistMode::SyncData).unwrap();
    }

    fn read_stream(&self, stream: &str) -> Sum {
        let mut sum = Sum::default();
        for entry in self.streams.range(key(stream, 0)..=key(stream, u64::MAX)) {
            self.add(&mut sum, &entry.value().unwrap());
        }
        sum
    }

    fn read_all(&self, backwards: bool) -> Sum {
        let mut range = self.events.iter();
        let mut sum = Sum::default();
        while let Some(entry) = if backwards { range.next_back() } else { range.next() } {
            sum.add_read(&event(entry.value().unwrap()));
        }
        sum
    }

    fn read_type(&self, event_type: &str) -> Sum {
        self.selected(self.types.range(key(event_type, 0)..=key(event_type, u64::MAX)))
    }

    fn read_category(&self, category: &str) -> Sum {
        self.selected(self.categories.range(key(category, 0)..=key(category, u64::MAX)))
    }
}
