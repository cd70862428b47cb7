//! Appends on a disk whose syncs can be held up and made to fail.

use std::{
    future::{Future, poll_fn},
    path::Path,
    pin::Pin,
    sync::{Arc, mpsc},
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use parking_lot::Mutex;

use super::{Durability, Options, Pending, Store};
use crate::{
    disk::sim::SimDisk,
    error::{Error, Result},
    event::{EventType, NewEvent, StreamName},
    event_store::{Appended, block_on},
    version::{ExpectedVersion, Version},
};

fn name(text: &str) -> StreamName {
    StreamName::new(text).unwrap()
}

fn event(payload: impl Into<Vec<u8>>) -> NewEvent {
    NewEvent::new(EventType::new("Happened").unwrap(), payload.into())
}

fn open(disk: &SimDisk, options: Options) -> Store {
    options.open_on(Arc::new(disk.clone()), Path::new("/store")).unwrap()
}

fn append(store: &Store, stream: &str) -> Result<Appended> {
    store.append(&name(stream), ExpectedVersion::Any, vec![event("x")])
}

type Appending = Pin<Box<dyn Future<Output = Result<Appended>> + Send>>;

fn appending(store: &Store, stream: &str, payload: impl Into<Vec<u8>>) -> Appending {
    Box::pin(store.append_async(&name(stream), ExpectedVersion::Any, vec![event(payload)]))
}

/// Runs a future to its end as a runtime does, which knows nothing of stores.
fn drive<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

fn poll_once(appending: &mut Appending) -> Poll<Result<Appended>> {
    appending.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// An open store with one event in it, and a thread whose append stands at the closed gate.
fn held_up() -> (SimDisk, Store, thread::JoinHandle<Result<Appended>>) {
    let disk = SimDisk::with_threads();
    let store = open(&disk, Options::new());
    append(&store, "first").unwrap();
    disk.close_gate();
    let leader = thread::spawn({
        let store = store.clone();
        move || append(&store, "leader")
    });
    disk.await_arrival();
    (disk, store, leader)
}

#[test]
fn dropping_a_future_after_its_first_poll_does_not_cancel_the_append() {
    let (disk, store, leader) = held_up();
    let mut polled = appending(&store, "polled", "x");
    assert!(poll_once(&mut polled).is_pending());
    drop(polled);
    drop(appending(&store, "never polled", "x"));
    drop(store.submit(&name("submitted"), ExpectedVersion::Any, vec![event("x")]).unwrap());
    assert_eq!(store.last_position().get(), 1, "nothing is seen that is not durable");
    let synced = disk.synced().len();
    disk.open_gate();
    leader.join().unwrap().unwrap();
    disk.await_syncs(synced + 2);
    store.close().unwrap();
    let store = open(&disk, Options::new());
    let versions =
        ["leader", "polled", "submitted", "never polled"].map(|s| store.stream_version(&name(s)).unwrap().get());
    assert_eq!(versions, [1, 1, 1, 0]);
}

#[test]
fn tasks_and_threads_that_come_during_a_sync_share_the_next() {
    let (disk, store, leader) = held_up();
    let mut tasks: Vec<_> = (0..50).map(|task| appending(&store, &format!("t-{task}"), "x")).collect();
    assert!(tasks.iter_mut().all(|task| poll_once(task).is_pending()));
    let submitted: Vec<Pending> = (0..50)
        .map(|version| {
            store.submit(&name("s"), ExpectedVersion::Exact(Version::new(version)), vec![event("x")]).unwrap()
        })
        .collect();
    let before = disk.synced().len();
    disk.open_gate();
    for task in tasks {
        drive(task).unwrap();
    }
    for (index, pending) in submitted.into_iter().enumerate() {
        let appended = pending.appended();
        assert_eq!(appended.version.get(), index as u64 + 1);
        let waited = if index % 2 == 0 { pending.wait() } else { drive(pending) };
        assert_eq!(waited.unwrap(), appended);
    }
    leader.join().unwrap().unwrap();
    assert_eq!(disk.synced().len() - before, 2, "that of the leader, and one for all the others");
    assert!(disk.synced()[before..].iter().all(|thread| *thread != thread::current().id()), "a task never syncs");
}

#[test]
fn a_task_never_syncs_even_when_segments_are_begun() {
    let disk = SimDisk::with_threads();
    let store = open(&disk, Options::new().first_segment_bytes(8 << 10).segment_bytes(16 << 10));
    for round in 0..20 {
        let mut tasks: Vec<_> = (0..4).map(|_| appending(&store, "s", vec![round; 1500])).collect();
        // One of an earlier round's may be written by now, and take these along: then they are ready at once.
        let polled: Vec<_> = tasks.iter_mut().map(poll_once).collect();
        let versions: Vec<u64> = std::iter::zip(tasks, polled)
            .rev()
            .map(|(task, polled)| match polled {
                Poll::Ready(appended) => appended.unwrap().version.get(),
                Poll::Pending => drive(task).unwrap().version.get(),
            })
            .collect();
        let first = u64::from(round) * 4;
        assert_eq!(versions, [first + 4, first + 3, first + 2, first + 1], "in the order of their first polls");
    }
    assert!(store.stats().segments > 5);
    assert!(disk.synced().iter().all(|thread| *thread != thread::current().id()));
    let refused = store.append_async(&name("s"), ExpectedVersion::NoStream, vec![event("x")]);
    assert!(matches!(drive(refused), Err(Error::WrongExpectedVersion { actual, .. }) if actual.get() == 80));
    store.close().unwrap();
    assert_eq!(open(&disk, Options::new()).verify().unwrap().faults, []);
}

#[test]
fn after_a_failed_sync_every_waiter_hears_that_the_outcome_is_unknown() {
    let (disk, store, leader) = held_up();
    let mut tasks: Vec<_> = (0..5).map(|task| appending(&store, &format!("t-{task}"), "x")).collect();
    assert!(tasks.iter_mut().all(|task| poll_once(task).is_pending()));
    let submitted = store.submit(&name("s"), ExpectedVersion::NoStream, vec![event("x")]).unwrap();
    let awaited = store.submit(&name("s"), ExpectedVersion::Exact(Version::FIRST), vec![event("x")]).unwrap();
    let threads: Vec<_> = (0..5)
        .map(|_| {
            let store = store.clone();
            thread::spawn(move || append(&store, "thread"))
        })
        .collect();
    // Refused by an event that will not become durable: no answer about it either.
    let refused = thread::spawn({
        let store = store.clone();
        move || store.append(&name("s"), ExpectedVersion::NoStream, vec![event("x")])
    });
    disk.fail_syncs();
    disk.open_gate();
    let unknown = |result: Result<Appended>| assert!(matches!(result, Err(Error::OutcomeUnknown { .. })), "{result:?}");
    unknown(leader.join().unwrap());
    tasks.into_iter().for_each(|task| unknown(drive(task)));
    threads.into_iter().for_each(|thread| unknown(thread.join().unwrap()));
    unknown(submitted.wait());
    unknown(drive(awaited));
    unknown(refused.join().unwrap());
    unknown(append(&store, "later"));
    unknown(drive(appending(&store, "later", "x")));
    // Nor about what a durable event refuses.
    unknown(store.append(&name("first"), ExpectedVersion::NoStream, vec![event("x")]));
    unknown(drive(store.append_async(&name("first"), ExpectedVersion::NoStream, vec![event("x")])));
    assert!(matches!(
        store.submit(&name("first"), ExpectedVersion::NoStream, vec![event("x")]),
        Err(Error::OutcomeUnknown { .. })
    ));
    assert!(matches!(store.sync(), Err(Error::OutcomeUnknown { .. })));
    assert_eq!(store.last_position().get(), 1);
    assert_eq!(store.read_stream(&name("first")).count(), 1, "reads go on");
    assert!(matches!(store.close(), Err(Error::OutcomeUnknown { .. })));
}

#[test]
fn after_a_panic_of_the_thread_that_syncs_every_waiter_hears_that_the_outcome_is_unknown() {
    let unknown = |result: Result<Appended>| assert!(matches!(result, Err(Error::OutcomeUnknown { .. })), "{result:?}");
    for durability in [Durability::Always, Durability::OnDemand] {
        let disk = SimDisk::with_threads();
        let store = open(&disk, Options::new().durability(durability));
        append(&store, "first").unwrap();
        store.sync().unwrap();
        disk.close_gate();
        let leader = thread::spawn({
            let store = store.clone();
            move || append(&store, "leader").and_then(|_| store.sync())
        });
        disk.await_arrival();
        // Refused by what is being synced, and behind it.
        let refused = || store.append_async(&name("leader"), ExpectedVersion::Exact(Version::new(7)), vec![event("x")]);
        let mut task: Appending = Box::pin(refused());
        assert!(poll_once(&mut task).is_pending());
        let thread = thread::spawn({
            let store = store.clone();
            move || append(&store, "thread").and_then(|appended| store.sync().map(|()| appended))
        });
        let submitted = store.submit(&name("submitted"), ExpectedVersion::NoStream, vec![event("x")]).unwrap();
        disk.panic_in_syncs();
        disk.open_gate();
        assert!(leader.join().is_err(), "the panic goes its way");
        unknown(drive(task));
        unknown(thread.join().unwrap());
        drop(submitted);
        unknown(append(&store, "later"));
        assert!(matches!(store.close(), Err(Error::OutcomeUnknown { .. })));
    }
}

#[test]
fn after_a_panic_of_the_committer_every_task_hears_that_the_outcome_is_unknown() {
    let disk = SimDisk::with_threads();
    let store = open(&disk, Options::new());
    disk.close_gate();
    // The committer stands at the gate with the first, which needs a segment; the others wait behind it.
    let mut tasks: Vec<_> = (0..5).map(|number| appending(&store, &format!("s-{number}"), "x")).collect();
    assert!(tasks.iter_mut().all(|task| poll_once(task).is_pending()));
    disk.await_arrival();
    disk.panic_in_syncs();
    disk.open_gate();
    for task in tasks {
        assert!(matches!(drive(task), Err(Error::OutcomeUnknown { .. })));
    }
    assert!(matches!(store.close(), Err(Error::OutcomeUnknown { .. })));
}

/// Panics when it is woken.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker panics");
    }
}

