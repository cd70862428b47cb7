//! How recent an answer is, as the query chooses.

use std::{thread, time::Duration};

use factlog::{
    Position, block_on,
    model::{Consistency, ModelError, OnFailure, Stop},
};

use super::Scene;
use crate::databases::Database;

#[test]
fn a_query_that_asks_for_a_position_waits_for_it_and_one_that_does_not_reads_what_is_there() {
    let scene = Scene::of("a1");
    block_on(scene.runner(OnFailure::Stop).catch_up()).unwrap();
    scene.append("a2");
    let views = scene.views();
    block_on(views.wait_until("notes", Consistency::AsIs)).unwrap();
    assert_eq!(scene.taken(), "a:a1");
    let asked = Consistency::at_least(Position::new(2)).within(Duration::from_secs(60));
    // By the same connections, and as another process would.
    for views in [views, scene.database.reopened()] {
        let stop = Stop::new();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                block_on(views.wait_until("notes", asked)).unwrap();
                scene.taken()
            });
            let running = scope.spawn(|| block_on(scene.runner(OnFailure::Stop).run(&stop)));
            assert_eq!(waiting.join().unwrap(), "a:a1,a2");
            stop.stop();
            running.join().unwrap().unwrap();
        });
    }
}

#[test]
fn a_wait_that_is_over_names_the_position_asked_for_and_the_one_reached() {
    let scene = Scene::of("a1 a2");
    block_on(scene.runner(OnFailure::Stop).catch_up()).unwrap();
    let asked = Consistency::at_least(Position::new(7)).within(Duration::from_millis(20));
    let error = block_on(scene.views().wait_until("notes", asked)).unwrap_err();
    let ModelError::NotYetProjected { projection, wanted, reached, waited } = &error else { panic!("{error}") };
    assert_eq!((projection.as_str(), wanted.get(), reached.get()), ("notes", 7, 2));
    assert_eq!(*waited, Duration::from_millis(20));
    assert!(error.is_retryable());
    // A position that is there needs no time at all.
    let asked = Consistency::at_least(Position::new(2)).within(Duration::ZERO);
    block_on(scene.views().wait_until("notes", asked)).unwrap();
}
