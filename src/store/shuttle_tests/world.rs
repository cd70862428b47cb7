//! A store on the disk of these tests, whoever meets there, and what must hold whenever something is heard.

use std::{
    env, fs,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use shuttle::{
    Config, Runner,
    rand::{RngCore, thread_rng},
    scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, UncontrolledNondeterminismCheckScheduler},
    thread::{self, JoinHandle},
};
use uuid::Uuid;

use super::disk::{ModelDisk, PLANNED, number, payload};
use crate::{
    error::{Error, Result},
    event::{EventType, NewEvent, StreamName},
    event_store::{Appended, ReadAll, Subscribe, block_on},
    store::{Options, Pending, Store},
    sync::Mutex,
    version::ExpectedVersion,
};

/// What was heard in all schedules of a scenario. A scenario in which nothing happens shows nothing.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) acknowledged: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) unknown: AtomicU64,
    pub(super) delivered: AtomicU64,
}

impl Heard {
    pub(super) fn counts(&self) -> [u64; 4] {
        [&self.acknowledged, &self.refused, &self.unknown, &self.delivered].map(|count| count.load(Ordering::Relaxed))
    }
}

/// Those who meet in one schedule share it.
#[derive(Clone)]
pub(super) struct World {
    pub(super) disk: ModelDisk,
    pub(super) store: Store,
    pub(super) heard: Arc<Heard>,
    /// Appends are acknowledged before they are durable.
    pub(super) relaxed: bool,
    /// The bytes of each payload.
    pub(super) bytes: usize,
}

/// The number of the one event that is there from the beginning.
pub(super) const FIRST: u64 = 1000;

pub(super) fn name(text: &str) -> StreamName {
    StreamName::new(text).unwrap()
}

impl World {
    /// A store with one event in it.
    pub(super) fn begin(heard: &Arc<Heard>, options: &Options, relaxed: bool, bytes: usize) -> World {
        let disk = ModelDisk::new();
        let store = options.open_on(Arc::new(disk.clone()), Path::new("/store")).unwrap();
        let world = World { disk, store, heard: heard.clone(), relaxed, bytes };
        world.store.append(&name("first-1"), ExpectedVersion::NoStream, vec![world.event(FIRST)]).unwrap();
        world.store.sync().unwrap();
        world.disk.meet();
        world
    }

    /// With segments that hold all.
    pub(super) fn roomy(heard: &Arc<Heard>) -> World {
        World::begin(heard, &Options::new().first_segment_bytes(64 << 10).segment_bytes(64 << 10), false, 16)
    }

    pub(super) fn event(&self, number: u64) -> NewEvent {
        let id = Uuid::from_u128(u128::from(number) + 1);
        NewEvent::new(EventType::new("Happened").unwrap(), payload(number, self.bytes)).with_id(id)
    }

