//! A thread that is alone with its request uses the client's socket itself, and one of the server's serves a client that appends alone: with
//! others beside them, and when the server goes.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use factlog::{
    Error, EventStore, ExpectedVersion, ReadStream, Store, Subscribe, Version, block_on,
    client::{Client, ClientOptions},
    server::{Server, ServerOptions},
};
use tempfile::TempDir;
use tokio::{runtime::Builder, sync::oneshot};

use crate::support::{LONG, Served, append_body, event, frame, stream, text, until};

/// Appends one event after the other, each under the version that the stream must have.
fn append(client: &Client, name: &str, events: u64) {
    let name = stream(name);
    let known = client.stream_version(&name).unwrap().get();
    for version in known..known + events {
        let expected = ExpectedVersion::Exact(Version::new(version));
        let appended = client.append(&name, expected, vec![event(format!("{version}"))]).unwrap();
        assert_eq!(appended.version, Version::new(version + 1));
    }
}

#[test]
fn threads_tasks_and_subscriptions_share_a_connection_and_each_gets_its_own_answers() {
    const EACH: u64 = 40;
    let served = Served::new();
    let client = served.client();
    for round in 0..3 {
        // Alone, so that this thread reads the connection.
        append(&client, "alone", EACH);
        let mut subscription = client.subscribe(Subscribe::new().after(client.last_position().unwrap())).unwrap();
        thread::scope(|scope| {
            let threads = [0, 1].map(|thread| {
                let client = &client;
                scope.spawn(move || append(client, &format!("thread-{thread}"), EACH))
            });
            let task = scope.spawn(|| {
                block_on(async {
                    for version in 0..EACH {
                        let expected = ExpectedVersion::Exact(Version::new(round * EACH + version));
                        EventStore::append(&client, &stream("task"), expected, vec![event("x")]).await.unwrap();
                    }
                });
            });
            for _ in 0..3 * EACH {
                assert!(subscription.next_within(LONG).unwrap().is_some());
            }
            threads.into_iter().chain([task]).for_each(|thread| thread.join().unwrap());
        });
        drop(subscription);
        // Large answers as well, and one by one again.
        let read = block_on(client.read_stream(ReadStream::new(&stream("alone")))).unwrap();
        assert_eq!(read.len() as u64, (round + 1) * EACH);
    }
    assert_eq!(served.store.last_position().get(), 3 * 4 * EACH);
}

#[test]
fn what_a_thread_asks_of_a_server_that_has_gone_was_not_sent() {
    let mut served = Served::new();
    let options = ClientOptions::new(&served.url()).unwrap().request_time(Duration::from_secs(1));
    let client = options.connect().unwrap();
    append(&client, "alone", 5);
    served.stop();
    let error = client.append(&stream("alone"), ExpectedVersion::Any, vec![event("lost")]).unwrap_err();
    // Not that nobody knows what became of it.
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}

#[test]
fn a_thread_goes_on_over_another_connection_when_the_server_comes_back() {
    let mut served = Served::new();
    let client = served.client();
    for _ in 0..3 {
        append(&client, "alone", 5);
        served = served.again(ServerOptions::new().handshake_time(LONG));
    }
    append(&client, "alone", 5);
    assert_eq!(served.store.last_position().get(), 20);
}

#[test]
fn a_server_on_a_runtime_of_one_thread_serves_as_well() {
    let directory = TempDir::new().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = {
        let _inside = runtime.enter();
        Server::bind(store.clone(), "127.0.0.1:0".parse().unwrap(), ServerOptions::new()).unwrap()
    };
    let address = server.address();
    let serving = thread::spawn(move || {
        runtime.block_on(server.run(async {
            let _ = stopped.await;
        }));
    });
    let client = Client::connect(&format!("tcp://{address}")).unwrap();
    append(&client, "alone", 5);
    assert_eq!(block_on(client.read_stream(ReadStream::new(&stream("alone")))).unwrap().len(), 5);
    drop((client, stop));
    serving.join().unwrap();
}

#[test]
fn whoever_was_served_alone_and_takes_nothing_keeps_no_thread_and_gets_all_of_it_later() {
    const PAGES: u64 = 24;
    let served = Served::new();
    for _ in 0..2 {
        served.store.append(&stream("big"), ExpectedVersion::Any, vec![event(vec![0; 512 << 10])]).unwrap();
    }
    let page = [&[0; 5][..], &text("big"), &1u64.to_le_bytes(), &u64::MAX.to_le_bytes(), &[0xff; 8], &[0]].concat();
    let mut raw = served.greeted();
    for round in 0..3 {
        raw.send(&frame(2, 3, &append_body("alone", round + 1, b"x")));
        assert_eq!(raw.receive().unwrap().1, 0x8003);
        // More than the system keeps for a socket.
        let pages: Vec<u8> = (0..PAGES).flat_map(|page_number| frame(10 + page_number, 4, &page)).collect();
        raw.send(&pages);
        append(&served.client(), "others", 20);
        for number in 0..PAGES {
            let (request, kind, body) = raw.receive().unwrap();
            assert_eq!((request, kind), (10 + number, 0x8004));
            assert!(body.len() > 512 << 10);
        }
    }
    assert_eq!(served.store.last_position().get(), 2 + 3 * 21);
}

#[test]
fn a_client_that_is_served_alone_neither_keeps_others_waiting_nor_the_server_from_ending() {
    let mut served = Served::new();
    let name = stream("alone");
    let over = AtomicBool::new(false);
    let (acknowledged, unknown) = thread::scope(|scope| {
        let options = served.options().request_time(Duration::from_secs(1));
        let appending = scope.spawn(|| {
            let client = options.connect().unwrap();
            let (mut acknowledged, mut unknown) = (0, 0);
            while !over.load(Ordering::Relaxed) {
                match client.append(&stream("alone"), ExpectedVersion::Any, vec![event("x")]) {
                    Ok(_) => acknowledged += 1,
                    Err(_) => unknown += 1,
                }
            }
            (acknowledged, unknown)
        });
        until("somebody is served alone", || served.store.stream_version(&name).unwrap().get() > 20);
        let other = served.client();
        let mut subscription = other.subscribe(Subscribe::new().after(other.last_position().unwrap())).unwrap();
        assert!(subscription.next_within(LONG).unwrap().is_some());
        append(&other, "other", 20);
        // A second one as well, which comes and goes.
        append(&served.client(), "other", 20);
        served.stop();
        over.store(true, Ordering::Relaxed);
        appending.join().unwrap()
    });
    let stored = served.store.stream_version(&name).unwrap().get();
    assert!((acknowledged..=acknowledged + unknown).contains(&stored), "{acknowledged} of {stored}, {unknown} unknown");
    assert_eq!(served.store.stream_version(&stream("other")).unwrap().get(), 40);
}
