//! What a client that has said who it is may ask for, and who does it.

use std::{
    collections::VecDeque,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Instant,
};

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::task::{JoinSet, spawn_blocking, yield_now};

use super::{
    access::{Access, Role},
    budget::Held,
    page::Reading,
    streamed::{self, AllStreamed, Surroundings},
    subscription,
    writer::{self, Appending, Out, Own, Ticket},
};
use crate::{
    error::{Action, Error, Result},
    event::InvalidInput,
    event_store::{Start, StreamAppend},
    protocol::{Flow, Frame, INTERNAL, Request, Response, Resume, malformed},
    store::Store,
    version::Position,
};

/// Does what may block where that keeps nobody waiting. A panic there goes on here.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => Err(fault()),
        },
    }
}

/// What is answered to a request that panicked.
fn fault() -> Error {
    let message = "a fault of the server ended this request".into();
    Error::Remote { code: INTERNAL, action: Action::Retry, message }
}

/// Does the work of one request beside the others. A panic ends this request with an error, and nothing else.
async fn guarded(request: u64, with: Surroundings, work: impl Future<Output = ()>) {
    if AssertUnwindSafe(work).catch_unwind().await.is_err() {
        with.metrics.panicked();
        with.answer(request, Err(fault()), Ticket::default()).await;
    }
}

/// A page that was asked for.
pub(super) struct PageJob {
    pub(super) request: u64,
    pub(super) asked: Asked,
    pub(super) ticket: Ticket,
}

/// The pages that a connection asks for. Put there and taken by one task, which takes behind each putting: nobody is woken for it.
#[derive(Clone, Default)]
pub(super) struct Jobs(Arc<Mutex<VecDeque<Box<PageJob>>>>);

impl Jobs {
    /// Some of them, when there are any; none when there can be no more.
    async fn take(&self) -> VecDeque<Box<PageJob>> {
        poll_fn(|_| {
            let mut jobs = self.0.lock();
            let some = jobs.len().min(PAGES);
            // Else the session is there that puts them.
            let over = Arc::strong_count(&self.0) == 1;
            if some > 0 || over { Poll::Ready(jobs.drain(..some).collect()) } else { Poll::Pending }
        })
        .await
    }
}

/// What is looked up where blocking is allowed, and answered with one frame.
pub(super) enum Asked {
    Page(Reading),
    Version(crate::event::StreamName),
}

impl Asked {
    /// Whether no more is looked at than is asked for.
    fn is_bounded(&self) -> bool {
        matches!(self, Asked::Version(_) | Asked::Page(Reading::Stream(_)))
    }

    /// The answer; `None` when nothing was found so far, and more is to be looked at. A panic is an answer as well.
    fn answer(&mut self, request: u64, with: &Surroundings) -> Option<Frame> {
        let answered = match catch_unwind(AssertUnwindSafe(|| self.look(request, with))) {
            Ok(answered) => answered.transpose()?,
            Err(_) => {
                with.metrics.panicked();
                Err(fault())
            }
        };
        Some(answered.unwrap_or_else(|error| {
            with.metrics.failed.inc();
            Response::Error(error).encode(request)
        }))
    }

    fn look(&mut self, request: u64, with: &Surroundings) -> Result<Option<Frame>> {
        match self {
            Asked::Version(stream) => {
                with.store.stream_version(stream).map(|version| Some(Response::Version(version).encode(request)))
            }
            Asked::Page(reading) => {
                let page = reading.page(&with.store, &with.access)?;
                if page.is_empty() && page.more {
                    return Ok(None);
                }
                with.metrics.sent_events.inc_by(page.items());
                Ok(Some(page.seal(request, true, Position::START)))
            }
        }
    }
}

/// Most pages of a connection that are read one behind the other before they are sent, and bytes beyond which no further one is.
const PAGES: usize = 64;
const PAGES_BYTES: usize = 1 << 20;

/// The same for pages that are read where they are asked for.
const QUICK_PAGES: usize = 16;
const QUICK_BYTES: usize = 128 << 10;

/// What became of some pages: answers, and what is still to be looked for.
type Looked = (Vec<(Frame, Ticket)>, VecDeque<Box<PageJob>>);

fn look_up(jobs: VecDeque<Box<PageJob>>, most: usize, with: &Surroundings) -> Looked {
    let begun = Instant::now();
    let (mut answered, mut left, mut bytes) = (Vec::with_capacity(jobs.len()), VecDeque::new(), 0);
    for mut job in jobs {
        let frame = if bytes < most { job.asked.answer(job.request, with) } else { None };
        match frame {
            Some(frame) => {
                bytes += frame.len();
                answered.push((frame, job.ticket));
            }
            None => left.push_back(job),
        }
    }
    with.memory.took(begun, Instant::now());
    (answered, left)
}

