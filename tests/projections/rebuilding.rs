//! Tables that are built anew.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use factlog::{
    EventStore, MemoryStore, Position, ReadAll, block_on,
    model::{Checkpoint, ModelError, OnFailure, Runner, Stop, Taken},
};

use super::Scene;
use crate::{
    databases::Database,
    notes::{Notes, taken},
};

/// The projection as a later version of the program has it.
fn marked(scene: &Scene, mark: &'static str) -> Runner {
    let notes = Notes { mark, ..scene.notes.clone() };
    Runner::new(scene.store.clone(), scene.database.project(notes))
}

#[test]
fn readers_see_the_old_tables_until_the_new_ones_are_complete() {
    let scene = Scene::of("a1 b1 a2 b2 a3 c1");
    block_on(scene.runner(OnFailure::Stop).catch_up()).unwrap();
    let (old, database) = (scene.taken(), Arc::clone(&scene.database));
    let looks = Arc::new(AtomicUsize::new(0));
    let (seen, before, looked) = (Arc::clone(&database), old.clone(), looks.clone());
    let runner = marked(&scene, "*").page_events(2).on_progress(move |_| {
        assert_eq!(taken(&*seen), before);
        looked.fetch_add(1, Ordering::SeqCst);
    });
    assert_eq!(block_on(runner.rebuild()).unwrap(), Position::new(6));
    assert_eq!(looks.load(Ordering::SeqCst), 3);
    assert_eq!(scene.taken(), "a:*a1,*a2,*a3 b:*b1,*b2 c:*c1");
    // Goes on from there.
    scene.append("c2");
    block_on(marked(&scene, "*").catch_up()).unwrap();
    assert_eq!(scene.taken(), "a:*a1,*a2,*a3 b:*b1,*b2 c:*c1,*c2");
}

#[test]
fn a_rebuild_that_is_cut_off_leaves_the_old_tables() {
    let scene = Scene::of("a1 b1 a2 b2");
    let runner = scene.runner(OnFailure::Stop);
    block_on(runner.catch_up()).unwrap();
    scene.append("a3");
    let stop = Stop::new();
    let stopping = stop.clone();
    let rebuilding = marked(&scene, "*").page_events(2).on_progress(move |_| stopping.stop());
    assert!(block_on(stop.unless_stopped(rebuilding.rebuild())).is_none());
    assert_eq!(scene.taken(), "a:a1,a2 b:b1,b2");
    block_on(runner.catch_up()).unwrap();
    assert_eq!(scene.taken(), scene.taken_afresh());
}

#[test]
fn a_rebuild_beside_a_running_projection_and_a_writer_misses_and_repeats_nothing() {
    let scene = Scene::of("a0");
    let runner = scene.runner(OnFailure::Stop).page_events(3);
    block_on(runner.catch_up()).unwrap();
    let stop = Stop::new();
    thread::scope(|scope| {
        let running = scope.spawn(|| block_on(runner.run(&stop)));
        let writing = scope.spawn(|| {
            for n in 1..400 {
                scene.append(&format!("a{n} b{n} c{n}"));
            }
        });
        let rebuilding = scene.runner(OnFailure::Stop);
        let mut last = Position::START;
        while !writing.is_finished() {
            let reached = block_on(rebuilding.rebuild()).unwrap();
            assert!(reached >= last, "{reached} after {last}");
            last = scene.database.checkpoint("notes").position;
            assert!(last >= reached, "the view went back");
        }
        writing.join().unwrap();
        stop.stop();
        running.join().unwrap().unwrap();
    });
    block_on(runner.catch_up()).unwrap();
    assert_eq!(scene.taken(), scene.taken_afresh());
}

#[test]
fn tables_that_have_come_less_far_are_not_put_in_place() {
    let scene = Scene::of("a1 a2");
    block_on(scene.runner(OnFailure::Stop).catch_up()).unwrap();
    let fresh = block_on(scene.projection().fresh()).unwrap();
    let building = fresh.read_model();
    block_on(building.prepare()).unwrap();
    let mut known = Checkpoint::default();
    for (event, swapped) in
        block_on(scene.store.read_all(ReadAll::after(Position::START))).unwrap().iter().zip([false, true])
    {
        let Taken::UpTo(reached) = block_on(building.take(known, std::slice::from_ref(event))).unwrap() else {
            panic!()
        };
        known = reached;
        assert_eq!(block_on(fresh.swap_in(false)).unwrap(), swapped);
        assert_eq!(scene.database.checkpoint("notes").position, Position::new(2));
        assert_eq!(scene.taken(), "a:a1,a2");
    }
}

#[test]
fn a_rebuild_replaces_what_was_built_from_another_store() {
    let scene = Scene::of("a1 a2 a3");
    block_on(scene.runner(OnFailure::Stop).catch_up()).unwrap();
    let other = Scene { store: Arc::new(MemoryStore::new()), ..scene };
    other.append("b1");
    let runner = other.runner(OnFailure::Stop);
    assert!(matches!(block_on(runner.catch_up()), Err(ModelError::ForeignViews { .. })));
    assert_eq!(block_on(runner.rebuild()).unwrap(), block_on(other.store.last_position()).unwrap());
    assert_eq!(other.taken(), "b:b1");
    block_on(runner.catch_up()).unwrap();
}

#[test]
fn a_rebuild_that_meets_a_failing_event_ends_or_records_it_as_the_owner_chose() {
    let scene = Scene::of("a1 b1");
    block_on(scene.runner(OnFailure::Stop).catch_up()).unwrap();
    scene.append("a:bad a2 b2");
    let error = block_on(scene.runner(OnFailure::Stop).rebuild()).unwrap_err();
    assert!(matches!(&error, ModelError::EventFailed { position, .. } if position.get() == 3), "{error}");
    assert_eq!(scene.taken(), "a:a1 b:b1");

    let runner = scene.runner(OnFailure::GoOn);
    block_on(runner.rebuild()).unwrap();
    assert_eq!(scene.taken(), "a:a1 b:b1,b2");
    let waiting = block_on(runner.failed_events(false)).unwrap();
    assert_eq!(waiting.iter().map(|failed| failed.position.get()).collect::<Vec<_>>(), [3, 4]);
    // Mended and built again, nothing waits.
    scene.mend();
    block_on(runner.rebuild()).unwrap();
    assert_eq!(
        (scene.taken().as_str(), block_on(runner.failed_events(true)).unwrap().len()),
        ("a:a1,bad,a2 b:b1,b2", 0)
    );
}

#[test]
fn a_paused_projection_is_rebuilt_and_stays_paused() {
    let scene = Scene::of("a1");
    let runner = scene.runner(OnFailure::Stop);
    block_on(runner.pause()).unwrap();
    block_on(runner.rebuild()).unwrap();
    assert!(block_on(runner.status()).unwrap().paused);
    assert_eq!(scene.taken(), "a:a1");
}
