//! A connection that is served by a thread alone, from one append to the next.
//!
//! A client that appends one event after the other, while nobody else does, waits for each: for the disk, and for every change of threads on
//! the way. So the thread that has read such an append commits it itself; and since the runtime has put another thread in its place by
//! then, it may as well wait for the client's next request, if the one before was such an append, too: whatever comes is answered without any
//! other thread, until nothing comes for a while or something is under way that others have to bring forward.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};

use super::line::Line;
use crate::store::Store;

/// How long a thread waits for the next request.
const PATIENCE: Duration = Duration::from_millis(10);

/// The one place of a server for a thread that waits for a client.
#[derive(Clone, Debug, Default)]
pub(super) struct Seat(Arc<Place>);

#[derive(Debug, Default)]
struct Place {
    taken: AtomicBool,
    /// The connection whose append was the last that was committed alone.
    last: AtomicU64,
}

/// As long as it is there, no other thread waits.
struct Taken(Seat);

impl Seat {
    /// For a connection whose append is alone for the second time: where clients take turns, none is waited for.
    fn take(&self, connection: u64) -> Option<Taken> {
        let again = self.0.last.swap(connection, Ordering::Relaxed) == connection;
        (again && !self.0.taken.swap(true, Ordering::AcqRel)).then(|| Taken(self.clone()))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.0.taken.store(false, Ordering::Release);
    }
}

/// By which a connection says that an append has been sequenced that nobody but a thread of its own should commit.
#[derive(Clone, Debug, Default)]
pub(super) struct LoneAppend(Arc<AtomicBool>);

impl LoneAppend {
    /// Leaves the append to whoever polls the connection, if it is alone and that may block.
    pub(super) fn leave(&self, store: &Store) -> bool {
        let leave = may_block_in_place() && store.is_alone();
        if leave {
            self.0.store(true, Ordering::Relaxed);
        }
        leave
    }

    fn take(&self) -> bool {
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed)
    }
}

/// Whether a task may block the thread that it runs on, as the runtime puts another in its place.
fn may_block_in_place() -> bool {
    Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread
}

/// What a thread needs to serve a connection.
pub(super) struct Serving<'a> {
    /// Of the connection. They begin with 1.
    pub(super) number: u64,
    pub(super) store: &'a Store,
    pub(super) lone: LoneAppend,
    /// None with TLS.
    pub(super) line: Option<Line>,
    pub(super) seat: &'a Seat,
}

impl Serving<'_> {
    /// Polls a connection. `idle` tells whether it waits for nothing but its client.
    pub(super) fn poll<F: Future>(
        &self,
        mut connection: Pin<&mut F>,
        idle: impl Fn() -> bool,
        context: &mut Context<'_>,
    ) -> Poll<F::Output> {
        let polled = connection.as_mut().poll(context);
        if polled.is_ready() || !self.lone.take() {
            return polled;
        }
        block_in_place(|| {
            let seat = self.seat.take(self.number);
            let mut append = true;
            loop {
                if append {
                    self.store.commit_alone();
                }
                if let Poll::Ready(output) = connection.as_mut().poll(context) {
                    return Poll::Ready(output);
                }
                append = self.lone.take();
                if append {
                    continue;
                }
                let line = self.line.as_ref().filter(|_| seat.is_some());
                if !line.is_some_and(|line| idle() && line.wait(PATIENCE)) {
                    break;
                }
            }
            let Some(line) = &self.line else { return Poll::Pending };
            line.to_runtime();
            loop {
                let polled = connection.as_mut().poll(context);
                if polled.is_ready() || !self.lone.take() {
                    return polled;
                }
                self.store.commit_alone();
            }
        })
    }
}