/// Answers the pages that a connection asks for. What has come meanwhile is read together: one change of threads for all, or none while
/// reads come from memory.
pub(super) async fn answer_pages(jobs: Jobs, with: Surroundings, own: Own) {
    let mut waiting = VecDeque::new();
    loop {
        if waiting.is_empty() {
            waiting = jobs.take().await;
        }
        if waiting.is_empty() {
            return;
        }
        let here =
            with.memory.is_quick(Instant::now()) && waiting.iter().take(QUICK_PAGES).all(|job| job.asked.is_bounded());
        let batch = waiting.drain(..waiting.len().min(if here { QUICK_PAGES } else { PAGES })).collect();
        let looked = if here {
            look_up(batch, QUICK_BYTES, &with)
        } else {
            let with = with.clone();
            // It fails only when nothing is worked on any more.
            let Ok(looked) = blocking(move || Ok(look_up(batch, PAGES_BYTES, &with))).await else { return };
            looked
        };
        let (answered, left) = looked;
        left.into_iter().rev().for_each(|job| waiting.push_front(job));
        for (frame, ticket) in answered {
            let held = with.responses.hold(frame.len()).await;
            own.push(Out::Frame(Box::new((frame, ticket, held))));
        }
        if !waiting.is_empty() {
            // What is there goes out first.
            yield_now().await;
        }
    }
}

/// A connection whose client is known.
pub(super) struct Session {
    with: Surroundings,
    pages: Jobs,
    own: Own,
    streamed: AllStreamed,
    /// Reads and subscriptions that go on until they are canceled, or nobody is there any more.
    streams: JoinSet<()>,
    /// What was begun and is to be answered, also when nothing more is asked.
    slow: JoinSet<()>,
}

impl Session {
    pub(super) fn new(with: Surroundings, pages: Jobs, own: Own, streamed: AllStreamed) -> Session {
        Session { with, pages, own, streamed, streams: JoinSet::new(), slow: JoinSet::new() }
    }

    fn access(&self) -> &Access {
        &self.with.access
    }

    /// Answers a request, or sees to it that it will be.
    pub(super) async fn take(&mut self, id: u64, request: Result<Request>, ticket: Ticket) {
        self.with.metrics.requests.inc();
        // What has ended of itself.
        while self.streams.try_join_next().is_some() || self.slow.try_join_next().is_some() {}
        let answer = match request {
            Ok(request) => self.dispatch(id, request, ticket).await,
            Err(error) => Err((error, ticket)),
        };
        if let Err((error, ticket)) = answer {
            self.with.answer(id, Err(error), ticket).await;
        }
    }

    /// An error is the answer.
    async fn dispatch(&mut self, id: u64, request: Request, ticket: Ticket) -> Result<(), (Error, Ticket)> {
        let allowed = match &request {
            Request::Append(appends) => self.may_append(appends),
            Request::ReadStream(read, _) => self.access().may_with(Role::Read, "reading", &read.stream),
            Request::StreamVersion(stream) => self.access().may_with(Role::Read, "reading", stream),
            Request::LoadSnapshot { stream, .. } => self.access().may_with(Role::Read, "reading", stream),
            Request::SaveSnapshot(saved) => self.access().may_with(Role::Append, "saving", &saved.stream),
            Request::Statistics => self.access().may(Role::Admin, "asking for statistics"),
            _ => self.access().may(Role::Read, "this"),
        };
        if let Err(error) = allowed {
            return Err((error, ticket));
        }
        match request {
            Request::Hello(_) => return Err((malformed("this connection has said hello before"), ticket)),
            Request::Ping => self.with.answer(id, Ok(Response::Done), ticket).await,
            Request::Append(appends) => self.append(id, appends, ticket).await,
            Request::ReadStream(read, flow) => return self.read(id, Reading::Stream(read), flow, ticket),
            Request::ReadAll(read, flow) => return self.read(id, Reading::All(read), flow, ticket),
            Request::Streams(prefix, flow) => {
                return self.read(id, Reading::Streams { prefix, after: Position::START }, flow, ticket);
            }
            Request::StreamVersion(stream) => self.look_up(id, Asked::Version(stream), ticket),
            Request::LastPosition => {
                let position = self.with.store.last_position();
                self.with.answer(id, Ok(Response::Position(position)), ticket).await;
            }
            Request::Subscribe(resume, credit) => return self.subscribe(id, resume, credit, ticket),
            Request::Acknowledge { subscription, position } => {
                return self.acknowledge(id, subscription, position, ticket);
            }
            Request::Cancel { request } => {
                self.streamed.cancel(request);
                self.with.answer(id, Ok(Response::Done), ticket).await;
            }
            Request::Credit { request, bytes } => self.streamed.grant(request, bytes),
            Request::SaveSnapshot(saved) => {
                self.slowly(id, ticket, move |store| store.save_snapshot(saved).map(|()| Response::Done));
            }
            Request::LoadSnapshot { stream, at_or_below } => {
                self.slowly(id, ticket, move |store| store.load_snapshot(&stream, at_or_below).map(Response::Snapshot));
            }
            Request::Statistics => self.slowly(id, ticket, |store| Ok(Response::Statistics(store.stats()))),
        }
        Ok(())
    }

