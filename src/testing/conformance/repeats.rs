//! Appends that are sent again, because their answer was not heard.

use super::suite::{Suite, event, exact, kind_of};
use crate::{
    error::{Error, Result},
    event::{InvalidInput, NewEvent},
    event_store::{Appended, StreamAppend},
    limits,
    version::{ExpectedVersion, Version},
};

/// Refused, because an event of it has the id of this one, which is at this version.
#[track_caller]
fn assert_duplicate(result: Result<Appended>, of: &NewEvent, at: u64) {
    match result {
        Err(Error::DuplicateEventId { id, version, .. }) => assert_eq!((id, version), (of.id, Version::new(at))),
        other => panic!("{other:?}"),
    }
}

/// Whatever was expected, and whatever came since.
pub fn the_same_append_again_gets_the_first_answer_and_stores_nothing(suite: &Suite) {
    for (number, expected) in
        [ExpectedVersion::NoStream, exact(0), ExpectedVersion::Any, ExpectedVersion::StreamExists, exact(1)]
            .into_iter()
            .enumerate()
    {
        let stream = suite.stream("repeat", &number.to_string());
        if matches!(expected, ExpectedVersion::StreamExists) || expected == exact(1) {
            suite.append(&stream, ExpectedVersion::Any, &[event("0")]).expect("an append");
        }
        let pair = [event("1"), event("2")];
        let first = suite.append(&stream, expected, &pair).expect("an append");
        assert_eq!(suite.append(&stream, expected, &pair).expect("the same at once"), first);
        suite.append(&stream, ExpectedVersion::Any, &[event("3")]).expect("an append");
        let before = suite.version(&stream);
        for expected in [expected, expected, ExpectedVersion::Any] {
            assert_eq!(suite.append(&stream, expected, &pair).expect("the same again"), first, "{expected}");
        }
        assert_eq!(suite.version(&stream), before);
    }
}

/// It is another append if anything differs.
pub fn an_id_that_is_taken_by_another_event_is_refused(suite: &Suite) {
    let stream = suite.stream("taken", "1");
    let (one, two) = (event("1"), event("2"));
    let append = |expected: ExpectedVersion, events: &[NewEvent]| suite.append(&stream, expected, events);
    append(ExpectedVersion::NoStream, &[one.clone(), two.clone()]).expect("an append");
    let changed = NewEvent { payload: "else".into(), ..one.clone() };
    let retyped = NewEvent { event_type: kind_of("Other"), ..one.clone() };
    let remembered = one.clone().with_metadata("{}");
    for other in [&changed, &retyped, &remembered] {
        for expected in [ExpectedVersion::Any, ExpectedVersion::NoStream] {
            assert_duplicate(append(expected, &[other.clone(), two.clone()]), &one, 1);
        }
    }
    for expected in [ExpectedVersion::Any, exact(1)] {
        assert_duplicate(append(expected, &[two.clone(), event("3")]), &two, 2);
    }
    assert_duplicate(append(ExpectedVersion::Any, &[event("0"), two.clone()]), &two, 2);
    assert_duplicate(append(ExpectedVersion::NoStream, &[one.clone(), event("x")]), &one, 1);
    let refused = append(ExpectedVersion::NoStream, &[event("x")]);
    assert!(matches!(refused, Err(Error::WrongExpectedVersion { actual, .. }) if actual == Version::new(2)));
    assert_eq!(suite.version(&stream), Version::new(2));
    // Ids count in their stream.
    suite.append(&suite.stream("taken", "2"), ExpectedVersion::Any, &[one]).expect("another stream");
}

/// Whether the two events differ or not.
pub fn an_id_twice_in_one_append_is_refused(suite: &Suite) {
    let stream = suite.stream("twice", "1");
    let one = event("1");
    let other = NewEvent { payload: "else".into(), ..one.clone() };
    for twice in [[one.clone(), one.clone()], [one.clone(), other]] {
        let refused = suite.append(&stream, ExpectedVersion::Any, &twice);
        assert!(
            matches!(&refused, Err(Error::Invalid(InvalidInput::IdTwice { id, .. })) if *id == one.id),
            "{refused:?}"
        );
    }
    suite.append(&stream, ExpectedVersion::NoStream, &[event("2"), one]).expect("two ids");
}

/// How far back a repetition is recognised.
pub fn without_a_version_the_newest_thousand_ids_count_and_with_one_those_behind_it_for_ever(suite: &Suite) {
    let stream = suite.stream("recent", "1");
    let many: Vec<_> = (0..=limits::RECENT_EVENTS).map(|number| event(&number.to_string())).collect();
    let first = many.len().min(suite.capabilities().append_events);
    suite.append(&stream, ExpectedVersion::NoStream, &many[..first]).expect("an append");
    for rest in many[first..].chunks(first) {
        suite.append(&stream, ExpectedVersion::Any, rest).expect("an append");
    }
    let again = suite.append(&stream, ExpectedVersion::Any, &many[1..2]).expect("a repetition");
    assert_eq!(again.version, Version::new(2));
    assert_eq!(suite.append(&stream, exact(0), &many[..1]).expect("a repetition").version, Version::FIRST);
    assert_eq!(suite.version(&stream).get() as usize, many.len());
}

/// The one event that is looked at leads to the others.
pub fn a_long_append_of_which_only_the_end_is_new_enough_is_recognised_whole(suite: &Suite) {
    let stream = suite.stream("long", "1");
    let length = suite.capabilities().append_events.min(limits::RECENT_EVENTS + 50);
    let many: Vec<_> = (0..length).map(|number| event(&number.to_string())).collect();
    suite.append(&stream, ExpectedVersion::Any, &[event("before")]).expect("an append");
    let first = suite.append(&stream, ExpectedVersion::Any, &many).expect("an append");
    assert_eq!(suite.append(&stream, ExpectedVersion::Any, &many).expect("a repetition"), first);
    // The newer half of it is among the newest.
    suite.grow(&stream, "T", limits::RECENT_EVENTS - length / 2);
    assert_eq!(suite.append(&stream, ExpectedVersion::StreamExists, &many).expect("a repetition"), first);
    let mut changed = many;
    changed[0].payload = "else".into();
    let refused = suite.append(&stream, ExpectedVersion::Any, &changed);
    assert!(matches!(refused, Err(Error::DuplicateEventId { .. })), "{refused:?}");
}

/// A part that is known and a part that is not make another append.
pub fn repeated_appends_to_several_streams_are_recognised_as_a_whole_or_refused(suite: &Suite) {
    if suite.capabilities().append_streams < 2 {
        return;
    }
    let [a, b, c] = ["a", "b", "c"].map(|id| suite.stream("repeats", id));
    let known = event("known");
    let to = |stream: &_, event: &NewEvent| {
        StreamAppend::new(Clone::clone(stream), ExpectedVersion::Any, vec![event.clone()])
    };
    suite.append(&b, ExpectedVersion::Any, &[event("0")]).expect("an append");
    let both = [to(&a, &event("1")), to(&b, &known)];
    let answers = suite.append_streams(&both).expect("an append");
    assert_eq!(suite.append_streams(&both).expect("a repetition"), answers);
    match suite.append_streams(&[to(&c, &event("new")), to(&b, &known)]) {
        Err(Error::DuplicateEventId { stream, id, version }) => {
            assert_eq!((stream, id, version), (b.clone(), known.id, Version::new(2)));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!([&a, &b, &c].map(|stream| suite.version(stream).get()), [1, 2, 0]);
}
