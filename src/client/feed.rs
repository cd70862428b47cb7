//! What has come of a subscription or a long read, and is not taken yet.
//!
//! ```text
//!   link -> | batch | batch | batch | -> the application
//!             each with its bytes on the wire: when it is taken, the server may send so many more
//! ```

use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker},
    vec,
};

use parking_lot::Mutex;
use tokio::{sync::oneshot, time::Instant};

use crate::{
    error::{Error, Result},
    event::{RecordedEvent, StreamName},
    event_store::{ReadAll, ReadStream},
    protocol::{Flow, Request, Response, Resume, malformed},
    version::{Position, Version},
};

/// What a feed is of, and how far it has come.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Subscription(Resume),
    Stream(ReadStream),
    All(ReadAll),
    /// Streams by the beginning of their names. It cannot be gone on with.
    Streams(String),
}

/// What a batch holds.
#[derive(Debug)]
pub(super) enum Item {
    Event(RecordedEvent),
    Stream(StreamName, Version),
}

/// What one frame brought.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) items: Items,
    /// So many may be sent anew when all of it is given out.
    pub(super) bytes: usize,
    /// How far a subscription has come then.
    pub(super) position: Position,
}

/// The items of a frame, one by one.
#[derive(Debug)]
pub(super) enum Items {
    Events(vec::IntoIter<RecordedEvent>),
    Streams(vec::IntoIter<(StreamName, Version)>),
}

impl Iterator for Items {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        match self {
            Items::Events(events) => events.next().map(Item::Event),
            Items::Streams(streams) => streams.next().map(|(stream, version)| Item::Stream(stream, version)),
        }
    }
}

/// The next of a feed.
pub(super) enum Next {
    Item(Item),
    /// All up to here has been given out; as many bytes may be sent anew.
    Taken {
        position: Position,
    },
    End,
}

/// What the link does when a feed has got a response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Then {
    GoOn,
    /// No more comes for it.
    Forget,
    /// The server goes: another connection is needed.
    Reconnect,
}

/// A feed.
pub(super) struct Feed(Mutex<State>);

struct State {
    source: Source,
    window: u32,
    batches: VecDeque<Batch>,
    /// Bytes of the batch that is being given out.
    giving: usize,
    waiting: Option<Waker>,
    /// Told where a subscription begins, or why it does not.
    begun: Option<oneshot::Sender<Result<Position>>>,
    /// How it ended, once all batches are taken.
    ended: Option<Result<()>>,
    /// When something last came, or the last of it was taken.
    moved: Instant,
}

impl Feed {
    /// A feed, and where it is told that a subscription has begun.
    pub(super) fn new(source: Source, window: u32) -> (Feed, oneshot::Receiver<Result<Position>>) {
        let (begun, told) = oneshot::channel();
        let (batches, begun) = (VecDeque::new(), Some(begun));
        (
            Feed(Mutex::new(State {
                source,
                window,
                batches,
                giving: 0,
                waiting: None,
                begun,
                ended: None,
                moved: Instant::now(),
            })),
            told,
        )
    }

    /// What to ask a server for: what is still missing, and no more bytes than there is room for.
    pub(super) fn request(&self) -> Request {
        let state = self.0.lock();
        let kept = state.giving + state.batches.iter().map(|batch| batch.bytes).sum::<usize>();
        let credit = state.window.saturating_sub(u32::try_from(kept).unwrap_or(u32::MAX));
        match state.source.clone() {
            Source::Subscription(resume) => Request::Subscribe(resume, credit),
            Source::Stream(read) => Request::ReadStream(read, Flow::Stream(credit)),
            Source::All(read) => Request::ReadAll(read, Flow::Stream(credit)),
            Source::Streams(prefix) => Request::Streams(prefix, Flow::Stream(credit)),
        }
    }