    pub(super) fn spawn<T: Send + 'static>(&self, body: impl FnOnce(&World) -> T + Send + 'static) -> JoinHandle<T> {
        let world = self.clone();
        thread::spawn(move || {
            let done = body(&world);
            drop(world);
            done
        })
    }

    pub(super) fn append(&self, stream: &str, expected: ExpectedVersion, number: u64) -> Result<Appended> {
        let appended = self.store.append(&name(stream), expected, vec![self.event(number)]);
        self.hear(number, &appended);
        appended
    }

    pub(super) fn appending(
        &self,
        stream: &str,
        expected: ExpectedVersion,
        number: u64,
    ) -> impl Future<Output = Result<Appended>> + Send + use<> {
        let (world, store) = (self.clone(), self.store.clone());
        let appending = store.append_async(&name(stream), expected, vec![self.event(number)]);
        async move {
            let appended = appending.await;
            world.hear(number, &appended);
            appended
        }
    }

    pub(super) fn submit(&self, stream: &str, expected: ExpectedVersion, number: u64) -> Result<Pending> {
        let pending = self.store.submit(&name(stream), expected, vec![self.event(number)]);
        if let Err(error) = &pending {
            self.hear(number, &Err(Error::OutcomeUnknown { reason: error.to_string().into() }));
        }
        pending
    }

    /// Waits for what was submitted, as a thread.
    pub(super) fn wait(&self, number: u64, pending: Result<Pending>) -> Result<Appended> {
        let waited = pending?.wait();
        self.hear(number, &waited);
        waited
    }

    /// Waits for what was submitted, as a task whose waker looks around whenever it is called.
    pub(super) fn watch(&self, number: u64, pending: Result<Pending>) -> Result<Appended> {
        let pending = pending?;
        let target = pending.appended().position;
        let (world, thread) = (self.clone(), thread::current());
        let looking = Arc::new(Looking { world, target, thread, early: AtomicBool::new(false) });
        let waited = drive(pending, &Waker::from(looking.clone()));
        assert!(!looking.early.load(Ordering::Relaxed), "woken before it is decided");
        self.hear(number, &waited);
        waited
    }

    /// What must hold when the answer to an append is heard.
    pub(super) fn hear(&self, number: u64, answer: &Result<Appended>) {
        let count = match answer {
            Ok(appended) => {
                let position = appended.position;
                assert!(self.store.last_position() >= position, "acknowledged before it is published");
                if !self.relaxed {
                    assert!(
                        self.store.inner.log.durable() >= position,
                        "acknowledged, and the log does not say durable"
                    );
                    let synced = self.disk.synced();
                    assert!(synced.contains(&number), "event {number} was acknowledged before a sync of it returned");
                    assert!(
                        synced.len() as u64 >= position.get(),
                        "acknowledged before what lies before it is durable"
                    );
                }
                &self.heard.acknowledged
            }
            Err(Error::WrongExpectedVersion { .. }) => &self.heard.refused,
            Err(Error::OutcomeUnknown { .. }) => {
                assert!(self.disk.struck(), "nothing went wrong, and the outcome of {number} is unknown");
                &self.heard.unknown
            }
            // A segment could not be begun: nothing was stored.
            Err(Error::Io { .. }) if self.disk.struck() => &self.heard.refused,
            Err(error) => panic!("event {number}: {error}"),
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Follows the log from its beginning: each event once and in order, none before it is durable. Ends behind `count` events or
    /// with the log.
    pub(super) fn follow(&self, count: u64) -> u64 {
        let mut subscription = self.store.subscribe(Subscribe::new()).unwrap();
        for position in 1..=count {
            match subscription.next() {
                Ok(event) => {
                    assert_eq!(event.position().get(), position);
                    assert!(self.relaxed || self.disk.synced().contains(&number(&event.payload())));
                    self.heard.delivered.fetch_add(1, Ordering::Relaxed);
                }
                Err(Error::OutcomeUnknown { .. }) if self.disk.struck() => {
                    assert_eq!(self.store.last_position().get(), position - 1, "not all was delivered");
                    return position - 1;
                }
                Err(error) => panic!("the subscription ended: {error}"),
            }
        }
        count
    }

    /// As [`World::spawn`], for what may have its share of a planned panic of the disk.
    pub(super) fn risk(&self, body: impl FnOnce(&World) + Send + 'static) -> JoinHandle<()> {
        self.spawn(|world| {
            if let Err(panicked) = catch_unwind(AssertUnwindSafe(|| body(world)))
                && panicked.downcast_ref::<&str>() != Some(&PLANNED)
            {
                resume_unwind(panicked);
            }
        })
    }

    /// Closes the store, if this is its last owner, and opens it again.
    pub(super) fn reopen(self) -> Result<World> {
        let World { disk, store, heard, relaxed, bytes } = self;
        // A waker that has done its work may not have been dropped yet.
        while Arc::strong_count(&store.inner) > 1 {
            thread::yield_now();
        }
        store.close()?;
        let store = Options::new().open_on(Arc::new(disk.clone()), Path::new("/store")).unwrap();
        Ok(World { disk, store, heard, relaxed, bytes })
    }

    /// The numbers of all events, in order.
    pub(super) fn events(&self) -> Vec<u64> {
        self.store
            .read_all(ReadAll::after(crate::version::Position::START))
            .map(|event| number(&event.unwrap().payload()))
            .collect()
    }
}

/// The waker of a thread that waits for a position.
struct Looking {
    world: World,
    target: crate::version::Position,
    thread: thread::Thread,
    /// It was called before there was anything to see, or fell. A panic is caught by whoever wakes.
    early: AtomicBool,
}

impl Wake for Looking {
    fn wake(self: Arc<Self>) {
        // A lock that whoever wakes still holds panics here.
        let store = &self.world.store;
        let decided = || store.last_position() >= self.target || store.inner.log.is_going_on().is_err();
        if !catch_unwind(AssertUnwindSafe(decided)).unwrap_or(false) {
            self.early.store(true, Ordering::Relaxed);
        }
        self.thread.unpark();
    }
}

/// A waker that panics, as one of an application may. The thread is woken, too.
pub(super) struct Panicking(pub(super) thread::Thread);

impl Wake for Panicking {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
        resume_unwind(Box::new("a waker panics, as it was told to"));
    }
}

