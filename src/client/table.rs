//! What is asked and not answered yet. It outlives connections: each new one is given all of it.

use std::{collections::BTreeMap, mem, sync::Arc};

use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::feed::{Feed, Then};
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
    link: Option<mpsc::UnboundedSender<Arc<Frame>>>,
    /// Nobody uses the client any more.
    closed: bool,
}

enum Waiting {
    Answer(Asked),
    Feed(Arc<Feed>),
}

/// A request with one answer.
struct Asked {
    frame: Arc<Frame>,
    answer: oneshot::Sender<Result<Response>>,
    deadline: Instant,
    /// Whether it changes the store: then, once it was sent, nobody knows what became of it before it is answered.
    changes: bool,
    sent: bool,
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

    fn send(&self, frame: &Arc<Frame>) -> bool {
        // A link that has just broken takes nothing; the next one is given all that waits.
        self.link.as_ref().is_some_and(|link| link.send(frame.clone()).is_ok())
    }
}

impl Table {
    /// Asks for something that has one answer.
    pub(super) fn ask(&self, request: &Request, deadline: Instant) -> oneshot::Receiver<Result<Response>> {
        let (answer, told) = oneshot::channel();
        let changes = matches!(request, Request::Append(_));
        let number = self.0.lock().number();
        // Not under the lock: a large append takes its time.
        let frame = Arc::new(request.encode(number));
        let mut state = self.0.lock();
        if state.closed {
            return told;
        }
        let sent = state.send(&frame);
        state.waiting.insert(number, Waiting::Answer(Asked { frame, answer, deadline, changes, sent }));
        told
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
    pub(super) fn connected(&self, link: mpsc::UnboundedSender<Arc<Frame>>) {
        let mut state = self.0.lock();
        for (number, waiting) in &mut state.waiting {
            let frame = match waiting {
                Waiting::Answer(asked) => {
                    asked.sent = true;
                    asked.frame.clone()
                }
                Waiting::Feed(feed) => Arc::new(feed.request().encode(*number)),
            };
            let _ = link.send(frame);
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

    /// Gives a response to who waits for it. An error ends the connection.
    pub(super) fn answered(&self, frame: Received) -> Result<()> {
        let (number, bytes) = (frame.request, HEADER_BYTES + frame.body.len());
        if number == 0 {
            return match Response::decode(frame)? {
                Response::Error(error) => Err(error),
                _ => Ok(()),
            };
        }
        let mut state = self.0.lock();
        match state.waiting.get(&number) {
            // The answer to a request whose time was over, or that was canceled.
            None => Ok(()),
            Some(Waiting::Answer(_)) => {
                let asked = state.waiting.remove(&number);
                drop(state);
                if let Some(Waiting::Answer(asked)) = asked {
                    let response = Response::decode(frame).and_then(|response| match response {
                        Response::Error(error) => Err(error),
                        response => Ok(response),
                    });
                    let _ = asked.answer.send(response);
                }
                Ok(())
            }
            Some(Waiting::Feed(feed)) => {
                let feed = feed.clone();
                drop(state);
                match feed.accept(Response::decode(frame), bytes) {
                    Then::GoOn => Ok(()),
                    Then::Forget => {
                        self.0.lock().waiting.remove(&number);
                        Ok(())
                    }
                    Then::Reconnect => Err(crate::protocol::malformed("the server shuts down")),
                }
            }
        }
    }

    /// Ends what has waited for too long: answers behind their deadlines, and reads of which nothing has come for so long. Subscriptions wait.
    pub(super) fn expire(&self, now: Instant, patience: std::time::Duration, error: &Error) {
        let mut state = self.0.lock();
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
