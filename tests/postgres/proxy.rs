//! A network that loses connections, answers, and everything.

use std::time::Duration;

use factlog::{
    CursorName, Error, EventStore, ExpectedVersion, NewEvent, Subscribe,
    backend::postgres::{PostgresOptions, PostgresStore},
    block_on,
};

use crate::{
    disturbed::disturbed,
    network::{Network, Proxy},
    postgres::Postgres,
    support::{Hand, LONG, append, event, patient, stream, subscribe, text, whole_log},
};

/// A network in front of the server of a database.
pub struct Proxied {
    pub address: String,
    pub network: Proxy,
}

impl Proxied {
    pub fn new(database: &str, server: &Postgres) -> Proxied {
        let network = Proxy::new(server.port());
        let address = database.replace(&format!(":{}/", server.port()), &format!(":{}/", network.port));
        Proxied { address, network }
    }

    fn store(&self, time: Duration) -> PostgresStore {
        PostgresOptions::new(&self.address).unwrap().connect_time(LONG).request_time(time).connect().unwrap()
    }
}

fn again(store: &PostgresStore, events: &[NewEvent]) -> factlog::Result<factlog::Appended> {
    block_on(store.append(&stream("a"), ExpectedVersion::Any, events.to_vec()))
}

#[test]
fn an_append_whose_answer_was_lost_is_made_again_and_stored_once() {
    let server = Postgres::shared();
    let proxy = Proxied::new(&server.database(), server);
    let store = proxy.store(LONG);
    append(&store, "a", "first").unwrap();
    for round in 0..10 {
        proxy.network.set(Network::LosesOne);
        let appended = append(&store, "a", &round.to_string()).unwrap();
        assert_eq!(appended.version.get(), round + 2);
    }
    assert_eq!(whole_log(&store).len(), 11);
}

#[test]
fn an_append_that_is_never_answered_is_unknown_and_the_same_again_finds_out() {
    let server = Postgres::shared();
    let database = server.database();
    let proxy = Proxied::new(&database, server);
    let beside = patient(&database);
    let mut heard = subscribe(&beside);
    for network in [Network::LosesAll, Network::Silent] {
        let events = [event("x")];
        // The connection may be lost before the append is on its way: then nothing was stored.
        loop {
            let store = proxy.store(Duration::from_secs(2));
            let before = append(&store, "a", "before").unwrap().version;
            // Others are told of it behind its answer, over the connection that is to be lost only with the next append.
            while block_on(heard.next()).unwrap().version() < before {}
            proxy.network.set(network);
            let error = again(&store, &events).unwrap_err();
            let read = block_on(store.stream_version(&stream("a"))).unwrap_err();
            assert!(matches!(&read, Error::Unavailable { .. }), "{read}");
            proxy.network.set(Network::Whole);
            match error {
                Error::OutcomeUnknown { .. } => break,
                Error::Unavailable { .. } => {
                    assert_eq!(block_on(beside.stream_version(&stream("a"))).unwrap(), before);
                }
                other => panic!("{other}"),
            }
        }
        let first_answer = again(&beside, &events).unwrap();
        assert_eq!(again(&proxy.store(LONG), &events).unwrap(), first_answer);
        let stored = crate::support::events(&beside, "a");
        assert_eq!(stored.iter().filter(|stored| stored.id() == events[0].id).count(), 1);
    }
}

#[test]
fn a_subscription_goes_on_over_as_many_connections_as_it_takes() {
    let server = Postgres::shared();
    let database = server.database();
    let proxy = Proxied::new(&database, server);
    let (store, beside) = (proxy.store(LONG), patient(&database));
    let mut subscription = subscribe(&store);
    for round in 0..20 {
        let payload = round.to_string();
        proxy.network.set([Network::LosesOne, Network::Whole][round % 2]);
        append(&beside, "a", &payload).unwrap();
        assert_eq!(text(&block_on(subscription.next()).unwrap()), payload);
    }
}

#[test]
fn nothing_is_lost_or_stored_twice_when_the_network_is_lost_in_the_middle_of_appends() {
    let server = Postgres::shared();
    let proxy = Proxied::new(&server.database(), server);
    let store = proxy.store(LONG);
    disturbed(&store, proxy.network.losses());
}

#[test]
fn an_acknowledgement_that_arrives_late_does_not_take_a_newer_one_back() {
    let server = Postgres::shared();
    let database = server.database();
    let proxy = Proxied::new(&database, server);
    let (store, beside) = (proxy.store(Duration::from_secs(2)), patient(&database));
    for number in 0..4 {
        append(&beside, "a", &number.to_string()).unwrap();
    }
    let mailer = || Subscribe::new().cursor(CursorName::new("mailer").unwrap());
    let mut subscription = block_on(store.subscribe(mailer())).unwrap();
    let positions: Vec<_> = (0..3).map(|_| block_on(subscription.next()).unwrap().position()).collect();
    // On each connection the statement is there, so that it is all that has to be sent.
    for _ in 0..40 {
        block_on(subscription.acknowledge(positions[0])).unwrap();
    }
    proxy.network.hold();
    let unheard = block_on(subscription.acknowledge(positions[1])).unwrap_err();
    assert!(matches!(unheard, Error::OutcomeUnknown { .. }), "{unheard}");
    // Over connections that are made anew.
    while let Err(error) = block_on(subscription.acknowledge(positions[2])) {
        assert!(matches!(error, Error::OutcomeUnknown { .. } | Error::Unavailable { .. }), "{error}");
    }
    proxy.network.let_go();
    let (hand, name) = (Hand::at(&database), database.rsplit('/').next().unwrap());
    // What was held has been done with when its connections, which nobody wants any more, are gone.
    drop((subscription, store));
    let others = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND client_port IN ({})",
        proxy.network.ports().iter().map(u16::to_string).collect::<Vec<_>>().join(",")
    );
    while hand.number(&others) > 0 {}
    let mut again = block_on(beside.subscribe(mailer())).unwrap();
    assert_eq!(text(&block_on(again.next()).unwrap()), "3", "acknowledged events came again");
}

#[test]
fn two_subscribers_of_one_name_acknowledge_side_by_side() {
    let store = patient(&Postgres::shared().database());
    for number in 0..4 {
        append(&store, "a", &number.to_string()).unwrap();
    }
    let mailer = || block_on(store.subscribe(Subscribe::new().cursor(CursorName::new("mailer").unwrap()))).unwrap();
    let (mut one, mut other) = (mailer(), mailer());
    for _ in 0..3 {
        for subscription in [&mut one, &mut other] {
            let position = block_on(subscription.next()).unwrap().position();
            block_on(subscription.acknowledge(position)).unwrap();
        }
    }
    assert_eq!(text(&block_on(mailer().next()).unwrap()), "3");
}
