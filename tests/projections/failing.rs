//! Events that a projection cannot take.

use std::{sync::Arc, time::Duration};

use factlog::{
    BoxFuture, EventStore, Position, ReadAll, block_on,
    model::{Checkpoint, FailedEvent, FailedId, ModelError, OnFailure, RetryPolicy, Runner, Sleep, Taken},
};
use parking_lot::Mutex;

use super::{Place, Scene};
use crate::{databases::Database, random::Random};

fn failed(runner: &Runner) -> Vec<FailedEvent> {
    block_on(runner.failed_events(false)).unwrap()
}

fn positions(failed: &[FailedEvent]) -> Vec<u64> {
    failed.iter().map(|failed| failed.position.get()).collect()
}

fn position(runner: &Runner) -> u64 {
    block_on(runner.status()).unwrap().position.get()
}

#[test]
fn a_projection_stops_before_an_event_that_fails_with_all_before_it_kept_and_the_event_recorded() {
    let scene = Scene::of("a1 b1 a:bad b2");
    let runner = scene.runner(OnFailure::Stop);
    let error = block_on(runner.catch_up()).unwrap_err();
    let ModelError::EventFailed { name, position, source } = &error else { panic!("{error}") };
    assert_eq!((name.as_str(), position.get()), ("notes", 3));
    assert!(matches!(**source, ModelError::UnreadableEvent { .. }), "{error}");
    assert_eq!(scene.taken(), "a:a1 b:b1");

    let recorded = failed(&runner).remove(0);
    let event = &block_on(scene.store.read_all(ReadAll::after(Position::new(2)))).unwrap()[0];
    assert_eq!((recorded.event, recorded.position, recorded.version), (event.id(), event.position(), event.version()));
    assert_eq!((recorded.stream.as_str(), recorded.event_type.as_str()), ("note-a", "Noted"));
    assert_eq!((&recorded.data[..], recorded.attempts), (&b"bad"[..], 1));
    assert!(recorded.error.contains("it is bad") && recorded.resolved_at.is_none(), "{recorded:?}");
    let status = block_on(runner.status()).unwrap();
    assert!(status.stopped && status.failed == 1 && status.lag == 2, "{status:?}");
}

#[test]
fn a_projection_that_stopped_tries_the_event_again_when_it_is_started_and_the_record_goes_when_it_succeeds() {
    let scene = Scene::of("a1 a:bad a2");
    let runner = scene.runner(OnFailure::Stop);
    for attempts in 1..=3 {
        assert!(block_on(runner.catch_up()).is_err());
        assert_eq!(failed(&runner).iter().map(|failed| failed.attempts).collect::<Vec<_>>(), [attempts]);
    }
    scene.mend();
    block_on(runner.catch_up()).unwrap();
    assert_eq!(scene.taken(), "a:a1,bad,a2");
    assert!(failed(&runner).is_empty() && !block_on(runner.status()).unwrap().stopped);
}

/// Notes how long it was to wait, and does not.
#[derive(Clone, Default)]
struct Noted(Arc<Mutex<Vec<Duration>>>);

impl Sleep for Noted {
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        self.0.lock().push(time);
        Box::pin(std::future::ready(()))
    }
}

#[test]
fn what_may_pass_is_tried_again_by_the_policy_and_nothing_else_is() {
    let scene = Scene::of("a1 a:busy a2");
    let noted = Noted::default();
    let policy = RetryPolicy::default().without_jitter();
    let runner = scene.runner(OnFailure::Stop).retry_policy(policy).sleep(noted.clone());
    assert!(block_on(runner.catch_up()).is_err());
    assert_eq!(failed(&runner)[0].attempts, 3);
    assert_eq!(*noted.0.lock(), [1, 2].map(Duration::from_secs));
    assert_eq!(scene.taken(), "a:a1");

    let scene = Scene::of("a:bad");
    let noted = Noted::default();
    let runner = scene.runner(OnFailure::Stop).sleep(noted.clone());
    assert!(block_on(runner.catch_up()).is_err());
    assert_eq!((failed(&runner)[0].attempts, noted.0.lock().len()), (1, 0));
}

#[test]
fn an_error_of_the_database_ends_the_run_and_is_not_the_events() {
    for on_failure in [OnFailure::Stop, OnFailure::GoOn] {
        let scene = Scene::of("a1 a:full a2");
        let runner = scene.runner(on_failure);
        let error = block_on(runner.catch_up()).unwrap_err();
        assert!(!matches!(error, ModelError::EventFailed { .. }) && error.to_string().contains("full"), "{error}");
        assert!(failed(&runner).is_empty() && !block_on(runner.status()).unwrap().stopped);
        // There is room again.
        scene.mend();
        block_on(runner.catch_up()).unwrap();
        assert_eq!(scene.taken(), "a:a1,full,a2");
    }
}

