//! Appending: by a thread that waits, by a task, or many at once by whoever waits for the last.
//!
//! ```text
//!   append        sequence ------------------------> wait, and lead if nobody does
//!   submit        sequence -> Pending
//!   append_async  sequence, or leave that to the committer -> Pending, awaited
//! ```

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::{
    Pending, Store,
    pending::{await_log, lead_here},
    request::{Request, Sequenced},
};
use crate::{
    disk::planted,
    error::{Error, Result},
    event::{InvalidInput, NewEvent, StreamName},
    event_store::{Appended, StreamAppend, leave_to_this_thread},
    log::{Admission, Goal, wake_task},
    sync::Mutex,
    version::{ExpectedVersion, Position},
};

impl Store {
    /// Appends events to a stream, all or none, if it is at the expected version. When this returns they are on the
    /// disk, or what [`crate::Options::durability`] says instead.
    ///
    /// The same append again, with the same event ids and content, is answered as it was the first time, and nothing is stored
    /// twice: so whoever did not hear the answer can simply repeat it. It is recognised by the events behind the expected
    /// version, or, when none in particular is expected, among the stream's newest [`crate::limits::RECENT_EVENTS`].
    ///
    /// # Errors
    ///
    /// - [`Error::WrongExpectedVersion`]: the stream is not at the expected version; nothing was stored;
    /// - [`Error::DuplicateEventId`]: the stream has an event of that id, and this append is another; nothing was stored;
    /// - [`Error::Invalid`]: no events, or beyond a limit; nothing was stored;
    /// - [`Error::NoSpace`]: the disk is full; nothing was stored, and the same append can succeed later;
    /// - [`Error::OutcomeUnknown`]: a write or sync failed; open the store again to see what it holds.
    pub fn append(&self, stream: &StreamName, expected: ExpectedVersion, events: Vec<NewEvent>) -> Result<Appended> {
        one(self.append_streams(vec![StreamAppend::new(stream.clone(), expected, events)])?)
    }

    /// Appends to several streams, all or none, if each is at its expected version: one commit, whose events lie behind each
    /// other in the order given. When this returns they are on the disk. The answers are in the same order.
    ///
    /// # Errors
    ///
    /// As for [`Store::append`]; and [`Error::Invalid`] when a stream is named twice. The limits are for all streams together.
    pub fn append_streams(&self, appends: Vec<StreamAppend>) -> Result<Vec<Appended>> {
        let mut request = self.request(appends)?;
        let refusing = if planted!(RefuseBeforeDurable) { Goal::Visible } else { Goal::Durable };
        loop {
            let inner = &*self.inner;
            if let Some(by) = request.outrun_by {
                inner.log.wait_refused(by, refusing)?;
            } else {
                self.look_up(&mut request)?;
                inner.index.hold_up();
                let mut sequencing = inner.log.sequence(request.footprint())?;
                match request.sequence(&mut sequencing, &inner.index, &inner.recents)? {
                    Sequenced::Placed(placed) => {
                        return sequencing.wait(last(&placed), Goal::Visible, true).map(|()| placed);
                    }
                    Sequenced::Stopped(by) => sequencing.wait(by, refusing, false)?,
                }
            }
            if let Some(first_answers) = self.settle(&request)? {
                return Ok(first_answers);
            }
        }
    }

    /// Appends events as [`Store::append`] does, but does not wait until they are on the disk: when this returns, the
    /// append has its versions and positions. The next append can build on them at once, from this thread or any other;
    /// readers see the events when they are durable.
    ///
    /// Appends become durable in the order in which they were submitted, each as a whole. This function waits only for room in
    /// memory, for a new segment, and, if the append is refused, until the event that refused it is durable.
    ///
    /// ```
    /// # use factlog::{EventType, ExpectedVersion, NewEvent, Store, StreamName};
    /// # let dir = tempfile::TempDir::new()?;
    /// # let store = Store::open(dir.path())?;
    /// let stream = StreamName::new("meter-7")?;
    /// let mut last = None;
    /// let mut expected = ExpectedVersion::NoStream;
    /// for reading in ["20.1", "20.3", "19.8"] {
    ///     let pending = store.submit(&stream, expected, vec![NewEvent::new(EventType::new("Read")?, reading)])?;
    ///     expected = ExpectedVersion::Exact(pending.appended().version);
    ///     last = Some(pending);
    /// }
    /// // One sync for all three.
    /// let appended = last.expect("three readings").wait()?;
    /// assert_eq!(appended.version.get(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`Store::append`].
    pub fn submit(&self, stream: &StreamName, expected: ExpectedVersion, events: Vec<NewEvent>) -> Result<Pending> {
        let mut request = self.request(vec![StreamAppend::new(stream.clone(), expected, events)])?;
        loop {
            let inner = &*self.inner;
            if let Some(by) = request.outrun_by {
                inner.log.wait_refused(by, Goal::Durable)?;
            } else {
                self.look_up(&mut request)?;
                let mut sequencing = inner.log.sequence(request.footprint())?;
                match request.sequence(&mut sequencing, &inner.index, &inner.recents)? {
                    Sequenced::Placed(placed) => {
                        let presses = sequencing.is_pressing();
                        drop(sequencing);
                        if presses {
                            inner.log.push(last(&placed), || false);
                        }
                        return one(placed).map(|appended| Pending::new(&inner.log, appended));
                    }
                    Sequenced::Stopped(by) => sequencing.wait(by, Goal::Durable, false)?,
                }
            }
            if let Some(first_answers) = self.settle(&request)? {
                return one(first_answers).map(|appended| Pending::new(&inner.log, appended));
            }
        }
    }

