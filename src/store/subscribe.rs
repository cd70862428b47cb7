//! Subscriptions to the embedded store.

use std::{future::poll_fn, time::Duration};

use super::{Store, request::topics_of_category};
use crate::{
    error::Result,
    event::RecordedEvent,
    event_store::{
        BoxFuture, CursorName, EventSubscription, Followed, Following, ReadAll, Subscribe, Topic, at_once, block_on,
        block_on_for,
    },
    version::Position,
};

impl Store {
    /// Follows the log: what is asked for and already there first, and then what comes, each event once and in order.
    ///
    /// A subscription reads from the log when it is asked for the next event. It holds up nobody, however slow it is, and
    /// an append wakes only those subscriptions that its events concern.
    ///
    /// ```
    /// # use factlog::{CursorName, EventType, ExpectedVersion, NewEvent, Store, StreamName, Subscribe};
    /// # let dir = tempfile::TempDir::new()?;
    /// let store = Store::open(dir.path())?;
    /// let paid = NewEvent::new(EventType::new("Paid")?, "{}");
    /// store.append(&StreamName::new("order-1")?, ExpectedVersion::Any, vec![paid])?;
    ///
    /// let mailer = Subscribe::new().category("order").cursor(CursorName::new("mailer")?);
    /// let mut subscription = store.subscribe(mailer.clone())?;
    /// let event = subscription.next()?;
    /// // The mail is sent: after a restart the next one is what comes behind it.
    /// subscription.acknowledge(event.position())?;
    /// assert!(store.subscribe(mailer)?.try_next()?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`crate::Error::Damaged`] when the cursor to start from cannot be used; [`crate::Error::Io`] when it cannot be read.
    pub fn subscribe(&self, subscribe: Subscribe) -> Result<Subscription> {
        self.inner.watch()?;
        let watcher = self.inner.watchers.register(self.topics(&subscribe));
        Ok(Subscription { following: Following::new(self.clone(), subscribe, watcher)? })
    }

    /// What may wake a subscription.
    fn topics(&self, subscribe: &Subscribe) -> Vec<Topic> {
        let index = &self.inner.index;
        if let Some(stream) = &subscribe.stream {
            vec![index.stream(stream.as_str()).topic()]
        } else if let Some(category) = &subscribe.category {
            topics_of_category(index, category).to_vec()
        } else {
            subscribe.types.iter().map(|event_type| index.event_type(event_type.as_str()).topic()).collect()
        }
    }
}

/// A subscription to a [`Store`], which it keeps open: see [`Store::subscribe`].
#[derive(Debug)]
pub struct Subscription {
    following: Following<Store>,
}

impl Subscription {
    /// The next event. Sleeps until there is one.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Damaged`] and [`crate::Error::Io`] when it cannot be read, [`crate::Error::OutcomeUnknown`] when the store takes no more
    /// events until it is opened again, and all that it holds has been given out.
    #[allow(clippy::should_implement_trait)] // It has no end, and `None` would look like one.
    pub fn next(&mut self) -> Result<RecordedEvent> {
        block_on(self.next_async())
    }

    /// The next event, if it comes within this time.
    ///
    /// # Errors
    ///
    /// As for [`Subscription::next`].
    pub fn next_within(&mut self, time: Duration) -> Result<Option<RecordedEvent>> {
        block_on_for(self.next_async(), time).transpose()
    }

    /// The next event, if it is there already.
    ///
    /// # Errors
    ///
    /// As for [`Subscription::next`].
    pub fn try_next(&mut self) -> Result<Option<RecordedEvent>> {
        at_once(self.next_async()).transpose()
    }

    /// The next event, for a task. Needs no particular runtime; dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// As for [`Subscription::next`].
    pub fn next_async(&mut self) -> impl Future<Output = Result<RecordedEvent>> + Send {
        poll_fn(|context| self.following.poll_next(context))
    }

    /// Ready when there is a next event, which stays there.
    #[cfg(feature = "server")]
    pub(crate) fn ready(&mut self) -> impl Future<Output = Result<()>> + Send {
        poll_fn(|context| self.following.poll_ready(context))
    }

    /// Notes under the name of the cursor that everything up to this position is done with. It is on the disk when this returns.
    /// It may lie before what was acknowledged last: then the events behind it come again after a restart.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Invalid`] when the subscription has no cursor or has not given the position out; otherwise as for
    /// [`Store::save_cursor`].
    pub fn acknowledge(&mut self, position: Position) -> Result<()> {
        self.following.acknowledge(position)
    }

    /// Everything that was asked for up to this position has been given out.
    pub fn position(&self) -> Position {
        self.following.position()
    }
}

impl EventSubscription for Subscription {
    fn next(&mut self) -> BoxFuture<'_, Result<RecordedEvent>> {
        Box::pin(self.next_async())
    }

    fn acknowledge(&mut self, position: Position) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { Subscription::acknowledge(self, position) })
    }

    fn position(&self) -> Position {
        Subscription::position(self)
    }
}

impl Followed for Store {
    fn page(&self, read: ReadAll) -> Result<Vec<RecordedEvent>> {
        self.read_all_page(read)
    }

    fn newest(&self) -> Position {
        self.last_position()
    }

    fn is_going_on(&self) -> Result<()> {
        self.inner.visible()?;
        self.inner.log.is_going_on()
    }

    fn load_cursor(&self, name: &CursorName) -> Result<Position> {
        Ok(self.cursor(name)?.position())
    }

    fn save_cursor(&self, name: &CursorName, position: Position) -> Result<()> {
        Store::save_cursor(self, name, position)
    }
}
