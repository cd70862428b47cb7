//! Bugs of how threads meet, switched on one at a time: the scenarios find each of them.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    crowding, every_way, failing, relaxed, rolling, standing_still,
    world::{Heard, explore},
    writers,
};
use crate::disk::{Bug, plant};

/// A schedule that shows it is among so many.
const SCHEDULES: usize = 2000;

/// What shuttle says when nobody can go on.
const ASLEEP: &str = "deadlock!";

/// Fails unless the scenario falls with the bug, and says one of these.
fn is_found(bug: Bug, scenario: fn(&Arc<Heard>), says: &[&str]) {
    plant(Some(bug));
    let found = catch_unwind(AssertUnwindSafe(|| explore(scenario, SCHEDULES)));
    plant(None);
    let Err(found) = found else { panic!("{bug:?} was not found in {SCHEDULES} schedules") };
    let said = found.downcast_ref::<String>().map(String::as_str).or(found.downcast_ref::<&str>().copied());
    assert!(
        said.is_some_and(|said| says.iter().any(|says| said.contains(says))),
        "{bug:?} was found as something else: {said:?}"
    );
}

#[test]
fn an_acknowledgement_before_the_sync_is_found() {
    is_found(Bug::AcknowledgeBeforeSync, writers, &["before"]);
}

#[test]
fn a_failed_sync_that_is_tried_again_is_found() {
    // Where it is the committer that is told so, it catches the panic, and those sleep on whom it would have woken.
    is_found(Bug::RetryFailedSync, failing, &["before", ASLEEP]);
}

#[test]
fn waking_before_publishing_is_found() {
    is_found(Bug::PublishAfterWaking, every_way, &["woken before it is decided", ASLEEP]);
}

#[test]
fn telling_followers_before_publishing_is_found() {
    is_found(Bug::TellFollowersBeforePublishing, writers, &[ASLEEP]);
}

#[test]
fn a_waiter_that_is_left_asleep_after_an_error_is_found() {
    is_found(Bug::ForgetWaiterAfterError, failing, &[ASLEEP]);
}

#[test]
fn a_batch_that_waits_for_nobody_is_found() {
    is_found(Bug::ForgetWantedBatch, every_way, &[ASLEEP]);
}

#[test]
fn a_log_that_is_left_held_is_found() {
    is_found(Bug::LeaveThemHeld, rolling, &[ASLEEP]);
}

#[test]
fn a_log_that_is_left_held_after_it_stood_still_is_found() {
    is_found(Bug::LeaveThemHeldStill, standing_still, &[ASLEEP]);
}

#[test]
fn a_task_that_sleeps_without_looking_is_found() {
    is_found(Bug::SleepWithoutLooking, failing, &[ASLEEP]);
}

#[test]
fn whoever_waits_for_room_and_is_forgotten_is_found() {
    is_found(Bug::ForgetThoseWhoWaitForRoom, crowding, &[ASLEEP]);
}

#[test]
fn a_refusal_before_it_is_durable_is_found() {
    is_found(Bug::RefuseBeforeDurable, relaxed, &["refused for what may still be lost"]);
}
