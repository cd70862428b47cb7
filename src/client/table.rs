//! What is asked and not answered yet. It outlives connections: each new one is given all of it.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, atomic::Ordering},
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    feed::{Feed, Then},
    socket::{Socket, Turn},
};
use crate::{
    error::{Error, Result},
    protocol::{Frame, HEADER_BYTES, Received, Request, Response},
};

/// All that waits for a server.
#[derive(Default)]
pub(super) struct Table(Mutex<State>);

#[derive(Default)]
struct State {
    newest: u64,
    waiting: BTreeMap<u64, Waiting>,
    /// The connection that there is.
    link: Option<Link>,
    /// Nobody uses the client any more.
    closed: bool,
}

/// A connection.
struct Link {
    /// To its task.
    outgoing: mpsc::UnboundedSender<Outgoing>,
    /// For threads that are alone with their request.
    socket: Option<Arc<Socket>>,
    reader: Reader,
    /// A thread has read it since this was last looked at.
    used: bool,
}

/// Who reads a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// Nobody waits for anything.
    Nobody,
    /// A thread that waits for its answer.
    Thread,
    /// Its task.
    Task,
}

/// A frame for the connection's task to write, and how much of it is written already.
pub(super) struct Outgoing {
    pub(super) frame: Arc<Frame>,
    pub(super) written: usize,
}

impl Link {
    fn send(&self, frame: &Arc<Frame>, written: usize) -> bool {
        if let Some(socket) = &self.socket {
            socket.unsent.fetch_add(1, Ordering::AcqRel);
        }
        // One that has just broken takes nothing; the next one is given all that waits.
        self.outgoing.send(Outgoing { frame: frame.clone(), written }).is_ok()
    }

    /// Sends the request of a thread that is alone with it, from that thread if it can be. `false` when the connection has ended.
    fn send_alone(&mut self, frame: &Arc<Frame>) -> bool {
        let socket = self.socket.as_ref().filter(|_| self.reader == Reader::Nobody);
        match socket.map_or(Some(0), |socket| socket.write(frame)) {
            Some(written) if written == frame.len() => true,
            Some(written) => self.send(frame, written),
            None => {
                self.reads_by_task();
                false
            }
        }
    }

    fn reads_by_task(&mut self) {
        if let Some(socket) = &self.socket {
            self.reader = Reader::Task;
            socket.to_task();
        }
    }
}

enum Waiting {
    Answer(Asked),
    Feed(Arc<Feed>),
}

/// A request with one answer.
struct Asked {
    frame: Arc<Frame>,
    answer: oneshot::Sender<Result<Received>>,
    deadline: Instant,
    /// Whether it changes the store: then, once it was sent, nobody knows what became of it before it is answered.
    changes: bool,
    sent: bool,
    /// Whether a thread waits for it that can read the connection itself.
    by_thread: bool,
}

impl Asked {
    fn fail(self, error: &Error) {
        let error = match error {
            Error::Unavailable { server, reason } if self.changes && self.sent => {
                Error::OutcomeUnknown { reason: format!("{server} has not answered: {reason}").into() }
            }
            error => error.clone(),
        };
        let _ = self.answer.send(Err(error));
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.newest += 1;
        self.newest
    }

    fn send(&mut self, frame: &Arc<Frame>) -> bool {
        let Some(link) = &mut self.link else { return false };
        if link.reader == Reader::Nobody {
            link.reads_by_task();
        }
        link.send(frame, 0)
    }

    /// The connection with this socket, if it is still there.
    fn link_of(&mut self, socket: &Arc<Socket>) -> Option<&mut Link> {
        self.link.as_mut().filter(|link| link.socket.as_ref().is_some_and(|own| Arc::ptr_eq(own, socket)))
    }
}

impl Table {
    /// Asks for something that has one answer, which whoever waits for it decodes: the connection's task has other things to do.
    pub(super) fn ask(&self, request: &Request, deadline: Instant) -> oneshot::Receiver<Result<Received>> {
        self.ask_for(request, deadline, false).1
    }

