//! What the server counts, in the text form of Prometheus.

use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry, Unit},
};

use super::budget::Budget;
use crate::{
    event_store::CursorName,
    store::{Committed, Store},
    version::Position,
};

/// The numbers of a server. Counting is an addition in memory.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    pub(super) connections: Gauge,
    pub(super) accepted: Counter,
    pub(super) refused: Counter,
    pub(super) unauthorized: Counter,
    panics: Counter,
    pub(super) requests: Counter,
    pub(super) failed: Counter,
    pub(super) appends: Counter,
    pub(super) append_seconds: Histogram,
    commit_seconds: Histogram,
    commit_events: Histogram,
    commit_bytes: Counter,
    pub(super) appended_events: Counter,
    pub(super) sent_events: Counter,
    pub(super) received_bytes: Counter,
    pub(super) sent_bytes: Counter,
    subscriptions: Gauge,
    lag: Gauge,
    cursor_lag: Family<[(&'static str, String); 1], Gauge>,
    request_bytes: Gauge,
    response_bytes: Gauge,
    store: OfStore,
    followers: Mutex<Vec<Follower>>,
}

/// A subscription.
#[derive(Debug)]
struct Follower {
    /// Where it has come to.
    reached: Arc<AtomicU64>,
    cursor: Option<CursorName>,
}

/// Most cursors that are shown by name: those that are farthest behind.
const CURSORS: usize = 100;

/// Numbers that are taken from the store when they are asked for.
#[derive(Debug, Default)]
struct OfStore {
    events: Gauge,
    streams: Gauge,
    segments: Gauge,
    segment_bytes: Gauge,
    index_bytes: Gauge,
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A counter or a gauge that starts at nothing.
fn made<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    pub(super) fn new() -> Metrics {
        let mut own = Registry::with_prefix("factlog");
        let r = &mut own;
        let seconds = [5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.5, 1.0, 5.0];
        let (append_seconds, commit_seconds) = (Histogram::new(seconds), Histogram::new(seconds));
        let commit_events = Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0, 4096.0]);
        let help = "Writing and syncing one batch of appends";
        r.register_with_unit("commit", help, Unit::Seconds, commit_seconds.clone());
        r.register("commit_events", "Events that shared one sync", commit_events.clone());
        let help = "From an append's arrival to its acknowledgement";
        r.register_with_unit("append", help, Unit::Seconds, append_seconds.clone());
        Metrics {
            connections: made(r, "connections", "Connections that are open"),
            accepted: made(r, "connections_accepted", "Connections that were accepted"),
            refused: made(r, "connections_refused", "Connections that were refused, as there were too many"),
            unauthorized: made(r, "connections_unauthorized", "Connections that ended as nobody knew their token"),
            panics: made(r, "panics", "Faults of the server, each of which ended a request or a connection"),
            requests: made(r, "requests", "Requests that were taken"),
            failed: made(r, "requests_failed", "Requests that were answered with an error"),
            appends: made(r, "appends", "Appends that were acknowledged"),
            append_seconds,
            commit_seconds,
            commit_events,
            commit_bytes: made(r, "commit_bytes", "Bytes that were written to segments"),
            appended_events: made(r, "appended_events", "Events that were acknowledged"),
            sent_events: made(r, "sent_events", "Events that were sent to readers and subscribers"),
            received_bytes: made(r, "received_bytes", "Bytes that came in, in whole frames"),
            sent_bytes: made(r, "sent_bytes", "Bytes that went out"),
            subscriptions: made(r, "subscriptions", "Subscriptions that are open"),
            lag: made(r, "subscription_lag_events", "How many events the last of the subscriptions is behind the log"),
            cursor_lag: made(
                r,
                "cursor_lag_events",
                "How many events the open subscriptions of a cursor are behind the log",
            ),
            request_bytes: made(r, "request_bytes_in_flight", "Bytes of requests that are not answered"),
            response_bytes: made(r, "response_bytes_in_flight", "Bytes of responses that are not sent"),
            store: OfStore {
                events: made(r, "events", "Events in the store"),
                streams: made(r, "streams", "Streams in the store"),
                segments: made(r, "segments", "Segment files"),
                segment_bytes: made(r, "segment_bytes", "Bytes of the segment files, prepared room included"),
                index_bytes: made(r, "index_bytes", "Bytes of the index files"),
            },
            followers: Mutex::default(),
            registry: own,
        }
    }

    /// Counts a panic, which has ended a request or a connection.
    pub(super) fn panicked(&self) {
        self.panics.inc();
        tracing::error!("a fault of the server ended a request or a connection");
    }

    /// Counts a commit of the store.
    pub(super) fn committed(&self, batch: Committed) {
        self.commit_seconds.observe(batch.time.as_secs_f64());
        self.commit_events.observe(batch.records as f64);
        self.commit_bytes.inc_by(batch.bytes as u64);
    }

    /// Counts a subscription as long as what this returns is there. It holds the position that the subscription has come to.
    pub(super) fn follow(&self, position: Position, cursor: Option<CursorName>) -> Arc<AtomicU64> {
        let reached = Arc::new(AtomicU64::new(position.get()));
        let mut followers = self.followers.lock();
        // Those that nobody else has are over.
        followers.retain(|follower| Arc::strong_count(&follower.reached) > 1);
        followers.push(Follower { reached: reached.clone(), cursor });
        reached
    }

    /// Counts the subscriptions, and how far they are behind.
    fn look_at_followers(&self, newest: Position) {
        let mut followers = self.followers.lock();
        followers.retain(|follower| Arc::strong_count(&follower.reached) > 1);
        self.subscriptions.set(number(followers.len() as u64));
        let (mut last, mut cursors) = (0, HashMap::<&CursorName, u64>::new());
        for Follower { reached, cursor } in followers.iter() {
            let lag = newest.get().saturating_sub(reached.load(Ordering::Relaxed));
            last = last.max(lag);
            if let Some(cursor) = cursor {
                let of_cursor = cursors.entry(cursor).or_default();
                *of_cursor = lag.max(*of_cursor);
            }
        }
        self.lag.set(number(last));
        let mut cursors: Vec<_> = cursors.into_iter().map(|(cursor, lag)| (Reverse(lag), cursor)).collect();
        cursors.sort_unstable();
        self.cursor_lag.clear();
        for (Reverse(lag), cursor) in cursors.into_iter().take(CURSORS) {
            self.cursor_lag.get_or_create(&[("cursor", cursor.as_str().to_owned())]).set(number(lag));
        }
    }

    /// All numbers as text. Looks at the store's files' sizes.
    pub(super) fn text(&self, store: &Store, requests: &Budget, responses: &Budget) -> String {
        let stats = store.stats();
        self.request_bytes.set(number(requests.held() as u64));
        self.response_bytes.set(number(responses.held() as u64));
        self.store.events.set(number(stats.events));
        self.store.streams.set(number(stats.streams));
        self.store.segments.set(number(stats.segments));
        self.store.segment_bytes.set(number(stats.bytes));
        self.store.index_bytes.set(number(stats.index_bytes));
        self.look_at_followers(stats.last_position);
        let mut out = String::new();
        // Writing to a text fails only if a number cannot be formatted.
        if text::encode(&mut out, &self.registry).is_err() {
            out.clear();
        }
        out
    }
}