    fn may_append(&self, appends: &[StreamAppend]) -> Result<()> {
        self.access().may(Role::Append, "appending")?;
        appends.iter().try_for_each(|append| self.access().may_with(Role::Append, "appending", &append.stream))
    }

    /// Sequences an append before anything else is read, so that those of a connection come into the log as they arrive, and leaves
    /// the waiting for the disk to the writer.
    async fn append(&mut self, request: u64, appends: Vec<StreamAppend>, ticket: Ticket) {
        let events = appends.iter().map(|append| append.events.len() as u64).sum();
        let arrived = Instant::now();
        let out = match self.with.store.sequence_async(appends).await {
            Ok(appended) => {
                let appended = Box::pin(appended);
                Out::Append(Box::new(Appending { request, appended, events, arrived, ticket: Some(ticket) }))
            }
            Err(error) => {
                let frame = writer::answer(&self.with.metrics, request, Err(error), events, arrived);
                Out::Frame(Box::new((frame, ticket, Held::default())))
            }
        };
        // Without a writer the connection is at its end; the append takes place all the same.
        self.own.push(out);
    }

    fn read(&mut self, id: u64, reading: Reading, flow: Flow, ticket: Ticket) -> Result<(), (Error, Ticket)> {
        match flow {
            Flow::Page => self.look_up(id, Asked::Page(reading), ticket),
            Flow::Stream(credit) => match self.streamed.begin(id, credit, None, Arc::default()) {
                Ok(entry) => {
                    let reading = streamed::read(reading, entry, self.with.clone(), ticket);
                    self.streams.spawn(guarded(id, self.with.clone(), reading));
                }
                Err(error) => return Err((error, ticket)),
            },
        }
        Ok(())
    }

    fn look_up(&self, request: u64, asked: Asked, ticket: Ticket) {
        self.pages.0.lock().push_back(Box::new(PageJob { request, asked, ticket }));
    }

    fn subscribe(&mut self, id: u64, resume: Resume, credit: u32, ticket: Ticket) -> Result<(), (Error, Ticket)> {
        let cursor = if let Start::Cursor(name) = &resume.subscribe.start { Some(name.clone()) } else { None };
        let start = resume.behind.unwrap_or_default();
        let follower = self.with.metrics.follow(start, cursor.clone());
        match self.streamed.begin(id, credit, cursor, follower) {
            Ok(entry) => {
                let following = subscription::follow(id, resume, entry, self.with.clone(), ticket);
                self.streams.spawn(guarded(id, self.with.clone(), following));
                Ok(())
            }
            Err(error) => Err((error, ticket)),
        }
    }

    fn acknowledge(
        &mut self,
        id: u64,
        subscription: u64,
        position: Position,
        ticket: Ticket,
    ) -> Result<(), (Error, Ticket)> {
        let Some(streamed) = self.streamed.get(subscription) else {
            return Err((malformed(format!("there is no subscription {subscription}")), ticket));
        };
        let Some(name) = streamed.cursor.clone() else { return Err((InvalidInput::NoCursor.into(), ticket)) };
        let given = Position::new(streamed.sent.load(Ordering::Relaxed));
        if position > given {
            return Err((InvalidInput::NotGivenOut { position, given }.into(), ticket));
        }
        self.slowly(id, ticket, move |store| store.save_cursor(&name, position).map(|()| Response::Done));
        Ok(())
    }

    /// Does what may take long beside everything else.
    fn slowly(&mut self, id: u64, ticket: Ticket, work: impl FnOnce(&Store) -> Result<Response> + Send + 'static) {
        let with = self.with.clone();
        self.slow.spawn(guarded(id, self.with.clone(), async move {
            let store = with.store.clone();
            let answer = blocking(move || work(&store)).await;
            with.answer(id, answer, ticket).await;
        }));
    }

    /// Waits for everything that was begun. Streamed answers end by themselves when the server shuts down.
    pub(super) async fn finish(mut self) {
        while self.streams.join_next().await.is_some() {}
        self.close().await;
    }

    /// Nothing more is asked: what was is answered, and streamed answers end.
    pub(super) async fn close(mut self) {
        self.streams.abort_all();
        while self.slow.join_next().await.is_some() {}
    }
}
