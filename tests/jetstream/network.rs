//! A network that loses answers, connections, and everything; and one that delivers late.

use std::time::Duration;

use factlog::{
    Action, CursorName, Error, EventStore, ExpectedVersion, Subscribe, Version,
    backend::jetstream::{JetStreamOptions, JetStreamStore},
    block_on,
};

use crate::{
    nats::{self, Nats},
    proxy::{Network, Proxy},
    support::{append, disturbed, event, events, stream},
};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// A server with a network in front of it.
pub struct Proxied {
    pub address: String,
    pub network: Proxy,
}

impl Proxied {
    pub fn new(nats: &Nats, log: &str) -> Proxied {
        let (network, port) = (Proxy::new(nats.nodes[0].port), nats.nodes[0].port);
        let address = nats.address(log).replacen(&port.to_string(), &network.port.to_string(), 1);
        Proxied { address, network }
    }

    fn store(&self, time: Duration) -> JetStreamStore {
        JetStreamOptions::new(&self.address).unwrap().request_time(time).connect().unwrap()
    }
}

#[test]
fn an_append_whose_answer_was_lost_is_looked_for_and_stored_once() {
    let proxied = Proxied::new(nats::alone(), "answers");
    let store = proxied.store(LONG);
    append(&store, "a-1", "first").unwrap();
    for round in 0..5u64 {
        proxied.network.set(Network::LosesOne);
        let appended = append(&store, "a-1", &round.to_string()).unwrap();
        assert_eq!(appended.version.get(), round + 2);
    }
    assert_eq!(events(&store, "a-1").len(), 6);
}

#[test]
fn a_network_that_is_cut_is_unavailable_and_one_that_is_silent_leaves_the_outcome_unknown() {
    let proxied = Proxied::new(nats::alone(), "cut");
    let store = proxied.store(Duration::from_secs(2));
    append(&store, "a-1", "before").unwrap();
    let sent = event("x");
    let again =
        |store: &JetStreamStore| block_on(store.append(&stream("a-1"), Version::FIRST.into(), vec![sent.clone()]));
    proxied.network.set(Network::Silent);
    let error = again(&store).unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error}");
    proxied.network.set(Network::Cut);
    // The first may have been sent before the loss was seen.
    let _ = append(&store, "b-1", "x");
    let error = append(&store, "b-1", "x").unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }) && error.action() == Action::Retry, "{error}");
    let error = block_on(store.stream_version(&stream("a-1"))).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    let error = JetStreamStore::connect(&proxied.address).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    proxied.network.set(Network::Whole);
    let patient = proxied.store(LONG);
    assert_eq!(again(&patient).unwrap().version, Version::new(2));
    assert_eq!(events(&patient, "a-1").len(), 2);
}

#[test]
fn nothing_is_lost_or_stored_twice_when_the_network_is_lost_in_the_middle_of_appends() {
    let proxied = Proxied::new(nats::alone(), "amid");
    let store = proxied.store(LONG);
    disturbed(&store, proxied.network.losses());
}

#[test]
fn a_subscription_goes_on_over_as_many_connections_as_it_takes() {
    let nats = nats::alone();
    let proxied = Proxied::new(nats, "followed");
    let (store, beside) = (proxied.store(LONG), nats.open("followed"));
    let mut subscription = block_on(store.subscribe(Subscribe::new())).unwrap();
    for round in 0..6 {
        proxied.network.set([Network::LosesOne, Network::Whole][round % 2]);
        append(&beside, "a-1", &round.to_string()).unwrap();
        assert_eq!(block_on(subscription.next()).unwrap().payload(), round.to_string().as_bytes());
    }
}

#[test]
fn an_acknowledgement_that_arrives_late_does_not_take_a_newer_one_back() {
    let nats = nats::alone();
    let proxied = Proxied::new(nats, "late");
    let (store, beside) = (proxied.store(LONG), nats.open("late"));
    for number in 0..4 {
        append(&beside, "a-1", &number.to_string()).unwrap();
    }
    let mailer = Subscribe::new().cursor(CursorName::new("mailer").unwrap());
    let mut subscription = block_on(store.subscribe(mailer.clone())).unwrap();
    let positions: Vec<_> = (0..3).map(|_| block_on(subscription.next()).unwrap().position()).collect();
    block_on(subscription.acknowledge(positions[0])).unwrap();
    proxied.network.hold();
    // It is sent, and sent again over another connection.
    block_on(subscription.acknowledge(positions[1])).unwrap();
    block_on(subscription.acknowledge(positions[2])).unwrap();
    proxied.network.let_go();
    // What was late is there when the server has answered for what came behind it on the same connection.
    let settled = || {
        let stored = block_on(beside.append(&stream("b-1"), ExpectedVersion::Any, vec![event("x")])).unwrap();
        assert!(stored.position > positions[2]);
    };
    for _ in 0..50 {
        settled();
    }
    let mut again = block_on(beside.subscribe(mailer)).unwrap();
    let next = block_on(again.next()).unwrap();
    assert_eq!(next.payload(), b"3"[..], "acknowledged events came again");
}

#[test]
fn two_subscribers_of_one_name_acknowledge_side_by_side() {
    let store = nats::alone().fresh();
    for number in 0..4 {
        append(&store, "a-1", &number.to_string()).unwrap();
    }
    let mailer = || block_on(store.subscribe(Subscribe::new().cursor(CursorName::new("mailer").unwrap()))).unwrap();
    let (mut one, mut other) = (mailer(), mailer());
    for _ in 0..3 {
        for subscription in [&mut one, &mut other] {
            let position = block_on(subscription.next()).unwrap().position();
            block_on(subscription.acknowledge(position)).unwrap();
        }
    }
    assert_eq!(block_on(mailer().next()).unwrap().payload(), b"3"[..]);
}
