//! What somebody else has put where the store keeps its own.

use std::{sync::Barrier, thread};

use factlog::{
    CodecId, CursorName, Error, EventStore, Position, ReadAll, ReadStream, SkipReason, Snapshot, Subscribe, Version,
    backend::jetstream::JetStreamStore, block_on,
};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::{
    nats::{self, Nats},
    support::{append, event, events, stream},
};

/// A client that the store knows nothing of.
struct Hand {
    runtime: Runtime,
    client: async_nats::Client,
}

impl Hand {
    fn at(nats: &Nats) -> Hand {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let url = format!("nats://127.0.0.1:{}", nats.nodes[0].port);
        let client = runtime.block_on(async_nats::connect(url)).unwrap();
        Hand { runtime, client }
    }

    /// Asks, or publishes and waits until it is stored.
    fn ask(&self, subject: impl Into<String>, payload: impl Into<Vec<u8>>) -> Value {
        let answer = self.client.request(subject.into(), payload.into().into());
        let answer: Value = serde_json::from_slice(&self.runtime.block_on(answer).unwrap().payload).unwrap();
        assert!(answer.get("error").is_none(), "{answer}");
        answer
    }

    /// As a person does with the tool of NATS.
    fn delete_key(&self, bucket: &str, key: &str) {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("KV-Operation", "DEL");
        let asked = self.client.request_with_headers(format!("$KV.{bucket}.{key}"), headers, "".into());
        self.runtime.block_on(asked).unwrap();
    }
}

#[test]
fn a_stream_of_jetstream_whose_settings_would_break_a_promise_is_refused_and_left_alone() {
    let nats = nats::alone();
    let hand = Hand::at(nats);
    let settings: [(&str, Value); 14] = [
        ("storage", json!("memory")),
        ("retention", json!("workqueue")),
        ("max_age", json!(3_600_000_000_000u64)),
        ("max_msgs", json!(1000)),
        ("max_msgs_per_subject", json!(1)),
        ("no_ack", json!(true)),
        ("allow_direct", json!(false)),
        ("subjects", json!(["foreign-subjects.>"])),
        ("sealed", json!(true)),
        ("max_msg_size", json!(1000)),
        ("subject_transform", json!({ "src": "foreign-subject_transform.*.*", "dest": "elsewhere.{{wildcard(1)}}.x" })),
        ("sources", json!([{ "name": "foreign-source" }])),
        ("persist_mode", json!("async")),
        ("first_seq", json!(100)),
    ];
    hand.ask(
        "$JS.API.STREAM.CREATE.foreign-source",
        json!({ "name": "foreign-source", "subjects": ["src.>"] }).to_string(),
    );
    for (setting, value) in settings {
        let name = format!("foreign-{setting}");
        let mut config = json!({
            "name": name, "subjects": [format!("{name}.*.*")], "storage": "file", "retention": "limits",
            "allow_direct": true, "discard": "new",
        });
        if setting == "sealed" {
            hand.ask(format!("$JS.API.STREAM.CREATE.{name}"), config.to_string());
            config[setting] = value;
            hand.ask(format!("$JS.API.STREAM.UPDATE.{name}"), config.to_string());
        } else {
            config[setting] = value;
            hand.ask(format!("$JS.API.STREAM.CREATE.{name}"), config.to_string());
        }
        let before = hand.ask(format!("$JS.API.STREAM.INFO.{name}"), "")["config"].clone();
        let error = match JetStreamStore::connect(&nats.address(&name)) {
            Err(error) => error,
            Ok(_) => panic!("{setting} was taken"),
        };
        assert!(matches!(error, Error::NotAStore { .. }), "{setting}: {error}");
        assert!(error.to_string().contains(&format!("stream {name} is no log: it")), "{setting}: {error}");
        assert_eq!(hand.ask(format!("$JS.API.STREAM.INFO.{name}"), "")["config"], before);
    }
}

#[test]
fn a_message_that_is_none_of_the_stores_is_damage_that_names_it_and_other_streams_go_on() {
    let nats = nats::alone();
    let (hand, store) = (Hand::at(nats), nats.open("spoilt"));
    append(&store, "good-1", "1").unwrap();
    let damaged = |error: Error| match error {
        Error::Damaged(damage) => {
            assert!(damage.fault.contains("message 2: "), "{damage}");
            assert_eq!(damage.place.position, Position::new(2 * 16_384));
            assert!(damage.place.file.to_str().unwrap().contains("/spoilt"), "{damage}");
        }
        other => panic!("{other}"),
    };
    hand.ask("spoilt.bad.1", "hello");
    damaged(append(&store, "bad-1", "x").unwrap_err());
    damaged(block_on(store.read_stream(ReadStream::new(&stream("bad-1")))).unwrap_err());
    damaged(block_on(store.stream_version(&stream("bad-1"))).unwrap_err());
    append(&store, "good-1", "2").unwrap();
    assert_eq!(events(&store, "good-1").len(), 2);
    for backwards in [false, true] {
        let all = ReadAll::after(Position::START);
        damaged(block_on(store.read_all(if backwards { all.backwards() } else { all })).unwrap_err());
    }
    // It is not passed over either, however often it is asked for.
    let mut subscription = block_on(store.subscribe(Subscribe::new())).unwrap();
    for _ in 0..3 {
        damaged(block_on(subscription.next()).unwrap_err());
    }
    assert!(subscription.position() < Position::new(2 * 16_384));
}

