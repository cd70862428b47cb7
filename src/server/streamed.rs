//! Answers that come in many frames: long reads, and subscriptions. Each is a task of its own, and sends only as far as it has credit.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use super::{
    access::Access,
    budget::Budgets,
    memory::Memory,
    metrics::Metrics,
    page::{Page, Reading},
    session::blocking,
    shutdown::Shutdown,
    writer::{Ready, Ticket},
};
use crate::{
    error::{Error, Result},
    event_store::CursorName,
    protocol::{Frame, Response},
    store::Store,
    version::Position,
};

/// Most reads and subscriptions of one connection that are under way.
const MOST: usize = 1_000;

/// What every streamed answer works with.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) store: Store,
    pub(super) access: Arc<Access>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) memory: Memory,
    pub(super) responses: Budgets,
    pub(super) out: mpsc::UnboundedSender<Box<Ready>>,
    pub(super) shutdown: Shutdown,
    /// What the server calls itself in errors.
    pub(super) server: Arc<str>,
}

impl Surroundings {
    /// Hands a frame to the writer, as soon as there is room for its bytes.
    pub(super) async fn send(&self, frame: Frame, ticket: Ticket) {
        let held = self.responses.hold(frame.len()).await;
        // Without a writer the connection is at its end.
        let _ = self.out.send(Box::new((frame, ticket, held)));
    }

    pub(super) async fn answer(&self, request: u64, response: Result<Response>, ticket: Ticket) {
        let response = response.unwrap_or_else(|error| {
            self.metrics.failed.inc();
            Response::Error(error)
        });
        self.send(response.encode(request), ticket).await;
    }

    /// The error of whatever cannot go on since the server does not.
    pub(super) fn shutting_down(&self) -> Error {
        Error::Unavailable { server: self.server.to_string(), reason: "it is shutting down".into() }
    }
}

/// What client and task share of one answer.
pub(super) struct Streamed {
    flow: Mutex<FlowState>,
    changed: Notify,
    /// The name that acknowledgements go to.
    pub(super) cursor: Option<CursorName>,
    /// Everything up to here has been sent.
    pub(super) sent: Arc<AtomicU64>,
}

struct FlowState {
    /// Bytes that may be sent; one frame can take it below zero.
    credit: i64,
    open: bool,
}

impl Streamed {
    fn grant(&self, bytes: u32) {
        let mut flow = self.flow.lock();
        flow.credit = flow.credit.saturating_add(bytes.into());
        drop(flow);
        self.changed.notify_one();
    }

    fn close(&self) {
        self.flow.lock().open = false;
        self.changed.notify_one();
    }

    /// Waits until something may be sent. `false` when nobody wants it any more.
    pub(super) async fn credit(&self) -> bool {
        loop {
            {
                let flow = self.flow.lock();
                if !flow.open || flow.credit > 0 {
                    return flow.open;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Waits until nobody wants it any more.
    pub(super) async fn closed(&self) {
        while self.flow.lock().open {
            self.changed.notified().await;
        }
    }

    /// Whether something may be sent at once.
    pub(super) fn has_credit(&self) -> bool {
        let flow = self.flow.lock();
        flow.open && flow.credit > 0
    }

    /// Sends a frame, unless the answer was canceled.
    pub(super) async fn send(&self, frame: Frame, with: &Surroundings) -> bool {
        let held = with.responses.hold(frame.len()).await;
        let mut flow = self.flow.lock();
        if flow.open {
            flow.credit = flow.credit.saturating_sub(frame.len() as i64);
            // Under the lock, so that nothing comes behind the answer to a cancel.
            let _ = with.out.send(Box::new((frame, Ticket::default(), held)));
        }
        flow.open
    }

    /// Notes how far the answer has come.
    pub(super) fn reached(&self, position: Position) {
        self.sent.fetch_max(position.get(), Ordering::Relaxed);
    }
}

/// The streamed answers of a connection.
#[derive(Clone, Default)]
pub(super) struct AllStreamed(Arc<Mutex<HashMap<u64, Arc<Streamed>>>>);

/// One of them, as long as it is under way.
pub(super) struct Entry {
    all: AllStreamed,
    request: u64,
    pub(super) streamed: Arc<Streamed>,
}

impl AllStreamed {
    /// Begins an answer.
    pub(super) fn begin(
        &self,
        request: u64,
        credit: u32,
        cursor: Option<CursorName>,
        sent: Arc<AtomicU64>,
    ) -> Result<Entry> {
        let mut all = self.0.lock();
        if all.len() >= MOST || all.contains_key(&request) {
            let reason = format!("a connection has at most {MOST} reads and subscriptions, each with an id of its own");
            return Err(crate::protocol::malformed(reason));
        }
        let flow = Mutex::new(FlowState { credit: credit.into(), open: true });
        let streamed = Arc::new(Streamed { flow, changed: Notify::new(), cursor, sent });
        all.insert(request, streamed.clone());
        Ok(Entry { all: self.clone(), request, streamed })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    pub(super) fn get(&self, request: u64) -> Option<Arc<Streamed>> {
        self.0.lock().get(&request).cloned()
    }

    pub(super) fn grant(&self, request: u64, bytes: u32) {
        if let Some(streamed) = self.get(request) {
            streamed.grant(bytes);
        }
    }

    pub(super) fn cancel(&self, request: u64) {
        if let Some(streamed) = self.0.lock().remove(&request) {
            streamed.close();
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut all = self.all.0.lock();
        // After a cancel the id may belong to another.
        if all.get(&self.request).is_some_and(|other| Arc::ptr_eq(other, &self.streamed)) {
            all.remove(&self.request);
        }
    }
}

/// Sends all pages of a read.
pub(super) async fn read(mut reading: Reading, entry: Entry, with: Surroundings, ticket: Ticket) {
    let (request, streamed) = (entry.request, &entry.streamed);
    // The read is bounded by its credit from here on.
    drop(ticket);
    let mut shutdown = with.shutdown.clone();
    let failed = loop {
        tokio::select! {
            open = streamed.credit() => if !open { return },
            () = shutdown.wait() => break with.shutting_down(),
        }
        let page = match page(reading, &with).await {
            Ok((page, rest)) => {
                reading = rest;
                page
            }
            Err(error) => break error,
        };
        if page.is_empty() && page.more {
            continue;
        }
        with.metrics.sent_events.inc_by(page.items());
        let last = !page.more;
        if !streamed.send(page.seal(request, last, Position::START), &with).await || last {
            return;
        }
    };
    with.metrics.failed.inc();
    streamed.send(Response::Error(failed).encode(request), &with).await;
}

/// The next page, read where blocking is allowed.
pub(super) async fn page(mut reading: Reading, with: &Surroundings) -> Result<(Page, Reading)> {
    let (store, access) = (with.store.clone(), with.access.clone());
    blocking(move || reading.page(&store, &access).map(|page| (page, reading))).await
}

/// A frame that says only how far a subscription has come.
pub(super) fn progress(request: u64, position: Position) -> Frame {
    crate::protocol::EventsFrame::with_capacity(0).seal(request, false, position)
}
