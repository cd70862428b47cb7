//! Projections that follow the store, side by side, paused and resumed.

use std::{sync::Arc, thread};

use factlog::{
    EventStore, Position, Store, StreamName, block_on,
    model::{Consistency, ModelError, OnFailure, Projection, RetryPolicy, Runner, Stop, Tables},
};

use super::Scene;
use crate::databases::Database;

/// Waits until the projection has taken everything that the store has now.
fn caught_up(scene: &Scene, name: &str) {
    let newest = block_on(scene.store.last_position()).unwrap();
    let patience = std::time::Duration::from_secs(60);
    block_on(scene.views().wait_until(name, Consistency::at_least(newest).within(patience))).unwrap();
}

#[test]
fn a_running_projection_takes_what_comes_until_it_is_stopped() {
    let scene = Scene::of("a1");
    let (runner, stop) = (scene.runner(OnFailure::Stop), Stop::new());
    block_on(runner.catch_up()).unwrap();
    thread::scope(|scope| {
        let running = scope.spawn(|| block_on(runner.run(&stop)));
        for n in 2..20 {
            scene.append(&format!("a{n}"));
            caught_up(&scene, "notes");
            assert!(scene.taken().ends_with(&format!("a{n}")));
        }
        stop.stop();
        running.join().unwrap().unwrap();
    });
    scene.append("a20");
    assert!(!scene.taken().contains("a20"));
    assert_eq!(block_on(runner.run(&stop)).ok(), Some(()), "a handle that was used ends the next run at once");
}

#[test]
fn a_projection_that_is_busy_catching_up_stops_between_two_pages() {
    let scene = Scene::of("a1 a2 a3 a4 a5 a6");
    let stop = Stop::new();
    let stopping = stop.clone();
    let runner = scene.runner(OnFailure::Stop).page_events(2).on_progress(move |_| stopping.stop());
    block_on(runner.run(&stop)).unwrap();
    assert_eq!(scene.taken(), "a:a1,a2");
}

/// One of another name, with another table, that takes everything.
struct Other;

impl<T: Tables> Projection<T> for Other {
    fn name(&self) -> &'static str {
        "other"
    }

    fn set_up(&self, tables: &T) -> Result<(), ModelError> {
        tables.define("CREATE TABLE IF NOT EXISTS others (payload TEXT NOT NULL)")
    }

    fn handle(&self, tables: &T, event: &factlog::RecordedEvent) -> Result<(), ModelError> {
        let payload = String::from_utf8(event.payload().to_vec()).unwrap();
        tables.run("INSERT INTO others VALUES ($1)", &[payload.into()])
    }
}

#[test]
fn projections_side_by_side_have_places_and_failures_of_their_own() {
    let scene = Scene::of("a1 a:bad a2");
    let notes = Runner::new(scene.store.clone(), scene.projection());
    let others = Runner::new(scene.store.clone(), scene.database.project(Other));
    let stop = Stop::new();
    thread::scope(|scope| {
        let failing = scope.spawn(|| block_on(notes.retry_policy(RetryPolicy::once()).run(&stop)));
        let running = scope.spawn(|| block_on(others.run(&stop)));
        assert!(matches!(failing.join().unwrap(), Err(ModelError::EventFailed { .. })));
        for n in 3..10 {
            scene.append(&format!("a{n}"));
            caught_up(&scene, "other");
        }
        stop.stop();
        running.join().unwrap().unwrap();
    });
    assert_eq!(scene.position("notes"), 1);
    assert_eq!(scene.position("other"), 10);
    let status = block_on(others.status()).unwrap();
    assert!(status.lag == 0 && status.failed == 0 && status.rate > 0.0, "{status:?}");
}

#[test]
fn many_that_run_one_projection_at_once_take_each_event_once() {
    let scene = Scene::of("a0");
    let stop = Stop::new();
    thread::scope(|scope| {
        let running: Vec<_> = (0..4)
            .map(|n| {
                let runner = scene.runner(OnFailure::GoOn).page_events(1 + n);
                let stop = &stop;
                scope.spawn(move || block_on(runner.run(stop)))
            })
            .collect();
        for n in 1..200 {
            scene.append(&format!("a{n} b{n}"));
        }
        caught_up(&scene, "notes");
        stop.stop();
        running.into_iter().for_each(|running| running.join().unwrap().unwrap());
    });
    assert_eq!(scene.taken(), scene.taken_afresh());
}

#[test]
fn a_pause_holds_for_everybody_and_until_it_is_ended() {
    let scene = Scene::of("a1");
    let stop = Stop::new();
    let (runner, owner) = (scene.runner(OnFailure::Stop), scene.runner(OnFailure::Stop));
    thread::scope(|scope| {
        let running = scope.spawn(|| block_on(runner.run(&stop)));
        caught_up(&scene, "notes");
        block_on(owner.pause()).unwrap();
        scene.append("a2");
        // Whoever tries now.
        assert_eq!(block_on(scene.runner(OnFailure::Stop).catch_up()).unwrap(), Position::FIRST);
        let status = block_on(owner.status()).unwrap();
        assert!(status.paused && status.lag == 1, "{status:?}");
        block_on(owner.resume()).unwrap();
        caught_up(&scene, "notes");
        stop.stop();
        running.join().unwrap().unwrap();
    });
    assert_eq!(scene.taken(), "a:a1,a2");
}

#[test]
fn a_failed_event_is_not_retried_while_the_projection_is_paused() {
    for (on_failure, taken) in [(OnFailure::GoOn, 2), (OnFailure::Stop, 1)] {
        let scene = Scene::of("a:bad a1");
        let runner = scene.runner(on_failure);
        let _ = block_on(runner.catch_up());
        let id = block_on(runner.failed_events(false)).unwrap()[0].id;
        scene.mend();
        block_on(runner.pause()).unwrap();
        assert_eq!(block_on(runner.retry(id)).unwrap(), 0, "{on_failure:?}");
        assert_eq!(scene.taken(), "");
        block_on(runner.resume()).unwrap();
        assert_eq!(block_on(runner.retry(id)).unwrap(), taken, "{on_failure:?}");
    }
}

#[test]
fn a_projection_follows_the_embedded_store_too() {
    let scene = Scene::new();
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let runner = Runner::new(Arc::new(store.clone()), scene.projection());
    let stop = Stop::new();
    let stream = StreamName::new("note-s").unwrap();
    thread::scope(|scope| {
        let running = scope.spawn(|| block_on(runner.run(&stop)));
        for n in 0..50 {
            let event = factlog::NewEvent::new(factlog::EventType::new("Noted").unwrap(), n.to_string());
            let appended = store.append(&stream, factlog::ExpectedVersion::Any, vec![event]).unwrap();
            let asked = Consistency::at_least(appended.position).within(std::time::Duration::from_secs(60));
            block_on(scene.views().wait_until("notes", asked)).unwrap();
        }
        stop.stop();
        running.join().unwrap().unwrap();
    });
    let all: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    assert_eq!(scene.taken(), format!("s:{}", all.join(",")));
    store.close().unwrap();
}
