//! How the store's threads meet: the real commit, in the orders that shuttle tries.
//!
//! Each scenario lets some threads, tasks and subscribers meet at one store. What must hold whenever one of them hears something is
//! in `world`; that nobody sleeps for ever is found by shuttle, which sees when nobody can go on.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
};

use shuttle::rand::{RngCore, thread_rng};

use self::{
    disk::{ModelDisk, Strike},
    world::{FIRST, Heard, Panicking, World, block, drive, explore, join, name, repeat, schedules},
};
use super::{Durability, Options};
use crate::{
    error::Error,
    event_store::block_on,
    version::{ExpectedVersion::*, Version},
};

mod disk;
mod file;
mod planted;
mod thread;
mod world;

/// Tries a scenario, and says how often. Each of the kinds of answers that are expected must have been heard at least so often.
fn shows(scenario: fn(&Arc<Heard>), title: &str, least: [u64; 4]) {
    let count = schedules();
    let heard = explore(scenario, count);
    let [acknowledged, refused, unknown, delivered] = heard.counts();
    println!(
        "{title}: {count} schedules, half at random, half by priorities; \
         {acknowledged} acknowledged, {refused} refused, {unknown} unknown, {delivered} delivered"
    );
    if std::env::var_os("SHUTTLE_REPLAY").is_none() {
        assert!(heard.counts().iter().zip(least).all(|(heard, least)| *heard >= least), "too little happened");
    }
}

fn chosen(of: u64) -> u64 {
    thread_rng().next_u64() % of
}

/// Writers and one who follows.
fn writers(heard: &Arc<Heard>) {
    let world = World::roomy(heard);
    let follower = world.spawn(|world| world.follow(6));
    let threads = (0..3).map(|writer| {
        world.spawn(move |world| {
            let stream = format!("w-{writer}");
            world.append(&stream, NoStream, 10 * writer).unwrap();
            if writer < 2 {
                world.append(&stream, Exact(Version::new(1)), 10 * writer + 1).unwrap();
            }
        })
    });
    join(threads.collect());
    assert_eq!(join(vec![follower]), [6]);
    world.reopen().unwrap();
}

/// A thread, a task, a pipeline whose ends are waited for in each of the ways, and futures that are dropped.
fn every_way(heard: &Arc<Heard>) {
    let world = World::roomy(heard);
    let thread = world.spawn(|world| {
        let _ = world.append("thread-1", NoStream, 1).unwrap();
    });
    let task = world.spawn(|world| {
        block(world.appending("task-1", NoStream, 10)).unwrap();
        block(world.appending("task-1", Exact(Version::new(1)), 11)).unwrap();
    });
    let pipeline = world.spawn(|world| {
        let first = world.submit("pipe-1", NoStream, 20);
        let second = world.submit("pipe-1", Exact(Version::new(1)), 21);
        let third = world.submit("pipe-1", Exact(Version::new(2)), 22);
        drop(first.unwrap());
        if chosen(2) == 0 {
            world.watch(21, second).unwrap();
            world.wait(22, third).unwrap();
        } else {
            world.wait(21, second).unwrap();
            world.watch(22, third).unwrap();
        }
    });
    let dropped = world.spawn(|world| {
        let mut appending = Box::pin(world.appending("dropped-1", NoStream, 30));
        let polled = appending.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if polled.is_pending() {
            drop(appending);
        }
        drop(world.submit("dropped-2", NoStream, 31).unwrap());
    });
    join(vec![thread, task, pipeline, dropped]);
    let world = world.reopen().unwrap();
    let mut events = world.events();
    events.sort_unstable();
    assert_eq!(events, [1, 10, 11, 20, 21, 22, 30, 31, FIRST]);
}

/// Those who expect the same version of a stream.
fn contenders(heard: &Arc<Heard>) {
    let world = World::roomy(heard);
    let contends = |number: u64, as_task: bool| {
        world.spawn(move |world| {
            let appended = if as_task {
                block(world.appending("s-1", NoStream, number))
            } else {
                world.append("s-1", NoStream, number)
            };
            if let Err(error) = &appended {
                assert!(matches!(error, Error::WrongExpectedVersion { .. }), "{error}");
                let synced = world.disk.synced();
                assert!([1, 2, 3].iter().any(|other| synced.contains(other)), "refused for what may still be lost");
            }
            appended.is_ok()
        })
    };
    let won = join(vec![contends(1, false), contends(2, true), contends(3, false)]);
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    world.reopen().unwrap();
}

