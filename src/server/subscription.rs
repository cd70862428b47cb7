//! Subscriptions: what is there first, read in pages where blocking is allowed; then what comes, as the store wakes us.
//!
//! ```text
//!   catching up:  credit -> page -> send -> ... -> nothing left
//!   live:         the store's own subscription, from there on: woken by what concerns it, its events are in memory
//!                 no credit left, or a lot came -> catching up
//! ```

use super::{
    page::Reading,
    session::blocking,
    streamed::{Entry, Streamed, Surroundings, page, progress},
    writer::Ticket,
};
use crate::{
    error::{Error, Result},
    event_store::{Start, Subscribe},
    protocol::{EventsFrame, Response, Resume},
    store::Subscription,
    version::Position,
};

/// Most events of a live frame, and bytes beyond which it takes no further one.
const LIVE_EVENTS: u32 = 256;
const LIVE_BYTES: usize = 64 << 10;

/// Follows the log for a client, until it has enough or the server goes.
pub(super) async fn follow(request: u64, resume: Resume, entry: Entry, with: Surroundings, ticket: Ticket) {
    let Resume { subscribe, behind } = resume;
    let start = match (behind, &subscribe.start) {
        (Some(position), _) => Ok(position),
        (None, Start::After(position)) => Ok(*position),
        (None, Start::Beginning) => Ok(Position::START),
        (None, Start::Cursor(name)) => {
            let (store, name) = (with.store.clone(), name.clone());
            blocking(move || Ok(store.cursor(&name)?.position())).await
        }
    };
    let start = match start {
        Ok(start) => start,
        Err(error) => return with.answer(request, Err(error), ticket).await,
    };
    entry.streamed.reached(start);
    with.answer(request, Ok(Response::Position(start)), ticket).await;
    let mut shutdown = with.shutdown.clone();
    let mut following =
        Following { request, subscribe, at: start, told: start, streamed: &entry.streamed, with: &with };
    let ended = tokio::select! {
        ended = following.run() => ended,
        () = shutdown.wait() => Err(with.shutting_down()),
    };
    if let Err(error) = ended {
        with.metrics.failed.inc();
        entry.streamed.send(Response::Error(error).encode(request), &with).await;
    }
}

struct Following<'a> {
    request: u64,
    subscribe: Subscribe,
    /// Everything that was asked for up to here has been sent, ...
    at: Position,
    /// ... and the client was told that up to here.
    told: Position,
    streamed: &'a Streamed,
    with: &'a Surroundings,
}

impl Following<'_> {
    /// Ends well when the client wants no more.
    async fn run(&mut self) -> Result<(), Error> {
        while self.streamed.credit().await {
            if !self.catch_up().await? {
                continue;
            }
            let live = Subscribe { start: Start::After(self.at), ..self.subscribe.clone() };
            if !self.live(self.with.store.subscribe(live)?).await? {
                break;
            }
        }
        Ok(())
    }

    /// Sends a page of what is there. `true` when nothing is left.
    async fn catch_up(&mut self) -> Result<bool, Error> {
        // Before the page is read: what it does not have up to here, is not there.
        let newest = self.with.store.last_position();
        let read = self.subscribe.read_after(self.at);
        let (page, rest) = page(Reading::All(read), self.with).await?;
        let Reading::All(rest) = rest else { return Ok(true) };
        self.at = self.at.max(rest.after);
        if !page.more {
            self.at = self.at.max(newest);
        }
        let more = page.more;
        if !page.is_empty() || self.at > self.told {
            self.with.metrics.sent_events.inc_by(page.items());
            // Before it is sent: the client may acknowledge it at once.
            self.tell();
            self.streamed.send(page.seal(self.request, false, self.at), self.with).await;
        }
        Ok(!more)
    }

    /// Sends what comes, as long as there is credit. `false` when the client wants no more.
    async fn live(&mut self, mut subscription: Subscription) -> Result<bool, Error> {
        while self.streamed.has_credit() {
            let mut frame = EventsFrame::with_capacity(0);
            while frame.events() < LIVE_EVENTS && frame.len() < LIVE_BYTES {
                let Some(event) = subscription.try_next()? else { break };
                if self.with.access.sees(&event) {
                    frame.push(&event);
                }
            }
            self.at = self.at.max(subscription.position());
            if frame.events() > 0 {
                self.with.metrics.sent_events.inc_by(frame.events().into());
                self.tell();
                self.streamed.send(frame.seal(self.request, false, self.at), self.with).await;
                continue;
            }
            if self.at > self.told {
                self.tell();
                self.streamed.send(progress(self.request, self.at), self.with).await;
            }
            // What wakes us is given out by the next look.
            tokio::select! {
                ready = subscription.ready() => ready?,
                () = self.streamed.closed() => return Ok(false),
            }
        }
        Ok(true)
    }

    fn tell(&mut self) {
        self.told = self.at;
        self.streamed.reached(self.at);
    }
}
