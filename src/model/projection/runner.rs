//! Handing a projection the events of a store.

use std::{fmt, sync::Arc, time::Duration};

use super::{Checkpoint, OnFailure, ReadModel, ReadModelState, Taken};
use crate::{
    error::{Action, Error, Lost},
    event::{RecordedEvent, Timestamp},
    event_store::{EventStore, ReadAll, Subscribe},
    model::{
        ModelError, RetryPolicy, Sleep, Timer,
        stop::{Stop, give_way},
    },
    version::Position,
};

/// Events in a transaction at most. Another writer of the database waits for one such transaction.
const PAGE_EVENTS: usize = 1024;

/// How often a paused projection looks whether it may go on.
const PAUSED_LOOK: Duration = Duration::from_millis(50);

/// A rate that is older than this says nothing of the present.
const RATE_AGE_MICROS: i64 = 10_000_000;

/// Runs one projection: hands its read model the events of a store, in order.
///
/// Its futures need no runtime, and work in any. Writing a page blocks the thread that polls, as the database does; between
/// pages others have a turn. A future that is dropped has taken what it committed, and nothing else. Several runners, of the
/// same projection or others, may run side by side, also in several processes.
///
/// ```
/// # #[cfg(feature = "orders")] {
/// # use factlog::{model::{Runner, SqliteViews, Stop}, orders::OrderProjection};
/// # use factlog::{EventStore, ExpectedVersion, MemoryStore, NewEvent, StreamName, block_on};
/// # use std::sync::Arc;
/// # let directory = tempfile::TempDir::new()?;
/// # let file = directory.path().join("views.sqlite");
/// let store = Arc::new(MemoryStore::new());
/// let views = SqliteViews::open(file)?;
/// let orders = Runner::new(store.clone(), Arc::new(views.project(OrderProjection)?));
/// // Everything that is there already ...
/// block_on(orders.catch_up())?;
/// // ... and what comes, until it is stopped.
/// let stop = Stop::new();
/// std::thread::scope(|scope| {
///     let running = scope.spawn(|| block_on(orders.run(&stop)));
///     stop.stop();
///     running.join().unwrap()
/// })?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Runner {
    pub(super) store: Arc<dyn EventStore>,
    pub(super) read_model: Arc<dyn ReadModel>,
    on_failure: OnFailure,
    policy: RetryPolicy,
    sleep: Arc<dyn Sleep>,
    page_events: usize,
    progress: Arc<dyn Fn(Position) + Send + Sync>,
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").field("projection", &self.read_model.projection()).finish_non_exhaustive()
    }
}

/// Where a projection stands beside its store.
#[derive(Clone, Debug, PartialEq)]
pub struct ProjectionStatus {
    /// Its name.
    pub projection: String,
    /// The position of the newest event that it has taken.
    pub position: Position,
    /// The position of the store's newest event.
    pub last_position: Position,
    /// How many positions it is behind.
    pub lag: u64,
    /// Events a second that it takes; 0 when it has taken none for ten seconds.
    pub rate: f64,
    /// Whether it is paused.
    pub paused: bool,
    /// Whether it stopped at an event that failed, the next one.
    pub stopped: bool,
    /// Events that wait to be retried or resolved, parked ones included.
    pub failed: u64,
    /// Whether the program would by now make other tables than those that are there: a rebuild brings them.
    pub tables_changed: bool,
}

/// Why a projection takes no more events for now.
pub(super) enum Halt {
    /// It has taken all there are.
    End(Checkpoint),
    Paused,
}

impl Runner {
    /// Runs the projection of `read_model` on `store`. It stops at an event that fails, and tries again by the default
    /// policy what may pass by itself.
    pub fn new(store: Arc<dyn EventStore>, read_model: Arc<dyn ReadModel>) -> Runner {
        Runner {
            store,
            read_model,
            on_failure: OnFailure::default(),
            policy: RetryPolicy::default(),
            sleep: Arc::new(Timer),
            page_events: PAGE_EVENTS,
            progress: Arc::new(|_| ()),
        }
    }