/// Segments end all the time, so tasks leave their appends to the committer, and somebody wants everything to be synced.
fn rolling(heard: &Arc<Heard>) {
    let options = Options::new().first_segment_bytes(8 << 10).segment_bytes(8 << 10);
    let world = World::begin(heard, &options, false, 1500);
    let thread = world.spawn(|world| {
        world.append("thread-1", NoStream, 1).unwrap();
        world.append("thread-1", Exact(Version::new(1)), 2).unwrap();
    });
    let tasks = [10, 20].map(|number| {
        world.spawn(move |world| {
            let _ = block(world.appending(&format!("task-{number}"), NoStream, number)).unwrap();
        })
    });
    // It may begin a segment, and then have nothing to put there: the stream might come to this version until it has its turn.
    let refused = world.spawn(|world| {
        assert!(world.append("first-1", Exact(Version::new(9)), 3).is_err());
    });
    let syncing = world.spawn(|world| {
        let before = world.store.inner.log.durable();
        world.store.sync().unwrap();
        assert!(world.store.inner.log.durable() >= before);
    });
    let follower = world.spawn(|world| {
        let _ = world.follow(5);
    });
    join(tasks.into_iter().chain([thread, refused, syncing, follower]).collect());
    let world = world.reopen().unwrap();
    assert_eq!(world.events().len(), 5);
}

/// Tasks that drive themselves, and sequence their own appends when the log goes on that somebody holds still. One may find that
/// its own was written just when it wants to see to that, and what is there now is another's.
fn taking_turns(heard: &Arc<Heard>) {
    let world = World::roomy(heard);
    let still = world.spawn(|world| world.store.inner.log.while_quiet(|_, _| Ok(())).unwrap());
    let tasks = [10, 20].map(|number| {
        world.spawn(move |world| {
            let _ = block_on(world.appending(&format!("task-{number}"), NoStream, number)).unwrap();
        })
    });
    let syncing = world.spawn(|world| world.store.sync().unwrap());
    join(tasks.into_iter().chain([still, syncing]).collect());
    assert_eq!(world.reopen().unwrap().events().len(), 3);
}

/// Tasks that drive themselves and come back, so that batches wait for those that are expected. Who watches for them may find
/// that its own append was in the batch before.
fn coming_back(heard: &Arc<Heard>) {
    let world = World::roomy(heard);
    let driven = world.spawn(|world| {
        for version in 0..3 {
            let _ = block(world.appending("task-30", Exact(Version::new(version)), 30 + version)).unwrap();
        }
    });
    let tasks = [10, 20].map(|number| {
        world.spawn(move |world| {
            for version in 0..2 {
                let appending =
                    world.appending(&format!("task-{number}"), Exact(Version::new(version)), number + version);
                let _ = block_on(appending).unwrap();
            }
        })
    });
    join(tasks.into_iter().chain([driven]).collect());
    assert_eq!(world.reopen().unwrap().events().len(), 8);
}

/// More is appended than the buffer may hold, in these tests some kilobytes.
fn crowding(heard: &Arc<Heard>) {
    let options = Options::new().first_segment_bytes(64 << 10).segment_bytes(64 << 10);
    let world = World::begin(heard, &options, false, 2500);
    let pipelines = [10, 20].map(|number| {
        world.spawn(move |world| {
            for version in 0..3 {
                drop(world.submit(&format!("pipe-{number}"), Exact(Version::new(version)), number + version).unwrap());
            }
        })
    });
    let tasks = [30, 40].map(|number| {
        world.spawn(move |world| {
            let _ = block(world.appending(&format!("task-{number}"), NoStream, number)).unwrap();
        })
    });
    let thread = world.spawn(|world| {
        let _ = world.append("thread-1", NoStream, 50).unwrap();
    });
    join(tasks.into_iter().chain(pipelines).chain([thread]).collect());
    let world = world.reopen().unwrap();
    assert_eq!(world.events().len(), 10);
}

/// Somebody holds the log still.
fn standing_still(heard: &Arc<Heard>) {
    let world = World::roomy(heard);
    let threads = [1, 2].map(|number| {
        world.spawn(move |world| {
            let _ = world.append(&format!("thread-{number}"), NoStream, number).unwrap();
        })
    });
    let task = world.spawn(|world| {
        let _ = block(world.appending("task-1", NoStream, 10)).unwrap();
    });
    let still = [(); 2].map(|()| {
        world.spawn(|world| {
            let held = world.store.inner.log.while_quiet(|_, _| {
                let before = (world.disk.operations(), world.store.last_position(), world.disk.synced().len());
                (0..4).for_each(|_| ModelDisk::point());
                let after = (world.disk.operations(), world.store.last_position(), world.disk.synced().len());
                assert_eq!(before, after, "the log does not stand still");
                Ok(())
            });
            held.unwrap();
        })
    });
    join(threads.into_iter().chain(still).chain([task]).collect());
    world.reopen().unwrap();
}

