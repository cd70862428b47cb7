//! A subscription to a store in this process.

use std::{
    collections::VecDeque,
    task::{Context, Poll, ready},
};

use super::{CursorName, ReadAll, Start, Subscribe, Watcher};
use crate::{
    error::{Error, Lost, Result},
    event::{InvalidInput, RecordedEvent},
    version::Position,
};

/// What a subscription needs of its store.
pub(crate) trait Followed {
    /// The next events, in order. Fewer than asked for is no sign of the end; none is.
    fn page(&self, read: ReadAll) -> Result<Vec<RecordedEvent>>;

    /// The position of the newest event that may be given out.
    fn newest(&self) -> Position;

    /// An error when no more events can come.
    fn is_going_on(&self) -> Result<()>;

    /// The position that was saved last.
    fn load_cursor(&self, name: &CursorName) -> Result<Position>;

    /// Saves a position, durably.
    fn save_cursor(&self, name: &CursorName, position: Position) -> Result<()>;
}

/// How many events are read ahead.
const PAGE_EVENTS: usize = 256;

/// Reads what is there, waits for more, and reads on.
#[derive(Debug)]
pub(crate) struct Following<S> {
    store: S,
    subscribe: Subscribe,
    watcher: Watcher,
    page: VecDeque<RecordedEvent>,
    /// Everything up to here that was asked for is in the page or has been given out.
    read: Position,
    /// Everything up to here that was asked for has been given out.
    given: Position,
}

impl<S: Followed> Following<S> {
    pub(crate) fn new(store: S, subscribe: Subscribe, watcher: Watcher) -> Result<Following<S>> {
        let start = match &subscribe.start {
            Start::Beginning => Position::START,
            Start::After(position) => *position,
            Start::Cursor(name) => store.load_cursor(name)?,
        };
        Ok(Following { store, subscribe, watcher, page: VecDeque::new(), read: start, given: start })
    }

    /// The next event, if there is one now.
    pub(crate) fn poll_next(&mut self, context: &Context<'_>) -> Poll<Result<RecordedEvent>> {
        loop {
            if let Some(event) = self.page.pop_front() {
                self.given = event.position();
                return Poll::Ready(Ok(event));
            }
            ready!(self.poll_ready(context))?;
        }
    }

    /// Ready when there is a next event. It stays there.
    pub(crate) fn poll_ready(&mut self, context: &Context<'_>) -> Poll<Result<()>> {
        while self.page.is_empty() {
            self.given = self.given.max(self.read);
            self.watcher.clear();
            let newest = self.store.newest();
            if self.read < newest {
                let read = self.subscribe.read_after(self.read).limit(PAGE_EVENTS);
                self.page = match self.store.page(read) {
                    Err(Error::Lost(Lost::Positions { first, last })) => {
                        // Named once: whoever asks again goes on behind them.
                        (self.read, self.given) = (last, last);
                        return Poll::Ready(Err(Lost::Positions { first, last }.into()));
                    }
                    page => page?.into(),
                };
                // With nothing there that was asked for, all up to the newest is done with.
                self.read = self.page.back().map_or(newest, RecordedEvent::position);
            } else if let Err(error) = self.store.is_going_on() {
                // What became visible between the look and the end of it all is given out first.
                if self.read == self.store.newest() {
                    return Poll::Ready(Err(error));
                }
            } else {
                ready!(self.watcher.poll(context));
            }
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn position(&self) -> Position {
        self.given
    }

    pub(crate) fn acknowledge(&self, position: Position) -> Result<()> {
        let Start::Cursor(name) = &self.subscribe.start else { return Err(InvalidInput::NoCursor.into()) };
        if position > self.given {
            return Err(InvalidInput::NotGivenOut { position, given: self.given }.into());
        }
        self.store.save_cursor(name, position)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering},
        },
        task::Waker,
    };

    use super::*;
    use crate::{
        error::Error,
        event::{EventId, EventType, Recorded, StreamName, Timestamp},
        event_store::Watchers,
        version::Version,
    };

    /// A store that takes one more event while it is asked whether it goes on, and then ends.
    #[derive(Default)]
    struct Ending(AtomicU64);

    impl Followed for Ending {
        fn page(&self, read: ReadAll) -> Result<Vec<RecordedEvent>> {
            let (position, version) = (read.after.next(), Version::new(1));
            let (id, timestamp) = (EventId::from(uuid::Uuid::nil()), Timestamp::from_micros(0));
            let recorded = Recorded { position, version, id, timestamp };
            let (stream, event_type) = (StreamName::new("s").unwrap(), EventType::new("E").unwrap());
            Ok(vec![RecordedEvent::new(recorded, &stream, &event_type, b"", b"")])
        }

        fn newest(&self) -> Position {
            Position::new(self.0.load(Ordering::SeqCst))
        }

        fn is_going_on(&self) -> Result<()> {
            self.0.store(1, Ordering::SeqCst);
            Err(Error::OutcomeUnknown { reason: "a sync failed".into() })
        }

        fn load_cursor(&self, _: &CursorName) -> Result<Position> {
            Ok(Position::START)
        }

        fn save_cursor(&self, _: &CursorName, _: Position) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_became_visible_just_before_the_end_is_given_out_before_the_error() {
        let watcher = Arc::new(Watchers::default()).register(vec![]);
        let mut following = Following::new(Ending::default(), Subscribe::new(), watcher).unwrap();
        let mut next = || following.poll_next(&Context::from_waker(Waker::noop()));
        assert!(matches!(next(), Poll::Ready(Ok(event)) if event.position().get() == 1));
        assert!(matches!(next(), Poll::Ready(Err(Error::OutcomeUnknown { .. }))));
    }
}
