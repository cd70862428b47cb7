//! The order of system calls: written, then synced, then acknowledged.

use crate::{
    support::Factlog,
    trace::{Call, can_trace, check_order, input, traced},
};

/// So many events of 40 kB outgrow the first segment, so that a new one is begun on the way.
const EVENTS: usize = 12;

#[test]
fn every_acknowledgement_comes_after_a_write_and_a_successful_sync() {
    if !can_trace() {
        return;
    }
    let factlog = Factlog::new();
    let (run, calls) = traced(&factlog, &[], &input(0, EVENTS, 40_000));
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(check_order(&calls, 0), Ok(EVENTS));
    let files: std::collections::HashSet<&str> =
        calls.iter().filter(|call| call.writes_event()).map(|call| call.on.as_str()).collect();
    assert!(files.len() > 1, "all events are in one segment: {files:?}");
}

#[test]
fn a_wrong_order_of_calls_would_be_seen() {
    let call = |name: &str, on: &str, text: &str, failed| Call {
        name: name.to_owned(),
        on: on.to_owned(),
        text: text.to_owned(),
        failed,
        injected: false,
    };
    let write = || call("pwrite64", "4<a.seg>", "marker-1.", false);
    let sync = |failed| call("fdatasync", "4<a.seg>", "", failed);
    let ack = || call("write", "1<pipe>", r#"{\"stream\":\"s\",\"version\":1,\"position\":1}"#, false);
    assert_eq!(check_order(&[write(), sync(false), ack()], 0), Ok(1));
    let wrong = [
        vec![ack()],
        vec![write(), ack()],
        vec![sync(false), write(), ack()],
        vec![write(), ack(), sync(false)],
        vec![write(), sync(true), ack()],
        vec![write(), sync(true), sync(false), ack()],
        vec![write(), call("fdatasync", "5<b.seg>", "", false), ack()],
    ];
    for calls in wrong {
        assert!(check_order(&calls, 0).is_err(), "{calls:?} went through");
    }
}
