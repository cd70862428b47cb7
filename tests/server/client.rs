//! The client against a server: the trait's promises, subscriptions, lost connections, errors.

use std::{sync::Arc, thread, time::Duration};

use factlog::{
    CodecId, CursorName, Error, EventStore, ExpectedVersion, InvalidInput, Options, Position, ReadAll, ReadStream,
    Snapshot, StreamAppend, Subscribe, Version, block_on, limits,
};

use tempfile::TempDir;

use crate::support::{LONG, Served, event, patient, stream};

#[test]
fn what_is_appended_is_read_back_over_the_wire_as_the_store_has_it() {
    let served = Served::new();
    let client = served.client();
    let order = stream("order-1");
    let first = client.append(&order, ExpectedVersion::NoStream, vec![event("{}"), event(vec![0xff; 5000])]).unwrap();
    assert_eq!((first.first_version, first.version), (Version::new(1), Version::new(2)));
    let stored: Vec<_> = served.store.read_stream(&order).map(Result::unwrap).collect();
    let read: Vec<_> = client.read(&order).map(Result::unwrap).collect();
    assert_eq!(read, stored);
    let trait_read = block_on(EventStore::read_stream(&client, ReadStream::new(&order))).unwrap();
    assert_eq!(trait_read, stored);
    assert_eq!(client.stream_version(&order).unwrap(), Version::new(2));
    assert_eq!(client.last_position().unwrap(), Position::new(2));
    assert_eq!(client.stats().unwrap().events, 2);
    let streams: Vec<_> = client.streams("ord").map(Result::unwrap).collect();
    assert_eq!(streams, [(order, Version::new(2))]);
}

#[test]
fn refusals_come_back_as_the_errors_of_the_embedded_store() {
    let served = Served::new();
    let client = served.client();
    let order = stream("order-1");
    let one = event("1");
    client.append(&order, ExpectedVersion::NoStream, vec![one.clone()]).unwrap();
    let error = client.append(&order, ExpectedVersion::NoStream, vec![event("2")]).unwrap_err();
    let Error::WrongExpectedVersion { stream: of, expected: ExpectedVersion::NoStream, actual } = error else {
        panic!("{error:?}")
    };
    assert_eq!((of, actual), (order.clone(), Version::FIRST));
    let taken = client.append(&order, ExpectedVersion::Any, vec![event("other").with_id(one.id)]).unwrap_err();
    assert!(matches!(taken, Error::DuplicateEventId { .. }), "{taken:?}");
    let none = client.append(&order, ExpectedVersion::Any, vec![]).unwrap_err();
    assert!(matches!(none, Error::Invalid(InvalidInput::NoEvents)), "{none:?}");
    let snapshot = Snapshot::new(&order, Version::new(7), CodecId::JSON, 1, "{}");
    let ahead = client.save_snapshot(snapshot).unwrap_err();
    assert!(matches!(ahead, Error::SnapshotAhead { .. }), "{ahead:?}");
    let twice = StreamAppend::new(order.clone(), ExpectedVersion::Any, vec![event("3")]);
    let twice = client.append_streams(vec![twice.clone(), twice]).unwrap_err();
    assert!(matches!(twice, Error::Invalid(InvalidInput::StreamTwice { .. })), "{twice:?}");
}

#[test]
fn the_same_append_again_is_answered_as_the_first_time_and_stored_once() {
    let served = Served::new();
    let client = served.client();
    let order = stream("order-1");
    for expected in [ExpectedVersion::Any, ExpectedVersion::NoStream] {
        let events = vec![event("1"), event("2")];
        let again = client.append(&order, expected, events.clone());
        let Ok(first) = again else { continue };
        assert_eq!(client.append(&order, expected, events).unwrap(), first);
    }
    assert_eq!(served.store.last_position(), Position::new(2));
}

#[test]
fn a_snapshot_goes_over_and_comes_back() {
    let served = Served::new();
    let client = served.client();
    let order = stream("order-1");
    client.append(&order, ExpectedVersion::Any, vec![event("1")]).unwrap();
    let snapshot = Snapshot::new(&order, Version::FIRST, CodecId::JSON, 3, vec![7; 1 << 20]);
    client.save_snapshot(snapshot.clone()).unwrap();
    assert_eq!(client.load_snapshot(&order, Version::MAX).unwrap().snapshot, Some(snapshot));
    assert!(client.load_snapshot(&stream("x"), Version::MAX).unwrap().snapshot.is_none());
}

