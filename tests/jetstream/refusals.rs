//! Servers that are not as they must be: a typed error that says what to do.

use std::{thread, time::Duration};

use factlog::{
    Action, Error, EventStore, ExpectedVersion, Position, ReadAll, Version,
    backend::jetstream::{JetStreamOptions, JetStreamStore},
    block_on,
};

use crate::{
    nats::{self, Nats, Setting, USUAL},
    support::{append, event, events, stream},
};

fn refused(address: &str) -> String {
    let short = JetStreamOptions::new(address).unwrap().request_time(Duration::from_secs(3));
    let error = short.connect().unwrap_err();
    assert!(matches!(error, Error::NotAStore { .. }) && error.action() == Action::FixInput, "{error}");
    error.to_string()
}

#[test]
fn servers_that_may_acknowledge_before_they_sync_are_refused_until_they_are_accepted() {
    let lazy = Nats::with(1, Setting { jetstream: "sync_interval: \"2m\"", ..USUAL });
    let said = refused(&lazy.address("lazy"));
    for part in ["server n0 syncs from time to time only", "sync_interval: always", "monitor=", "--accept-unsynced"] {
        assert!(said.contains(part), "{said}");
    }
    JetStreamOptions::new(&lazy.address("lazy")).unwrap().accept_unsynced(true).connect().unwrap();
    JetStreamStore::connect(&format!("{}&accept-unsynced", lazy.address("lazy"))).unwrap();

    let good = nats::alone();
    assert!(refused(&good.bare_address("x")).contains("names no monitoring address"));
    let nobody = format!("{}?monitor=http://127.0.0.1:1", good.bare_address("x"));
    assert!(refused(&nobody).contains("http://127.0.0.1:1/varz"));
    let monitors = lazy.address("x").split_once('?').unwrap().1.to_owned();
    assert!(refused(&format!("{}?{monitors}", good.bare_address("x"))).contains("none of those"));
    good.open("x");
}

#[test]
fn a_cluster_of_which_not_every_server_is_known_to_sync_is_refused() {
    let cluster = nats::cluster();
    let whole = cluster.address("known");
    let (most, _) = whole.rsplit_once(',').unwrap();
    let said = refused(most);
    assert!(said.contains("the cluster has 3 servers, and 2") || said.contains("none of those"), "{said}");
    cluster.open("known");
}

#[test]
fn whoever_the_server_does_not_know_is_unauthorized_and_no_error_has_a_password() {
    let more = "authorization { user: me, password: \"open-sesame\" }";
    let nats = Nats::with(1, Setting { more, user: "me:open-sesame@", ..USUAL });
    append(&nats.open("own"), "s-1", "x").unwrap();
    for wrong in [nats.address("own").replace("sesame", "barley"), nats.address("own").replace("me:open-sesame@", "")] {
        let error = JetStreamStore::connect(&wrong).unwrap_err();
        assert!(matches!(error, Error::Unauthorized { .. }), "{error}");
        assert_eq!(error.action(), Action::FixInput);
        assert!(!error.to_string().contains("open-"), "{error}");
    }
    let bare = nats.address("own").replace("me:open-sesame@", "");
    let by_options = JetStreamOptions::new(&bare).unwrap().user("me", "open-sesame");
    assert!(!format!("{by_options:?}").contains("sesame"));
    by_options.connect().unwrap();
}

#[test]
fn a_server_without_jetstream_is_named_with_what_to_enable() {
    let nats = Nats::with(1, Setting { jetstream: "", ..USUAL });
    let said = refused(&format!("{}?accept-unsynced", nats.bare_address("none")));
    assert!(said.contains("JetStream is not enabled") && said.contains("-js"), "{said}");
}

#[test]
fn more_replicas_than_servers_are_refused_with_what_to_say() {
    let said = refused(&format!("{}&replicas=3", nats::alone().address("three")));
    assert!(said.contains("replicas=N"), "{said}");
}

#[test]
fn a_stream_of_jetstream_that_is_no_log_is_left_alone() {
    let nats = nats::alone();
    nats.open("mine");
    let said = refused(&nats.address("KV_mine_cursors"));
    assert!(said.contains("is no log: its subjects are"), "{said}");
}

#[test]
fn a_full_log_or_server_refuses_appends_and_goes_on_being_read() {
    let small = Nats::with(1, Setting { jetstream: "sync_interval: always, max_file_store: 200KB", ..USUAL });
    for store in [nats::alone().options("full").max_bytes(64 << 10).connect().unwrap(), small.open("full")] {
        let (mut stored, large) = (0, "x".repeat(10_000));
        let error = loop {
            match append(&store, "full-1", &large) {
                Ok(_) => stored += 1,
                Err(error) => break error,
            }
            assert!(stored < 100, "never full");
        };
        assert!(matches!(error, Error::NoSpace { .. }) && error.action() == Action::Retry, "{error}");
        assert!(error.to_string().contains("more room"), "{error}");
        assert!(stored > 0);
        assert_eq!(events(&store, "full-1").len(), stored);
        assert_eq!(block_on(store.read_all(ReadAll::after(Position::START))).unwrap().len(), stored);
    }
}

#[test]
fn a_server_that_is_gone_is_unavailable_and_appends_go_on_when_it_is_back() {
    let mut nats = Nats::alone();
    let hasty = nats.options("gone").request_time(Duration::from_secs(1)).connect().unwrap();
    let patient = nats.open("gone");
    append(&patient, "gone-1", "1").unwrap();
    nats.nodes[0].kill();
    let sent = event("2");
    let again =
        |store: &JetStreamStore| block_on(store.append(&stream("gone-1"), Version::FIRST.into(), vec![sent.clone()]));
    // The first may be under way when the connection is seen to be lost.
    let _ = again(&hasty);
    let error = again(&hasty).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }) && error.action() == Action::Retry, "{error}");
    let unreachable = JetStreamOptions::new(&nats.address("gone")).unwrap().connect().unwrap_err();
    assert!(matches!(unreachable, Error::Unavailable { .. }), "{unreachable}");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| again(&patient));
        nats.restart();
        assert_eq!(waiting.join().unwrap().unwrap().version, Version::new(2));
    });
    assert_eq!(again(&patient).unwrap().version, Version::new(2));
    assert_eq!(events(&patient, "gone-1").len(), 2);
}

#[test]
fn an_append_whose_answer_never_came_is_of_unknown_outcome_and_sent_again_is_stored_once() {
    let nats = Nats::alone();
    let hasty = nats.options("mute").request_time(Duration::from_secs(1)).connect().unwrap();
    append(&hasty, "mute-1", "1").unwrap();
    nats.nodes[0].pause();
    let sent = event("2");
    let again = |expected: ExpectedVersion| block_on(hasty.append(&stream("mute-1"), expected, vec![sent.clone()]));
    let error = again(Version::FIRST.into()).unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }) && error.action() == Action::Reopen, "{error}");
    nats.nodes[0].resume();
    let patient = nats.open("mute");
    let appended = block_on(patient.append(&stream("mute-1"), ExpectedVersion::Any, vec![sent.clone()])).unwrap();
    assert_eq!(appended.version, Version::new(2));
    assert_eq!(events(&patient, "mute-1").len(), 2);
}
