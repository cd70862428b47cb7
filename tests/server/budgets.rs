//! Bytes in flight: whoever wants more than there is waits for nobody who waits as well, and holds up nobody who wants little.

use std::time::Duration;

use factlog::{ExpectedVersion, Position, ReadAll};

use crate::support::{Raw, Served, append_body, event, frame, patient, stream, text, until};

/// Three quarters of the least budget that a server can have.
const LARGE: usize = 60 << 20;

/// The frame of an append that is larger than any may be: read as a whole, and then refused.
fn large(request: u64) -> Vec<u8> {
    frame(request, 3, &append_body("large", request.into(), &vec![0; LARGE]))
}

/// Sends as much as the other side takes at once.
fn send_what_is_taken(raw: &mut Raw, bytes: &mut &[u8]) {
    use std::io::Write;
    raw.0.set_nonblocking(true).unwrap();
    while let Ok(sent @ 1..) = raw.0.write(&bytes[..bytes.len().min(1 << 20)]) {
        *bytes = &bytes[sent..];
    }
    raw.0.set_nonblocking(false).unwrap();
}

#[test]
fn large_requests_that_are_together_more_than_the_budget_come_through_one_behind_the_other() {
    let served = Served::with(patient().total_bytes(0).frame_time(Duration::from_secs(3600)));
    let (first, second) = (large(2), large(3));
    let (mut first, mut second) = (&first[..], &second[..]);
    let (mut one, mut other) = (served.greeted(), served.greeted());
    // By turns, so that neither has all of it when there is no more for the other.
    until("both are answered", || {
        send_what_is_taken(&mut one, &mut first);
        send_what_is_taken(&mut other, &mut second);
        first.is_empty() && second.is_empty()
    });
    // Larger than an append may be.
    assert_eq!(one.error(), Some((2, 3)));
    assert_eq!(other.error(), Some((3, 3)));
}

#[test]
fn whoever_wants_little_does_not_wait_for_those_who_have_taken_everything() {
    let served = Served::with(patient().total_bytes(0).frame_time(Duration::from_secs(3600)));
    let bytes = large(2);
    let (mut greedy, mut waiting) = (served.greeted(), served.greeted());
    greedy.send(&bytes[..bytes.len() - 1]);
    let mut rest = &bytes[..];
    send_what_is_taken(&mut waiting, &mut rest);
    until("all is taken", || served.metric("factlog_request_bytes_in_flight") > LARGE as f64);
    // One who was there before, and one who comes now.
    let mut raw = served.greeted();
    raw.send(&frame(5, 3, &append_body("small", 5, b"x")));
    assert_eq!(raw.receive().unwrap().1, 0x8003);
    assert_eq!(served.client().last_position().unwrap(), Position::FIRST);
    greedy.send(&bytes[bytes.len() - 1..]);
    assert_eq!(greedy.error(), Some((2, 3)));
}

#[test]
fn whoever_reads_does_not_wait_for_those_who_do_not() {
    let served = Served::with(patient().total_bytes(0).write_time(Duration::from_secs(3600)));
    for _ in 0..40 {
        let events = (0..8).map(|_| event(vec![0; 1 << 20])).collect();
        served.store.append(&stream("big"), ExpectedVersion::Any, events).unwrap();
    }
    let mut lazy: Vec<_> = (0..3).map(|_| served.greeted()).collect();
    for raw in &mut lazy {
        let mut body = vec![1];
        body.extend(u32::MAX.to_le_bytes());
        body.extend(text("big"));
        body.extend([&1u64.to_le_bytes()[..], &u64::MAX.to_le_bytes(), &u64::MAX.to_le_bytes(), &[0]].concat());
        raw.send(&frame(2, 4, &body));
    }
    until("all is taken", || served.metric("factlog_response_bytes_in_flight") > (70 << 20) as f64);
    let client = served.client();
    let events = (0..20).map(|_| event(vec![0; 100 << 10])).collect();
    client.append(&stream("other"), ExpectedVersion::Any, events).unwrap();
    assert_eq!(client.read(ReadAll::after(Position::new(320))).count(), 20);
    assert_eq!(client.read(&stream("other")).count(), 20);
}