/// A write or sync fails, or panics. Whoever waits hears of it, and whoever comes later.
fn failing(heard: &Arc<Heard>) {
    let world = World::roomy(heard);
    let strike = [Strike::FailedSync, Strike::FailedWrite, Strike::Panic][chosen(3) as usize];
    world.disk.strike(strike, 1 + chosen(3));
    let hears = |number: u64, body: fn(&World, u64)| world.risk(move |world| body(world, number));
    let mut threads = vec![
        hears(1, |world, number| {
            let _ = world.append("thread-1", NoStream, number);
        }),
        hears(2, |world, number| {
            let _ = world.append("thread-2", NoStream, number);
        }),
        hears(10, |world, number| {
            let _ = block(world.appending("task-1", NoStream, number));
        }),
        hears(20, |world, number| {
            let first = world.submit("pipe-1", NoStream, number);
            let second = world.submit("pipe-1", Exact(Version::new(1)), number + 1);
            let _ = world.watch(number, first);
            let _ = world.wait(number + 1, second);
        }),
        hears(30, |world, _| {
            let _ = world.store.sync();
        }),
    ];
    let follower = world.spawn(|world| world.follow(6));
    if chosen(2) == 0 {
        threads.push(hears(0, |world, _| {
            let _ = world.store.inner.log.while_quiet(|_, _| Ok(()));
        }));
    }
    join(threads);
    if world.disk.struck() {
        assert!(matches!(world.append("late-1", NoStream, 90), Err(Error::OutcomeUnknown { .. })));
        assert!(matches!(block(world.appending("late-2", NoStream, 91)), Err(Error::OutcomeUnknown { .. })));
        assert!(matches!(world.store.sync(), Err(Error::OutcomeUnknown { .. })));
    }
    join(vec![follower]);
    let struck = world.disk.struck();
    assert_eq!(world.reopen().is_err(), struck);
}

/// A segment cannot be begun, once, or whoever begins it panics. Only one hears of an error; if it was the committer who panicked,
/// everybody does.
fn failing_to_begin(heard: &Arc<Heard>) {
    let options = Options::new().first_segment_bytes(8 << 10).segment_bytes(8 << 10);
    let world = World::begin(heard, &options, false, 1500);
    let strike = [Strike::FailedBeginning, Strike::PanicInBeginning][chosen(2) as usize];
    world.disk.strike(strike, 1 + chosen(2));
    let threads = [1, 2].map(|number| {
        world.risk(move |world| {
            let _ = world.append(&format!("thread-{number}"), NoStream, number);
        })
    });
    let tasks = [10, 20].map(|number| {
        world.risk(move |world| {
            let _ = block(world.appending(&format!("task-{number}"), NoStream, number));
        })
    });
    let still = world.risk(|world| {
        let _ = world.store.inner.log.while_quiet(|_, _| Ok(()));
    });
    join(threads.into_iter().chain(tasks).chain([still]).collect());
    world.disk.calm();
    let panics = strike == Strike::PanicInBeginning;
    // A task hears of the committer's panic a moment before everybody else does.
    let late = world.append("first-1", Exact(Version::new(1)), 90);
    assert!(late.is_ok() || panics);
    let closed = world.reopen().is_ok();
    assert!(closed || panics);
    assert!(late.is_ok() || !closed, "the outcome was unknown, and the log went on");
}

/// The wakers of some tasks panic. That is no concern of others.
fn panicking_wakers(heard: &Arc<Heard>) {
    let world = World::roomy(heard);
    let tasks = [10, 20].map(|number| {
        world.spawn(move |world| {
            let appending = world.appending(&format!("task-{number}"), NoStream, number);
            let waker = Waker::from(Arc::new(Panicking(shuttle::thread::current())));
            drive(pin!(appending), &waker).unwrap();
        })
    });
    let threads = [1, 2].map(|number| {
        world.spawn(move |world| {
            let _ = world.append(&format!("thread-{number}"), NoStream, number).unwrap();
        })
    });
    join(tasks.into_iter().chain(threads).collect());
    world.reopen().unwrap();
}