    /// Appends events as [`Store::append`] does, for a task: needs no particular runtime, shares the commits of all other
    /// appends, and never blocks the thread that polls it.
    ///
    /// Nothing happens before the first poll. From then on the append takes place even if the future is dropped,
    /// unless it still has to wait for room, when 16 MiB of other appends are waiting to be written.
    ///
    /// # Errors
    ///
    /// As for [`Store::append`].
    pub fn append_async(
        &self,
        stream: &StreamName,
        expected: ExpectedVersion,
        events: Vec<NewEvent>,
    ) -> impl Future<Output = Result<Appended>> + Send + use<> {
        let appending = self.append_streams_async(vec![StreamAppend::new(stream.clone(), expected, events)]);
        async move { one(appending.await?) }
    }

    /// Appends to several streams as [`Store::append_streams`] does, for a task: see [`Store::append_async`].
    ///
    /// # Errors
    ///
    /// As for [`Store::append_streams`].
    pub fn append_streams_async(
        &self,
        appends: Vec<StreamAppend>,
    ) -> impl Future<Output = Result<Vec<Appended>>> + Send + use<> {
        let sequencing = self.sequence_async(appends);
        async move { sequencing.await?.await }
    }

    /// The same in two steps: the outer future is ready when the append has its versions, or was stopped, so that whoever awaits one behind
    /// the other decides about the order; the inner one when it is acknowledged or refused.
    pub(crate) fn sequence_async(
        &self,
        appends: Vec<StreamAppend>,
    ) -> impl Future<Output = Result<impl Future<Output = Result<Vec<Appended>>> + Send + use<>>> + Send + use<> {
        let store = self.clone();
        async move {
            let request = store.request(appends)?;
            store.inner.log.start_committer()?;
            let mut step = store.step(request).await?;
            Ok(async move {
                loop {
                    let (request, by) = match step {
                        Step::Placed(pending, placed) => return pending.await.map(|_| placed),
                        Step::Stopped(request, by) => (request, by),
                    };
                    let mut waiter = None;
                    let durable = |context: &mut Context<'_>| {
                        await_log(&store.inner.log, by, Goal::Durable, &mut waiter, context)
                    };
                    poll_fn(durable).await?;
                    if let Some(first_answers) = store.settle(&request)? {
                        return Ok(first_answers);
                    }
                    step = store.step(request).await?;
                }
            })
        }
    }

    /// Whether one append has been sequenced that nobody waits for yet, and none else is under way or expected. Then it is on the disk
    /// soonest when the thread that sequenced it writes it, with [`Store::commit_alone`].
    #[cfg(feature = "server")]
    pub(crate) fn is_alone(&self) -> bool {
        self.inner.log.is_alone()
    }

    /// Writes and syncs that append on this thread, if it is still alone. How that ended, its future tells.
    #[cfg(feature = "server")]
    pub(crate) fn commit_alone(&self) {
        self.inner.log.lead_alone();
    }

    /// Sequences a task's append, as soon as there is room for it.
    async fn step(&self, mut request: Request) -> Result<Step> {
        if let Some(by) = request.outrun_by {
            self.inner.log.is_going_on()?;
            return Ok(Step::Stopped(request, by));
        }
        self.look_up(&mut request)?;
        let mut waiting = Some(request);
        let (request, sequenced) = match poll_fn(|context| self.admit(&mut waiting, context.waker())).await? {
            Admitted::Sequenced(sequenced) => sequenced,
            Admitted::Parked(ticket) => poll_fn(|context| ticket.poll(context)).await?,
        };
        Ok(match sequenced {
            Sequenced::Placed(placed) => {
                let (first_version, version) = (placed[0].first_version, placed[0].version);
                let all = Appended { first_version, version, position: last(&placed) };
                Step::Placed(Pending::new(&self.inner.log, all), placed)
            }
            Sequenced::Stopped(by) => Step::Stopped(request, by),
        })
    }

    /// Makes everything durable that has been appended so far. With [`crate::Durability::Always`] whatever was
    /// acknowledged already is; with the other levels this is what makes it so.
    ///
    /// # Errors
    ///
    /// [`Error::OutcomeUnknown`]: a write or sync failed; open the store again to see what it holds.
    pub fn sync(&self) -> Result<()> {
        self.inner.log.sync()
    }

    /// What is kept beside the log is never ahead of what a power cut leaves of it, at any durability.
    pub(super) fn make_durable(&self, position: Position) -> Result<()> {
        if self.inner.log.durable() < position { self.sync() } else { Ok(()) }
    }
}

