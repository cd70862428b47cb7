//! What a store states about itself: it does what it claims, and refuses what it does not.

use super::suite::{Suite, event, exact, kind_of};
use crate::{
    codec::CodecId,
    error::{Action, Error},
    event::{InvalidInput, NewEvent, RecordedEvent, StreamName},
    event_store::{Capabilities, ReadAll, ReadStream, Snapshot, StreamAppend},
    version::{ExpectedVersion, Position, Version},
};

/// What the trait allows is the most, and whoever has asked may rely on the answer.
pub fn a_store_claims_no_more_than_there_is_and_always_the_same(suite: &Suite) {
    let (own, most) = (suite.capabilities(), Capabilities::full());
    for (what, claimed, most) in [
        ("streams in an append", own.append_streams, most.append_streams),
        ("events in an append", own.append_events, most.append_events),
        ("bytes of an append", own.append_bytes, most.append_bytes),
        ("bytes of an event", own.event_bytes, most.event_bytes),
        ("bytes of a snapshot", own.snapshot_bytes, most.snapshot_bytes),
        ("bytes of a stream name", own.stream_name_bytes, most.stream_name_bytes),
    ] {
        assert!((1..=most).contains(&claimed), "{claimed} {what}: from 1 to {most} can be claimed");
    }
    suite.grow(&suite.stream("claims", "1"), "T", 3);
    assert_eq!(suite.capabilities(), own);
}

/// Whoever counts events by their positions relies on it.
pub fn positions_have_no_gaps_where_the_store_claims_it(suite: &Suite) {
    if !suite.capabilities().dense_positions {
        return;
    }
    let before = suite.last_position();
    for round in 0..10 {
        let stream = suite.stream("gapless", &(round % 3).to_string());
        suite.append(&stream, ExpectedVersion::Any, &[event("1"), event("2")]).expect("an append");
        suite.append(&stream, exact(0), &[event("no")]).expect_err("a condition that is not met");
    }
    let last = suite.last_position();
    // Others may write meanwhile: their events have their places, too.
    let log = suite.read_all(ReadAll::after(before).before(last.next()));
    let positions: Vec<u64> = log.iter().map(|event| event.position().get()).collect();
    assert_eq!(positions, (before.get() + 1..=last.get()).collect::<Vec<_>>());
    let own = log.iter().filter(|event| event.is_of_category(&suite.category("gapless")));
    let own: Vec<_> = own.map(|event| event.position()).collect();
    assert_eq!(own.len(), 20);
    assert!(own.chunks(2).all(|pair| pair[1] == pair[0].next()), "the events of one append lie apart: {own:?}");
    if before == Position::START {
        assert_eq!(positions[0], Position::FIRST.get());
    }
}

/// As many as the store claims, and no more.
pub fn an_append_has_as_many_streams_as_the_store_claims_and_is_refused_beyond(suite: &Suite) {
    let own = suite.capabilities();
    let to = |name: &str, count: usize| -> Vec<StreamAppend> {
        let stream = |number: usize| suite.stream(name, &number.to_string());
        (0..count).map(|number| StreamAppend::new(stream(number), exact(0), vec![event("x")])).collect()
    };
    let most = own.append_streams.min(own.append_events);
    let appended = suite.append_streams(&to("most", most)).expect("as many streams as there may be");
    assert!(appended.len() == most && appended.iter().all(|appended| appended.version == Version::FIRST));
    if own.append_streams >= own.append_events {
        return;
    }
    let refused = suite.append_streams(&to("beyond", own.append_streams + 1)).expect_err("one stream too many");
    assert_eq!(refused.action(), Action::FixInput, "{refused}");
    match own.append_streams {
        1 => assert!(matches!(refused, Error::Unsupported { .. }), "{refused}"),
        _ => assert!(matches!(refused, Error::Invalid(InvalidInput::TooLarge { .. })), "{refused}"),
    }
    assert!(suite.read_all(ReadAll::after(Position::START).category(suite.category("beyond"))).is_empty());
}

/// So much, and not a byte more.
pub fn what_is_beyond_the_stores_own_limits_is_refused_and_stores_nothing(suite: &Suite) {
    let (own, stream) = (suite.capabilities(), suite.stream("beyond", "1"));
    let many: Vec<_> = (0..=own.append_events).map(|_| event("")).collect();
    for events in [vec![sized(&stream, own.event_bytes + 1)], filling(&stream, &own, own.append_bytes + 1), many] {
        let refused = suite.append(&stream, ExpectedVersion::Any, &events).expect_err("more than there may be");
        assert!(matches!(refused, Error::Invalid(InvalidInput::TooLarge { .. })), "{refused}");
        assert_eq!(refused.action(), Action::FixInput);
    }
    assert_eq!(suite.version(&stream), Version::NONE);
    suite.grow(&stream, "T", 1);
    let state = vec![0; own.snapshot_bytes + 1];
    let large = Snapshot::new(&stream, Version::FIRST, CodecId::JSON, 1, state);
    let refused = suite.wait(suite.store().save_snapshot(large)).expect_err("a snapshot that is too large");
    assert!(matches!(refused, Error::Invalid(InvalidInput::TooLarge { .. })), "{refused}");
    // A longer name is none at all where the store takes all that there are.
    if own.stream_name_bytes < Capabilities::full().stream_name_bytes {
        let stream = named(suite, own.stream_name_bytes + 1);
        let refused = suite.append(&stream, ExpectedVersion::Any, &[event("x")]).expect_err("too long a name");
        assert!(matches!(refused, Error::Invalid(InvalidInput::TooLarge { .. })), "{refused}");
    }
}

