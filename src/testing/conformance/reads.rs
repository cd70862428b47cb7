//! Reads, of a stream and of the log.

use super::suite::{Suite, event, kind_of, typed};
use crate::{
    event::{RecordedEvent, Timestamp},
    event_store::{ReadAll, ReadStream},
    version::{ExpectedVersion, Position, Version},
};

/// It is no error to ask for it.
pub fn a_stream_without_events_reads_as_empty_and_is_at_version_0(suite: &Suite) {
    let stream = suite.stream("nothing", "1");
    assert_eq!(suite.version(&stream), Version::NONE);
    assert_eq!(suite.events(&stream), []);
    assert_eq!(suite.read(ReadStream::new(&stream).backwards()), []);
    assert_eq!(suite.read_all(ReadAll::after(Position::START).stream(stream)), []);
    assert_eq!(suite.read_all(ReadAll::after(Position::START).category(suite.category("nothing"))), []);
}

/// Both bounds are included.
pub fn a_stream_is_read_between_versions_in_both_directions_up_to_a_limit(suite: &Suite) {
    let (stream, other) = (suite.stream("read", "1"), suite.stream("read", "2"));
    for _ in 0..10 {
        suite.grow(&stream, "T", 4);
        suite.grow(&other, "T", 1);
    }
    let versions = |read: ReadStream| -> Vec<u64> {
        let events = suite.read(read);
        assert!(events.iter().all(|event| event.stream() == stream));
        events.iter().map(|event| event.version().get()).collect()
    };
    let (all, at) = (ReadStream::new(&stream), Version::new);
    let backwards = all.clone().backwards();
    assert_eq!(versions(all.clone()), (1..=40).collect::<Vec<_>>());
    assert_eq!(versions(backwards.clone()), (1..=40).rev().collect::<Vec<_>>());
    assert_eq!(versions(all.clone().from(at(39))), [39, 40]);
    assert_eq!(versions(all.clone().from(Version::NONE).to(at(2))), [1, 2]);
    assert_eq!(versions(all.clone().from(at(30)).to(at(70)).limit(2)), [30, 31]);
    assert_eq!(versions(backwards.clone().from(at(30)).to(at(70)).limit(2)), [40, 39]);
    assert_eq!(versions(backwards.clone().from(at(3)).to(at(5))), [5, 4, 3]);
    for none in
        [all.clone().from(at(41)), all.clone().from(at(5)).to(at(4)), all.clone().limit(0), backwards.to(Version::NONE)]
    {
        assert_eq!(versions(none), [0; 0]);
    }
    assert_eq!(versions(all.from(Version::MAX)), [0; 0]);
}

/// However few events an answer has: the end is an empty one.
pub fn a_long_stream_is_read_page_by_page_without_a_gap(suite: &Suite) {
    let stream = suite.stream("pages", "1");
    for _ in 0..3 {
        suite.grow(&stream, "T", 2000);
    }
    let large = "x".repeat((1 << 20).min(suite.capabilities().event_bytes / 2));
    for _ in 0..6 {
        suite.append(&stream, ExpectedVersion::Any, &[event(&large)]).expect("an append");
    }
    let forwards: Vec<_> = suite.events(&stream).iter().map(|event| event.version().get()).collect();
    assert_eq!(forwards, (1..=6006).collect::<Vec<_>>());
    let backwards = suite.read(ReadStream::new(&stream).backwards());
    assert!(backwards.iter().map(|event| event.version().get()).eq((1..=6006).rev()));
    let of_log = suite.read_all(ReadAll::after(Position::START).category(suite.category("pages")));
    assert!(of_log.iter().map(|event| event.version().get()).eq(1..=6006));
}

