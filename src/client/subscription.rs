//! Subscriptions over TCP.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use super::{
    events::Open,
    feed::{Feed, Item, Next},
    handle::{Client, unexpected},
};
use crate::{
    error::{Error, Result},
    event::{InvalidInput, RecordedEvent},
    event_store::{BoxFuture, EventSubscription, at_once, block_on, block_on_for},
    protocol::{Request, Response},
    version::Position,
};

/// A subscription through a [`Client`], which it keeps open: see [`Client::subscribe`].
pub struct ClientSubscription {
    open: Open,
    /// Whether acknowledgements have a place.
    has_cursor: bool,
    given: Position,
}

impl std::fmt::Debug for ClientSubscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientSubscription").field("position", &self.given).finish_non_exhaustive()
    }
}

impl ClientSubscription {
    pub(super) fn new(client: Client, feed: Arc<Feed>, number: u64, has_cursor: bool) -> ClientSubscription {
        ClientSubscription { open: Open::new(client, feed, number), has_cursor, given: Position::START }
    }

    pub(super) fn at(self, given: Position) -> ClientSubscription {
        ClientSubscription { given, ..self }
    }

    fn poll_next(&mut self, context: &Context<'_>) -> Poll<Result<RecordedEvent>> {
        loop {
            match std::task::ready!(self.open.poll_next(context))? {
                Next::Item(Item::Event(event)) => {
                    self.given = event.position();
                    return Poll::Ready(Ok(event));
                }
                Next::Item(Item::Stream(..)) => {}
                Next::Taken { position } => self.given = self.given.max(position),
                // A server does not end it without a reason; if one did, there is none to wait for.
                Next::End => return Poll::Ready(Err(unexpected(&Response::Done))),
            }
        }
    }

    /// The next event. Sleeps until there is one, also while there is no connection.
    ///
    /// # Errors
    ///
    /// As for [`crate::Subscription::next`]; and [`Error::Unauthorized`] when the server does not let the client in any more.
    #[allow(clippy::should_implement_trait)] // It has no end, and `None` would look like one.
    pub fn next(&mut self) -> Result<RecordedEvent> {
        match self.open.at_hand() {
            Some(Next::Item(Item::Event(event))) => {
                self.given = event.position();
                Ok(event)
            }
            Some(Next::Taken { position }) => {
                self.given = self.given.max(position);
                block_on(self.next_async())
            }
            _ => block_on(self.next_async()),
        }
    }

    /// The next event, if it comes within this time.
    ///
    /// # Errors
    ///
    /// As for [`ClientSubscription::next`].
    pub fn next_within(&mut self, time: Duration) -> Result<Option<RecordedEvent>> {
        block_on_for(self.next_async(), time).transpose()
    }

    /// The next event, if it is here already.
    ///
    /// # Errors
    ///
    /// As for [`ClientSubscription::next`].
    pub fn try_next(&mut self) -> Result<Option<RecordedEvent>> {
        at_once(self.next_async()).transpose()
    }

    /// The next event, for a task of any runtime. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// As for [`ClientSubscription::next`].
    pub fn next_async(&mut self) -> impl Future<Output = Result<RecordedEvent>> + Send {
        poll_fn(|context| self.poll_next(context))
    }

    /// Notes under the name of the cursor that everything up to this position is done with. It is on the server's disk when this returns.
    ///
    /// # Errors
    ///
    /// As for [`crate::Subscription::acknowledge`]; or when the server cannot be asked.
    pub fn acknowledge(&mut self, position: Position) -> Result<()> {
        block_on(self.acknowledge_async(position))
    }

    /// As [`ClientSubscription::acknowledge`], for a task of any runtime.
    ///
    /// # Errors
    ///
    /// As for [`ClientSubscription::acknowledge`].
    pub async fn acknowledge_async(&mut self, position: Position) -> Result<(), Error> {
        if !self.has_cursor {
            return Err(InvalidInput::NoCursor.into());
        }
        if position > self.given {
            return Err(InvalidInput::NotGivenOut { position, given: self.given }.into());
        }
        let acknowledge = Request::Acknowledge { subscription: self.open.number, position };
        match self.open.client.inner.ask(acknowledge).await? {
            Response::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Everything that was asked for up to this position has been given out.
    pub fn position(&self) -> Position {
        self.given
    }
}

impl EventSubscription for ClientSubscription {
    fn next(&mut self) -> BoxFuture<'_, Result<RecordedEvent>> {
        Box::pin(self.next_async())
    }

    fn acknowledge(&mut self, position: Position) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.acknowledge_async(position))
    }

    fn position(&self) -> Position {
        self.given
    }
}