/// Appends that are acknowledged when they are written, those who sync, and the committer that syncs behind.
fn relaxed(heard: &Arc<Heard>) {
    let durability = match chosen(2) {
        0 => Durability::OnDemand,
        _ => Durability::Every(std::time::Duration::from_micros(500)),
    };
    let options = Options::new().first_segment_bytes(8 << 10).segment_bytes(8 << 10).durability(durability);
    let world = World::begin(heard, &options, true, 1000);
    let syncs = |as_task: bool| {
        move |world: &World| {
            let number = 10 + u64::from(as_task);
            let stream = format!("syncs-{as_task}");
            let appended = if as_task {
                block(world.appending(&stream, NoStream, number))
            } else {
                world.append(&stream, NoStream, number)
            };
            world.store.sync().unwrap();
            assert!(world.store.inner.log.durable() >= appended.unwrap().position);
            assert!(world.disk.synced().contains(&number), "a sync returned before what was acknowledged is durable");
        }
    };
    // One of them is refused for an event that may not be durable yet: that is made so first.
    let contends = |number: u64, other: u64, as_task: bool| {
        world.spawn(move |world| {
            let appended = if as_task {
                block(world.appending("s-1", NoStream, number))
            } else {
                world.append("s-1", NoStream, number)
            };
            if let Err(error) = appended {
                assert!(matches!(error, Error::WrongExpectedVersion { .. }), "{error}");
                assert!(world.disk.synced().contains(&other), "refused for what may still be lost");
            }
        })
    };
    let contenders = [contends(1, 2, false), contends(2, 1, true)];
    let follower = world.spawn(|world| {
        let _ = world.follow(4);
    });
    let syncing = [world.spawn(syncs(false)), world.spawn(syncs(true))];
    join(contenders.into_iter().chain(syncing).chain([follower]).collect());
    world.reopen().unwrap();
}

/// The store is closed by whoever has it last: a thread, or a task on the committer's thread.
fn closing(heard: &Arc<Heard>) {
    let world = World::roomy(heard);
    let (disk, store) = (world.disk.clone(), world.store.clone());
    let thread = world.spawn(|world| {
        let _ = world.append("thread-1", NoStream, 1).unwrap();
    });
    let owner = {
        let event = world.event(10);
        drop(world);
        shuttle::thread::spawn(move || {
            let mut appending = Box::pin(store.append_async(&name("task-1"), NoStream, vec![event]));
            drop(store);
            // Its waker owns the rest of the task, the last handle of the store among it.
            let owned = Arc::new(world::Owning::default());
            let polled = appending.as_mut().poll(&mut Context::from_waker(&Waker::from(owned.clone())));
            if polled.is_pending() {
                owned.own(appending);
            }
        })
    };
    join(vec![thread, owner]);
    // Whoever closes it may not have come to the end yet.
    while !disk.is_given_back() {
        shuttle::thread::yield_now();
    }
    let store = Options::new().open_on(Arc::new(disk), std::path::Path::new("/store")).unwrap();
    assert_eq!(store.last_position().get(), 3);
}

#[test]
fn each_is_acknowledged_in_order_when_it_is_durable_and_a_follower_misses_none() {
    shows(writers, "writers", [100, 0, 0, 100]);
}

#[test]
fn threads_tasks_and_pipelines_are_woken_and_what_was_dropped_is_committed() {
    shows(every_way, "every way", [100, 0, 0, 0]);
}

#[test]
fn nobody_is_refused_for_what_is_not_durable() {
    shows(contenders, "contenders", [10, 10, 0, 0]);
}

#[test]
fn nobody_is_left_behind_when_segments_end() {
    shows(rolling, "rolling", [100, 100, 0, 100]);
}

#[test]
fn nobody_leaves_to_another_what_that_one_has_done_with() {
    shows(taking_turns, "taking turns", [100, 0, 0, 0]);
}

#[test]
fn whoever_watches_a_batch_leads_it() {
    shows(coming_back, "coming back", [1000, 0, 0, 0]);
}

#[test]
fn whoever_waits_for_room_gets_it() {
    shows(crowding, "crowding", [100, 0, 0, 0]);
}

#[test]
fn nothing_moves_while_the_log_stands_still_and_everybody_goes_on_behind_it() {
    shows(standing_still, "standing still", [100, 0, 0, 0]);
}

#[test]
fn after_an_error_or_a_panic_everybody_hears_that_the_outcome_is_unknown() {
    shows(failing, "failing", [100, 0, 100, 100]);
}

#[test]
fn a_segment_that_cannot_be_begun_concerns_one_append_and_a_panic_leaves_nobody_asleep() {
    shows(failing_to_begin, "failing to begin", [100, 10, 1, 0]);
}

#[test]
fn a_waker_that_panics_is_no_concern_of_others() {
    shows(panicking_wakers, "panicking wakers", [100, 0, 0, 0]);
}

#[test]
fn a_sync_covers_what_was_acknowledged_before_it() {
    shows(relaxed, "relaxed", [100, 1, 0, 100]);
}

#[test]
fn whoever_has_the_store_last_closes_it() {
    shows(closing, "closing", [1, 0, 0, 0]);
}

#[test]
fn a_schedule_that_is_run_again_is_the_same() {
    for scenario in [writers, every_way, rolling, failing, relaxed] {
        repeat(scenario, 20);
    }
}
