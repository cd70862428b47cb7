//! Bytes on a real socket, written from docs/protocol.md: what breaks the protocol is answered clearly, and harms nobody else.

use std::{io::Read, net::Shutdown, time::Duration};

use factlog::{ExpectedVersion, Position};

use crate::support::{LONG, Raw, Served, append_body, event, frame, patient, preamble, preamble_of, stream, text};

/// The server still does its work.
fn is_well(served: &Served) {
    let client = served.client();
    client.append(&stream("well"), ExpectedVersion::Any, vec![event("x")]).unwrap();
    assert_eq!(client.last_position().unwrap(), served.store.last_position());
}

#[test]
fn requests_are_answered_under_their_ids_as_they_are_ready() {
    let served = Served::new();
    let mut raw = served.greeted();
    raw.send(&[frame(7, 2, &[]), frame(9, 7, &[]), frame(8, 3, &append_body("a", 1, b"{}"))].concat());
    let mut answers: Vec<_> = (0..3).map(|_| raw.receive().unwrap()).collect();
    answers.sort();
    assert_eq!(
        answers.iter().map(|(id, kind, _)| (*id, *kind)).collect::<Vec<_>>(),
        [(7, 0x8002), (8, 0x8003), (9, 0x8006)]
    );
}

#[test]
fn every_length_at_the_edges_is_refused_or_waited_for_and_nothing_is_allocated_for_it() {
    let served = Served::new();
    for length in [0u32, 1, 13, 83_886_081, 1 << 31, u32::MAX - 1, u32::MAX] {
        let mut raw = served.greeted();
        raw.send(&length.to_le_bytes());
        assert_eq!(raw.error(), Some((0, 1000)), "{length}");
        assert!(raw.is_closed());
    }
    // The longest that may be: it is waited for.
    let mut raw = served.greeted();
    raw.send(&83_886_080u32.to_le_bytes());
    raw.send(&[0; 100]);
    is_well(&served);
    raw.0.shutdown(Shutdown::Write).unwrap();
    assert!(raw.is_closed());
    is_well(&served);
}

#[test]
fn a_wrong_preamble_is_refused_with_the_reason() {
    let served = Served::new();
    let refused = |bytes: &[u8]| {
        let mut raw = Raw(served.socket());
        raw.send(bytes);
        let mut answer = [0; 16];
        raw.0.read_exact(&mut answer).unwrap();
        assert_eq!(answer[..10], *b"factwire\0\0");
        assert!(raw.is_closed());
        answer[10]
    };
    assert_eq!(refused(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 4);
    assert_eq!(refused(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0, 0, 0, 0, 0, 0]), 4);
    let mut flipped = preamble();
    flipped[9] ^= 1;
    assert_eq!(refused(&flipped), 4);
    assert_eq!(refused(&preamble_of(2, 9)), 1);
    assert_eq!(refused(&preamble_of(0, 0)), 1);
    is_well(&served);
}

#[test]
fn a_wrong_checksum_ends_the_connection() {
    let served = Served::new();
    let mut raw = served.greeted();
    let mut bytes = frame(2, 3, &append_body("a", 1, b"{}"));
    *bytes.last_mut().unwrap() ^= 1;
    raw.send(&bytes);
    assert_eq!(raw.error(), Some((0, 1000)));
    assert!(raw.is_closed());
    assert_eq!(served.store.last_position(), Position::START);
    is_well(&served);
}

#[test]
fn unknown_kinds_and_bodies_that_cannot_be_read_are_answered_and_the_connection_goes_on() {
    let served = Served::new();
    let mut raw = served.greeted();
    let long = "x".repeat(65_535);
    let mut not_utf8 = text("ab");
    not_utf8[3] = 0xff;
    for (kind, body, code) in [
        (99, vec![], 1001),
        (0x8003, vec![], 1001),
        (3, vec![], 1000),
        (3, vec![0xff; 30], 1000),
        (6, vec![], 1000),
        (6, text(&long), 3),
        (6, not_utf8, 3),
        (6, text(""), 3),
        (6, text("$own"), 3),
        (1, text("again"), 1000),
        (9, [&5u64.to_le_bytes()[..], &1u64.to_le_bytes()].concat(), 1000),
        (4, [&[7; 5][..], &text("a")].concat(), 1000),
        (5, vec![0; 10], 1000),
    ] {
        raw.send(&frame(5, kind, &body));
        assert_eq!(raw.error(), Some((5, code)), "kind {kind}, {} bytes", body.len());
    }
    // What is added behind the known fields is passed over.
    raw.send(&frame(6, 6, &[text("a"), vec![1, 2, 3]].concat()));
    assert_eq!(raw.receive().unwrap(), (6, 0x8005, vec![0; 8]));
    is_well(&served);
}