#[test]
fn a_subject_that_no_stream_has_is_damage() {
    let nats = nats::alone();
    let (hand, store) = (Hand::at(nats), nats.open("subjects"));
    hand.ask("subjects.a=2e.1", "x");
    let error = block_on(store.read_all(ReadAll::after(Position::START))).unwrap_err();
    assert!(matches!(error, Error::Damaged(_)) && error.to_string().contains("is the subject of no stream"), "{error}");
}

#[test]
fn cursors_and_snapshots_that_are_none_are_named_and_deleted_ones_are_gone() {
    let nats = nats::alone();
    let (hand, store) = (Hand::at(nats), nats.open("buckets"));
    let one = append(&store, "s-1", "1").unwrap();
    append(&store, "s-1", "2").unwrap();
    let named = |name: &str| Subscribe::new().cursor(CursorName::new(name).unwrap());
    for nonsense in ["", "hello", "-1", "99999999999999999999999"] {
        hand.ask("$KV.buckets_cursors.mailer", nonsense);
        let error = block_on(store.subscribe(named("mailer"))).map(drop).unwrap_err();
        assert!(matches!(error, Error::Damaged(_)) && error.to_string().contains("cursor `mailer`"), "{error}");
    }
    hand.ask("$KV.buckets_cursors.mailer", "163840000");
    let ahead = block_on(store.subscribe(named("mailer"))).map(drop).unwrap_err();
    assert!(matches!(ahead, Error::CursorAhead { .. }), "{ahead}");
    hand.delete_key("buckets_cursors", "mailer");
    let mut again = block_on(store.subscribe(named("mailer"))).unwrap();
    assert_eq!(block_on(again.next()).unwrap().position(), one.position);
    block_on(again.acknowledge(one.position)).unwrap();
    assert!(block_on(block_on(store.subscribe(named("mailer"))).unwrap().next()).unwrap().position() > one.position);

    let snapshot = Snapshot::new(&stream("s-1"), Version::FIRST, CodecId::JSON, 1, "state");
    block_on(store.save_snapshot(snapshot.clone())).unwrap();
    hand.ask("$KV.buckets_snapshots.s.1.2", "hello");
    hand.ask("$KV.buckets_snapshots.s.1.notes", "hello");
    let loaded = block_on(store.load_snapshot(&stream("s-1"), Version::MAX)).unwrap();
    assert_eq!(loaded.snapshot, Some(snapshot.clone()));
    let [skipped] = &loaded.skipped[..] else { panic!("{loaded:?}") };
    assert!(skipped.version == Version::new(2) && matches!(skipped.reason, SkipReason::Damaged(_)), "{skipped:?}");
    hand.delete_key("buckets_snapshots", "s.1.2");
    let loaded = block_on(store.load_snapshot(&stream("s-1"), Version::MAX)).unwrap();
    assert_eq!((loaded.snapshot, loaded.skipped.len()), (Some(snapshot), 0));
}

#[test]
fn a_log_does_not_take_the_names_that_servers_use_themselves() {
    for name in ["_INBOX", "_R_", "-a"] {
        let error = JetStreamStore::connect(&nats::alone().address(name)).unwrap_err();
        assert!(matches!(error, Error::NotAStore { .. }) && error.to_string().contains("begins with"), "{error}");
    }
}

#[test]
fn of_many_that_come_first_at_once_each_finds_the_log() {
    for nats in [nats::alone(), nats::cluster()] {
        let start = Barrier::new(8);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    append(&nats.open("firsts"), "a-1", "x").unwrap();
                });
            }
        });
        assert_eq!(events(&nats.open("firsts"), "a-1").len(), 8);
    }
}

#[test]
fn two_logs_on_the_same_servers_have_nothing_to_do_with_each_other() {
    let nats = nats::alone();
    // One name is a beginning of the other.
    let (one, other) = (nats.open("twin"), nats.open("twin_2"));
    append(&one, "a-1", "one").unwrap();
    append(&other, "a-1", "other").unwrap();
    append(&one, "stored-1", "one").unwrap();
    assert_eq!((events(&one, "a-1").len(), events(&other, "a-1").len()), (1, 1));
    assert_eq!(block_on(one.read_all(ReadAll::after(Position::START))).unwrap().len(), 2);
    let mut subscription = block_on(other.subscribe(Subscribe::new().category("a"))).unwrap();
    assert_eq!(block_on(subscription.next()).unwrap().payload(), event("other").payload);
}