    /// Takes a response of so many bytes on the wire.
    pub(super) fn accept(&self, response: Result<Response>, bytes: usize) -> Then {
        let mut state = self.0.lock();
        state.moved = Instant::now();
        let then = match response {
            Ok(Response::Position(start)) => {
                if let Some(begun) = state.begun.take() {
                    // From here on the start is a place in the log, whatever happens to the cursor.
                    if let Source::Subscription(resume) = &mut state.source {
                        resume.behind = Some(start);
                    }
                    let _ = begun.send(Ok(start));
                }
                return Then::GoOn;
            }
            Ok(Response::Events { last, position, events }) => {
                state.source.advance(&events, position);
                let items = Items::Events(events.into_iter());
                state.add(Batch { items, bytes, position }, last)
            }
            Ok(Response::Streams { last, streams }) => {
                let items = Items::Streams(streams.into_iter());
                state.add(Batch { items, bytes, position: Position::START }, last)
            }
            Ok(Response::Error(Error::Unavailable { .. })) if state.source.can_resume() => return Then::Reconnect,
            Ok(Response::Error(error)) | Err(error) => state.end(Err(error)),
            Ok(_) => state.end(Err(malformed("the server answered with a response of another kind"))),
        };
        let waiting = state.waiting.take();
        drop(state);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
        then
    }

    /// Ends it, if it has not ended.
    pub(super) fn fail(&self, error: Error) {
        let mut state = self.0.lock();
        state.end(Err(error));
        let waiting = state.waiting.take();
        drop(state);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }

    /// Whether it goes on over another connection. What cannot is at its end with this one.
    pub(super) fn can_resume(&self) -> bool {
        self.0.lock().source.can_resume()
    }

    /// Since when somebody waits for something that ought to come: not for the events of a subscription.
    pub(super) fn starving_since(&self) -> Option<Instant> {
        let state = self.0.lock();
        let for_ever = matches!(state.source, Source::Subscription(_)) && state.begun.is_none();
        (!for_ever && state.giving == 0 && state.batches.is_empty() && state.ended.is_none()).then_some(state.moved)
    }

    /// The next batch, if it is there; `None` at the end.
    pub(super) fn poll_batch(&self, context: &Context<'_>) -> Poll<Result<Option<Batch>>> {
        let mut state = self.0.lock();
        if let Some(batch) = state.batches.pop_front() {
            state.giving = batch.bytes;
            return Poll::Ready(Ok(Some(batch)));
        }
        match state.ended.clone() {
            Some(ended) => Poll::Ready(ended.map(|()| None)),
            None => {
                state.waiting = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// All of the batch has been given out.
    pub(super) fn given(&self) {
        let mut state = self.0.lock();
        state.giving = 0;
        state.moved = Instant::now();
    }
}

impl State {
    fn add(&mut self, batch: Batch, last: bool) -> Then {
        self.batches.push_back(batch);
        if last { self.end(Ok(())) } else { Then::GoOn }
    }

    fn end(&mut self, how: Result<()>) -> Then {
        if let (Some(begun), Err(error)) = (self.begun.take(), &how) {
            let _ = begun.send(Err(error.clone()));
        }
        self.ended.get_or_insert(how);
        Then::Forget
    }
}

impl Source {
    fn can_resume(&self) -> bool {
        !matches!(self, Source::Streams(_))
    }

    /// What has come is not asked for again.
    fn advance(&mut self, events: &[RecordedEvent], position: Position) {
        let count = events.len();
        match (self, events.last()) {
            (Source::Subscription(resume), _) => resume.behind = Some(position),
            (Source::Stream(read), Some(last)) => {
                if read.backwards {
                    read.to = last.version().previous();
                } else {
                    read.from = last.version().next();
                }
                read.limit = read.limit.saturating_sub(count);
            }
            (Source::All(read), Some(last)) => {
                if read.backwards {
                    read.before = last.position();
                } else {
                    read.after = last.position();
                }
                read.limit = read.limit.saturating_sub(count);
            }
            _ => {}
        }
    }
}
