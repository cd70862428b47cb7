//! Appends: conditions, limits, all or nothing.

use super::suite::{Suite, event, exact, kind_of, typed};
use crate::{
    error::{Action, Error},
    event::{InvalidInput, NewEvent, Timestamp},
    event_store::{ReadAll, StreamAppend},
    limits,
    version::{ExpectedVersion, Version},
};

/// What was acknowledged is there for everyone, as it was given.
pub fn an_acknowledged_append_is_visible_at_once_with_everything_it_had(suite: &Suite) {
    let stream = suite.stream("order", "1");
    let time = Timestamp::from_micros(1_323_434_999_123_456);
    let whole = event("{\"total\": 59.98}").with_timestamp(time).with_metadata("{\"by\":\"me\"}");
    let bare = NewEvent::new(kind_of("Seen"), vec![0u8, 255, 10]);
    let before = Timestamp::now();
    let appended = suite.append(&stream, ExpectedVersion::NoStream, &[whole.clone(), bare.clone()]).expect("an append");
    let after = Timestamp::now();
    assert_eq!((appended.first_version, appended.version), (Version::FIRST, Version::new(2)));
    assert_eq!(suite.version(&stream), Version::new(2));
    assert!(suite.last_position() >= appended.position);

    let events = suite.events(&stream);
    assert_eq!(events.len(), 2);
    for (number, (stored, given)) in events.iter().zip([&whole, &bare]).enumerate() {
        assert_eq!((stored.stream(), stored.version()), (stream.clone(), Version::new(number as u64 + 1)));
        assert_eq!((stored.id(), stored.event_type()), (given.id, given.event_type.clone()));
        assert_eq!((stored.payload(), stored.metadata()), (given.payload.clone(), given.metadata.clone()));
    }
    assert_eq!(events[0].timestamp(), time);
    // The clock of a server may differ, though not by a day.
    let day = 86_400_000_000;
    let recorded = events[1].timestamp().as_micros();
    assert!((before.as_micros() - day..=after.as_micros() + day).contains(&recorded), "{recorded}");
    assert!(events[0].position() < events[1].position());
    assert_eq!(events[1].position(), appended.position);
}

/// Each condition accepts what it names, and nothing else.
pub fn a_condition_that_is_not_met_is_refused_with_both_versions_and_stores_nothing(suite: &Suite) {
    let stream = suite.stream("condition", "1");
    let refused = |wanted: ExpectedVersion, at: u64| {
        let error = suite.append(&stream, wanted, &[event("no")]).expect_err("a condition that is not met");
        assert_eq!(error.action(), Action::DecideAgain);
        match error {
            Error::WrongExpectedVersion { stream: of, expected, actual } => {
                assert_eq!((of, expected, actual), (stream.clone(), wanted, Version::new(at)));
            }
            other => panic!("{other}"),
        }
        assert_eq!(suite.version(&stream), Version::new(at));
    };
    let accepted = |wanted: ExpectedVersion, at: u64| {
        let appended = suite.append(&stream, wanted, &[event("yes")]).expect("a condition that is met");
        assert_eq!((appended.first_version, appended.version), (Version::new(at), Version::new(at)));
    };
    refused(ExpectedVersion::StreamExists, 0);
    refused(exact(1), 0);
    accepted(exact(0), 1);
    for wanted in [ExpectedVersion::NoStream, exact(0), exact(2), ExpectedVersion::Exact(Version::MAX)] {
        refused(wanted, 1);
    }
    accepted(ExpectedVersion::StreamExists, 2);
    accepted(exact(2), 3);
    accepted(ExpectedVersion::Any, 4);
    assert_eq!(suite.events(&stream).len(), 4);
    let other = suite.stream("condition", "2");
    suite.append(&other, ExpectedVersion::NoStream, &[event("yes")]).expect("a stream that does not exist");
}

/// Input that breaks a rule is an error of its own kind.
pub fn input_that_breaks_a_rule_is_refused_and_stores_nothing(suite: &Suite) {
    let stream = suite.stream("limit", "1");
    let too_large = NewEvent::new(kind_of("T"), vec![0; limits::EVENT_BYTES]);
    let out_of_time = event("").with_timestamp(Timestamp::from_micros(i64::MAX));
    for events in [vec![], vec![event("good"), too_large], vec![event("good"), out_of_time]] {
        let error = suite.append(&stream, ExpectedVersion::Any, &events).expect_err("input that breaks a rule");
        assert!(matches!(error, Error::Invalid(_)) && error.action() == Action::FixInput, "{error}");
    }
    assert_eq!(suite.version(&stream), Version::NONE);
}

/// Of an append to several streams either everything is stored or nothing, in the order given.
pub fn an_append_to_several_streams_is_all_or_nothing_and_in_the_order_given(suite: &Suite) {
    if suite.capabilities().append_streams < 2 {
        return;
    }
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|id| suite.stream("several", id));
    let to = |stream: &_, expected, payloads: &[&str]| {
        StreamAppend::new(Clone::clone(stream), expected, payloads.iter().map(|payload| event(payload)).collect())
    };
    let both = [to(&a, exact(0), &["a1", "a2"]), to(&b, ExpectedVersion::Any, &["b1"])];
    let answers = suite.append_streams(&both).expect("conditions that are met");
    assert_eq!(answers.iter().map(|answer| answer.version.get()).collect::<Vec<_>>(), [2, 1]);
    let first = suite.events(&a)[0].position();
    let mut piece = suite.read_all(ReadAll::after(first.previous()).before(answers[1].position.next()));
    if !suite.capabilities().dense_positions {
        // Those of others may lie between them.
        piece.retain(|event| event.is_of_category(&suite.category("several")));
    }
    assert_eq!(piece.iter().map(|event| event.payload()).collect::<Vec<_>>(), ["a1", "a2", "b1"]);

    match suite.append_streams(&[to(&b, exact(1), &["x"]), to(&a, exact(1), &["x"])]) {
        Err(Error::WrongExpectedVersion { stream, expected, actual }) => {
            assert_eq!((stream, expected, actual), (a.clone(), exact(1), Version::new(2)));
        }
        other => panic!("{other:?}"),
    }
    let twice = suite.append_streams(&[to(&c, exact(0), &["1"]), to(&c, exact(1), &["2"])]);
    assert!(matches!(twice, Err(Error::Invalid(InvalidInput::StreamTwice { .. }))), "{twice:?}");
    let halfway = suite.append_streams(&[to(&c, exact(0), &["1"]), to(&d, exact(0), &[])]);
    assert!(matches!(halfway, Err(Error::Invalid(InvalidInput::NoEvents))), "{halfway:?}");
    let none = suite.append_streams(&[]);
    assert!(matches!(none, Err(Error::Invalid(InvalidInput::NoEvents))), "{none:?}");

    let payloads = |stream| suite.events(stream).iter().map(|event| event.payload()).collect::<Vec<_>>();
    assert_eq!((payloads(&a), payloads(&b)), (vec!["a1".into(), "a2".into()], vec!["b1".into()]));
    assert_eq!((suite.version(&c), suite.version(&d)), (Version::NONE, Version::NONE));
    // Types are the streams' own: the same type in both is no matter.
    suite
        .append_streams(&[
            StreamAppend::new(c.clone(), exact(0), vec![typed("T", "")]),
            StreamAppend::new(d.clone(), ExpectedVersion::NoStream, vec![typed("T", "")]),
        ])
        .expect("two new streams");
}
