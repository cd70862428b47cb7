//! Events that commit late are not passed over.

use std::{collections::HashMap, thread};

use factlog::{EventStore, Position, ReadAll, Start, Subscribe, block_on};

use crate::{
    postgres::Postgres,
    support::{Hand, Held, append, log, patient, subscribe, text, whole_log},
};

#[test]
fn a_subscriber_is_given_nothing_behind_an_append_that_is_still_under_way_and_then_everything_in_order() {
    let address = Postgres::shared().database();
    let store = patient(&address);
    let mut subscription = subscribe(&store);
    append(&store, "a", "first").unwrap();
    assert_eq!(text(&block_on(subscription.next()).unwrap()), "first");
    let held = Held::append(&address, "late", "second");
    // It has its number, and does not commit; others take later numbers, and do.
    for payload in ["third", "fourth"] {
        append(&store, "a", payload).unwrap();
    }
    assert_eq!(whole_log(&store), ["first"]);
    assert_eq!(log(&store, ReadAll::after(Position::START).backwards()), ["first"]);
    assert_eq!(log(&store, ReadAll::after(Position::START).backwards().limit(1)), ["first"]);
    let newest = block_on(store.last_position()).unwrap();
    held.end("COMMIT");
    let given: Vec<String> = (0..3).map(|_| text(&block_on(subscription.next()).unwrap())).collect();
    assert_eq!(given, ["second", "third", "fourth"]);
    assert_eq!(whole_log(&store), ["first", "second", "third", "fourth"]);
    assert_eq!(subscription.position(), newest);
}

#[test]
fn an_append_that_comes_to_nothing_holds_up_nobody_when_it_has_ended() {
    let address = Postgres::shared().database();
    let store = patient(&address);
    let held = Held::append(&address, "never", "x");
    append(&store, "a", "first").unwrap();
    assert_eq!(whole_log(&store), Vec::<String>::new());
    held.end("ROLLBACK");
    assert_eq!(text(&block_on(subscribe(&store).next()).unwrap()), "first");
    assert_eq!(whole_log(&store), ["first"]);
}

#[test]
fn other_transactions_of_the_database_hold_up_nobody_however_long_they_are() {
    let address = Postgres::shared().database();
    let store = patient(&address);
    let other = Hand::at(&address);
    // It has a number of its own, as everything that writes has, and a view of the past.
    other.run("BEGIN ISOLATION LEVEL REPEATABLE READ; CREATE TABLE of_another (x int); SELECT pg_advisory_xact_lock_shared(1, 2)");
    append(&store, "a", "first").unwrap();
    assert_eq!(whole_log(&store), ["first"]);
    assert_eq!(text(&block_on(subscribe(&store).next()).unwrap()), "first");
    other.run("ROLLBACK");
}

#[test]
fn of_many_transactions_that_commit_in_any_order_a_subscriber_sees_each_once_and_in_order() {
    let address = Postgres::shared().database();
    let store = patient(&address);
    let (holders, rounds, writers, each) = (3usize, 30usize, 3usize, 100usize);
    let all = holders * rounds + writers * each;
    thread::scope(|scope| {
        for holder in 0..holders {
            let (address, store) = (&address, &store);
            scope.spawn(move || {
                for round in 0..rounds {
                    let held = Held::append(address, &format!("held-{holder}"), &format!("held-{holder} {round}"));
                    // As many others as there are commit in between.
                    append(store, &format!("between-{holder}"), "between").unwrap();
                    held.end("COMMIT");
                }
            });
        }
        for writer in 0..writers {
            let store = &store;
            scope.spawn(move || {
                for round in 0..each {
                    append(store, &format!("writer-{writer}"), &format!("writer-{writer} {round}")).unwrap();
                }
            });
        }
        let followers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut subscription = subscribe(&store);
                    let mut seen = Vec::new();
                    for _ in 0..all + holders * rounds {
                        seen.push(block_on(subscription.next()).unwrap());
                    }
                    seen
                })
            })
            .collect();
        for follower in followers {
            let seen = follower.join().unwrap();
            assert!(seen.windows(2).all(|pair| pair[0].position() < pair[1].position()));
            let mut versions: HashMap<_, u64> = HashMap::new();
            for event in &seen {
                let version = versions.entry(event.stream()).or_default();
                *version += 1;
                assert_eq!(event.version().get(), *version);
            }
        }
    });
}

#[test]
fn one_process_hears_of_what_another_appends_also_without_notifications() {
    let address = Postgres::shared().database();
    let store = patient(&address);
    let mut subscription = subscribe(&store);
    append(&patient(&address), "a", "told").unwrap();
    assert_eq!(text(&block_on(subscription.next()).unwrap()), "told");
    // By hand nobody is told.
    Held::append(&address, "a", "untold").end("COMMIT");
    assert_eq!(text(&block_on(subscription.next()).unwrap()), "untold");
    let behind = Subscribe { start: Start::After(subscription.position()), ..Subscribe::new() };
    let mut later = block_on(store.subscribe(behind)).unwrap();
    append(&store, "a", "own").unwrap();
    assert_eq!(text(&block_on(later.next()).unwrap()), "own");
}

#[test]
fn a_database_with_another_isolation_of_transactions_changes_nothing() {
    for isolation in ["repeatable read", "serializable"] {
        let address = Postgres::shared().database();
        let name = address.rsplit('/').next().unwrap();
        Hand::at(&address).run(&format!("ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'"));
        let (stores, (writers, each)) = ([patient(&address), patient(&address)], (8, 25));
        thread::scope(|scope| {
            for writer in 0..writers {
                let store = &stores[writer % 2];
                scope.spawn(move || {
                    for _ in 0..each {
                        append(store, "shared", "x").unwrap();
                    }
                });
            }
            let mut subscription = subscribe(&stores[0]);
            for version in 1..=(writers * each) as u64 {
                assert_eq!(block_on(subscription.next()).unwrap().version().get(), version);
            }
        });
    }
}