#[test]
fn many_requests_are_in_flight_on_one_connection_and_share_commits() {
    let served = Served::new();
    let client = served.client();
    thread::scope(|scope| {
        for writer in 0..16 {
            let client = &client;
            scope.spawn(move || {
                let own = stream(&format!("writer-{writer}"));
                for number in 0..50 {
                    let appended = client.append(&own, Version::new(number).into(), vec![event("x")]).unwrap();
                    assert_eq!(appended.version, Version::new(number + 1));
                }
            });
        }
    });
    assert_eq!(served.store.last_position(), Position::new(16 * 50));
}

#[test]
fn appends_of_one_connection_are_sequenced_in_the_order_in_which_they_were_sent() {
    let served = Served::new();
    let client = served.client();
    let order = stream("order-1");
    // None waits for the one before it, and each expects what that one makes.
    let mut appends: Vec<_> = (0..200)
        .map(|number| EventStore::append(&client, &order, Version::new(number).into(), vec![event("x")]))
        .collect();
    let polled = std::future::poll_fn(|context| {
        // All are sent before the first is awaited.
        appends.retain_mut(|append| match append.as_mut().poll(context) {
            std::task::Poll::Ready(appended) => appended.is_err(),
            std::task::Poll::Pending => true,
        });
        if appends.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    });
    block_on(polled);
    assert_eq!(served.store.stream_version(&order).unwrap(), Version::new(200));
}

#[test]
fn long_reads_come_in_windows_in_every_direction() {
    let served = Served::new();
    for number in 0..300 {
        let of = stream(&format!("order-{}", number % 7));
        served.store.append(&of, ExpectedVersion::Any, vec![event(vec![b'x'; 1000]), event("y")]).unwrap();
    }
    // A window smaller than most events: one frame at a time all the same.
    for window in [1, 3_000, 1 << 20] {
        let client = served.options().window(window).connect().unwrap();
        for read in [
            ReadAll::after(Position::new(17)),
            ReadAll::after(Position::START).backwards(),
            ReadAll::after(Position::START).category("order").limit(333),
            ReadAll::after(Position::START).before(Position::new(400)).backwards().limit(100),
        ] {
            let expected: Vec<_> = served.store.read_all(read.clone()).map(Result::unwrap).collect();
            assert_eq!(client.read(read).map(Result::unwrap).collect::<Vec<_>>(), expected);
        }
        let read = ReadStream::new(&stream("order-3")).from(Version::new(5)).backwards().limit(20);
        let expected: Vec<_> = served.store.read_stream(read.clone()).map(Result::unwrap).collect();
        assert_eq!(client.read(read).map(Result::unwrap).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_subscription_gives_out_what_is_there_and_what_comes_and_goes_on_behind_its_cursor() {
    let served = Served::new();
    let client = served.client();
    let order = stream("order-1");
    let append = |payload: &str| client.append(&order, ExpectedVersion::Any, vec![event(payload)]).unwrap().position;
    append("1");
    let mailer = Subscribe::new().category("order").cursor(CursorName::new("mailer").unwrap());
    let mut subscription = client.subscribe(mailer.clone()).unwrap();
    assert_eq!(subscription.next().unwrap().payload(), "1");
    assert_eq!(subscription.try_next().unwrap().map(|event| event.position()), None);
    let second = append("2");
    assert_eq!(subscription.next_within(LONG).unwrap().unwrap().position(), second);
    let beyond = subscription.acknowledge(second.next()).unwrap_err();
    assert!(matches!(beyond, Error::Invalid(InvalidInput::NotGivenOut { .. })), "{beyond:?}");
    subscription.acknowledge(second).unwrap();
    append("3");
    drop(subscription);
    let mut again = client.subscribe(mailer).unwrap();
    assert_eq!(again.position(), second);
    assert_eq!(again.next().unwrap().payload(), "3");
    let mut plain = client.subscribe(Subscribe::new().after(second)).unwrap();
    assert_eq!(plain.next().unwrap().payload(), "3");
    assert!(matches!(plain.acknowledge(second), Err(Error::Invalid(InvalidInput::NoCursor))));
}

#[test]
fn a_subscription_that_nothing_matches_still_learns_how_far_it_has_come() {
    let served = Served::new();
    let client = served.client();
    for number in 0..10 {
        client.append(&stream(&format!("a-{number}")), ExpectedVersion::Any, vec![event("x")]).unwrap();
    }
    let mut subscription = client.subscribe(Subscribe::new().category("b")).unwrap();
    crate::support::until("its position is known", || {
        assert!(subscription.try_next().unwrap().is_none());
        subscription.position() == Position::new(10)
    });
}

#[test]
fn a_lost_connection_is_made_again_and_nothing_is_missed_or_given_twice() {
    let mut served = Served::new();
    let client = served.client();
    let order = stream("order-1");
    let mut subscription = client.subscribe(Subscribe::new()).unwrap();
    for round in 0..5u64 {
        let own = stream("order-1");
        let writer = {
            let client = client.clone();
            thread::spawn(move || {
                for number in 0..20 {
                    let expected = Version::new(round * 20 + number);
                    assert_eq!(
                        client.append(&own, expected.into(), vec![event("x")]).unwrap().version,
                        expected.next()
                    );
                }
            })
        };
        // In the middle of it, or before it or behind it: whatever the moment, the outcome is the same.
        served = served.again(patient().shutdown_time(Duration::ZERO));
        writer.join().unwrap();
        for number in 0..20 {
            assert_eq!(subscription.next().unwrap().version(), Version::new(round * 20 + number + 1));
        }
    }
    assert_eq!(client.stream_version(&order).unwrap(), Version::new(100));
    assert_eq!(client.read(&order).count(), 100);
}

#[test]
fn without_a_server_a_request_ends_with_a_typed_error_when_its_time_is_over() {
    let mut served = Served::new();
    let client = served.options().request_time(Duration::from_millis(50)).connect().unwrap();
    served.stop();
    // Once it has noticed that the connection is gone, nothing is sent and nothing can have been stored.
    crate::support::until("the loss is noticed", || {
        let error = client.append(&stream("a"), ExpectedVersion::Any, vec![event("x")]).unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. } | Error::OutcomeUnknown { .. }), "{error:?}");
        matches!(error, Error::Unavailable { .. })
    });
    assert!(matches!(client.last_position(), Err(Error::Unavailable { .. })));
    assert!(matches!(client.read(&stream("a")).next(), Some(Err(Error::Unavailable { .. }))));
    let refused = served.options().connect().unwrap_err();
    assert!(matches!(refused, Error::Unavailable { .. }), "{refused:?}");
}