#[test]
fn an_event_that_succeeds_at_a_further_attempt_leaves_no_record() {
    /// Mends the projection while it waits.
    struct Mending(Arc<std::sync::atomic::AtomicBool>);

    impl Sleep for Mending {
        fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
            self.0.store(true, std::sync::atomic::Ordering::SeqCst);
            Box::pin(std::future::ready(()))
        }
    }

    let scene = Scene::of("a1 a:busy a2");
    let runner = scene.runner(OnFailure::Stop).sleep(Mending(scene.notes.mended.clone()));
    block_on(runner.catch_up()).unwrap();
    assert_eq!((scene.taken().as_str(), failed(&runner).len()), ("a:a1,busy,a2", 0));
}

#[test]
fn a_projection_that_goes_on_parks_what_follows_in_the_stream_and_takes_all_others() {
    let scene = Scene::of("a1 a:bad a2 b1 a3 b2");
    let runner = scene.runner(OnFailure::GoOn);
    assert_eq!(block_on(runner.catch_up()).unwrap(), Position::new(6));
    assert_eq!(scene.taken(), "a:a1 b:b1,b2");
    scene.append("b3 a4");
    block_on(runner.catch_up()).unwrap();
    assert_eq!(scene.taken(), "a:a1 b:b1,b2,b3");
    let waiting = failed(&runner);
    assert_eq!(positions(&waiting), [2, 3, 5, 8]);
    assert_eq!(
        waiting.iter().map(|one| (one.attempts, one.is_parked())).collect::<Vec<_>>(),
        [(1, false), (0, true), (0, true), (0, true)]
    );
    assert_eq!(waiting[1].error, "waits for version 2 of its stream");
    assert!(!block_on(runner.status()).unwrap().stopped);
}

#[test]
fn a_retry_takes_a_failed_event_and_those_parked_behind_it_in_their_order() {
    for which in 0..3 {
        let scene = Scene::of("a1 a:bad a2 b1 a3");
        let runner = scene.runner(OnFailure::GoOn);
        block_on(runner.catch_up()).unwrap();
        scene.mend();
        // Whichever row is named: its stream is taken from the first that waits.
        let id = failed(&runner)[which].id;
        assert_eq!(block_on(runner.retry(id)).unwrap(), 3);
        assert_eq!(scene.taken(), "a:a1,bad,a2,a3 b:b1");
        assert!(failed(&runner).is_empty());
        scene.append("a4");
        block_on(runner.catch_up()).unwrap();
        assert_eq!(scene.taken(), scene.taken_afresh());
        assert!(matches!(block_on(runner.retry(id)), Err(ModelError::NoFailedEvent { id: gone }) if gone == id));
    }
}

#[test]
fn a_retry_that_fails_changes_nothing_but_the_count_of_attempts() {
    let scene = Scene::of("a1 a:bad a2");
    for on_failure in [OnFailure::GoOn, OnFailure::Stop] {
        let runner = scene.runner(on_failure);
        let _ = block_on(runner.catch_up());
        let before = failed(&runner).remove(0);
        let error = block_on(runner.retry(before.id)).unwrap_err();
        assert!(matches!(&error, ModelError::EventFailed { position, .. } if position.get() == 2), "{error}");
        let after = failed(&runner).remove(0);
        assert_eq!((after.id, after.attempts, after.created_at), (before.id, before.attempts + 1, before.created_at));
        assert_eq!(scene.taken(), "a:a1");
    }
}

#[test]
fn a_retry_where_the_projection_stopped_takes_the_event_and_no_more() {
    let scene = Scene::of("a1 a:bad a2");
    let runner = scene.runner(OnFailure::Stop);
    assert!(block_on(runner.catch_up()).is_err());
    scene.mend();
    assert_eq!(block_on(runner.retry(failed(&runner)[0].id)).unwrap(), 1);
    assert_eq!((scene.taken().as_str(), position(&runner)), ("a:a1,bad", 2));
    block_on(runner.catch_up()).unwrap();
    assert_eq!(scene.taken(), "a:a1,bad,a2");
}

