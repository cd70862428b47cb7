//! What is done to the stores, and how it is chosen.

use factlog::{ExpectedVersion, Version};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};

use super::reference::Model;

/// Streams with names that could be mistaken for something else; behind them come any number of `many-<n>`.
const NAMED: &[&str] = &[
    "order-1",
    "order-2",
    "order-2-b",
    "order",
    "user-1",
    "user-22",
    "user",
    "audit",
    "-x",
    "a",
    "a-",
    "type-Paid",
    "주문-1",
    "주문",
];
const STREAMS: usize = 60;

pub const TYPES: &[&str] = &["Placed", "Paid", "Shipped", "order", "order-1", "Rare"];

/// Categories to ask for; some are no stream's.
const CATEGORIES: &[&str] =
    &["order", "user", "audit", "", "a", "many", "주문", "none", "order-1", "many-20", "$type-Paid", "$category-order"];

pub fn stream_name(stream: usize) -> String {
    NAMED.get(stream).map_or_else(|| format!("many-{stream}"), |name| (*name).to_owned())
}

pub fn category_of(name: &str) -> &str {
    name.find('-').map_or(name, |at| &name[..at])
}

/// An event to be appended.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    pub event_type: usize,
    pub payload: usize,
    pub metadata: usize,
    /// `None`: the moment of the append, which is later than any time that is given or asked for.
    pub time: Option<i64>,
}

impl Spec {
    /// The event at an index of several that are alike but for their times, which are in no order.
    pub fn nth(self, index: usize) -> Spec {
        Spec { time: self.time.map(|time| time + (index * 7 % 10) as i64), ..self }
    }
}

/// Events of one append: of each kind so many.
pub type Batch = [(usize, Spec)];

/// What goes to one of several streams.
pub type Part = (usize, ExpectedVersion, Vec<(usize, Spec)>);

/// Which events of a stream to read.
#[derive(Clone, Debug)]
pub struct StreamRead {
    pub stream: usize,
    pub from: u64,
    pub to: u64,
    pub limit: usize,
    pub backwards: bool,
}

/// Which events of the log to read.
#[derive(Clone, Debug)]
pub struct AllRead {
    pub after: u64,
    pub before: u64,
    pub limit: usize,
    pub backwards: bool,
    pub types: Vec<usize>,
    pub category: Option<&'static str>,
    pub since: Option<i64>,
}

impl AllRead {
    /// Everything.
    pub fn whole(backwards: bool) -> AllRead {
        let (after, before, limit) = (0, u64::MAX, usize::MAX);
        AllRead { after, before, limit, backwards, types: Vec::new(), category: None, since: None }
    }
}

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub first_segment_kib: u64,
    pub segment_kib: u64,
    /// Whether an append is acknowledged before it is synced.
    pub relaxed: bool,
}

/// The three ways to append.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    Append,
    /// Sequenced at once, waited for at the end of the operation.
    Submit,
    Task,
}

/// Which files of the index are lost.
#[derive(Clone, Copy, Debug)]
pub enum Lost {
    Nothing,
    All,
    /// The file at this place, counted around.
    One(usize),
    /// All but that one.
    AllButOne(usize),
    /// That one is cut to half its length.
    Half(usize),
}

#[derive(Clone, Debug)]
pub enum Operation {
    Append {
        stream: usize,
        expected: ExpectedVersion,
        batch: Vec<(usize, Spec)>,
        way: Way,
    },
    /// To several streams at once.
    AppendStreams(Vec<Part>),
    /// An append that was accepted is made once more.
    Repeat(Index),
    /// One event to each of so many neighbouring streams.
    Spread {
        first: usize,
        count: usize,
        spec: Spec,
        way: Way,
    },
    ReadStream(StreamRead),
    ReadAll(AllRead),
    /// Readers are made and give so many events, then comes more than a segment, then they give the rest.
    ReadWhileAppending {
        stream: StreamRead,
        all: AllRead,
        taken: usize,
        appends: Vec<(usize, Vec<(usize, Spec)>)>,
    },
    /// Versions, streams and numbers.
    Ask,
    Reopen(Setup, Lost),
    /// Goes on with a copy of the files that was made while the store was open.
    Crash(Setup, Lost),
    Verify,
}

fn stream() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..NAMED.len(), 1 => NAMED.len()..STREAMS]
}

fn event_type() -> impl Strategy<Value = usize> {
    // The last type is rare.
    prop_oneof![30 => 0..TYPES.len() - 1, 1 => Just(TYPES.len() - 1)]
}

/// Times jump by a thousand, so that there are long stretches of old events, and are in no order.
fn time() -> impl Strategy<Value = i64> {
    (0..6i64, 0..20i64).prop_map(|(thousands, rest)| thousands * 1000 + rest)
}

fn spec(payload: impl Strategy<Value = usize>) -> impl Strategy<Value = Spec> {
    let time = prop_oneof![12 => time().prop_map(Some), 1 => Just(None)];
    let metadata = prop_oneof![3 => Just(0), 1 => 1..200usize];
    (event_type(), payload, metadata, time).prop_map(|(event_type, payload, metadata, time)| Spec {
        event_type,
        payload,
        metadata,
        time,
    })
}

fn batch() -> impl Strategy<Value = Vec<(usize, Spec)>> {
    prop_oneof![
        5 => spec(0..400usize).prop_map(|spec| vec![(1, spec)]),
        2 => spec(400..4000usize).prop_map(|spec| vec![(1, spec)]),
        // Larger than most segments here.
        1 => spec(5_000..40_000usize).prop_map(|spec| vec![(1, spec)]),
        4 => vec((1..4usize, spec(0..300usize)), 1..6),
        // More than a block of postings, and more than a block of times.
        3 => (100..400usize, spec(0..20usize)).prop_map(|batch| vec![batch]),
    ]
}

