//! Reads of the embedded store that once gave something else than was asked for, each by itself.

#![allow(clippy::unwrap_used, clippy::panic)]

use factlog::{
    EventType, ExpectedVersion, NewEvent, Options, Position, ReadAll, ReadStream, Store, StreamName, Version,
};
use tempfile::TempDir;

fn name(text: &str) -> StreamName {
    StreamName::new(text).unwrap()
}

fn of_type(event_type: &str) -> EventType {
    EventType::new(event_type).unwrap()
}

fn append(store: &Store, stream: &str, event_type: &str, count: usize) {
    let events = (0..count).map(|_| NewEvent::new(of_type(event_type), vec![1; 50])).collect();
    store.append(&name(stream), ExpectedVersion::Any, events).unwrap();
}

/// The positions that a read gives, or the panic of its error.
fn positions(store: &Store, read: ReadAll) -> Vec<u64> {
    store.read_all(read).map(|event| event.unwrap().position().get()).collect()
}

#[test]
fn an_event_of_a_type_that_is_named_twice_comes_once() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for event_type in ["A", "B", "A"] {
        append(&store, "s-1", event_type, 1);
    }
    let twice = ReadAll::after(Position::START).event_type(of_type("A")).event_type(of_type("A"));
    assert_eq!(positions(&store, twice.clone()), [1, 3]);
    assert_eq!(positions(&store, twice.clone().backwards()), [3, 1]);
    assert_eq!(positions(&store, twice.category("s").limit(1)), [1]);
}

#[test]
fn a_category_that_no_stream_can_have_is_empty_and_no_error() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for stream in ["order-1", "order", "-x"] {
        append(&store, stream, "Placed", 1);
    }
    let of_category = |category: &str| positions(&store, ReadAll::after(Position::START).category(category));
    // Names of a stream, and of what the index keeps beside the streams.
    for none in ["order-1", "$type-Placed", "$category-order", "Placed", "a\nb"] {
        assert_eq!(of_category(none), [0; 0], "{none}");
    }
    assert_eq!(of_category("order"), [1, 2]);
    assert_eq!(of_category(""), [3]);
}

#[test]
fn a_reader_gives_only_what_was_durable_when_it_was_made_however_much_was_sealed_since() {
    let dir = TempDir::new().unwrap();
    let store = Options::new().first_segment_bytes(8 << 10).segment_bytes(8 << 10).open(dir.path()).unwrap();
    append(&store, "a-1", "A", 3);
    let (of_stream, streams) = (store.read_stream(ReadStream::new(&name("a-1"))), store.streams());
    let of_type = store.read_all(ReadAll::after(Position::START).event_type(of_type("A")));
    let mut begun = store.streams();
    let first = begun.next().unwrap().unwrap();
    // Until the index has all three in a run that holds later events too.
    let mut later = 0;
    while store.stats().index_runs == 0 {
        append(&store, "a-1", "A", 20);
        append(&store, &format!("b-{later}"), "A", 20);
        later += 1;
        assert!(later < 1000, "no run is ever written");
    }
    assert_eq!(of_stream.map(|event| event.unwrap().version().get()).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(of_type.map(|event| event.unwrap().position().get()).collect::<Vec<_>>(), [1, 2, 3]);
    let three = (name("a-1"), Version::new(3));
    assert_eq!(first, three);
    assert_eq!(begun.count(), 0);
    assert_eq!(streams.collect::<Result<Vec<_>, _>>().unwrap(), [three]);
}

#[test]
fn nothing_is_copied_out_of_the_segment_that_is_written_to_and_what_was_read_stays_as_it_was() {
    let dir = TempDir::new().unwrap();
    let store = Options::new().first_segment_bytes(128 << 10).segment_bytes(128 << 10).open(dir.path()).unwrap();
    let read = |from: u64| {
        let from = ReadStream::new(&name("a-1")).from(Version::new(from));
        store.read_stream(from).map(|event| event.unwrap()).collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    while store.stats().segments < 3 {
        (0..100).for_each(|_| append(&store, "a-1", "A", 1));
        all.extend(read(all.len() as u64 + 1));
        assert_eq!(all, read(1));
    }
    // Records of one size: in one map they lie as far apart as in the file, in buffers of their own anywhere.
    let at = |event: usize| all[event].payload_slice().as_ptr() as usize;
    let apart = at(1) - at(0);
    assert_eq!(at(99) - at(0), 99 * apart, "the first hundred were read when they were all there was");
    assert!(apart < 300, "{apart}");
}

#[test]
fn what_is_lent_is_what_is_given_away() {
    let dir = TempDir::new().unwrap();
    let store = Options::new().first_segment_bytes(8 << 10).segment_bytes(8 << 10).open(dir.path()).unwrap();
    for number in 0..200 {
        append(&store, &format!("s-{}", number % 3), if number % 2 == 0 { "A" } else { "B" }, 1);
    }
    let all = || ReadAll::after(Position::START);
    for read in [all(), all().backwards(), all().event_type(of_type("A")), all().category("s").limit(70)] {
        let mut lent = store.read_all(read.clone());
        for given in store.read_all(read) {
            let (given, lent) = (given.unwrap(), lent.lend().unwrap().unwrap());
            assert_eq!(&given, lent);
            assert_eq!(
                (lent.stream_str(), lent.event_type_str()),
                (given.stream().as_str(), given.event_type().as_str())
            );
            assert_eq!((lent.metadata_slice(), lent.payload_slice()), (&given.metadata()[..], &given.payload()[..]));
        }
        assert!(lent.lend().unwrap().is_none());
    }
    let (mut lent, given) = (store.read_stream(&name("s-1")), store.read_stream(&name("s-1")));
    assert_eq!(given.map(|given| assert_eq!(&given.unwrap(), lent.lend().unwrap().unwrap())).count(), 67);
    assert!(lent.lend().unwrap().is_none());
}
