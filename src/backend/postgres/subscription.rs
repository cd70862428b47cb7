//! Subscriptions: pages of the log, up to where it is settled.

use std::{
    collections::VecDeque,
    future::poll_fn,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::sleep;

use super::{cursor, read, store::PostgresStore};
use crate::{
    error::{Error, Result},
    event::{InvalidInput, RecordedEvent},
    event_store::{BoxFuture, EventSubscription, Start, Subscribe, Watcher},
    version::Position,
};

/// How many events are read at once.
const PAGE_EVENTS: usize = 1024;

/// The pause before a server that is not there is asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// A page, and up to where there is no more of what was asked for than it holds.
type Page = (Vec<RecordedEvent>, Position);

/// A subscription to a [`PostgresStore`], which it keeps open.
pub(super) struct PostgresSubscription {
    store: PostgresStore,
    subscribe: Subscribe,
    watcher: Watcher,
    page: VecDeque<RecordedEvent>,
    /// The next page, which is on its way.
    coming: Option<BoxFuture<'static, Result<Page>>>,
    /// Everything up to here that was asked for is in the page or has been given out.
    read: Position,
    /// Everything up to here that was asked for has been given out.
    given: Position,
    /// Where the cursor is, as far as is known here.
    acknowledged: Position,
}

impl PostgresSubscription {
    pub(super) async fn begin(store: PostgresStore, subscribe: Subscribe) -> Result<PostgresSubscription> {
        let core = store.core();
        let start = match &subscribe.start {
            Start::Beginning => Position::START,
            Start::After(position) => *position,
            Start::Cursor(name) => cursor::load(core, name).await?,
        };
        let watcher = core.watchers.register(Vec::new());
        let (page, coming) = (VecDeque::new(), None);
        let (read, given, acknowledged) = (start, start, start);
        Ok(PostgresSubscription { store, subscribe, watcher, page, coming, read, given, acknowledged })
    }

    /// Begins to read what is behind the page, if there is anything.
    fn begin_reading(&mut self) {
        let settled = self.store.core().settled();
        if self.coming.is_some() || self.read >= settled {
            return;
        }
        let wanted = self.subscribe.read_after(self.read).before(settled.next()).limit(PAGE_EVENTS);
        let core = self.store.core().clone();
        self.coming = Some(self.store.begin(async move {
            loop {
                match read::read_all(&core, &wanted).await {
                    Ok(events) => {
                        let read = events.last().map_or(settled, RecordedEvent::position);
                        return Ok((events, read));
                    }
                    // It waits for the server as it waits for events.
                    Err(Error::Unavailable { .. }) => sleep(AGAIN).await,
                    Err(error) => return Err(error),
                }
            }
        }));
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<RecordedEvent>> {
        loop {
            if let Some(event) = self.page.pop_front() {
                self.given = event.position();
                if self.page.len() < PAGE_EVENTS / 2 {
                    self.begin_reading();
                }
                return Poll::Ready(Ok(event));
            }
            if let Some(coming) = &mut self.coming {
                let page = ready!(coming.as_mut().poll(context));
                self.coming = None;
                let (events, read) = page?;
                self.page = events.into();
                self.read = read;
                continue;
            }
            self.given = self.given.max(self.read);
            self.watcher.clear();
            self.begin_reading();
            if self.coming.is_none() {
                ready!(self.watcher.poll(context));
            }
        }
    }
}

impl EventSubscription for PostgresSubscription {
    fn next(&mut self) -> BoxFuture<'_, Result<RecordedEvent>> {
        Box::pin(poll_fn(|context| self.poll_next(context)))
    }

    fn acknowledge(&mut self, position: Position) -> BoxFuture<'_, Result<()>> {
        let Start::Cursor(name) = &self.subscribe.start else {
            return Box::pin(std::future::ready(Err(InvalidInput::NoCursor.into())));
        };
        if position > self.given {
            let ahead = InvalidInput::NotGivenOut { position, given: self.given };
            return Box::pin(std::future::ready(Err(ahead.into())));
        }
        let before = self.acknowledged;
        let (store, name, acknowledged) = (&self.store, name.clone(), &mut self.acknowledged);
        Box::pin(async move {
            store.run(cursor::save(store.core(), &name, position, before)).await?;
            *acknowledged = position;
            Ok(())
        })
    }

    fn position(&self) -> Position {
        self.given
    }
}
