//! How connections and the server end, and what is seen of it from outside.

use std::{net::TcpStream, thread, time::Duration};

use factlog::{CursorName, Error, ExpectedVersion, Position, Subscribe, Version};

use crate::support::{LONG, Served, append_body, event, frame, get, patient, stream, text, until};

#[test]
fn a_shutdown_answers_the_appends_that_are_under_way_and_ends_subscriptions_where_they_can_go_on() {
    let mut served = Served::new();
    let mut raw = served.greeted();
    let mut subscribe = 1_000_000u32.to_le_bytes().to_vec();
    subscribe.extend([0, 1]);
    subscribe.extend(text("mailer"));
    subscribe.extend([0, 0, 0, 0]);
    raw.send(&frame(2, 8, &subscribe));
    assert_eq!(raw.receive().unwrap().1, 0x8006);
    for number in 0..50u64 {
        raw.send(&frame(10 + number, 3, &append_body("a", number.into(), b"x")));
    }
    until("all appends have come", || served.metric("factlog_requests_total") >= 51.0);
    served.begin_to_stop();
    let (mut answered, mut events, mut ended) = (0, 0, false);
    while let Some((request, kind, body)) = raw.receive() {
        match (request, kind) {
            (2, 0x8004) => events += u32::from_le_bytes(body[9..13].try_into().unwrap()),
            (2, 0x80ff) => {
                assert_eq!(body[..3], [14, 0, 3], "not available, and to be tried again");
                ended = true;
            }
            (10.., 0x8003) => answered += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((answered, ended), (50, true));
    assert!(events <= 50);
    served.stop();
    assert_eq!(served.store.last_position(), Position::new(50));
    assert!(TcpStream::connect(served.address).is_err());
}

#[test]
fn a_shutdown_waits_no_longer_than_it_may_for_who_does_not_read() {
    let options = patient().write_time(LONG * 60).shutdown_time(Duration::from_millis(200));
    let mut served = Served::with(options);
    for _ in 0..40 {
        served.store.append(&stream("big"), ExpectedVersion::Any, vec![event(vec![0; 1 << 20])]).unwrap();
    }
    let mut lazy = served.greeted();
    let body = [&[1, 255, 255, 255, 255][..], &text("big"), &1u64.to_le_bytes(), &[255; 16], &[0]].concat();
    lazy.send(&frame(2, 4, &body));
    until("it does not take what is sent", || served.metric("factlog_response_bytes_in_flight") > 8e6);
    served.stop();
    assert!(TcpStream::connect(served.address).is_err());
    // Nobody holds the store any more.
    let Served { store, .. } = &served;
    store.append(&stream("after"), ExpectedVersion::Any, vec![event("x")]).unwrap();
}

#[test]
fn the_description_names_each_metric_and_no_other() {
    let served = Served::new();
    let client = served.client();
    let _subscription = client.subscribe(Subscribe::new().cursor(CursorName::new("mailer").unwrap())).unwrap();
    let (_, shown) = get(served.http.unwrap(), "/metrics");
    // A counter is shown with `_total`, a histogram by its buckets, sum and count.
    let mut shown: Vec<String> = (shown.lines())
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| match line.split_once(' ').unwrap() {
            (name, "counter") => format!("{name}_total"),
            (name, _) => name.to_owned(),
        })
        .collect();
    let described = include_str!("../../docs/operations.md");
    let mut described: Vec<String> = (described.lines().filter(|line| line.starts_with("| `factlog_")))
        .flat_map(|line| line.split('|').nth(1).unwrap().split(','))
        .map(|name| name.trim().trim_matches('`').to_owned())
        .collect();
    shown.sort();
    described.sort();
    assert_eq!(described, shown);
}

#[test]
fn a_subscriber_lives_through_a_restart_and_its_acknowledgements_stay() {
    let served = Served::new();
    let client = served.client();
    let mailer = Subscribe::new().cursor(CursorName::new("mailer").unwrap());
    let mut subscription = client.subscribe(mailer.clone()).unwrap();
    let append = |number: u64| {
        client.append(&stream("a"), Version::new(number).into(), vec![event("x")]).unwrap();
    };
    append(0);
    append(1);
    let first = subscription.next().unwrap();
    subscription.acknowledge(first.position()).unwrap();
    let served = served.again(patient());
    append(2);
    assert_eq!(subscription.next().unwrap().version(), Version::new(2));
    assert_eq!(subscription.next().unwrap().version(), Version::new(3));
    // What was given out over the old connection can be acknowledged over the new one.
    subscription.acknowledge(Position::new(2)).unwrap();
    drop(subscription);
    let again = served.client().subscribe(mailer).unwrap();
    assert_eq!(again.position(), Position::new(2));
}

#[test]
fn health_readiness_and_metrics_are_answered_over_http() {
    let mut served = Served::new();
    let http = served.http.unwrap();
    let client = served.client();
    client.append(&stream("order-1"), ExpectedVersion::Any, vec![event("secret-payload"), event("b")]).unwrap();
    let mut subscription = client.subscribe(Subscribe::new()).unwrap();
    subscription.next().unwrap();
    assert_eq!(get(http, "/health"), (200, "alive\n".into()));
    assert_eq!(get(http, "/ready"), (200, "ready\n".into()));
    assert_eq!(get(http, "/").0, 404);
    let (status, text) = get(http, "/metrics");
    assert_eq!(status, 200);
    for line in [
        "factlog_appends_total 1",
        "factlog_appended_events_total 2",
        "factlog_events 2",
        "factlog_streams 1",
        "factlog_connections 1",
        "factlog_subscriptions 1",
        "factlog_append_seconds_count 1",
        "factlog_commit_seconds_count 1",
        "factlog_commit_events_sum 2.0",
        "# EOF",
    ] {
        assert!(text.lines().any(|other| other == line), "no `{line}` in\n{text}");
    }
    assert!(!text.contains("secret-payload") && !text.contains("order-1"));
    drop(subscription);
    until("the subscription is over", || served.metric("factlog_subscriptions") == 0.0);
    served.stop();
    assert!(TcpStream::connect(http).is_err());
}

#[test]
fn the_lag_of_subscriptions_is_shown_for_the_last_of_all_and_for_a_hundred_cursors() {
    let served = Served::new();
    for _ in 0..30 {
        served.store.append(&stream("a"), ExpectedVersion::Any, vec![event(vec![0; 1000])]).unwrap();
    }
    let mailer = |name: &str| Subscribe::new().cursor(CursorName::new(name).unwrap());
    // One has got everything. The others have credit for nothing, and begin where their cursors are.
    let client = served.client();
    let mut fast = client.subscribe(mailer("fast")).unwrap();
    (0..30).for_each(|_| drop(fast.next().unwrap()));
    let mut raw = served.greeted();
    for number in 0..120u64 {
        let name = CursorName::new(format!("slow-{number}")).unwrap();
        served.store.save_cursor(&name, Position::new(number % 30)).unwrap();
        let body = [&[0, 0, 0, 0, 0, 1][..], &text(name.as_str()), &[0, 0, 0, 0]].concat();
        raw.send(&frame(10 + number, 8, &body));
        assert_eq!(raw.receive().unwrap().1, 0x8006);
    }
    let (_, shown) = get(served.http.unwrap(), "/metrics");
    let lag: Vec<_> = shown.lines().filter(|line| line.starts_with("factlog_cursor_lag_events{")).collect();
    assert_eq!(lag.len(), 100);
    assert!(lag.contains(&"factlog_cursor_lag_events{cursor=\"slow-0\"} 30"), "{lag:?}");
    assert!(lag.contains(&"factlog_cursor_lag_events{cursor=\"slow-35\"} 25"), "{lag:?}");
    assert_eq!(served.metric("factlog_subscription_lag_events"), 30.0);
    drop(raw);
    until("only one is left", || served.metric("factlog_subscriptions") == 1.0);
    assert_eq!(served.metric("factlog_cursor_lag_events{cursor=\"fast\"}"), 0.0);
    assert_eq!(served.metric("factlog_subscription_lag_events"), 0.0);
}

#[test]
fn clients_that_come_and_go_leave_whole_appends_only() {
    let served = Served::new();
    thread::scope(|scope| {
        for writer in 0..8u64 {
            let served = &served;
            scope.spawn(move || {
                for round in 0..20 {
                    let client = served.client();
                    let own = stream(&format!("w-{writer}"));
                    let events = vec![event("1"), event("2"), event("3")];
                    client.append(&own, Version::new(round * 3).into(), events).unwrap();
                    // Gone while it is answered, or before it has come.
                    let _unheard =
                        factlog::EventStore::append(&client, &own, ExpectedVersion::NoStream, vec![event("x")]);
                }
            });
        }
    });
    for writer in 0..8 {
        assert_eq!(served.store.stream_version(&stream(&format!("w-{writer}"))).unwrap(), Version::new(60));
    }
}

#[test]
fn a_server_that_is_gone_for_good_is_an_error_that_names_it() {
    let mut served = Served::new();
    served.stop();
    let error = served.options().connect().unwrap_err();
    assert!(matches!(&error, Error::Unavailable { server, .. } if *server == served.url()), "{error:?}");
}