/// The position that an append has come to when all of it has.
fn last(placed: &[Appended]) -> Position {
    placed.iter().map(|appended| appended.position).max().unwrap_or_default()
}

/// The answer to an append to one stream.
fn one(placed: Vec<Appended>) -> Result<Appended> {
    placed.into_iter().next().ok_or(Error::Invalid(InvalidInput::NoEvents))
}

/// What has become of a task's append.
enum Step {
    Placed(Pending, Vec<Appended>),
    /// The event of this position may refuse it, once that is durable.
    Stopped(Request, Position),
}

/// How a task's append goes on.
enum Admitted {
    Sequenced((Request, Sequenced)),
    Parked(Arc<Ticket>),
}

/// Where the committer leaves the answer to an append that it was given.
#[derive(Default)]
struct Ticket {
    state: Mutex<TicketState>,
}

#[derive(Default)]
struct TicketState {
    answer: Option<Result<(Request, Sequenced)>>,
    waker: Option<Waker>,
}

impl Ticket {
    fn poll(&self, context: &mut Context<'_>) -> Poll<Result<(Request, Sequenced)>> {
        let mut state = self.state.lock();
        match state.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn answer(&self, answer: Result<(Request, Sequenced)>) {
        let mut state = self.state.lock();
        state.answer = Some(answer);
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(wake_task);
    }
}

/// Sees to it that a task hears of its append, whatever becomes of the thread that was given it.
struct Answering(Option<Arc<Ticket>>);

impl Answering {
    fn answer(mut self, answer: Result<(Request, Sequenced)>) {
        if let Some(ticket) = self.0.take() {
            ticket.answer(answer);
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Some(ticket) = self.0.take() {
            ticket
                .answer(Err(Error::OutcomeUnknown { reason: "the thread that was given the append panicked".into() }));
        }
    }
}

impl Store {
    /// Sequences a task's append. When that would take long it is left to this thread, if it drives the task and would else
    /// sleep, or to the committer.
    fn admit(&self, request: &mut Option<Request>, waker: &Waker) -> Poll<Result<Admitted>> {
        let Some(mut taken) = request.take() else { return Poll::Pending };
        let (inner, bytes) = (&*self.inner, taken.footprint());
        match inner.log.admit(bytes, waker)? {
            Admission::Now(mut sequencing) => {
                let sequenced = taken.sequence(&mut sequencing, &inner.index, &inner.recents)?;
                Poll::Ready(Ok(Admitted::Sequenced((taken, sequenced))))
            }
            Admission::Parked => {
                let ticket = Arc::new(Ticket::default());
                // Not the whole store: its last owner must not be the thread that closing it waits for.
                let (log, index, recents) = (inner.log.clone(), inner.index.clone(), inner.recents.clone());
                let answering = Answering(Some(ticket.clone()));
                let append = inner.log.parked(bytes, move || {
                    let sequence = |mut sequencing| taken.sequence(&mut sequencing, &index, &recents);
                    let sequenced = log.sequence(bytes).and_then(sequence);
                    if let Ok(Sequenced::Placed(placed)) = &sequenced {
                        // The task may be gone.
                        log.push(last(placed), || lead_here(&log, last(placed)));
                    }
                    answering.answer(sequenced.map(|sequenced| (taken, sequenced)));
                });
                if let Err(append) = leave_to_this_thread(append) {
                    inner.log.hand_over(append);
                }
                Poll::Ready(Ok(Admitted::Parked(ticket)))
            }
            Admission::Crowded => {
                *request = Some(taken);
                Poll::Pending
            }
        }
    }
}
