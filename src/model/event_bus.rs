//! Handing committed events to whoever reacts to them.
//!
//! There is no step "save, then publish" that a crash could fall into. What is saved is in the log; a handler is given what it
//! finds there, behind its own durable cursor, as soon as it is durable:
//!
//! ```text
//!   append ---> log ---> subscription from the cursor ---> EventHandler::handle ---> cursor
//!                                 ^                                                     |
//!                                 '------------- after a crash, from here on -----------'
//! ```
//!
//! Invariants:
//!
//! - every event that a handler asked for is handed to it, in order, at least once;
//! - the cursor never passes an event that the handler has not dealt with. One that it dealt with may come again after a crash:
//!   [`Repository::execute_once`](super::Repository::execute_once) makes its effect one.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use super::{
    error::ModelError,
    retry::RetryPolicy,
    stop::Stop,
    timer::{Sleep, Timer},
};
use crate::{
    error::Error,
    event::RecordedEvent,
    event_store::{CursorName, EventStore, EventSubscription, Subscribe},
    version::Position,
};

/// How many events are dealt with at most before the cursor is written; it is also when no more are at hand.
const EVENTS_A_CURSOR: u64 = 256;

/// Who reacts to events: a process manager, a sender of mails.
pub trait EventHandler: Send + Sync {
    /// The name of its durable cursor.
    ///
    /// # Errors
    ///
    /// When the name breaks a rule of [`CursorName`].
    fn cursor(&self) -> Result<CursorName, ModelError>;

    /// Narrows what it is handed, by stream, category or type. Everything, unless said otherwise.
    fn narrow(&self, everything: Subscribe) -> Subscribe {
        everything
    }

    /// Deals with an event. It may come again after a crash, even if this was successful.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being dealt with.
    fn handle(&self, event: &RecordedEvent) -> impl Future<Output = Result<(), ModelError>> + Send;
}

/// Hands the events of a store to handlers in this process, once they are durable. Cheap to clone.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use factlog::{CursorName, EventStore, ExpectedVersion, MemoryStore, NewEvent, RecordedEvent, StreamName, block_on};
/// use factlog::model::{EventBus, EventHandler, ModelError, Stop};
///
/// struct Mailer {
///     sent: Mutex<Vec<String>>,
///     enough: Stop,
/// }
///
/// impl EventHandler for Mailer {
///     fn cursor(&self) -> Result<CursorName, ModelError> {
///         Ok(CursorName::new("mailer")?)
///     }
///
///     async fn handle(&self, event: &RecordedEvent) -> Result<(), ModelError> {
///         self.sent.lock().unwrap().push(format!("{} happened", event.event_type()));
///         self.enough.stop();
///         Ok(())
///     }
/// }
///
/// let store = Arc::new(MemoryStore::new());
/// let order = StreamName::new("order-1")?;
/// block_on(store.append(&order, ExpectedVersion::Any, vec![NewEvent::json("OrderPlaced", &17)?]))?;
///
/// let mailer = Mailer { sent: Mutex::default(), enough: Stop::new() };
/// block_on(EventBus::new(store).run(&mailer, &mailer.enough))?;
/// assert_eq!(*mailer.sent.lock().unwrap(), ["OrderPlaced happened"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct EventBus {
    store: Arc<dyn EventStore>,
    policy: RetryPolicy,
    sleep: Arc<dyn Sleep>,
}

impl fmt::Debug for EventBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventBus").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl EventBus {
    /// The events of this store. What may pass by itself is tried again by the default policy.
    pub fn new(store: Arc<dyn EventStore>) -> EventBus {
        EventBus { store, policy: RetryPolicy::default(), sleep: Arc::new(Timer) }
    }

    /// How to try again what may pass by itself.
    pub fn retry_policy(mut self, policy: RetryPolicy) -> EventBus {
        self.policy = policy;
        self
    }

    /// How to wait between attempts.
    pub fn sleep(mut self, sleep: impl Sleep + 'static) -> EventBus {
        self.sleep = Arc::new(sleep);
        self
    }

    /// Hands a handler the events behind its cursor and then what comes, one after the other, until it is stopped. The event
    /// that it is at is dealt with to the end. Several handlers run side by side, each by a call of its own. Events of a repaired
    /// store that are lost are passed over, and told to `tracing`.
    ///
    /// # Errors
    ///
    /// [`ModelError::EventFailed`] for an event that the handler cannot deal with, after the policy's attempts if they may help:
    /// the cursor stays before it, and the next run begins with it. Otherwise the store's error.
    pub async fn run<H: EventHandler>(&self, handler: &H, stop: &Stop) -> Result<(), ModelError> {
        let cursor = handler.cursor()?;
        let wanted = handler.narrow(Subscribe::new()).cursor(cursor.clone());
        let mut events = self.store.subscribe(wanted).await?;
        let mut dealt_with = DealtWith { events: &mut *events, newest: None, since_written: 0 };
        loop {
            let event = match dealt_with.next(stop).await {
                Ok(Some(event)) => event,
                Ok(None) => return dealt_with.write().await,
                // There is nothing to be dealt with, now or later. The subscription goes on behind it.
                Err(ModelError::Store(lost @ Error::Lost(_))) => {
                    tracing::warn!(handler = %cursor, %lost, "passed over");
                    continue;
                }
                Err(error) => return Err(error),
            };
            let handled = self.policy.run(&*self.sleep, ModelError::is_retryable, || handler.handle(&event)).await;
            if let Err(error) = handled {
                dealt_with.write().await?;
                let (name, position) = (cursor.to_string(), event.position());
                return Err(ModelError::EventFailed { name, position, source: Box::new(error) });
            }
            dealt_with.add(event.position()).await?;
        }
    }
}

/// A subscription, and how far its events were dealt with.
struct DealtWith<'a> {
    events: &'a mut dyn EventSubscription,
    /// The newest that is not in the cursor yet.
    newest: Option<Position>,
    since_written: u64,
}

impl DealtWith<'_> {
    /// The next event; `None` at the stop.
    async fn next(&mut self, stop: &Stop) -> Result<Option<RecordedEvent>, ModelError> {
        if stop.is_stopped() {
            return Ok(None);
        }
        // Dropping the future of a subscription loses nothing.
        let at_hand = {
            let mut next = pin!(self.events.next());
            poll_fn(|context| match next.as_mut().poll(context) {
                Poll::Ready(event) => Poll::Ready(Some(event)),
                Poll::Pending => Poll::Ready(None),
            })
            .await
        };
        if let Some(event) = at_hand {
            return Ok(Some(event?));
        }
        // There is time now.
        self.write().await?;
        Ok(stop.unless_stopped(self.events.next()).await.transpose()?)
    }

    async fn add(&mut self, position: Position) -> Result<(), ModelError> {
        self.newest = Some(position);
        self.since_written += 1;
        if self.since_written >= EVENTS_A_CURSOR { self.write().await } else { Ok(()) }
    }

    async fn write(&mut self) -> Result<(), ModelError> {
        if let Some(newest) = self.newest.take() {
            self.events.acknowledge(newest).await?;
            self.since_written = 0;
        }
        Ok(())
    }
}