    /// As [`Table::ask`]; `by_thread` says that whoever waits asks for a [`Turn`] next.
    pub(super) fn ask_for(
        &self,
        request: &Request,
        deadline: Instant,
        by_thread: bool,
    ) -> (u64, oneshot::Receiver<Result<Received>>) {
        let (answer, told) = oneshot::channel();
        let changes = matches!(request, Request::Append(_));
        let number = self.0.lock().number();
        // Not under the lock: a large append takes its time.
        let frame = Arc::new(request.encode(number));
        let mut state = self.0.lock();
        if state.closed {
            return (number, told);
        }
        let alone = by_thread && state.waiting.is_empty();
        let sent = match &mut state.link {
            Some(link) if alone => link.send_alone(&frame),
            _ => state.send(&frame),
        };
        state.waiting.insert(number, Waiting::Answer(Asked { frame, answer, deadline, changes, sent, by_thread }));
        (number, told)
    }

    /// The right to read the connection, for the thread that waits for this answer and is alone. Else the connection's task reads.
    pub(super) fn turn(&self, number: u64) -> Option<Turn<'_>> {
        let mut state = self.0.lock();
        let alone = state.waiting.len() == 1 && state.waiting.contains_key(&number);
        let link = state.link.as_mut()?;
        let socket = link.socket.as_ref().filter(|_| link.reader == Reader::Nobody)?.clone();
        if !alone {
            link.reads_by_task();
            return None;
        }
        (link.reader, link.used) = (Reader::Thread, true);
        Some(Turn::new(self, socket, number))
    }

    /// A thread reads no more.
    pub(super) fn ends_turn(&self, socket: &Arc<Socket>) {
        let mut state = self.0.lock();
        let alone = state.waiting.is_empty();
        match state.link_of(socket) {
            Some(link) if alone => link.reader = Reader::Nobody,
            Some(link) => link.reads_by_task(),
            None => {}
        }
    }

    /// The connection's task could leave the reading to the next thread. Whether it is to do that.
    pub(super) fn task_ends_turn(&self, socket: &Arc<Socket>) -> bool {
        let mut state = self.0.lock();
        let alone = state.waiting.is_empty();
        match state.link_of(socket) {
            Some(link) if alone => {
                (link.reader, link.used) = (Reader::Nobody, true);
                true
            }
            _ => false,
        }
    }

    /// Whether somebody still waits for this answer.
    pub(super) fn awaits(&self, number: u64) -> bool {
        self.0.lock().waiting.contains_key(&number)
    }

    /// Begins a feed, and returns the number of its request.
    pub(super) fn begin(&self, feed: Arc<Feed>) -> u64 {
        let mut state = self.0.lock();
        let number = state.number();
        let frame = Arc::new(feed.request().encode(number));
        state.send(&frame);
        state.waiting.insert(number, Waiting::Feed(feed));
        number
    }

    /// Sends what has no answer that anybody waits for.
    pub(super) fn tell(&self, request: &Request) {
        let mut state = self.0.lock();
        let number = state.number();
        state.send(&Arc::new(request.encode(number)));
    }

    /// Ends a feed that nobody wants any more.
    pub(super) fn cancel(&self, number: u64) {
        if self.0.lock().waiting.remove(&number).is_some() {
            self.tell(&Request::Cancel { request: number });
        }
    }

    /// There is a connection: it is given all that waits, in the order in which it was asked for.
    pub(super) fn connected(&self, outgoing: mpsc::UnboundedSender<Outgoing>, socket: Option<Arc<Socket>>) {
        let mut state = self.0.lock();
        let mut link = Link { outgoing, socket, reader: Reader::Task, used: false };
        link.reads_by_task();
        for (number, waiting) in &mut state.waiting {
            let frame = match waiting {
                Waiting::Answer(asked) => {
                    asked.sent = true;
                    asked.frame.clone()
                }
                Waiting::Feed(feed) => Arc::new(feed.request().encode(*number)),
            };
            link.send(&frame, 0);
        }
        state.link = Some(link);
    }

    /// There is none any more.
    pub(super) fn disconnected(&self, error: &Error) {
        let mut state = self.0.lock();
        state.link = None;
        // What cannot go on over another connection.
        let over: Vec<u64> = (state.waiting.iter())
            .filter(|(_, waiting)| matches!(waiting, Waiting::Feed(feed) if !feed.can_resume()))
            .map(|(number, _)| *number)
            .collect();
        let over: Vec<Waiting> = over.iter().filter_map(|number| state.waiting.remove(number)).collect();
        drop(state);
        over.into_iter().for_each(|waiting| waiting.fail(error));
    }

    /// Gives a response to who waits for it. Tells whether a thread waited for it that may come back with the next request, and nobody else
    /// does. An error ends the connection.
    pub(super) fn answered(&self, frame: Received) -> Result<bool> {
        let (number, bytes) = (frame.request, HEADER_BYTES + frame.body.len());
        if number == 0 {
            return match Response::decode(frame)? {
                Response::Error(error) => Err(error),
                _ => Ok(false),
            };
        }
        let mut state = self.0.lock();
        match state.waiting.get(&number) {
            // The answer to a request whose time was over, or that was canceled.
            None => Ok(false),
            Some(Waiting::Answer(_)) => {
                let asked = state.waiting.remove(&number);
                let alone = state.waiting.is_empty();
                drop(state);
                if let Some(Waiting::Answer(asked)) = asked {
                    let _ = asked.answer.send(Ok(frame));
                    return Ok(alone && asked.by_thread);
                }
                Ok(false)
            }
            Some(Waiting::Feed(feed)) => {
                let feed = feed.clone();
                drop(state);
                match feed.accept(Response::decode(frame), bytes) {
                    Then::GoOn => Ok(false),
                    Then::Forget => {
                        self.0.lock().waiting.remove(&number);
                        Ok(false)
                    }
                    Then::Reconnect => Err(crate::protocol::malformed("the server shuts down")),
                }
            }
        }
    }

    /// Ends what has waited for too long: answers behind their deadlines, and reads of which nothing has come for so long. Subscriptions wait.
    pub(super) fn expire(&self, now: Instant, patience: std::time::Duration, error: &Error) {
        let mut state = self.0.lock();
        if let Some(link) = &mut state.link
            && !mem::take(&mut link.used)
            && link.reader == Reader::Nobody
        {
            // For it to be noticed when the server goes.
            link.reads_by_task();
        }
        let over: Vec<u64> = (state.waiting.iter())
            .filter(|(_, waiting)| match waiting {
                Waiting::Answer(asked) => asked.deadline <= now,
                Waiting::Feed(feed) => {
                    feed.starving_since().is_some_and(|since| now.saturating_duration_since(since) > patience)
                }
            })
            .map(|(number, _)| *number)
            .collect();
        for number in over {
            let Some(waiting) = state.waiting.remove(&number) else { continue };
            if matches!(waiting, Waiting::Feed(_)) {
                // The server may be at it still.
                let own = state.number();
                state.send(&Arc::new(Request::Cancel { request: number }.encode(own)));
            }
            MutexGuard::unlocked(&mut state, || waiting.fail(error));
        }
    }

    /// Ends everything.
    pub(super) fn fail_all(&self, error: &Error, closed: bool) {
        let mut state = self.0.lock();
        state.closed |= closed;
        let all = mem::take(&mut state.waiting);
        drop(state);
        all.into_values().for_each(|waiting| waiting.fail(error));
    }
}

impl Waiting {
    fn fail(self, error: &Error) {
        match self {
            Waiting::Answer(asked) => asked.fail(error),
            Waiting::Feed(feed) => feed.fail(error.clone()),
        }
    }
}
