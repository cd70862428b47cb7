//! redb: a table of the events in order of position, and tables of keys that lead to them.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use redb::{Database, Durability, ReadableDatabase, ReadableTable, Table, TableDefinition};

use super::{Indexes, category, event, key, number, value};
use crate::support::peer::{Answer, Append, Peer, Sum};

const EVENTS: TableDefinition<u64, &[u8]> = TableDefinition::new("events");
const STREAMS: TableDefinition<&[u8], u64> = TableDefinition::new("streams");
const TYPES: TableDefinition<&[u8], ()> = TableDefinition::new("types");
const CATEGORIES: TableDefinition<&[u8], ()> = TableDefinition::new("categories");

pub struct Redb {
    database: Database,
    indexes: Indexes,
    relaxed: AtomicBool,
}

impl Redb {
    pub fn open(dir: &Path, indexes: Indexes) -> Redb {
        Redb { database: Database::create(dir.join("events.redb")).unwrap(), indexes, relaxed: AtomicBool::new(false) }
    }

    fn selected(&self, table: TableDefinition<&[u8], ()>, name: &str) -> Sum {
        let transaction = self.database.begin_read().unwrap();
        let keys = transaction.open_table(table).unwrap();
        let events = transaction.open_table(EVENTS).unwrap();
        let mut sum = Sum::default();
        for entry in keys.range(&*key(name, 0)..=&*key(name, u64::MAX)).unwrap() {
            let position = number(entry.unwrap().0.value());
            add(&mut sum, events.get(position).unwrap().unwrap().value());
        }
        sum
    }
}

fn add(sum: &mut Sum, value: &[u8]) {
    sum.add_read(&event(value));
}

fn newest(streams: &Table<'_, &'static [u8], u64>, stream: &str) -> u64 {
    let mut range = streams.range(&*key(stream, 0)..=&*key(stream, u64::MAX)).unwrap();
    range.next_back().map_or(0, |entry| number(entry.unwrap().0.value()))
}

impl Peer for Redb {
    fn name(&self) -> &'static str {
        "redb"
    }

    fn commit(&self, appends: &[Append]) -> Vec<Answer> {
        let mut transaction = self.database.begin_write().unwrap();
        let relaxed = self.relaxed.load(Ordering::Relaxed);
        transaction.set_durability(if relaxed { Durability::None } else { Durability::Immediate }).unwrap();
        let answers = {
            let mut events = transaction.open_table(EVENTS).unwrap();
            let mut streams = transaction.open_table(STREAMS).unwrap();
            let all = self.indexes == Indexes::All;
            let mut more =
                all.then(|| (transaction.open_table(TYPES).unwrap(), transaction.open_table(CATEGORIES).unwrap()));
            let mut position = events.last().unwrap().map_or(0, |(position, _)| position.value());
            let mut append = |append: &Append| {
                let actual = newest(&streams, &append.stream);
                if actual != append.expected {
                    return Err(actual);
                }
                for (version, event) in (actual + 1..).zip(&append.events) {
                    position += 1;
                    events.insert(position, &*value(&append.stream, version, event)).unwrap();
                    streams.insert(&*key(&append.stream, version), position).unwrap();
                    if let Some((types, categories)) = &mut more {
                        types.insert(&*key(event.event_type, position), ()).unwrap();
                        categories.insert(&*key(category(&append.stream), position), ()).unwrap();
                    }
                }
                Ok(())
            };
            appends.iter().map(&mut append).collect()
        };
        transaction.commit().unwrap();
        answers
    }

    fn relax(&self) {
        self.relaxed.store(true, Ordering::Relaxed);
    }

    fn sync(&self) {
        self.relaxed.store(false, Ordering::Relaxed);
        self.commit(&[]);
    }

    fn read_stream(&self, stream: &str) -> Sum {
        let transaction = self.database.begin_read().unwrap();
        let streams = transaction.open_table(STREAMS).unwrap();
        let events = transaction.open_table(EVENTS).unwrap();
        let mut sum = Sum::default();
        for entry in streams.range(&*key(stream, 0)..=&*key(stream, u64::MAX)).unwrap() {
            let position = entry.unwrap().1.value();
            add(&mut sum, events.get(position).unwrap().unwrap().value());
        }
        sum
    }

    fn read_all(&self, backwards: bool) -> Sum {
        let transaction = self.database.begin_read().unwrap();
        let events = transaction.open_table(EVENTS).unwrap();
        let mut range = events.iter().unwrap();
        let mut sum = Sum::default();
        while let Some(entry) = if backwards { range.next_back() } else { range.next() } {
            add(&mut sum, entry.unwrap().1.value());
        }
        sum
    }

    fn read_type(&self, event_type: &str) -> Sum {
        self.selected(TYPES, event_type)
    }

    fn read_category(&self, category: &str) -> Sum {
        self.selected(CATEGORIES, category)
    }
}
