//! Following the log.
//!
//! A subscription reads pages, as every reader does, and waits where the log ends. While it waits it hears the headers of what the leader has
//! stored, which the stream publishes once more under `NAME.stored.>`: they are only told to look again, so that one that is lost costs
//! time, never an event. Without hearing anything it looks from time to time.
//!
//! A cursor is no durable consumer of JetStream: that one knows messages and not the events in them, gives to two subscriptions what one
//! must get whole, and its acknowledgements reach the disk later than they are confirmed.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_nats::Subscriber;
use futures_util::{FutureExt, StreamExt};
use tokio::{task::JoinSet, time};

use super::{place, read::Found, store::Inner};
use crate::{
    error::{Error, Lost, Result},
    event::{InvalidInput, RecordedEvent},
    event_store::{BoxFuture, EventSubscription, Start, Subscribe},
    version::Position,
};

/// How many events a page has at most, give or take those of one message. The next one is read while half of it is given out.
const PAGE_EVENTS: usize = 1024;
/// How long nothing may be heard before it looks.
const PATIENCE: Duration = Duration::from_secs(2);

/// A subscription to a log on JetStream.
pub struct JetStreamSubscription {
    inner: Arc<Inner>,
    subscribe: Subscribe,
    hints: Subscriber,
    page: VecDeque<RecordedEvent>,
    /// The next page, while it is read.
    coming: JoinSet<Result<Found>>,
    /// The log's last position when it was looked at last.
    newest: Position,
    /// Everything up to here that was asked for is in the page or has been given out.
    read: Position,
    /// Everything up to here that was asked for has been given out.
    given: Position,
    /// The number of the message that says where the cursor is, as far as is known here.
    acknowledged: u64,
}

impl std::fmt::Debug for JetStreamSubscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JetStreamSubscription").field("position", &self.given).finish_non_exhaustive()
    }
}

impl JetStreamSubscription {
    pub(super) async fn open(inner: Arc<Inner>, subscribe: Subscribe) -> Result<JetStreamSubscription> {
        let (start, acknowledged) = match &subscribe.start {
            Start::Beginning => (Position::START, 0),
            Start::After(position) => (*position, 0),
            Start::Cursor(name) => inner.load_cursor(name).await?,
        };
        let subjects = inner.subjects(subscribe.stream.as_ref(), subscribe.category.as_deref());
        let stored = subjects.replacen(&inner.log, &format!("{}.stored", inner.log), 1);
        let hints = inner.wire.hear(stored).await?;
        let (page, coming, newest) = (VecDeque::new(), JoinSet::new(), Position::START);
        let (read, given) = (start, start);
        Ok(JetStreamSubscription { inner, subscribe, hints, page, coming, newest, read, given, acknowledged })
    }

    /// Begins to read the next page, if there may be one and nobody does.
    fn begin_reading(&mut self) {
        if self.coming.is_empty() && self.read < self.newest {
            let (inner, read) = (self.inner.clone(), self.subscribe.read_after(self.read).limit(PAGE_EVENTS));
            let newest = place::first_behind(self.newest) - 1;
            self.coming.spawn(async move { inner.read_on(&read, newest).await });
        }
    }

    /// Reads on until there is an event in the page.
    async fn fill(&mut self) -> Result<()> {
        while self.page.is_empty() {
            self.given = self.given.max(self.read);
            if self.read >= self.newest {
                // What is heard from here on may be news to the look that follows.
                while self.hints.next().now_or_never().flatten().is_some() {}
                self.newest = self.inner.last_position().await?;
            }
            if self.read >= self.newest {
                // Whatever it is that was heard, or was not.
                let _ = time::timeout(PATIENCE, self.hints.next()).await;
                self.newest = self.inner.last_position().await?;
                continue;
            }
            self.begin_reading();
            let found = match self.coming.join_next().await {
                Some(Ok(Err(Error::Lost(Lost::Positions { first, last })))) => {
                    // Named once: whoever asks again goes on behind them.
                    (self.read, self.given) = (last, last);
                    return Err(Lost::Positions { first, last }.into());
                }
                Some(Ok(found)) => found?,
                // It was given up: read again.
                Some(Err(_)) | None => continue,
            };
            self.read = match found.events.last() {
                Some(last) => last.position(),
                // With nothing there that was asked for, all up to the newest is done with.
                None => self.newest.max(place::last_of(found.looked)),
            };
            self.page = found.events.into();
        }
        Ok(())
    }

    async fn acknowledge_now(&mut self, position: Position) -> Result<()> {
        let Start::Cursor(name) = &self.subscribe.start else { return Err(InvalidInput::NoCursor.into()) };
        if position > self.given {
            return Err(InvalidInput::NotGivenOut { position, given: self.given }.into());
        }
        self.acknowledged = self.inner.save_cursor(name, position, self.acknowledged).await?;
        Ok(())
    }
}

impl EventSubscription for JetStreamSubscription {
    fn next(&mut self) -> BoxFuture<'_, Result<RecordedEvent>> {
        let inner = self.inner.clone();
        inner.boxed(async move {
            loop {
                if let Some(event) = self.page.pop_front() {
                    self.given = event.position();
                    if self.page.len() < PAGE_EVENTS / 2 {
                        self.begin_reading();
                    }
                    return Ok(event);
                }
                self.fill().await?;
            }
        })
    }

    fn acknowledge(&mut self, position: Position) -> BoxFuture<'_, Result<()>> {
        let inner = self.inner.clone();
        inner.boxed(async move { self.acknowledge_now(position).await })
    }

    fn position(&self) -> Position {
        self.given
    }
}