#[test]
fn a_waker_that_panics_is_of_no_concern_to_anybody_else() {
    let (disk, store, leader) = held_up();
    let panics = || Waker::from(Arc::new(Panics));
    let mut tasks: Vec<_> = (0..4).map(|task| appending(&store, &format!("t-{task}"), "x")).collect();
    for (number, task) in tasks.iter_mut().enumerate() {
        let waker = if number % 2 == 0 { panics() } else { Waker::noop().clone() };
        assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    let thread = thread::spawn({
        let store = store.clone();
        move || append(&store, "thread")
    });
    let watching = |waker: Waker| {
        let watcher = store.inner.watchers.register(Vec::new());
        watcher.clear();
        assert!(watcher.poll(&Context::from_waker(&waker)).is_pending());
        watcher
    };
    let watchers = [watching(panics()), watching(Waker::noop().clone())];
    disk.open_gate();
    leader.join().unwrap().unwrap();
    thread.join().unwrap().unwrap();
    tasks.into_iter().for_each(|task| assert_eq!(drive(task).unwrap().version, Version::FIRST));
    assert!(watchers.iter().all(|watcher| watcher.poll(&Context::from_waker(Waker::noop())).is_ready()));
    append(&store, "later").unwrap();
}

#[test]
fn a_buffer_over_its_bound_makes_tasks_wait_until_there_is_room() {
    let (disk, store, leader) = held_up();
    let large = || vec![7; 15 << 20];
    let mut large: Vec<_> = (0..3).map(|task| appending(&store, &format!("large-{task}"), large())).collect();
    assert!(large.iter_mut().all(|task| poll_once(task).is_pending()));
    let mut dropped = appending(&store, "dropped", "x");
    let mut waits = appending(&store, "waits", "x");
    assert!(poll_once(&mut dropped).is_pending() && poll_once(&mut waits).is_pending());
    drop(dropped);
    disk.open_gate();
    drive(waits).unwrap();
    for task in large {
        drive(task).unwrap();
    }
    leader.join().unwrap().unwrap();
    let versions = ["dropped", "waits", "large-2"].map(|s| store.stream_version(&name(s)).unwrap().get());
    assert_eq!(versions, [0, 1, 1], "what still waited for room was not appended");
}

#[test]
fn on_demand_appends_are_visible_when_written_and_durable_when_synced() {
    let disk = SimDisk::with_threads();
    let store = open(&disk, Options::new().durability(Durability::OnDemand));
    let durable = || store.inner.log.durable().get();
    append(&store, "a").unwrap();
    let before = disk.synced().len();
    drive(appending(&store, "a", "x")).unwrap();
    store.submit(&name("a"), ExpectedVersion::Exact(Version::new(2)), vec![event("x")]).unwrap().wait().unwrap();
    assert_eq!((store.last_position().get(), durable(), disk.synced().len()), (3, 0, before));
    store.sync().unwrap();
    assert_eq!((durable(), disk.synced().len()), (3, before + 1));
    store.sync().unwrap();
    assert_eq!(disk.synced().len(), before + 1, "there is nothing to sync");

    append(&store, "a").unwrap();
    let refused = |result: Result<Appended>| matches!(result, Err(Error::WrongExpectedVersion { .. }));
    assert!(refused(store.append(&name("a"), ExpectedVersion::NoStream, vec![event("x")])));
    assert_eq!(durable(), 4, "what refuses an append is durable");
    append(&store, "a").unwrap();
    assert!(refused(drive(store.append_async(&name("a"), ExpectedVersion::NoStream, vec![event("x")]))));
    assert_eq!(durable(), 5);
    append(&store, "a").unwrap();
    let before = disk.synced().len();
    store.close().unwrap();
    assert_eq!(disk.synced().len(), before + 1, "closing syncs");
}

#[test]
fn a_store_that_syncs_in_time_needs_nobody_to_ask_for_it() {
    let disk = SimDisk::with_threads();
    let store = open(&disk, Options::new().durability(Durability::Every(Duration::from_millis(1))));
    for _ in 0..3 {
        let before = disk.synced().len();
        append(&store, "a").unwrap();
        disk.await_syncs(before + 1);
    }
    store.close().unwrap();
}

#[test]
fn a_failed_sync_ends_a_relaxed_store_too() {
    let disk = SimDisk::with_threads();
    let store = open(&disk, Options::new().durability(Durability::OnDemand));
    append(&store, "a").unwrap();
    disk.fail_syncs();
    assert!(matches!(store.sync(), Err(Error::OutcomeUnknown { .. })));
    assert!(matches!(append(&store, "a"), Err(Error::OutcomeUnknown { .. })));
    assert!(matches!(drive(appending(&store, "a", "x")), Err(Error::OutcomeUnknown { .. })));
    assert!(matches!(store.close(), Err(Error::OutcomeUnknown { .. })));
}

#[test]
fn a_lone_thread_leads_its_own_commits() {
    let disk = SimDisk::with_threads();
    let store = open(&disk, Options::new());
    for _ in 0..10 {
        append(&store, "s").unwrap();
    }
    store.submit(&name("s"), ExpectedVersion::Any, vec![event("x")]).unwrap().wait().unwrap();
    // Also where it drives a task, or several: it would else sleep. Also when that begins a segment.
    block_on(appending(&store, "s", vec![0; 300_000])).unwrap();
    block_on(appending(&store, "s", "x")).unwrap();
    let (mut one, mut other) = (appending(&store, "s", "x"), appending(&store, "s", "x"));
    let before = disk.synced().len();
    block_on(poll_fn(|context| {
        let (one, other) = (one.as_mut().poll(context), other.as_mut().poll(context));
        if one.is_ready() && other.is_ready() { Poll::Ready(()) } else { Poll::Pending }
    }));
    assert_eq!(disk.synced().len(), before + 1, "both were polled before the one commit");
    assert!(disk.synced().iter().all(|thread| *thread == thread::current().id()));
}

/// Drops what it holds when it is woken, as a runtime does that drops a task which is done.
struct LastHandle(Mutex<Option<(Store, Appending)>>, Mutex<mpsc::Sender<()>>);

impl Wake for LastHandle {
    fn wake(self: Arc<Self>) {
        let held = self.0.lock().take();
        drop(held);
        self.1.lock().send(()).unwrap();
    }
}

#[test]
fn the_last_handle_may_be_dropped_by_a_task_that_the_store_wakes() {
    let disk = SimDisk::with_threads();
    let store = open(&disk, Options::new());
    append(&store, "first").unwrap();
    disk.close_gate();
    let (sender, receiver) = mpsc::channel();
    let last = Arc::new(LastHandle(Mutex::new(None), Mutex::new(sender)));
    let mut task = appending(&store, "task", "x");
    assert!(task.as_mut().poll(&mut Context::from_waker(&last.clone().into())).is_pending());
    disk.await_arrival();
    *last.0.lock() = Some((store, task));
    disk.open_gate();
    receiver.recv().unwrap();
    let store = open(&disk, Options::new());
    assert_eq!((store.last_position().get(), store.dropped_bytes()), (2, 0));
}

#[test]
fn tasks_that_had_to_wait_for_a_segment_share_a_commit() {
    let disk = SimDisk::with_threads();
    let store = open(&disk, Options::new());
    disk.close_gate();
    // The first append of a store needs a segment, and whoever comes before it is there waits behind it.
    let mut tasks: Vec<_> = (0..20).map(|number| appending(&store, &format!("s-{number}"), "x")).collect();
    assert!(tasks.iter_mut().all(|task| poll_once(task).is_pending()));
    disk.await_arrival();
    let before = disk.synced().len();
    disk.open_gate();
    assert!(tasks.into_iter().all(|task| drive(task).is_ok()));
    let syncs = disk.synced().len() - before;
    assert!(syncs < 10, "{syncs} syncs for 20 appends that waited together");
}

#[cfg(feature = "server")]
fn sequenced(store: &Store, stream: &str) -> Pin<Box<dyn Future<Output = Result<Vec<Appended>>> + Send>> {
    let append = crate::event_store::StreamAppend::new(name(stream), ExpectedVersion::NoStream, vec![event("x")]);
    Box::pin(drive(store.sequence_async(vec![append])).unwrap())
}

#[cfg(feature = "server")]
#[test]
fn a_lone_append_is_committed_by_the_thread_that_offers_to() {
    let disk = SimDisk::with_threads();
    let store = open(&disk, Options::new());
    append(&store, "before").unwrap();
    assert!(!store.is_alone(), "there is nothing to commit");
    let mut lone = sequenced(&store, "lone");
    assert!(store.is_alone());
    store.commit_alone();
    assert_eq!(disk.synced().last(), Some(&thread::current().id()));
    let polled = lone.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Ok(_))), "{polled:?}");
    assert!(!store.is_alone());
}

#[cfg(feature = "server")]
#[test]
fn an_append_behind_one_that_is_on_its_way_is_not_alone() {
    let (disk, store, leader) = held_up();
    let behind = sequenced(&store, "behind");
    assert!(!store.is_alone());
    // Does nothing: it would write while another writes.
    store.commit_alone();
    disk.open_gate();
    leader.join().unwrap().unwrap();
    drive(behind).unwrap();
}