/// Both bounds are excluded.
pub fn the_log_is_read_between_positions_in_both_directions_up_to_a_limit(suite: &Suite) {
    let category = suite.category("log");
    let before = suite.last_position();
    let ends: Vec<Position> =
        (0..30).map(|number| suite.grow(&suite.stream("log", &(number % 4).to_string()), "T", 1)).collect();
    assert!(ends.windows(2).all(|pair| pair[0] < pair[1]), "positions grow: {ends:?}");
    let positions = |read: ReadAll| -> Vec<Position> {
        suite.read_all(read.category(category.clone())).iter().map(RecordedEvent::position).collect()
    };
    let all = ReadAll::after(Position::START);
    let reversed: Vec<_> = ends.iter().rev().copied().collect();
    assert_eq!(positions(all.clone()), ends);
    assert_eq!(positions(ReadAll::after(before)), ends);
    assert_eq!(positions(all.clone().backwards()), reversed);
    assert_eq!(positions(ReadAll::after(ends[9])), ends[10..]);
    assert_eq!(positions(ReadAll::after(ends[9]).before(ends[12])), ends[10..12]);
    assert_eq!(positions(ReadAll::after(ends[9]).before(ends[12]).backwards()), [ends[11], ends[10]]);
    assert_eq!(positions(ReadAll::after(ends[9]).limit(2)), ends[10..12]);
    assert_eq!(positions(all.clone().backwards().limit(2)), reversed[..2]);
    for none in [
        ReadAll::after(ends[29]),
        ReadAll::after(Position::MAX),
        all.clone().limit(0),
        ReadAll::after(ends[3]).before(ends[4]),
    ] {
        assert_eq!(positions(none), []);
    }
    // The log itself, whatever else is in it.
    let log = suite.read_all(ReadAll::after(before).before(ends[29].next()));
    assert!(log.windows(2).all(|pair| pair[0].position() < pair[1].position()));
    assert!(ends.iter().all(|end| log.iter().any(|event| event.position() == *end)));
}

/// Each by itself, and all together.
pub fn the_log_is_read_by_stream_category_type_and_time(suite: &Suite) {
    let (category, longer) = (suite.category("narrow"), format!("{}x", suite.category("narrow")));
    let streams = [format!("{category}-1"), format!("{category}-2-3"), category.clone(), format!("{longer}-1")];
    let streams = streams.map(|name| name.parse().expect("a name of letters"));
    let kinds = ["Made", "Paid", "Sent"];
    let mut before = None;
    for second in 0..24u64 {
        let time = Timestamp::from_micros(second as i64 * 1_000_000);
        let event = typed(kinds[second as usize % 3], "x").with_timestamp(time);
        let stream = &streams[second as usize / 3 % 4];
        let appended = suite.append(stream, ExpectedVersion::Any, &[event]).expect("an append");
        before.get_or_insert(appended.position.previous());
    }
    let all = ReadAll::after(before.unwrap_or_default());
    let everything: Vec<_> =
        suite.read_all(all.clone()).into_iter().filter(|event| streams.contains(&event.stream())).collect();
    assert_eq!(everything.len(), 24);
    let time = Timestamp::from_micros(10_000_000);
    let by_category = all.clone().category(category.clone());
    for (read, count) in [
        (by_category.clone(), 18),
        (all.clone().category(longer), 6),
        (all.clone().stream(streams[0].clone()), 6),
        (by_category.clone().stream(streams[3].clone()), 0),
        (by_category.clone().event_type(kind_of("Paid")), 6),
        (by_category.clone().event_type(kind_of("Paid")).event_type(kind_of("Sent")), 12),
        (by_category.clone().event_type(kind_of("Paid")).event_type(kind_of("Paid")), 6),
        (by_category.clone().event_type(kind_of("Lost")), 0),
        (all.clone().stream(streams[0].clone()).event_type(kind_of("Made")).since(time), 1),
        (by_category.clone().since(time), 9),
        // No stream has such a category: a category ends before the first `-`.
        (all.clone().category(format!("{category}-2")), 0),
    ] {
        let wanted: Vec<_> = everything.iter().filter(|event| read.wants(event)).cloned().collect();
        assert_eq!(wanted.len(), count, "{read:?}");
        assert!(suite.read_all(read.clone()) == wanted, "{read:?}");
        let mut backwards = suite.read_all(read.clone().backwards());
        backwards.reverse();
        assert!(backwards == wanted, "backwards: {read:?}");
        let limited = suite.read_all(read.clone().limit(3));
        assert!(limited == wanted[..wanted.len().min(3)], "limited: {read:?}");
    }
}