type Owned = Pin<Box<dyn Future<Output = Result<Appended>> + Send>>;

/// A waker that owns the task, and drops it when it is called: as a runtime does that is being shut down.
#[derive(Default)]
pub(super) struct Owning(Mutex<(bool, Option<Owned>)>);

impl Owning {
    pub(super) fn own(&self, task: Owned) {
        let mut state = self.0.lock();
        let woken = state.0;
        if !woken {
            state.1 = Some(task);
        }
    }
}

impl Wake for Owning {
    fn wake(self: Arc<Self>) {
        let mut state = self.0.lock();
        state.0 = true;
        let task = state.1.take();
        drop(state);
        drop(task);
    }
}

/// Runs a future on this thread, which sleeps while the future waits.
pub(super) fn drive<F: Future>(future: F, waker: &Waker) -> F::Output {
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Joins all, and passes on what they panicked with.
pub(super) fn join<T>(threads: Vec<JoinHandle<T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panicked| resume_unwind(panicked))).collect()
}

/// Wakes a thread, as a runtime's waker does.
struct Plain(thread::Thread);

impl Wake for Plain {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future, on a thread that does what is left to it or on one that does not: then the committer does it.
pub(super) fn block<F: Future>(future: F) -> F::Output {
    if thread_rng().next_u64().is_multiple_of(2) {
        block_on(future)
    } else {
        drive(future, &Waker::from(Arc::new(Plain(thread::current()))))
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config.silence_warnings = true;
    config.stack_size = 1 << 20;
    config
}

/// How many schedules a scenario is tried in, half of them at random and half by priorities.
pub(super) fn schedules() -> usize {
    env::var("SHUTTLE_SCHEDULES").ok().and_then(|count| count.parse().ok()).unwrap_or(400)
}

/// Fails unless a schedule that is run again is the same.
pub(super) fn repeat(scenario: fn(&Arc<Heard>), schedules: usize) {
    let scheduler = UncontrolledNondeterminismCheckScheduler::new(RandomScheduler::new_from_seed(1, schedules));
    Runner::new(scheduler, config()).run(move || scenario(&Arc::default()));
}

/// Tries a scenario in many schedules, or in the one that is to be replayed.
pub(super) fn explore(scenario: fn(&Arc<Heard>), schedules: usize) -> Arc<Heard> {
    let heard = Arc::new(Heard::default());
    let body = {
        let heard = heard.clone();
        move || scenario(&heard)
    };
    if let Ok(replayed) = env::var("SHUTTLE_REPLAY") {
        let schedule = fs::read_to_string(&replayed).unwrap_or(replayed);
        Runner::new(ReplayScheduler::new_from_encoded(schedule.trim()), config()).run(body);
        return heard;
    }
    let seed = env::var("SHUTTLE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    Runner::new(RandomScheduler::new_from_seed(seed, schedules.div_ceil(2)), config()).run(body.clone());
    Runner::new(PctScheduler::new_from_seed(seed, 4, schedules.div_ceil(2)), config()).run(body);
    heard
}