#[test]
fn a_resolved_event_has_no_effect_and_those_behind_it_have() {
    for on_failure in [OnFailure::GoOn, OnFailure::Stop] {
        let scene = Scene::of("a1 a:bad a2 b1");
        let runner = scene.runner(on_failure);
        let _ = block_on(runner.catch_up());
        let id = failed(&runner)[0].id;
        block_on(runner.resolve(id)).unwrap();
        block_on(runner.catch_up()).unwrap();
        assert_eq!(scene.taken(), "a:a1,a2 b:b1");
        assert!(failed(&runner).is_empty());
        let kept = block_on(runner.failed_events(true)).unwrap();
        assert_eq!((kept.len(), kept[0].id, kept[0].resolved_at.is_some()), (1, id, true));
        assert!(matches!(block_on(runner.resolve(id)), Err(ModelError::NoFailedEvent { .. })));
        // Passed over by a rebuild, too, even if it would succeed there.
        scene.mend();
        block_on(runner.rebuild()).unwrap();
        assert_eq!(scene.taken(), "a:a1,a2 b:b1");
        assert_eq!(block_on(runner.failed_events(true)).unwrap().len(), 1);
    }
}

#[test]
fn resolving_an_event_shows_the_next_one_that_fails_behind_it() {
    let scene = Scene::of("a:bad1 a1 a:bad2 a2");
    let runner = scene.runner(OnFailure::GoOn);
    block_on(runner.catch_up()).unwrap();
    let error = block_on(runner.resolve(failed(&runner)[0].id)).unwrap_err();
    assert!(matches!(&error, ModelError::EventFailed { position, .. } if position.get() == 3), "{error}");
    assert_eq!(scene.taken(), "a:a1");
    let waiting = failed(&runner);
    assert_eq!((positions(&waiting), waiting[0].attempts), (vec![3, 4], 1));
}

#[test]
fn a_number_that_no_event_waits_under_is_an_error() {
    let scene = Scene::of("a1");
    let runner = scene.runner(OnFailure::GoOn);
    for error in [block_on(runner.retry(FailedId::new(7))), block_on(runner.resolve(FailedId::new(7)))] {
        assert_eq!(error.unwrap_err().to_string(), "no failed event 7 waits");
    }
}

#[test]
fn a_page_that_reaches_a_projection_twice_is_taken_once_also_where_it_fails() {
    let scene = Scene::of("a:bad a1");
    let projection = scene.projection();
    block_on(projection.prepare()).unwrap();
    let page = block_on(scene.store.read_all(ReadAll::after(Position::START))).unwrap();
    let start = Checkpoint::default();
    let Taken::Failed { index: 0, error } = block_on(projection.take(start, &page)).unwrap() else { panic!() };
    let reached = block_on(projection.record_failed(start, &page[0], &error, 1, true)).unwrap();
    assert_eq!(reached, Checkpoint::from(&page[0]));
    // Another process that has seen the same failure.
    assert_eq!(block_on(projection.record_failed(start, &page[0], &error, 1, true)).unwrap(), reached);
    let failed = block_on(projection.failed_events(true)).unwrap();
    assert_eq!((failed.len(), failed[0].attempts), (1, 1));
}

#[test]
fn whatever_is_done_in_whatever_order_the_view_ends_as_a_fresh_one() {
    for seed in 1..=Place::ROUNDS {
        let (scene, mut random) = (Scene::of("a0"), Random(seed));
        block_on(scene.runner(OnFailure::Stop).catch_up()).unwrap();
        for step in 0..60 {
            let on_failure = if random.below(2) == 0 { OnFailure::Stop } else { OnFailure::GoOn };
            let runner = scene.runner(on_failure).page_events(1 + random.below(5) as usize);
            // Each may fail, as events do.
            match random.below(8) {
                0..=3 => {
                    let kind = ["", "", "", "bad"][random.below(4) as usize];
                    scene.append(&format!("{}:{kind}{step}", ["a", "b", "c"][random.below(3) as usize]));
                }
                4 | 5 => drop(block_on(runner.catch_up())),
                6 => drop(block_on(runner.rebuild())),
                _ => {
                    let waiting = failed(&runner);
                    if !waiting.is_empty() {
                        drop(block_on(runner.retry(waiting[random.below(waiting.len() as u64) as usize].id)));
                    }
                }
            }
            assert!(!scene.taken().contains("bad"), "seed {seed}, step {step}: {}", scene.taken());
        }
        scene.mend();
        let runner = scene.runner(OnFailure::Stop);
        block_on(runner.catch_up()).unwrap();
        while let Some(first) = failed(&runner).first() {
            block_on(runner.retry(first.id)).unwrap();
        }
        assert_eq!(scene.taken(), scene.taken_afresh(), "seed {seed}");
    }
}
