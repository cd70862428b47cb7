//! The model above the store: a command to its acknowledgement, and loading an aggregate from its snapshot.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use criterion::Criterion;
use factlog::{
    EventId, EventStore, ExpectedVersion, NewEvent, Options, ReadStream, Store, StreamName, Version, block_on,
    model::{
        Aggregate, AggregateCommand, AggregateRoot, CommandBus, DomainEvent, Logging, Metadata, Repository, Retry,
        Snapshots, Validation,
    },
};
use serde::{Deserialize, Serialize};

use crate::support::{
    case::{Case, Role, Run},
    data::{EVENTS_IN_STREAM, PAYLOAD_BYTES, grown},
    figure::{Figure, Target},
    place::place,
    writers::alone,
};

const GROUP: &str = "model";
/// Entries that the state keeps, some 4 KiB as JSON.
const ENTRIES: usize = 64;

pub const CASES: [(&str, Run); 2] =
    [("command to acknowledged", command), ("load 1,000 events, snapshot at 990", load)];

#[derive(Serialize, Deserialize)]
enum NoteEvent {
    Noted { number: u64, text: String },
}

impl DomainEvent for NoteEvent {}

/// Keeps the last notes, without most of their text.
#[derive(Default, Serialize, Deserialize)]
struct Notes {
    count: u64,
    last: Vec<(u64, String)>,
}

impl Aggregate for Notes {
    type Event = NoteEvent;

    const CATEGORY: &'static str = "notes";

    fn apply(&mut self, event: &NoteEvent) {
        let NoteEvent::Noted { number, text } = event;
        self.count += 1;
        if self.last.len() == ENTRIES {
            self.last.remove(0);
        }
        self.last.push((*number, text.chars().take(50).collect()));
    }

    fn snapshots() -> Option<Snapshots<Notes>> {
        Some(Snapshots::of_version(1))
    }
}

struct Note {
    id: String,
    number: u64,
}

impl Note {
    /// The commands of one stream after the other, ten each.
    fn nth(number: u64) -> Note {
        Note { id: (number / EVENTS_IN_STREAM).to_string(), number: number % EVENTS_IN_STREAM }
    }

    fn event(number: u64) -> NoteEvent {
        NoteEvent::Noted { number, text: "x".repeat(PAYLOAD_BYTES) }
    }
}

impl AggregateCommand for Note {
    type Aggregate = Notes;
    type Refusal = Infallible;

    fn aggregate_id(&self) -> &str {
        &self.id
    }

    fn creates(&self) -> bool {
        self.number == 0
    }

    fn decide(&self, _: &Notes) -> Result<Vec<NoteEvent>, Infallible> {
        Ok(vec![Note::event(self.number)])
    }
}

/// Through the bus with all its middleware, against appending the same bytes to the store.
fn command(criterion: &mut Criterion) -> Figure {
    let place = place();
    let store = grown(Options::new(), &place.path().join("factlog"));
    let bare = grown(Options::new(), &place.path().join("bare"));
    let bus = CommandBus::new().with(Logging).with(Validation).with(Retry::default());
    let bus = bus.register::<Note, _>(Repository::<Notes>::new(Arc::new(store))).unwrap();
    let (mut commands, mut appends) = (0.., 0..);
    let event = Note::event(1).to_new_event().unwrap();
    let metadata = Bytes::from(serde_json::to_vec(&Metadata::begin()).unwrap());
    Case::time(GROUP, "command to acknowledged")
        .target(Target::AtMost(1.1))
        .rounds(60, 25)
        .contestant(Role::Factlog, "factlog", |time| {
            alone(time, || _ = block_on(bus.dispatch(Note::nth(commands.next().unwrap()))).unwrap())
        })
        .contestant(Role::Limit, "bare append", |time| {
            alone(time, || {
                let Note { id, number } = Note::nth(appends.next().unwrap());
                append(&bare, &id, number, &event, &metadata);
            })
        })
        .run(criterion)
}

fn append(store: &Store, id: &str, number: u64, event: &NewEvent, metadata: &Bytes) {
    let event = event.clone().with_id(EventId::generate()).with_metadata(metadata.clone());
    let expected = ExpectedVersion::Exact(Version::new(number));
    store.append(&Notes::stream(id).unwrap(), expected, vec![event]).unwrap();
}

/// Against reading the same snapshot and the same ten events from the store, and doing nothing with them.
fn load(criterion: &mut Criterion) -> Figure {
    let place = place();
    let store = grown(Options::new(), &place.path().join("factlog"));
    let notes = Repository::<Notes>::new(Arc::new(store.clone())).snapshot_every(990);
    let mut root = AggregateRoot::new("1").unwrap();
    for numbers in [0..990, 990..1000] {
        numbers.for_each(|number| root.record(&Note::event(number)).unwrap());
        block_on(notes.save(&mut root, &Metadata::begin())).unwrap();
    }
    assert_eq!(block_on(notes.load("1")).unwrap().snapshot_version(), Version::new(990));
    let stream = Notes::stream("1").unwrap();
    Case::time(GROUP, "load 1,000 events, snapshot at 990")
        .target(Target::AtMost(3.0))
        .rounds(25, 30)
        .contestant(Role::Factlog, "factlog", |time| {
            alone(time, || assert_eq!(block_on(notes.load("1")).unwrap().state().count, 1000))
        })
        .contestant(Role::Limit, "snapshot + 10 events", |time| alone(time, || read(&store, &stream)))
        .run(criterion)
}

fn read(store: &dyn EventStore, stream: &StreamName) {
    let snapshot = block_on(store.load_snapshot(stream, Version::MAX)).unwrap().snapshot.unwrap();
    let read = ReadStream::new(stream).from(snapshot.version.next());
    assert_eq!(block_on(store.read_stream(read)).unwrap().len(), 10);
}