#[test]
fn nothing_but_a_hello_is_answered_before_it() {
    let served = Served::new();
    for (kind, body) in [(2, vec![]), (3, append_body("a", 1, b"{}")), (99, vec![])] {
        let mut raw = Raw(served.socket());
        raw.send(&[preamble(), frame(4, kind, &body)].concat());
        raw.0.read_exact(&mut [0; 16]).unwrap();
        assert_eq!(raw.error(), Some((4, if kind == 99 { 1001 } else { 15 })));
        assert!(raw.is_closed());
    }
    // Before it is known who asks, frames are small.
    let mut raw = Raw(served.socket());
    raw.send(&[preamble(), 4097u32.to_le_bytes().to_vec()].concat());
    raw.0.read_exact(&mut [0; 16]).unwrap();
    assert_eq!(raw.error(), Some((0, 1000)));
    assert_eq!(served.store.last_position(), Position::START);
    is_well(&served);
}

#[test]
fn a_frame_a_byte_at_a_time_is_understood_and_one_that_takes_too_long_is_cut_off() {
    let served = Served::with(patient().frame_time(Duration::from_millis(200)));
    let mut raw = served.greeted();
    for byte in frame(2, 7, &[]) {
        raw.send(&[byte]);
    }
    assert_eq!(raw.receive().unwrap().1, 0x8006);
    raw.send(&frame(3, 7, &[])[..10]);
    assert!(raw.is_closed());
    is_well(&served);
}

#[test]
fn who_says_nothing_is_cut_off() {
    let served = Served::with(patient().idle_time(Duration::from_millis(100)));
    let mut raw = served.greeted();
    assert!(raw.is_closed());
    let served = Served::with(patient().handshake_time(Duration::from_millis(100)));
    for begun in [&b""[..], &preamble()[..7], &preamble()] {
        let mut raw = Raw(served.socket());
        raw.send(begun);
        let mut rest = Vec::new();
        let _ = raw.0.read_to_end(&mut rest);
        assert!(rest.len() <= 16);
    }
}

#[test]
fn a_connection_that_is_cut_in_the_middle_of_an_append_leaves_all_of_it_or_nothing() {
    let served = Served::new();
    let whole = frame(2, 3, &append_body("cut", 7, &[b'x'; 500]));
    for cut in (0..whole.len()).step_by(97) {
        let mut raw = served.greeted();
        raw.send(&whole[..cut]);
        raw.0.shutdown(Shutdown::Both).unwrap();
    }
    assert_eq!(served.store.last_position(), Position::START);
    // Sent whole, and gone before the answer: it is stored.
    let mut raw = served.greeted();
    raw.send(&whole);
    raw.0.shutdown(Shutdown::Write).unwrap();
    assert_eq!(raw.receive().unwrap().1, 0x8003);
    assert!(raw.is_closed());
    assert_eq!(served.store.last_position(), Position::FIRST);
}

#[test]
fn a_connection_that_is_reset_in_the_middle_of_an_append_leaves_nothing_of_it_and_disturbs_nobody() {
    let served = Served::new();
    let client = served.client();
    let whole = frame(2, 3, &append_body("reset", 7, &[b'x'; 200_000]));
    for round in 0..20 {
        let mut raw = served.greeted();
        // An answer that is not read: what is closed with it unread is reset.
        raw.send(&frame(3, 2, &[]));
        raw.0.peek(&mut [0]).unwrap();
        raw.send(&whole[..whole.len() * (round + 1) / 21]);
        drop(raw);
        client.append(&stream("other"), ExpectedVersion::Any, vec![event("x")]).unwrap();
    }
    crate::support::until("they are gone", || served.connections() == 1);
    assert_eq!(served.store.last_position(), Position::new(20));
    // Those of the last append are given back behind its answer.
    crate::support::until("nothing is held", || served.metric("factlog_request_bytes_in_flight") == 0.0);
    assert_eq!(served.metric("factlog_connections_accepted_total"), 21.0, "the client kept its connection");
}

