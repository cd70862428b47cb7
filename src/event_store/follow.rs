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