/// A limit is what is allowed.
pub fn what_is_as_large_as_the_stores_own_limits_is_taken_and_comes_back(suite: &Suite) {
    let (own, stream) = (suite.capabilities(), suite.stream("large", "1"));
    let whole = sized(&stream, own.event_bytes);
    let (metadata, payload) = (whole.payload.slice(..own.event_bytes / 2), whole.payload.slice(own.event_bytes / 2..));
    let halved = NewEvent::new(kind_of("T"), payload).with_metadata(metadata);
    let most: Vec<_> = (0..own.append_events).map(|number| event(&number.to_string())).collect();
    let mut given = Vec::new();
    for events in [vec![whole], vec![halved], filling(&stream, &own, own.append_bytes), most] {
        suite.append(&stream, exact(given.len() as u64), &events).expect("as much as there may be");
        given.extend(events);
    }
    let mut read = ReadStream::new(&stream);
    for events in given.chunks(3) {
        let stored = suite.read(read.clone().limit(events.len()));
        read = read.from(stored[events.len() - 1].version().next());
        let same = |(stored, given): (&RecordedEvent, &NewEvent)| {
            stored.payload() == given.payload && stored.metadata() == given.metadata
        };
        assert!(stored.iter().zip(events).all(same), "not what was given");
    }
    let state = vec![7; own.snapshot_bytes];
    let largest = Snapshot::new(&stream, Version::FIRST, CodecId::JSON, 1, state);
    suite.wait(suite.store().save_snapshot(largest.clone())).expect("the largest snapshot");
    let loaded = suite.wait(suite.store().load_snapshot(&stream, Version::MAX)).expect("a look for snapshots");
    assert!(loaded.snapshot == Some(largest), "not what was saved");
    let longest = named(suite, own.stream_name_bytes);
    suite.grow(&longest, "T", 2);
    assert_eq!(suite.events(&longest).len(), 2);
}

/// Whatever a store does to them to keep them.
pub fn names_that_differ_are_different_streams_and_come_back_as_they_were(suite: &Suite) {
    let ids =
        ["a", "A", "a.", "a.*", "a.>", ">", "*", "a b", " a", "a ", "a%2E", "a=2E", "a/../b", "a\\b", "'\"`;", "$x"];
    let more = ["å", "a\u{30a}", "주문", "-", "--", "a-", "a_b", "a%b", "😀"];
    let streams: Vec<StreamName> = ids.iter().chain(&more).map(|id| suite.stream("name", id)).collect();
    for (number, stream) in streams.iter().enumerate() {
        suite.append(stream, ExpectedVersion::NoStream, &[event(&number.to_string())]).expect("a stream of its own");
    }
    let log = suite.read_all(ReadAll::after(Position::START).category(suite.category("name")));
    assert!(log.iter().map(|event| event.stream()).eq(streams.iter().cloned()));
    for (number, stream) in streams.iter().enumerate() {
        let events = suite.events(stream);
        assert!(events.len() == 1 && events[0].stream() == *stream, "{stream}");
        assert_eq!(events[0].payload(), number.to_string());
    }
}

/// An event of so many bytes in this stream.
fn sized(stream: &StreamName, bytes: usize) -> NewEvent {
    let around = stream.as_str().len() + "T".len();
    NewEvent::new(kind_of("T"), vec![7; bytes - around])
}

/// As few events as have so many bytes together.
fn filling(stream: &StreamName, own: &Capabilities, bytes: usize) -> Vec<NewEvent> {
    let count = bytes.div_ceil(own.event_bytes);
    assert!(count <= own.append_events, "the claimed bytes of an append cannot be reached by the claimed events");
    (0..count).map(|number| sized(stream, bytes / count + usize::from(number < bytes % count))).collect()
}

/// A stream whose name has so many bytes, of what is harder to keep than letters.
fn named(suite: &Suite, bytes: usize) -> StreamName {
    let name = suite.stream("long", "").to_string();
    let rest = ". *>%".chars().cycle().take(bytes - name.len()).collect::<String>();
    StreamName::new(name + &rest).expect("a name without control characters")
}