#[test]
fn whoever_says_no_more_still_hears_the_answers_to_everything_they_asked() {
    let served = Served::new();
    let mut raw = served.greeted();
    let mut subscribe = 1_000_000u32.to_le_bytes().to_vec();
    subscribe.extend([0; 6]);
    raw.send(&frame(2, 8, &subscribe));
    assert_eq!(raw.receive().unwrap().1, 0x8006);
    let load = [text("a"), u64::MAX.to_le_bytes().to_vec()].concat();
    let asked = [(3, 14, vec![]), (4, 13, load), (5, 6, text("a")), (6, 3, append_body("b", 1, b"x")), (7, 2, vec![])];
    raw.send(&asked.iter().flat_map(|(id, kind, body)| frame(*id, *kind, body)).collect::<Vec<_>>());
    raw.0.shutdown(Shutdown::Write).unwrap();
    let mut answered: Vec<u64> =
        std::iter::from_fn(|| raw.receive()).map(|(id, ..)| id).filter(|id| *id != 2).collect();
    answered.sort_unstable();
    assert_eq!(answered, [3, 4, 5, 6, 7]);
}

#[test]
fn who_does_not_read_stops_only_themselves_and_is_cut_off_in_the_end() {
    let served = Served::with(patient().write_time(Duration::from_millis(500)).connection_bytes(0));
    for _ in 0..40 {
        served.store.append(&stream("big"), ExpectedVersion::Any, vec![event(vec![0; 1 << 20])]).unwrap();
    }
    let mut lazy = served.greeted();
    // A read of everything, with more credit than there is to send, whose answer is not read.
    let mut body = vec![1];
    body.extend(u32::MAX.to_le_bytes());
    body.extend(
        [&0u64.to_le_bytes()[..], &u64::MAX.to_le_bytes(), &u64::MAX.to_le_bytes(), &[0, 0, 0, 0, 0, 0]].concat(),
    );
    lazy.send(&frame(2, 5, &body));
    let client = served.client();
    for _ in 0..50 {
        client.append(&stream("other"), ExpectedVersion::Any, vec![event("x")]).unwrap();
    }
    assert_eq!(client.read(&stream("big")).count(), 40);
    // Whatever the system has taken of it can still be read; then the connection is over.
    let mut rest = Vec::new();
    lazy.0.set_read_timeout(Some(LONG)).unwrap();
    crate::support::until("the server gives up", || served.connections() == 1);
    let _ = lazy.0.read_to_end(&mut rest);
    assert!(rest.len() < 40 << 20, "all of it was sent");
    is_well(&served);
}

#[test]
fn one_connection_too_many_is_told_so() {
    let served = Served::with(patient().connections(2));
    let (_one, _two) = (served.greeted(), served.greeted());
    let mut third = Raw(served.socket());
    third.send(&preamble());
    let mut answer = [0; 16];
    third.0.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..12], *b"factwire\0\0\x02\0");
    assert!(third.is_closed());
    let error = served.options().connect().unwrap_err().to_string();
    assert!(error.contains("as many connections as it may have"), "{error}");
    drop(_one);
    crate::support::until("there is room again", || served.options().connect().is_ok());
}

#[test]
fn a_canceled_subscription_sends_nothing_behind_the_answer_and_its_id_is_free() {
    let served = Served::new();
    let mut raw = served.greeted();
    let mut subscribe = 1_000_000u32.to_le_bytes().to_vec();
    subscribe.extend([0; 6]);
    for round in 0..20u64 {
        raw.send(&frame(5, 8, &subscribe));
        assert_eq!(raw.receive().unwrap(), (5, 0x8006, vec![0; 8]));
        served.store.append(&stream("a"), ExpectedVersion::Any, vec![event("x")]).unwrap();
        raw.send(&frame(100 + round, 10, &5u64.to_le_bytes()));
        loop {
            let (request, kind, _) = raw.receive().unwrap();
            if request == 100 + round {
                assert_eq!(kind, 0x8002);
                break;
            }
            assert_eq!((request, kind), (5, 0x8004));
        }
    }
    raw.send(&frame(6, 2, &[]));
    assert_eq!(raw.receive().unwrap(), (6, 0x8002, vec![]));
}