    /// The same, but for another read model.
    pub(super) fn over(mut self, read_model: Arc<dyn ReadModel>) -> Runner {
        self.read_model = read_model;
        self
    }

    /// What follows an event that fails.
    pub fn on_failure(mut self, on_failure: OnFailure) -> Runner {
        self.on_failure = on_failure;
        self
    }

    /// How to try again what may pass by itself.
    pub fn retry_policy(mut self, policy: RetryPolicy) -> Runner {
        self.policy = policy;
        self
    }

    /// How to wait between attempts, and while it is paused.
    pub fn sleep(mut self, sleep: impl Sleep + 'static) -> Runner {
        self.sleep = Arc::new(sleep);
        self
    }

    /// At most so many events in a transaction; 1024 unless said otherwise.
    pub fn page_events(mut self, events: usize) -> Runner {
        self.page_events = events.max(1);
        self
    }

    /// Is told after each page how far the projection has come.
    pub fn on_progress(mut self, progress: impl Fn(Position) + Send + Sync + 'static) -> Runner {
        self.progress = Arc::new(progress);
        self
    }

    /// Takes every event that the store has, and returns how far it has come. A paused projection takes none.
    ///
    /// # Errors
    ///
    /// [`ModelError::ForeignViews`] when the read model was made from another store or from a longer life of this one;
    /// [`ModelError::EventFailed`] at an event that fails, with everything before it kept; what the store and the
    /// database return, after the policy's attempts where another may help.
    pub async fn catch_up(&self) -> Result<Position, ModelError> {
        match self.advance(Position::MAX).await? {
            Halt::End(reached) => Ok(reached.position),
            Halt::Paused => Ok(self.read_model.prepare().await?.checkpoint.position),
        }
    }

    /// Catches up and then follows the store, until it is stopped. While the projection is paused it waits.
    ///
    /// # Errors
    ///
    /// As for [`Runner::catch_up`].
    pub async fn run(&self, stop: &Stop) -> Result<(), ModelError> {
        stop.unless_stopped(self.follow()).await.unwrap_or(Ok(()))
    }

    async fn follow(&self) -> Result<(), ModelError> {
        loop {
            match self.advance(Position::MAX).await? {
                Halt::End(reached) => {
                    let mut coming = self.store.subscribe(Subscribe::new().after(reached.position)).await?;
                    // Lost events are no news, and named once.
                    while let Err(error) = coming.next().await {
                        if !matches!(error, Error::Lost(_)) {
                            return Err(error.into());
                        }
                    }
                }
                Halt::Paused => self.sleep.sleep(PAUSED_LOOK).await,
            }
        }
    }

    /// Where the projection stands.
    ///
    /// # Errors
    ///
    /// [`ModelError::ForeignViews`] as for [`Runner::catch_up`], and when the store or the database cannot be read.
    pub async fn status(&self) -> Result<ProjectionStatus, ModelError> {
        let ReadModelState { checkpoint, paused, failed, stopped, rate, taken_at } = self.read_model.prepare().await?;
        self.check_belongs(checkpoint).await?;
        let last_position = self.store.last_position().await?;
        let now = Timestamp::now().as_micros();
        let is_present = taken_at.is_some_and(|at| now.saturating_sub(at.as_micros()) < RATE_AGE_MICROS);
        Ok(ProjectionStatus {
            projection: self.read_model.projection().to_owned(),
            position: checkpoint.position,
            last_position,
            lag: last_position.get().saturating_sub(checkpoint.position.get()),
            rate: if is_present { rate } else { 0.0 },
            paused,
            stopped,
            failed,
            tables_changed: self.read_model.tables_changed().await?,
        })
    }

    /// Lets no process take events for this projection any more, until [`Runner::resume`].
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn pause(&self) -> Result<(), ModelError> {
        self.read_model.set_paused(true).await
    }

    /// Ends a [`Runner::pause`].
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn resume(&self) -> Result<(), ModelError> {
        self.read_model.set_paused(false).await
    }

