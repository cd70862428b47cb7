//! The pool of connections.

use std::{thread, time::Duration};

use factlog::backend::postgres::PostgresOptions;

use crate::{
    postgres::Postgres,
    support::{Hand, LONG, append, patient, whole_log},
};

/// How many connections to a database there are, without the one that asks.
fn connections(hand: &Hand) -> i64 {
    hand.number("SELECT count(*) - 1 FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'")
}

#[test]
fn connections_that_nobody_uses_are_closed_and_made_again_when_they_are_needed() {
    let address = Postgres::shared().database();
    let options = PostgresOptions::new(&address).unwrap().connect_time(LONG).request_time(LONG);
    let store = options.idle_time(Duration::from_millis(100)).connect().unwrap();
    let hand = Hand::at(&address);
    for round in 1..=2 {
        thread::scope(|scope| {
            for writer in 0..8 {
                let store = &store;
                scope.spawn(move || append(store, &format!("a-{writer}"), "x").unwrap());
            }
        });
        while connections(&hand) > 0 {
            thread::yield_now();
        }
        assert_eq!(whole_log(&store).len(), 8 * round);
    }
}

#[test]
fn more_writers_than_connections_wait_for_each_other() {
    let address = Postgres::shared().database();
    let options = PostgresOptions::new(&address).unwrap().connect_time(LONG).request_time(LONG);
    let (store, hand) = (options.pool_size(2).connect().unwrap(), Hand::at(&address));
    thread::scope(|scope| {
        let writing: Vec<_> = (0..16)
            .map(|writer| {
                let store = &store;
                scope.spawn(move || {
                    (0..20).for_each(|_| {
                        append(store, &format!("a-{writer}"), "x").unwrap();
                    })
                })
            })
            .collect();
        while !writing.iter().all(thread::ScopedJoinHandle::is_finished) {
            assert!(connections(&hand) <= 2);
        }
    });
    assert_eq!(whole_log(&store).len(), 16 * 20);
}

#[test]
fn connections_that_the_server_refuses_are_asked_for_again() {
    let server = Postgres::shared();
    let address = server.database();
    drop(patient(&address));
    Hand::at(&address).run(
        "CREATE ROLE narrow LOGIN PASSWORD 'narrow' CONNECTION LIMIT 1; GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO narrow; \
         GRANT USAGE, SELECT ON SEQUENCE commits TO narrow",
    );
    let narrow = patient(&address.replace("factlog:open-sesame", "narrow:narrow"));
    thread::scope(|scope| {
        for writer in 0..8 {
            let narrow = &narrow;
            scope.spawn(move || {
                (0..5).for_each(|_| {
                    append(narrow, &format!("a-{writer}"), "x").unwrap();
                })
            });
        }
    });
    assert_eq!(whole_log(&narrow).len(), 8 * 5);
}
