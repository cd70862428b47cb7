//! Writers: each way to append, and what its answer must be.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, Waker},
    thread,
};

use factlog::{Appended, Error, ExpectedVersion, Store, Version, block_on};

use crate::{
    World,
    batch::{Batch, Rng, stream_name},
    ledger::Done,
};

/// Streams that everybody writes to.
const CONTENDED: u32 = 3;
/// Streams of the others begin here.
const OWN: u32 = 100;

/// An append, and its answer.
pub struct Sent {
    batch: Batch,
    expected: Vec<ExpectedVersion>,
    answers: Vec<Appended>,
}

#[derive(Clone, Copy)]
pub enum Kind {
    Contended,
    Pipeline,
    Async,
    SeveralStreams,
    Repeating,
}

pub const KINDS: [Kind; 6] =
    [Kind::Contended, Kind::Contended, Kind::Pipeline, Kind::Async, Kind::SeveralStreams, Kind::Repeating];

/// What a writer remembers from one opening of the store to the next.
pub struct Writer {
    pub kind: Kind,
    pub rng: Rng,
    pub sent: Vec<Sent>,
    own: u32,
}

static BATCHES: AtomicU64 = AtomicU64::new(1);

fn batch(parts: Vec<(u32, u16)>) -> Batch {
    Batch::new(BATCHES.fetch_add(1, Ordering::Relaxed), parts)
}

fn exact(version: Version) -> ExpectedVersion {
    ExpectedVersion::Exact(version)
}

impl Writer {
    pub fn new(kind: Kind, seed: u64, number: u32) -> Writer {
        Writer { kind, rng: Rng(seed), sent: Vec::new(), own: OWN + number * 10_000 }
    }

    pub fn run(&mut self, world: &World, store: &Store) {
        self.repeat_old(world, store);
        while world.is_going_on() {
            match self.kind {
                Kind::Contended => self.contend(world, store),
                Kind::Pipeline => self.pipeline(world, store),
                Kind::Async => self.tasks(world, store),
                Kind::SeveralStreams => self.several(world, store),
                Kind::Repeating => self.repeat(world, store),
            }
        }
    }

    fn count(&mut self) -> u16 {
        1 + if self.rng.one_in(20) { self.rng.below(40) } else { self.rng.below(4) } as u16
    }

    /// A stream that nobody else writes to, new now and then.
    fn own_stream(&mut self) -> u32 {
        let made = self.sent.len() as u64 / 20;
        self.own + self.rng.below(10 + made) as u32
    }

    /// Notes an answer; what it says must be there at once.
    fn answered(&mut self, world: &World, store: &Store, batch: Batch, expected: &[ExpectedVersion], got: &[Appended]) {
        for (expected, answer) in expected.iter().zip(got) {
            if let ExpectedVersion::Exact(version) = expected {
                assert_eq!(answer.first_version, version.next());
            }
        }
        world.ledger.acknowledge(&batch, got);
        let last = got[got.len() - 1];
        assert!(store.last_position() >= last.position, "acknowledged and not visible");
        let (stream, _) = batch.parts[batch.parts.len() - 1];
        assert!(store.stream_version(&stream_name(stream)).unwrap() >= last.version);
        world.counts.add(Done::Appends, 1);
        world.counts.add(Done::Events, u64::from(batch.len()));
        if self.sent.len() < 2000 {
            self.sent.push(Sent { batch, expected: expected.to_vec(), answers: got.to_vec() });
        }
    }

    /// A refusal names a version that is there.
    fn refused(world: &World, store: &Store, error: Error) {
        let Error::WrongExpectedVersion { stream, expected, actual } = error else { panic!("{error}") };
        assert_ne!(expected, exact(actual));
        let read = factlog::ReadStream::new(&stream).from(actual).to(actual);
        let event = store.read_stream(read).next().expect("the event that refused").unwrap();
        assert_eq!(event.version(), actual);
        world.ledger.observe(&event);
        world.counts.add(Done::Conflicts, 1);
    }

    fn contend(&mut self, world: &World, store: &Store) {
        let stream = self.rng.below(u64::from(CONTENDED)) as u32;
        let batch = batch(vec![(stream, self.count())]);
        loop {
            let expected = exact(store.stream_version(&stream_name(stream)).unwrap());
            match store.append(&stream_name(stream), expected, batch.events()) {
                Ok(answer) => return self.answered(world, store, batch, &[expected], &[answer]),
                Err(error) => Writer::refused(world, store, error),
            }
        }
    }

    /// Many appends, each on top of the one before, and one wait.
    fn pipeline(&mut self, world: &World, store: &Store) {
        let stream = self.own_stream();
        let mut expected = exact(store.stream_version(&stream_name(stream)).unwrap());
        let mut sent = Vec::new();
        for _ in 0..1 + self.rng.below(30) {
            let batch = batch(vec![(stream, self.count())]);
            let pending = store.submit(&stream_name(stream), expected, batch.events()).unwrap();
            sent.push((batch, expected, pending.appended()));
            expected = exact(pending.appended().version);
            if self.rng.one_in(10) {
                world.counts.add(Done::Dropped, 1);
                drop(pending);
            } else if self.rng.one_in(5) {
                assert_eq!(pending.wait().unwrap(), sent[sent.len() - 1].2);
            }
        }
        // Whether its answer was heard or not: the same again says that it is durable, and with it all before it.
        let (batch, expected, answer) = &sent[sent.len() - 1];
        assert_eq!(store.append(&stream_name(stream), *expected, batch.events()).unwrap(), *answer);
        for (batch, expected, answer) in sent {
            self.answered(world, store, batch, &[expected], &[answer]);
        }
    }