/// A stream, and a condition that it often meets.
fn condition(state: &Model) -> impl Strategy<Value = (usize, ExpectedVersion)> + use<> {
    let versions: Vec<u64> = (0..STREAMS).map(|stream| state.version(stream)).collect();
    (stream(), 0..12u32, 0..6u64).prop_map(move |(stream, choice, near)| {
        let version = versions[stream];
        let expected = match choice {
            0..5 => ExpectedVersion::Any,
            5..8 => ExpectedVersion::Exact(Version::new(version)),
            8 => ExpectedVersion::NoStream,
            9 | 10 => ExpectedVersion::StreamExists,
            _ => ExpectedVersion::Exact(Version::new((version + near).saturating_sub(3))),
        };
        (stream, expected)
    })
}

fn append(state: &Model) -> impl Strategy<Value = Operation> + use<> {
    (condition(state), batch(), way()).prop_map(|((stream, expected), batch, way)| Operation::Append {
        stream,
        expected,
        batch,
        way,
    })
}

fn append_streams(state: &Model) -> impl Strategy<Value = Operation> + use<> {
    let few = vec((1..4usize, spec(0..300usize)), 1..3);
    vec((condition(state), few), 1..4).prop_map(|parts| {
        let mut parts: Vec<_> =
            parts.into_iter().map(|((stream, expected), batch)| (stream, expected, batch)).collect();
        parts.sort_by_key(|(stream, ..)| *stream);
        parts.dedup_by_key(|(stream, ..)| *stream);
        Operation::AppendStreams(parts)
    })
}

/// A number up to a little more than `most`, or the largest of all.
fn near(most: u64) -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0..=most + 2, 1 => Just(u64::MAX)]
}

fn limit() -> impl Strategy<Value = usize> {
    prop_oneof![3 => Just(usize::MAX), 2 => 0..10usize, 1 => 10..500usize]
}

fn stream_read(state: &Model) -> impl Strategy<Value = StreamRead> + use<> {
    let versions: Vec<u64> = (0..STREAMS).map(|stream| state.version(stream)).collect();
    let bounds = (any::<Index>(), any::<Index>(), 0..4u32);
    (stream(), bounds, limit(), any::<bool>()).prop_map(move |(stream, (one, other, open), limit, backwards)| {
        let most = versions[stream] as usize + 3;
        let from = if open & 1 == 0 { 0 } else { one.index(most) as u64 };
        let to = if open & 2 == 0 { u64::MAX } else { other.index(most) as u64 };
        StreamRead { stream, from, to, limit, backwards }
    })
}

fn all_read(state: &Model) -> impl Strategy<Value = AllRead> + use<> {
    let most = state.log.len() as u64;
    let after = prop_oneof![3 => Just(0), 2 => near(most)];
    let before = prop_oneof![3 => Just(u64::MAX), 2 => near(most)];
    let types = prop_oneof![2 => Just(Vec::new()), 3 => vec(0..TYPES.len(), 1..4)];
    let category = prop::option::of(select(CATEGORIES));
    let since = prop::option::of(prop_oneof![4 => time(), 1 => Just(i64::MIN), 1 => Just(100_000)]);
    (after, before, limit(), any::<bool>(), types, category, since).prop_map(
        |(after, before, limit, backwards, types, category, since)| AllRead {
            after,
            before,
            limit,
            backwards,
            types,
            category,
            since,
        },
    )
}

fn setup() -> impl Strategy<Value = Setup> {
    let relaxed = prop_oneof![3 => Just(false), 1 => Just(true)];
    (select(vec![8, 16]), select(vec![8, 8, 8, 16, 32]), relaxed)
        .prop_map(|(first_segment_kib, segment_kib, relaxed)| Setup { first_segment_kib, segment_kib, relaxed })
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![3 => Just(Way::Append), 1 => Just(Way::Submit), 1 => Just(Way::Task)]
}

fn lost() -> impl Strategy<Value = Lost> {
    prop_oneof![
        4 => Just(Lost::Nothing),
        2 => Just(Lost::All),
        2 => (0..20usize).prop_map(Lost::One),
        1 => (0..20usize).prop_map(Lost::AllButOne),
        1 => (0..20usize).prop_map(Lost::Half),
    ]
}

/// The next operation.
pub fn operation(state: &Model) -> BoxedStrategy<Operation> {
    let spread = (0..STREAMS - 40, 1..40usize, spec(0..600usize), way());
    let appends = vec((stream(), batch()), 1..6);
    let while_appending = (stream_read(state), all_read(state), 0..4usize, appends);
    prop_oneof![
        30 => append(state),
        4 => append_streams(state),
        6 => any::<Index>().prop_map(Operation::Repeat),
        12 => spread.prop_map(|(first, count, spec, way)| Operation::Spread { first, count, spec, way }),
        12 => stream_read(state).prop_map(Operation::ReadStream),
        24 => all_read(state).prop_map(Operation::ReadAll),
        5 => while_appending.prop_map(|(stream, all, taken, appends)| {
            Operation::ReadWhileAppending { stream, all, taken, appends }
        }),
        4 => Just(Operation::Ask),
        4 => (setup(), lost()).prop_map(|(setup, lost)| Operation::Reopen(setup, lost)),
        4 => (setup(), lost()).prop_map(|(setup, lost)| Operation::Crash(setup, lost)),
        2 => Just(Operation::Verify),
    ]
    .boxed()
}