#[test]
fn the_largest_append_goes_over_and_one_more_byte_is_refused() {
    let served = Served::new();
    let client = served.client();
    let name = stream("s");
    let event = |bytes: usize| event(vec![7; bytes - 6]);
    let half = limits::APPEND_BYTES / 2;
    client.append(&name, ExpectedVersion::NoStream, vec![event(half), event(half)]).unwrap();
    let read: Vec<_> = client.read(&name).map(Result::unwrap).collect();
    assert_eq!(read.iter().map(|event| event.payload().len()).sum::<usize>(), limits::APPEND_BYTES - 12);
    let more = client.append(&name, ExpectedVersion::Any, vec![event(half), event(half), event(6)]).unwrap_err();
    assert!(matches!(more, Error::Invalid(InvalidInput::TooLarge { .. })), "{more:?}");
}

#[test]
fn events_before_a_damaged_one_still_come_and_then_the_error_that_names_the_place() {
    let directory = TempDir::new().unwrap();
    let store = Options::new().first_segment_bytes(8 << 10).segment_bytes(8 << 10).open(directory.path()).unwrap();
    for number in 1..=60 {
        let payload = format!("event {number:03} {}", "x".repeat(500));
        store.append(&stream("a"), ExpectedVersion::Any, vec![event(payload)]).unwrap();
    }
    let mut damaged = 0;
    for entry in std::fs::read_dir(directory.path().join("log")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(9).position(|bytes| bytes == b"event 010") {
            bytes[at] ^= 1;
            // In place: the segment is mapped.
            use std::os::unix::fs::FileExt;
            std::fs::OpenOptions::new().write(true).open(&path).unwrap().write_at(&bytes[at..=at], at as u64).unwrap();
            damaged += 1;
        }
    }
    assert_eq!(damaged, 1);
    let served = Served::store(store, directory, patient(), "127.0.0.1:0".parse().unwrap(), || {});
    let client = served.client();
    for read in [client.read(&stream("a")), client.read(ReadAll::after(Position::START))] {
        let read: Vec<_> = read.collect();
        let positions: Vec<u64> =
            read[..read.len() - 1].iter().map(|event| event.as_ref().unwrap().position().get()).collect();
        assert_eq!(positions, (1..10).collect::<Vec<_>>());
        let Some(Err(Error::Damaged(damage))) = read.last() else { panic!("{:?}", read.last()) };
        assert_eq!(damage.place.position, Position::new(10));
    }
    assert_eq!(client.read(ReadAll::after(Position::new(10))).map(Result::unwrap).count(), 50);
}

#[test]
fn a_client_can_be_used_and_dropped_within_another_runtime() {
    let served = Served::new();
    let options = served.options();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let client: Arc<dyn EventStore> = Arc::new(options.connect_async().await.unwrap());
        client.append(&stream("a"), ExpectedVersion::Any, vec![event("x")]).await.unwrap();
        let mut subscription = client.subscribe(Subscribe::new()).await.unwrap();
        assert_eq!(subscription.next().await.unwrap().position(), Position::FIRST);
    });
}
