//! Appends that have to wait go together.
//!
//! ```text
//!   few writers      append -> one call, on a connection of its own
//!   many writers     append -> as many calls as may be are under way: it waits
//!                    append ->                                       it waits      -> the next call stores all that wait
//! ```
//!
//! A call costs the server far more than an event does: it is planned, committed and synced. Each append is still whole and judged by
//! itself. A call that is refused, or fails, says nothing of its parts: then each of them is made alone.

use std::{collections::HashSet, mem, sync::Arc};

use futures_util::future::join_all;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::Instant,
};

use super::{append, core::Core, server::Kind};
use crate::{
    error::{Error, Result},
    event::StreamName,
    event_store::{Appended, StreamAppend},
};

/// How many calls are under way when the next appends wait.
const CALLS: usize = 4;

/// What goes together at most: as many streams as a call locks, and what no connection is long busy with.
const STREAMS: usize = 64;
const EVENTS: usize = 1_000;
const BYTES: usize = 1 << 20;

type Answer = oneshot::Sender<Result<Vec<Appended>>>;

/// An append that waits.
pub(super) struct Waiting {
    appends: Vec<StreamAppend>,
    deadline: Instant,
    answer: Answer,
}

/// Where appends begin.
pub(super) struct Door {
    calls: Arc<Semaphore>,
    waiting: mpsc::UnboundedSender<Waiting>,
}

impl Door {
    /// A door, and those who wait at it, for [`gather`].
    pub(super) fn new(connections: usize) -> (Door, mpsc::UnboundedReceiver<Waiting>) {
        let (waiting, coming) = mpsc::unbounded_channel();
        (Door { calls: Arc::new(Semaphore::new(connections.min(CALLS))), waiting }, coming)
    }
}

/// Appends, all or nothing: alone, or with others if it had to wait.
pub(super) async fn append(core: &Core, appends: Vec<StreamAppend>) -> Result<Vec<Appended>> {
    StreamAppend::check(&appends)?;
    let deadline = core.server.deadline();
    if let Ok(_call) = core.door.calls.try_acquire() {
        return append::append(&core.server, Kind::Changes, deadline, &appends).await;
    }
    let (answer, answered) = oneshot::channel();
    let closed =
        || Error::Unavailable { server: core.server.address().to_string(), reason: "the store was closed".into() };
    core.door.waiting.send(Waiting { appends, deadline, answer }).map_err(|_| closed())?;
    answered.await.unwrap_or_else(|_| Err(closed()))
}

/// Makes the appends that wait, for as long as the store is there.
pub(super) async fn gather(core: Arc<Core>, mut coming: mpsc::UnboundedReceiver<Waiting>) {
    let mut waiting: Vec<Waiting> = Vec::new();
    loop {
        if waiting.is_empty() {
            let Some(first) = coming.recv().await else { return };
            waiting.push(first);
        }
        let Ok(call) = core.door.calls.clone().acquire_owned().await else { return };
        while let Ok(next) = coming.try_recv() {
            waiting.push(next);
        }
        let mut group = Group::default();
        // Nobody wants the answer any more.
        waiting.retain(|one| !one.answer.is_closed());
        waiting = mem::take(&mut waiting).into_iter().filter_map(|one| group.take(one)).collect();
        tokio::spawn(group.append(core.clone(), call));
    }
}

/// What goes in one call.
#[derive(Default)]
struct Group {
    appends: Vec<StreamAppend>,
    /// Of each, how many of those it is, and until when.
    parts: Vec<(usize, Instant, Answer)>,
    streams: HashSet<StreamName>,
    events: usize,
    bytes: usize,
}

impl Group {
    /// Takes one in; or gives it back, if it has to go another time.
    fn take(&mut self, one: Waiting) -> Option<Waiting> {
        let events: usize = one.appends.iter().map(|append| append.events.len()).sum();
        let of_one = |append: &StreamAppend| {
            append.events.iter().map(|event| event.payload.len() + event.metadata.len()).sum::<usize>()
        };
        let bytes: usize = one.appends.iter().map(of_one).sum();
        let fits = self.appends.len() + one.appends.len() <= STREAMS
            && self.events + events <= EVENTS
            && self.bytes + bytes <= BYTES
            && one.appends.iter().all(|append| !self.streams.contains(&append.stream));
        if !self.parts.is_empty() && !fits {
            return Some(one);
        }
        self.events += events;
        self.bytes += bytes;
        self.streams.extend(one.appends.iter().map(|append| append.stream.clone()));
        self.parts.push((one.appends.len(), one.deadline, one.answer));
        self.appends.extend(one.appends);
        None
    }

    async fn append(self, core: Arc<Core>, _call: OwnedSemaphorePermit) {
        let Group { mut appends, parts, .. } = self;
        let Some(first) = parts.iter().map(|part| part.1).min() else { return };
        let kind = if parts.len() > 1 {
            match append::store_all(&core.server, first, &appends).await {
                Ok(Some(appended)) => {
                    let mut appended = appended.into_iter();
                    for (count, _, answer) in parts {
                        let _ = answer.send(Ok(appended.by_ref().take(count).collect()));
                    }
                    return;
                }
                Ok(None) | Err(Error::OutcomeUnknown { .. }) => Kind::Repeated,
                Err(_) => Kind::Changes,
            }
        } else {
            Kind::Changes
        };
        let alone = parts.into_iter().map(|(count, deadline, answer)| {
            let (own, server): (Vec<StreamAppend>, _) = (appends.drain(..count).collect(), &core.server);
            async move {
                let _ = answer.send(append::append(server, kind, deadline, &own).await);
            }
        });
        let alone: Vec<_> = alone.collect();
        join_all(alone).await;
    }
}
