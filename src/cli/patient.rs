//! Waiting for a store that is not there for a while, as long work does: a server is restarted, a leader is elected.
//!
//! Whatever is asked is asked again until it is answered or the time is over. An append has its event ids, so one whose outcome
//! is unknown can be sent again as well: it is stored once.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use factlog::{
    Action, Appended, BoxFuture, Capabilities, Error, EventStore, EventSubscription, ExpectedVersion, LoadedSnapshot,
    NewEvent, Position, ReadAll, ReadStream, RecordedEvent, Result, Snapshot, StreamAppend, StreamName, Subscribe,
    Version,
};

use super::output::say;

/// How long a store may be away before long work gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The first pause; each next one is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Whether the same, asked again, may be answered.
fn passes(error: &Error) -> bool {
    matches!(error.action(), Action::Retry | Action::Reopen)
}

/// The pauses between attempts, until the time is over.
struct Pauses {
    until: Instant,
    next: Duration,
}

impl Pauses {
    fn until(until: Instant) -> Pauses {
        Pauses { until, next: FIRST_PAUSE }
    }

    /// Pauses behind an error that may pass; gives back any other, and what is left when the time is over.
    fn behind(&mut self, error: Error) -> Result<()> {
        let left = self.until.saturating_duration_since(Instant::now());
        if !passes(&error) || left.is_zero() {
            return Err(error);
        }
        if self.next == FIRST_PAUSE {
            say(format_args!("factlog: {error}; trying again for {} s", left.as_secs() + 1));
        }
        // A command has nothing else to do.
        thread::sleep(self.next.min(left));
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

/// Tries until it succeeds, fails for good, or the time is over; once when there is no time.
pub fn trying_until<T, E: From<Error>>(
    until: Option<Instant>,
    mut attempt: impl FnMut() -> Result<T>,
) -> std::result::Result<T, E> {
    let mut pauses = Pauses::until(until.unwrap_or_else(Instant::now));
    loop {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(error) => pauses.behind(error)?,
        }
    }
}

/// A store that is waited for when it is away.
pub struct Patient(pub Arc<dyn EventStore>);

impl Patient {
    async fn keep_asking<'a, T>(&'a self, ask: impl Fn() -> BoxFuture<'a, Result<T>> + Send) -> Result<T> {
        let mut pauses: Option<Pauses> = None;
        loop {
            match ask().await {
                Ok(answer) => return Ok(answer),
                // The time begins when it is seen to be away.
                Err(error) => pauses.get_or_insert_with(|| Pauses::until(Instant::now() + PATIENCE)).behind(error)?,
            }
        }
    }
}

impl EventStore for Patient {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn append<'a>(
        &'a self,
        stream: &'a StreamName,
        expected: ExpectedVersion,
        events: Vec<NewEvent>,
    ) -> BoxFuture<'a, Result<Appended>> {
        Box::pin(self.keep_asking(move || self.0.append(stream, expected, events.clone())))
    }

    fn append_streams(&self, appends: Vec<StreamAppend>) -> BoxFuture<'_, Result<Vec<Appended>>> {
        Box::pin(self.keep_asking(move || self.0.append_streams(appends.clone())))
    }

    fn read_stream(&self, read: ReadStream) -> BoxFuture<'_, Result<Vec<RecordedEvent>>> {
        Box::pin(self.keep_asking(move || self.0.read_stream(read.clone())))
    }

    fn read_all(&self, read: ReadAll) -> BoxFuture<'_, Result<Vec<RecordedEvent>>> {
        Box::pin(self.keep_asking(move || self.0.read_all(read.clone())))
    }

    fn stream_version<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Result<Version>> {
        Box::pin(self.keep_asking(move || self.0.stream_version(stream)))
    }

    fn last_position(&self) -> BoxFuture<'_, Result<Position>> {
        Box::pin(self.keep_asking(move || self.0.last_position()))
    }

    fn save_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.keep_asking(move || self.0.save_snapshot(snapshot.clone())))
    }

    fn load_snapshot<'a>(
        &'a self,
        stream: &'a StreamName,
        at_or_below: Version,
    ) -> BoxFuture<'a, Result<LoadedSnapshot>> {
        Box::pin(self.keep_asking(move || self.0.load_snapshot(stream, at_or_below)))
    }

    fn subscribe(&self, subscribe: Subscribe) -> BoxFuture<'_, Result<Box<dyn EventSubscription>>> {
        Box::pin(self.keep_asking(move || self.0.subscribe(subscribe.clone())))
    }
}
