//! What the server counts, in the text form of Prometheus.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::budget::Budget;
use crate::{
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
    request_bytes: Gauge,
    response_bytes: Gauge,
    store: OfStore,
    /// Where each subscription has come to.
    followers: Mutex<Vec<Arc<AtomicU64>>>,
}

/// Numbers that are taken from the store when they are asked for.
#[derive(Debug, Default)]
struct OfStore {
    events: Gauge,
    streams: Gauge,
    segments: Gauge,
    segment_bytes: Gauge,
    index_bytes: Gauge,
}

impl Metrics {
    pub(super) fn new() -> Metrics {
        let mut registry = Registry::with_prefix("factlog");
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let accepted = counter("connections_accepted", "Connections that were accepted");
        let refused = counter("connections_refused", "Connections that were refused, as there were too many");
        let unauthorized = counter("connections_unauthorized", "Connections that ended as nobody knew their token");
        let panics = counter("panics", "Faults of the server, each of which ended a request or a connection");
        let requests = counter("requests", "Requests that were taken");
        let failed = counter("requests_failed", "Requests that were answered with an error");
        let appends = counter("appends", "Appends that were acknowledged");
        let appended_events = counter("appended_events", "Events that were acknowledged");
        let sent_events = counter("sent_events", "Events that were sent to readers and subscribers");
        let received_bytes = counter("received_bytes", "Bytes that came in, in whole frames");
        let sent_bytes = counter("sent_bytes", "Bytes that went out");
        let commit_bytes = counter("commit_bytes", "Bytes that were written to segments");
        let seconds = [5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.5, 1.0, 5.0];
        let (append_seconds, commit_seconds) = (Histogram::new(seconds), Histogram::new(seconds));
        let commit_events = Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0, 4096.0]);
        let help = "Writing and syncing one batch of appends";
        registry.register_with_unit("commit", help, Unit::Seconds, commit_seconds.clone());
        registry.register("commit_events", "Events that shared one sync", commit_events.clone());
        let help = "From an append's arrival to its acknowledgement";
        registry.register_with_unit("append", help, Unit::Seconds, append_seconds.clone());
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let connections = gauge("connections", "Connections that are open");
        let subscriptions = gauge("subscriptions", "Subscriptions that are open");
        let lag = gauge("subscription_lag_events", "How many events the last of the subscriptions is behind the log");
        let request_bytes = gauge("request_bytes_in_flight", "Bytes of requests that are not answered");
        let response_bytes = gauge("response_bytes_in_flight", "Bytes of responses that are not sent");
        let store = OfStore {
            events: gauge("events", "Events in the store"),
            streams: gauge("streams", "Streams in the store"),
            segments: gauge("segments", "Segment files"),
            segment_bytes: gauge("segment_bytes", "Bytes of the segment files, prepared room included"),
            index_bytes: gauge("index_bytes", "Bytes of the index files"),
        };
        Metrics {
            registry,
            connections,
            accepted,
            refused,
            unauthorized,
            panics,
            requests,
            failed,
            appends,
            append_seconds,
            commit_seconds,
            commit_events,
            commit_bytes,
            appended_events,
            sent_events,
            received_bytes,
            sent_bytes,
            subscriptions,
            lag,
            request_bytes,
            response_bytes,
            store,
            followers: Mutex::default(),
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
    pub(super) fn follow(&self, position: Position) -> Arc<AtomicU64> {
        let follower = Arc::new(AtomicU64::new(position.get()));
        let mut followers = self.followers.lock();
        // Those that nobody else has are over.
        followers.retain(|follower| Arc::strong_count(follower) > 1);
        followers.push(follower.clone());
        follower
    }

    /// All numbers as text. Looks at the store's files' sizes.
    pub(super) fn text(&self, store: &Store, requests: &Budget, responses: &Budget) -> String {
        let stats = store.stats();
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.request_bytes.set(number(requests.held() as u64));
        self.response_bytes.set(number(responses.held() as u64));
        self.store.events.set(number(stats.events));
        self.store.streams.set(number(stats.streams));
        self.store.segments.set(number(stats.segments));
        self.store.segment_bytes.set(number(stats.bytes));
        self.store.index_bytes.set(number(stats.index_bytes));
        let mut followers = self.followers.lock();
        followers.retain(|follower| Arc::strong_count(follower) > 1);
        self.subscriptions.set(number(followers.len() as u64));
        let last = followers.iter().map(|follower| follower.load(Ordering::Relaxed)).min();
        let lag = last.map_or(0, |last| stats.last_position.get().saturating_sub(last));
        drop(followers);
        self.lag.set(number(lag));
        let mut out = String::new();
        // Writing to a text fails only if a number cannot be formatted.
        if text::encode(&mut out, &self.registry).is_err() {
            out.clear();
        }
        out
    }
}