    /// Several tasks on one thread, some of which are given up after their first step.
    fn tasks(&mut self, world: &World, store: &Store) {
        let mut sent = Vec::new();
        let mut tasks: Vec<Pin<Box<dyn Future<Output = _> + Send>>> = Vec::new();
        for _ in 0..1 + self.rng.below(12) {
            let stream = if self.rng.one_in(4) { self.rng.below(3) as u32 } else { self.own_stream() };
            let batch = batch(vec![(stream, self.count())]);
            let task = store.append_async(&stream_name(stream), ExpectedVersion::Any, batch.events());
            if self.rng.one_in(6) {
                let first = pin!(task).poll(&mut Context::from_waker(Waker::noop()));
                assert!(!matches!(first, Poll::Ready(Err(_))));
                world.counts.add(Done::Dropped, 1);
                let again = store.append_async(&stream_name(stream), ExpectedVersion::Any, batch.events());
                tasks.push(Box::pin(again));
            } else {
                tasks.push(Box::pin(task));
            }
            sent.push(batch);
        }
        for (batch, answer) in sent.into_iter().zip(block_on(all(tasks))) {
            self.answered(world, store, batch, &[ExpectedVersion::Any], &[answer.unwrap()]);
        }
    }

    fn several(&mut self, world: &World, store: &Store) {
        let mut streams: Vec<u32> = (0..2 + self.rng.below(3)).map(|_| self.own_stream()).collect();
        streams.push(self.rng.below(u64::from(CONTENDED)) as u32);
        streams.sort_unstable_by_key(|stream| (stream * 7) % 11);
        let mut named = Vec::new();
        streams.retain(|stream| {
            !named.contains(stream) && {
                named.push(*stream);
                true
            }
        });
        let batch = batch(streams.iter().map(|stream| (*stream, 1 + self.rng.below(3) as u16)).collect());
        let any = self.rng.one_in(3);
        loop {
            let expect = |stream: &u32| match any {
                true => ExpectedVersion::Any,
                false => exact(store.stream_version(&stream_name(*stream)).unwrap()),
            };
            let expected: Vec<_> = streams.iter().map(expect).collect();
            let of = |stream| expected[streams.iter().position(|known| *known == stream).unwrap()];
            let appends = batch.appends(of);
            let answers = match self.rng.one_in(2) {
                true => store.append_streams(appends),
                false => block_on(store.append_streams_async(appends)),
            };
            match answers {
                Ok(answers) => {
                    world.counts.add(Done::SeveralStreams, 1);
                    return self.answered(world, store, batch, &expected, &answers);
                }
                Err(error) => Writer::refused(world, store, error),
            }
        }
    }

    /// An append that is sent by two at once, and again later.
    fn repeat(&mut self, world: &World, store: &Store) {
        let stream = self.own_stream();
        let name = stream_name(stream);
        let batch = batch(vec![(stream, self.count())]);
        let version = store.stream_version(&name).unwrap();
        let expected = if self.rng.one_in(2) { ExpectedVersion::Any } else { exact(version) };
        let send = || store.append(&name, expected, batch.events()).unwrap();
        let answer = thread::scope(|scope| {
            let other = scope.spawn(send);
            let answer = block_on(store.append_async(&name, expected, batch.events())).unwrap();
            assert_eq!(other.join().unwrap(), answer);
            answer
        });
        assert_eq!(answer.first_version, version.next(), "nobody else writes to this stream");
        let again = store.submit(&name, expected, batch.events()).unwrap();
        assert_eq!((again.appended(), again.wait().unwrap()), (answer, answer));
        assert_eq!(store.stream_version(&name).unwrap(), answer.version, "stored twice");
        world.counts.add(Done::Repeats, 2);
        self.answered(world, store, batch, &[expected], &[answer]);
        self.repeat_one(world, store);
    }

    /// The same as any append before, with the version that it expected: it is recognised for ever.
    fn repeat_one(&mut self, world: &World, store: &Store) {
        if self.sent.is_empty() {
            return;
        }
        let at = self.rng.below(self.sent.len() as u64) as usize;
        let Sent { batch, expected, answers } = &self.sent[at];
        // Without a version, it is only recognised among the newest events of the stream.
        let versions: Vec<_> = expected
            .iter()
            .zip(answers)
            .map(|(expected, answer)| match expected {
                ExpectedVersion::Any => exact(answer.first_version.previous()),
                other => *other,
            })
            .collect();
        let of = |stream| versions[batch.parts.iter().position(|(known, _)| *known == stream).unwrap()];
        assert_eq!(store.append_streams(batch.appends(of)).unwrap(), *answers);
        world.counts.add(Done::Repeats, 1);
    }

    /// After the store was opened again.
    fn repeat_old(&mut self, world: &World, store: &Store) {
        for _ in 0..5 {
            self.repeat_one(world, store);
        }
    }
}

/// All answers, in order.
async fn all<T>(mut tasks: Vec<Pin<Box<dyn Future<Output = T> + Send>>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = tasks.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (task, done) in tasks.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let Poll::Ready(answer) = task.as_mut().poll(context) {
                *done = Some(answer);
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}