    /// Takes what the store has, up to a position.
    pub(super) async fn advance(&self, up_to: Position) -> Result<Halt, ModelError> {
        let prepare = || self.read_model.prepare();
        let mut known = self.policy.run(&*self.sleep, ModelError::is_retryable, prepare).await?.checkpoint;
        self.check_belongs(known).await?;
        loop {
            let page = self.page_behind(known, up_to).await?;
            let Some(last) = page.last().map(Checkpoint::from) else {
                return Ok(Halt::End(known));
            };
            let reached = match self.take(known, &page).await? {
                Taken::UpTo(reached) => reached,
                Taken::Paused => return Ok(Halt::Paused),
                Taken::Failed { index: 0, error } => self.try_again(known, &page[0], error).await?,
                // What is before it, so that it is the next.
                Taken::Failed { index, .. } => match self.take(known, &page[..index]).await? {
                    Taken::UpTo(reached) => reached,
                    _ => known,
                },
            };
            if reached.position > last.position || (reached.position == last.position && reached != last) {
                self.check_belongs(reached).await?;
            }
            known = reached;
            (self.progress)(known.position);
            give_way().await;
        }
    }

    async fn page_behind(&self, known: Checkpoint, up_to: Position) -> Result<Vec<RecordedEvent>, ModelError> {
        let mut read = ReadAll::after(known.position).limit(self.page_events);
        if up_to < Position::MAX {
            read = read.before(up_to.next());
        }
        let passing = |error: &Error| error.action() == Action::Retry;
        loop {
            match self.policy.run(&*self.sleep, passing, || self.store.read_all(read.clone())).await {
                // What the store has lost, no read model can have.
                Err(Error::Lost(Lost::Positions { last, .. })) => read.after = last,
                page => return Ok(page?),
            }
        }
    }

    async fn take(&self, known: Checkpoint, events: &[RecordedEvent]) -> Result<Taken, ModelError> {
        self.policy.run(&*self.sleep, ModelError::is_retryable, || self.read_model.take(known, events)).await
    }

    /// The further attempts for the event behind a checkpoint that failed; then it is recorded. Returns the checkpoint that
    /// the projection goes on from.
    async fn try_again(
        &self,
        known: Checkpoint,
        event: &RecordedEvent,
        mut error: ModelError,
    ) -> Result<Checkpoint, ModelError> {
        let (mut attempts, mut delays) = (1, self.policy.delays());
        while error.is_retryable()
            && let Some(delay) = delays.next()
        {
            self.sleep.sleep(delay).await;
            match self.take(known, std::slice::from_ref(event)).await? {
                Taken::UpTo(reached) => return Ok(reached),
                Taken::Paused => return Ok(known),
                Taken::Failed { error: again, .. } => error = again,
            }
            attempts += 1;
        }
        let go_on = self.on_failure == OnFailure::GoOn;
        let record = || self.read_model.record_failed(known, event, &error, attempts, go_on);
        let reached = self.policy.run(&*self.sleep, ModelError::is_retryable, record).await?;
        if go_on || reached != known {
            return Ok(reached);
        }
        let name = self.read_model.projection().to_owned();
        Err(ModelError::EventFailed { name, position: event.position(), source: Box::new(error) })
    }

    /// An error when the event at a checkpoint is not the one that the read model took there.
    pub(super) async fn check_belongs(&self, known: Checkpoint) -> Result<(), ModelError> {
        let Checkpoint { position, event: Some(id) } = known else {
            return Ok(());
        };
        let advice = "rebuild the projection, or delete the read model to have it built again";
        let found = match self.store.read_all(ReadAll::after(position.previous()).limit(1)).await {
            // Its own event is what the store has lost.
            Err(Error::Lost(Lost::Positions { first, .. })) if first == position => return Ok(()),
            found => found?,
        };
        let reason = match found.first() {
            Some(event) if Checkpoint::from(event) == known => return Ok(()),
            Some(event) => format!(
                "was built from another store: its event at position {position} is {id}, and this store's is {} at {}; \
                 {advice}",
                event.id(),
                event.position()
            ),
            None => format!(
                "is ahead of the store: it was built up to position {position}, and the store ends at {}; {advice}",
                self.store.last_position().await?
            ),
        };
        Err(ModelError::ForeignViews { place: self.read_model.place(), reason })
    }
}
