//! The tables, and who makes them.

use std::{sync::Barrier, thread};

use factlog::{Error, backend::postgres::PostgresStore};

use crate::{
    postgres::Postgres,
    support::{Hand, Held, append, patient, whole_log},
};

#[test]
fn of_many_that_come_first_at_once_each_finds_the_tables() {
    let address = Postgres::shared().database();
    let start = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                append(&patient(&address), "a", "x").unwrap();
            });
        }
    });
    assert_eq!(Hand::at(&address).number("SELECT count(*) FROM factlog_schema"), 1);
    assert_eq!(whole_log(&patient(&address)).len(), 8);
}

#[test]
fn tables_of_a_later_version_or_of_something_else_are_left_alone_and_named() {
    let address = Postgres::shared().database();
    drop(patient(&address));
    Hand::at(&address).run("INSERT INTO factlog_schema VALUES (99, now())");
    match PostgresStore::connect(&address).unwrap_err() {
        Error::NotAStore { reason, .. } => {
            assert_eq!(reason, "its tables are of version 99; this version of factlog knows 1");
        }
        other => panic!("{other}"),
    }
    let address = Postgres::shared().database();
    Hand::at(&address).run("CREATE TABLE events (name text)");
    let error = PostgresStore::connect(&address).unwrap_err();
    assert!(
        matches!(error, Error::NotAStore { .. }) && error.to_string().contains("\"events\" already exists"),
        "{error}"
    );
    assert_eq!(Hand::at(&address).number("SELECT count(*) FROM pg_class WHERE relname IN ('snapshots', 'commits')"), 0);
}

#[test]
fn two_stores_share_a_database_in_schemas_of_their_own_and_hold_up_neither() {
    let address = Postgres::shared().database();
    Hand::at(&address).run("CREATE SCHEMA shop; CREATE SCHEMA audit");
    let of = |schema: &str| format!("{address}?options=-c%20search_path%3D{schema}");
    let (shop, audit) = (patient(&of("shop")), patient(&of("audit")));
    let held = Held::append(&of("shop"), "a", "x");
    append(&shop, "b", "shop").unwrap();
    append(&audit, "b", "audit").unwrap();
    assert_eq!((whole_log(&shop).len(), whole_log(&audit)), (0, vec!["audit".to_owned()]));
    held.end("COMMIT");
    assert_eq!(whole_log(&shop), ["x", "shop"]);
}

#[test]
fn a_role_that_may_only_use_the_tables_opens_a_store_that_is_there_and_none_that_is_not() {
    let server = Postgres::shared();
    let (address, empty) = (server.database(), server.database());
    drop(patient(&address));
    let hand = Hand::at(&address);
    hand.run(
        "CREATE ROLE clerk LOGIN PASSWORD 'clerk'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO clerk; \
         GRANT INSERT ON events TO clerk; GRANT INSERT, UPDATE, DELETE ON snapshots, cursors TO clerk; \
         GRANT USAGE, SELECT ON SEQUENCE commits TO clerk",
    );
    let clerk = |address: &str| address.replace("factlog:open-sesame", "clerk:clerk");
    let store = patient(&clerk(&address));
    append(&store, "a", "x").unwrap();
    assert_eq!(whole_log(&store), ["x"]);
    let refused = PostgresStore::connect(&clerk(&empty)).unwrap_err();
    assert!(matches!(refused, Error::Unauthorized { .. }), "{refused}");
}
