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

use parking_lot::Mutex;

use super::{Pending, Store, open::Inner, pending::await_log, recorded};
use crate::{
    error::{Error, Result},
    event::{EventType, NewEvent, StreamName},
    event_store::{Appended, Topic},
    index::{Index, Indexed, ListHash},
    log::{Admission, Draft, Goal, Sequencing},
    version::{ExpectedVersion, Position},
};

impl Store {
    /// Appends events to a stream, all or none, if it is at the expected version. When this returns they are on the
    /// disk, or what [`crate::Options::durability`] says instead.
    ///
    /// # Errors
    ///
    /// - [`Error::WrongExpectedVersion`]: the stream is not at the expected version; nothing was stored;
    /// - [`Error::Invalid`]: no events, or beyond a limit; nothing was stored;
    /// - [`Error::NoSpace`]: the disk is full; nothing was stored, and the same append can succeed later;
    /// - [`Error::OutcomeUnknown`]: a write or sync failed; open the store again to see what it holds.
    pub fn append(&self, stream: &StreamName, expected: ExpectedVersion, events: Vec<NewEvent>) -> Result<Appended> {
        let mut request = self.inner.request(stream, expected, events)?;
        let mut sequencing = self.inner.log.sequence(request.draft.footprint())?;
        match request.sequence(&mut sequencing, &self.inner.index) {
            Ok(appended) => sequencing.wait(appended.position, Goal::Visible, true).map(|()| appended),
            Err(refused) => refused.wait(sequencing),
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
        let mut request = self.inner.request(stream, expected, events)?;
        let mut sequencing = self.inner.log.sequence(request.draft.footprint())?;
        match request.sequence(&mut sequencing, &self.inner.index) {
            Ok(appended) => {
                let presses = sequencing.is_pressing();
                drop(sequencing);
                if presses {
                    self.inner.log.push(appended.position);
                }
                Ok(Pending::new(&self.inner.log, appended))
            }
            Err(refused) => refused.wait(sequencing),
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
        let (inner, stream) = (self.inner.clone(), stream.clone());
        async move {
            let request = inner.request(&stream, expected, events)?;
            inner.log.start_committer()?;
            let mut request = Some(request);
            let sequenced = match poll_fn(|context| inner.admit(&mut request, context.waker())).await? {
                Admitted::Sequenced(sequenced) => sequenced,
                Admitted::Parked(ticket) => poll_fn(|context| ticket.poll(context)).await?,
            };
            match sequenced {
                Ok(appended) => Pending::new(&inner.log, appended).await,
                Err(refused) => {
                    let mut waiter = None;
                    let durable = |context: &mut Context<'_>| {
                        await_log(&inner.log, refused.newest, Goal::Durable, &mut waiter, context)
                    };
                    poll_fn(durable).await?;
                    Err(refused.error)
                }
            }
        }
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

/// An append, checked and laid out.
struct Request {
    stream: StreamName,
    list: ListHash,
    category: Option<ListHash>,
    expected: ExpectedVersion,
    draft: Draft,
    /// Of each event, its type and its time.
    events: Vec<(ListHash, i64)>,
    /// What the events are about.
    topics: Vec<Topic>,
}

/// What wakes a subscriber of a category: the streams of the category, and the stream of that very name.
pub(super) fn topics_of_category(index: &Index, category: &str) -> [Topic; 2] {
    [index.category(category).topic(), index.stream(category).topic()]
}

/// An append that was refused, which may be said as soon as the event that refused it is durable.
struct Refused {
    newest: Position,
    error: Error,
}

impl Refused {
    fn wait<T>(self, sequencing: Sequencing<'_>) -> Result<T> {
        sequencing.wait(self.newest, Goal::Durable, false)?;
        Err(self.error)
    }
}

impl Request {
    /// Checks the expected version, gives the events their places and adds them to the index.
    fn sequence(&mut self, sequencing: &mut Sequencing<'_>, index: &Index) -> Result<Appended, Refused> {
        let Request { stream, list, category, expected, draft, events, topics } = self;
        if sequencing.is_new_segment() {
            index.freeze();
        }
        let (version, newest) =
            index.newest(*list, Position::MAX).map_err(|error| Refused { newest: Position::START, error })?;
        if !expected.accepts(version) {
            let (stream, expected) = (stream.clone(), *expected);
            return Err(Refused { newest, error: Error::WrongExpectedVersion { stream, expected, actual: version } });
        }
        recorded::place(draft, version, newest, sequencing.next());
        let sequenced = sequencing.push(draft, topics);
        index.add(events.iter().enumerate().map(|(at, (event_type, time))| {
            let start = draft.offset(at);
            let indexed = Indexed {
                position: sequenced.first.plus(at as u64),
                offset: sequenced.offset + start as u64,
                version: version.plus(at as u64 + 1),
                time: *time,
                stream: *list,
                event_type: *event_type,
                category: *category,
            };
            (indexed, (draft.offset(at + 1) - start) as u64)
        }));
        Ok(Appended {
            first_version: version.next(),
            version: version.plus(draft.len() as u64),
            position: sequenced.last,
        })
    }
}

/// How a task's append goes on.
enum Admitted {
    Sequenced(Result<Appended, Refused>),
    Parked(Arc<Ticket>),
}

/// Where the committer leaves the answer to an append that it was given.
#[derive(Default)]
struct Ticket {
    state: Mutex<TicketState>,
}

#[derive(Default)]
struct TicketState {
    answer: Option<Result<Result<Appended, Refused>>>,
    waker: Option<Waker>,
}

impl Ticket {
    fn poll(&self, context: &mut Context<'_>) -> Poll<Result<Result<Appended, Refused>>> {
        let mut state = self.state.lock();
        match state.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn answer(&self, answer: Result<Result<Appended, Refused>>) {
        let mut state = self.state.lock();
        state.answer = Some(answer);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Inner {
    fn request(&self, stream: &StreamName, expected: ExpectedVersion, events: Vec<NewEvent>) -> Result<Request> {
        NewEvent::check_append(stream, &events)?;
        let (index, now) = (&self.index, self.disk.now());
        let list = index.stream(stream.as_str());
        // What the version check needs of the disk is fetched before anyone is held up by it.
        index.warm(list)?;
        let draft = recorded::draft(stream, &events, now);
        let category = recorded::category_list(index, stream);
        // Neighbours often have the same type.
        let mut last: Option<(&EventType, ListHash)> = None;
        let mut topics: Vec<Topic> = Vec::new();
        let mut indexed = Vec::with_capacity(events.len());
        for event in &events {
            let hash = match last {
                Some((event_type, hash)) if *event_type == event.event_type => hash,
                _ => {
                    let hash = index.event_type(event.event_type.as_str());
                    topics.push(hash.topic());
                    hash
                }
            };
            last = Some((&event.event_type, hash));
            indexed.push((hash, event.timestamp.unwrap_or(now).as_micros()));
        }
        topics.extend([Some(list), category].into_iter().flatten().map(ListHash::topic));
        Ok(Request { stream: stream.clone(), list, category, expected, draft, events: indexed, topics })
    }

    /// Sequences a task's append, or leaves it to the committer when that would take long.
    fn admit(&self, request: &mut Option<Request>, waker: &Waker) -> Poll<Result<Admitted>> {
        let Some(mut taken) = request.take() else { return Poll::Pending };
        let bytes = taken.draft.footprint();
        match self.log.admit(bytes, waker)? {
            Admission::Now(mut sequencing) => {
                Poll::Ready(Ok(Admitted::Sequenced(taken.sequence(&mut sequencing, &self.index))))
            }
            Admission::Parked => {
                let ticket = Arc::new(Ticket::default());
                let (answer, log, index) = (ticket.clone(), self.log.clone(), self.index.clone());
                self.log.hand_over(bytes, move || {
                    let sequenced = log.sequence(bytes).map(|mut sequencing| taken.sequence(&mut sequencing, &index));
                    if let Ok(Ok(appended)) = &sequenced {
                        // The task may be gone.
                        log.push(appended.position);
                    }
                    answer.answer(sequenced);
                });
                Poll::Ready(Ok(Admitted::Parked(ticket)))
            }
            Admission::Crowded => {
                *request = Some(taken);
                Poll::Pending
            }
        }
    }
}
