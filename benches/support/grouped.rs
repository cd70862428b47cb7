//! A thread in front of a peer that gathers the appends of all writers into one transaction: what an application would build
//! that wants a group commit.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::peer::{Answer, Append, Peer};

/// At most so many appends share a transaction.
const MOST: usize = 1024;

struct Request {
    append: Append,
    answer: Sender<Answer>,
}

pub struct Grouped {
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Grouped {
    pub fn new(peer: Arc<dyn Peer>) -> Grouped {
        let (requests, receiver) = unbounded();
        let thread = thread::spawn(move || serve(&*peer, &receiver));
        Grouped { requests: Some(requests), thread: Some(thread) }
    }

    /// One writer's way in.
    pub fn door(&self) -> Door {
        let (sender, answers) = bounded(1);
        Door { requests: self.requests.clone().unwrap(), sender, answers }
    }
}

impl Drop for Grouped {
    fn drop(&mut self) {
        self.requests.take();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

pub struct Door {
    requests: Sender<Request>,
    sender: Sender<Answer>,
    answers: Receiver<Answer>,
}

impl Door {
    pub fn append(&self, append: Append) -> Answer {
        self.requests.send(Request { append, answer: self.sender.clone() }).unwrap();
        self.answers.recv().unwrap()
    }
}

fn serve(peer: &dyn Peer, requests: &Receiver<Request>) {
    let (mut appends, mut answers) = (Vec::new(), Vec::new());
    while let Ok(first) = requests.recv() {
        for request in std::iter::once(first).chain(requests.try_iter()).take(MOST) {
            appends.push(request.append);
            answers.push(request.answer);
        }
        for (decided, answer) in peer.commit(&appends).into_iter().zip(answers.drain(..)) {
            answer.send(decided).unwrap();
        }
        appends.clear();
    }
}
