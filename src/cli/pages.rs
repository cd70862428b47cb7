//! Reading on from page to page, for a store that is reached through the trait alone.

use std::{sync::Arc, vec};

use factlog::{BoxFuture, EventStore, ReadAll, ReadStream, RecordedEvent, Result, block_on};

/// The events of a read.
pub struct Pages<'a> {
    store: &'a Arc<dyn EventStore>,
    read: Read,
    page: vec::IntoIter<RecordedEvent>,
    over: bool,
}

enum Read {
    Stream(ReadStream),
    Log(ReadAll),
}

impl Read {
    fn ask<'a>(&self, store: &'a Arc<dyn EventStore>) -> BoxFuture<'a, Result<Vec<RecordedEvent>>> {
        match self {
            Read::Stream(read) => store.read_stream(read.clone()),
            Read::Log(read) => store.read_all(read.clone()),
        }
    }

    /// What is left behind a page that ended with this event. Whether there can be more.
    fn go_on(&mut self, last: &RecordedEvent, count: usize) -> bool {
        match self {
            Read::Stream(read) => {
                read.limit -= count.min(read.limit);
                if read.backwards {
                    read.to = last.version().previous()
                } else {
                    read.from = last.version().next()
                }
                read.limit > 0 && read.from <= read.to
            }
            Read::Log(read) => {
                read.limit -= count.min(read.limit);
                if read.backwards {
                    read.before = last.position()
                } else {
                    read.after = last.position()
                }
                read.limit > 0
            }
        }
    }
}

impl<'a> Pages<'a> {
    /// Of a stream.
    pub fn of_stream(store: &'a Arc<dyn EventStore>, read: ReadStream) -> Pages<'a> {
        let over = read.limit == 0;
        Pages { store, read: Read::Stream(read), page: Vec::new().into_iter(), over }
    }

    /// Of the log.
    pub fn of_log(store: &'a Arc<dyn EventStore>, read: ReadAll) -> Pages<'a> {
        let over = read.limit == 0;
        Pages { store, read: Read::Log(read), page: Vec::new().into_iter(), over }
    }
}

impl Iterator for Pages<'_> {
    type Item = Result<RecordedEvent>;

    fn next(&mut self) -> Option<Result<RecordedEvent>> {
        if let Some(event) = self.page.next() {
            return Some(Ok(event));
        }
        if self.over {
            return None;
        }
        match block_on(self.read.ask(self.store)) {
            Ok(page) => {
                self.over = !page.last().is_some_and(|last| self.read.go_on(last, page.len()));
                self.page = page.into_iter();
                self.page.next().map(Ok)
            }
            Err(error) => {
                self.over = true;
                Some(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use factlog::{EventType, ExpectedVersion, MemoryStore, NewEvent, Position, StreamName, Version};

    use super::*;

    #[test]
    fn all_pages_are_read_in_both_directions_up_to_the_limit() {
        let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
        let stream = StreamName::new("s").unwrap();
        for _ in 0..3 {
            let events = (0..3000).map(|_| NewEvent::new(EventType::new("T").unwrap(), "")).collect();
            block_on(store.append(&stream, ExpectedVersion::Any, events)).unwrap();
        }
        let of_stream =
            |read| -> Vec<u64> { Pages::of_stream(&store, read).map(|event| event.unwrap().version().get()).collect() };
        let of_log =
            |read| -> Vec<u64> { Pages::of_log(&store, read).map(|event| event.unwrap().position().get()).collect() };
        let whole: Vec<_> = (1..=9000).collect();
        let reversed: Vec<_> = whole.iter().rev().copied().collect();
        let all = ReadAll::after(Position::START);
        assert_eq!(of_stream(ReadStream::new(&stream)), whole);
        assert_eq!(of_stream(ReadStream::new(&stream).backwards()), reversed);
        assert_eq!(of_stream(ReadStream::new(&stream).from(Version::new(3)).limit(5000)), whole[2..5002]);
        assert_eq!(of_log(all.clone()), whole);
        assert_eq!(of_log(all.clone().backwards().limit(5000)), reversed[..5000]);
        assert_eq!(of_log(all.limit(0)), [0; 0]);
    }
}
