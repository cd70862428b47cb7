//! From what is ready to bytes on the wire.
//!
//! Everything that is ready goes out in one vectored write, made of pieces that lie where they were read: nothing is put together
//! first. Appends wait here for their commit: when it is there, all answers of a connection leave together.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::{Stream, stream::FuturesUnordered};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::{OwnedSemaphorePermit, mpsc},
    time::timeout,
};

use super::{alone::LoneAppend, budget::Held, metrics::Metrics};
use crate::{
    error::Result,
    event_store::{Appended, BoxFuture},
    protocol::{Frame, Response},
    store::Store,
};

/// Where frames go.
pub(super) type Sink = Box<dyn AsyncWrite + Send + Unpin>;

/// Most pieces of one write.
const PIECES: usize = 256;

/// What a request takes until its answer is on its way.
#[allow(dead_code, reason = "it is given back by being dropped")]
#[derive(Debug, Default)]
pub(super) struct Ticket {
    /// One of the requests that are worked on at a time.
    pub(super) request: Option<OwnedSemaphorePermit>,
    /// Its bytes.
    pub(super) bytes: Held,
}

/// A frame, with what it holds until it is written: the request's ticket, and its own bytes.
pub(super) type Ready = (Frame, Ticket, Held);

/// What a writer is given by its connection's own task. In boxes, as what keeps them, in every connection, keeps room for some, however idle.
pub(super) enum Out {
    /// A frame that is ready.
    Frame(Box<Ready>),
    /// An append that is under way.
    Append(Box<Appending>),
}

/// What the connection's own task has to say. The writer, which is polled behind everything else in that task, finds it there: nobody is
/// woken for it.
#[derive(Clone, Default)]
pub(super) struct Own(Arc<Mutex<Vec<Out>>>);

impl Own {
    pub(super) fn push(&self, out: Out) {
        self.0.lock().push(out);
    }
}

/// An append that has been sequenced, or will be when there is room.
pub(super) struct Appending {
    pub(super) request: u64,
    pub(super) appended: BoxFuture<'static, Result<Vec<Appended>>>,
    pub(super) events: u64,
    pub(super) arrived: Instant,
    pub(super) ticket: Option<Ticket>,
}

impl Future for Appending {
    type Output = (u64, Result<Vec<Appended>>, u64, Instant, Ticket);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.appended
            .as_mut()
            .poll(context)
            .map(|appended| (self.request, appended, self.events, self.arrived, self.ticket.take().unwrap_or_default()))
    }
}

/// The answer to an append, counted.
pub(super) fn answer(
    metrics: &Metrics,
    request: u64,
    appended: Result<Vec<Appended>>,
    events: u64,
    arrived: Instant,
) -> Frame {
    match appended {
        Ok(appended) => {
            metrics.appends.inc();
            metrics.appended_events.inc_by(events);
            metrics.append_seconds.observe(arrived.elapsed().as_secs_f64());
            Response::Appended(appended).encode(request)
        }
        Err(error) => {
            metrics.failed.inc();
            Response::Error(error).encode(request)
        }
    }
}

/// Writes what a connection has to say.
pub(super) struct Writer<'a> {
    pub(super) sink: Sink,
    pub(super) out: mpsc::UnboundedReceiver<Box<Ready>>,
    pub(super) own: Own,
    pub(super) patience: Duration,
    pub(super) metrics: &'a Metrics,
    pub(super) store: &'a Store,
    pub(super) lone: LoneAppend,
    queue: VecDeque<Box<Ready>>,
    /// Bytes of the first frame of the queue that are written.
    written: usize,
    appends: FuturesUnordered<Box<Appending>>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        sink: Sink,
        out: mpsc::UnboundedReceiver<Box<Ready>>,
        own: Own,
        patience: Duration,
        metrics: &'a Metrics,
        store: &'a Store,
        lone: LoneAppend,
    ) -> Writer<'a> {
        let (queue, appends) = (VecDeque::new(), FuturesUnordered::new());
        Writer { sink, out, own, patience, metrics, store, lone, queue, written: 0, appends }
    }

    /// Writes until nobody has anything to say any more.
    pub(super) async fn run(mut self) -> io::Result<()> {
        while poll_fn(|context| self.gather(context)).await {
            self.write().await?;
        }
        self.sink.shutdown().await
    }

    /// Takes all that is ready. `false` when nothing can come any more.
    fn gather(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        let (mut open, mut fresh) = (true, 0);
        loop {
            match self.out.poll_recv(context) {
                Poll::Ready(Some(ready)) => self.queue.push_back(ready),
                Poll::Ready(None) => {
                    open = false;
                    break;
                }
                Poll::Pending => break,
            }
        }
        for out in self.own.0.lock().drain(..) {
            match out {
                Out::Frame(ready) => self.queue.push_back(ready),
                Out::Append(append) => {
                    self.appends.push(append);
                    fresh += 1;
                }
            }
        }
        if fresh == 1 && self.appends.len() == 1 && self.queue.is_empty() && self.lone.leave(self.store) {
            // Nobody else writes, and nothing more was sent: another thread would only be a detour.
            return Poll::Pending;
        }
        while let Poll::Ready(Some((request, appended, events, arrived, ticket))) =
            Pin::new(&mut self.appends).poll_next(context)
        {
            let frame = answer(self.metrics, request, appended, events, arrived);
            self.queue.push_back(Box::new((frame, ticket, Held::default())));
        }
        match (self.queue.is_empty(), open || !self.appends.is_empty()) {
            (false, _) => Poll::Ready(true),
            (true, false) => Poll::Ready(false),
            (true, true) => Poll::Pending,
        }
    }

    async fn write(&mut self) -> io::Result<()> {
        while !self.queue.is_empty() {
            match self.in_time(Writer::poll_write).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                bytes => self.advance(bytes),
            }
        }
        self.in_time(|writer, context| Pin::new(&mut writer.sink).poll_flush(context)).await
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let count = Frame::pieces(self.queue.iter().map(|ready| &ready.0), self.written, &mut pieces);
        let sink = Pin::new(&mut self.sink);
        match &pieces[..count] {
            // A system call that does less.
            [piece] => sink.poll_write(context, piece),
            pieces => sink.poll_write_vectored(context, pieces),
        }
    }

    /// Waits for what the client must take. What it takes at once needs no clock.
    async fn in_time<T>(&mut self, poll: impl Fn(&mut Self, &mut Context<'_>) -> Poll<io::Result<T>>) -> io::Result<T> {
        if let Poll::Ready(done) = poll_fn(|context| Poll::Ready(poll(self, context))).await {
            return done;
        }
        let patience = self.patience;
        match timeout(patience, poll_fn(|context| poll(self, context))).await {
            Ok(done) => done,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")),
        }
    }

    fn advance(&mut self, bytes: usize) {
        self.metrics.sent_bytes.inc_by(bytes as u64);
        self.written += bytes;
        while let Some(ready) = self.queue.front()
            && self.written >= ready.0.len()
        {
            self.written -= ready.0.len();
            self.queue.pop_front();
        }
    }
}
