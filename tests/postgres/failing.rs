//! What goes wrong, and what is said about it.

use std::time::Duration;

use factlog::{
    Action, Error, EventStore, ExpectedVersion, Position, ReadAll,
    backend::postgres::{PostgresOptions, PostgresStore},
    block_on,
};

use crate::{
    disk::Disk,
    postgres::{PASSWORD, Postgres},
    support::{Hand, LONG, append, event, events, patient, stream, text, whole_log},
};

/// Connects, which must fail without telling the password.
fn refusal(address: &str) -> Error {
    let error = PostgresStore::connect(address).unwrap_err();
    assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error:?}");
    error
}

#[test]
fn a_wrong_password_a_missing_database_and_a_server_that_is_not_there_are_told_apart_and_say_what_to_do() {
    let server = Postgres::shared();
    let address = server.database();
    let wrong = refusal(&address.replace(PASSWORD, "guessed"));
    assert!(matches!(&wrong, Error::Unauthorized { .. }) && wrong.action() == Action::FixInput, "{wrong}");
    assert!(wrong.to_string().contains("mend user and password") && !wrong.to_string().contains("guessed"), "{wrong}");
    let none = refusal(&address.replace(&format!(":{PASSWORD}"), ""));
    assert!(matches!(&none, Error::Unauthorized { .. }) && none.to_string().contains("password"), "{none}");
    let missing = refusal(&server.address("nowhere"));
    assert!(matches!(&missing, Error::NotAStore { .. }) && missing.action() == Action::FixInput, "{missing}");
    assert!(missing.to_string().contains("database \"nowhere\" does not exist: make it with `createdb`"), "{missing}");
    let gone = refusal(&address.replace(&format!(":{}/", server.port()), ":1/"));
    assert!(matches!(&gone, Error::Unavailable { .. }) && gone.action() == Action::Retry, "{gone}");
    assert!(gone.to_string().contains("postgres://factlog@127.0.0.1:1/"), "{gone}");
    // The server has no certificate.
    let insecure = refusal(&format!("{address}?sslmode=require"));
    assert!(matches!(&insecure, Error::NotAStore { .. }) && insecure.action() == Action::FixInput, "{insecure}");
    assert!(insecure.to_string().contains("the server has no TLS: set `ssl`"), "{insecure}");
    let store = patient(&address);
    assert!(!format!("{store:?} {:?}", PostgresOptions::new(&address)).contains(PASSWORD));
}

#[test]
fn a_database_that_cannot_be_written_or_is_not_in_utf8_is_refused() {
    let server = Postgres::shared();
    let address = server.database();
    drop(patient(&address));
    let name = address.rsplit('/').next().unwrap();
    Hand::at(&address).run(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    let read_only = refusal(&address);
    assert!(matches!(read_only, Error::ReadOnly { .. }), "{read_only}");
    server.execute("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0");
    let latin = refusal(&server.address("latin"));
    assert!(latin.to_string().contains("not in UTF-8"), "{latin}");
}

#[test]
fn a_server_that_went_away_is_unavailable_and_after_its_return_everything_goes_on() {
    let server = Postgres::new();
    let options = PostgresOptions::new(&server.database()).unwrap().connect_time(LONG);
    let store = options.request_time(Duration::from_secs(5)).connect().unwrap();
    append(&store, "a", "before").unwrap();
    server.kill();
    for _ in 0..2 {
        let error = append(&store, "a", "meanwhile").unwrap_err();
        // The first may have been on its way when the connection broke.
        assert!(matches!(&error, Error::Unavailable { .. } | Error::OutcomeUnknown { .. }), "{error}");
    }
    let error = block_on(store.stream_version(&stream("a"))).unwrap_err();
    assert!(matches!(&error, Error::Unavailable { .. }) && error.action() == Action::Retry, "{error}");
    server.start();
    append(&store, "a", "after").unwrap();
    assert_eq!(whole_log(&store), ["before", "after"]);
}

#[test]
fn a_full_disk_is_named_and_reads_go_on_and_so_do_appends_when_there_is_room() {
    let Some(disk) = Disk::new("16m") else { return };
    let server = Postgres::shared();
    server.give(disk.path());
    let place = disk.path().join("space");
    std::fs::create_dir(&place).unwrap();
    server.give(&place);
    server.execute("postgres", &format!("CREATE TABLESPACE small LOCATION '{}'", place.display()));
    server.execute("postgres", "CREATE DATABASE full_disk");
    let address = server.address("full_disk");
    let store = patient(&address);
    append(&store, "a", "before").unwrap();
    // The rest of the database stays where it is.
    Hand::at(&address)
        .run("ALTER TABLE events SET TABLESPACE small; ALTER TABLE events ALTER event_data SET STORAGE EXTERNAL");
    let large = stream("large");
    let error = loop {
        let payload: Vec<u8> = (0..1u32 << 20).map(|number| (number * 7) as u8).collect();
        let appended = store.append(&large, ExpectedVersion::Any, vec![event(payload)]);
        if let Err(error) = block_on(appended) {
            break error;
        }
    };
    assert!(matches!(&error, Error::NoSpace { .. }) && error.action() == Action::Retry, "{error}");
    assert_eq!(events(&store, "a").iter().map(text).collect::<Vec<_>>(), ["before"]);
    let version = block_on(store.stream_version(&stream("large"))).unwrap();
    // Room is made by moving to another disk.
    Hand::at(&address).run("ALTER TABLE events SET TABLESPACE pg_default");
    append(&store, "large", "after").unwrap();
    assert_eq!(block_on(store.stream_version(&stream("large"))).unwrap(), version.next());
    drop(store);
    server.execute("postgres", "DROP DATABASE full_disk WITH (FORCE)");
    server.execute("postgres", "DROP TABLESPACE small");
}

#[test]
fn a_server_whose_whole_disk_is_full_loses_nothing_that_was_acknowledged_and_goes_on_with_room() {
    let Some(disk) = Disk::new("200m") else { return };
    let place = disk.path().join("server");
    std::fs::create_dir(&place).unwrap();
    let server = Postgres::within(place);
    let database = server.database();
    let options = PostgresOptions::new(&database).unwrap().connect_time(LONG);
    let store = options.request_time(Duration::from_secs(3)).connect().unwrap();
    append(&store, "a", "before").unwrap();
    disk.fill_but(2 << 20);
    let (mut stored, mut doubtful) = (0, None);
    while doubtful.is_none() {
        let sent = event(vec![7; 100 << 10]);
        match block_on(store.append(&stream("large"), ExpectedVersion::Any, vec![sent.clone()])) {
            Ok(_) => stored += 1,
            Err(Error::NoSpace { .. } | Error::Unavailable { .. } | Error::OutcomeUnknown { .. }) => {
                doubtful = Some(sent)
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(stored > 0);
    disk.make_room();
    // It may have ended, as it does when its log finds no room.
    server.end();
    server.start();
    let sent = doubtful.into_iter().collect();
    block_on(patient(&database).append(&stream("large"), ExpectedVersion::Any, sent)).unwrap();
    assert_eq!(events(&patient(&database), "large").len(), stored + 1);
    assert_eq!(events(&store, "a").len(), 1);
}

#[test]
fn rows_and_tables_that_are_not_as_the_store_makes_them_are_named() {
    let address = Postgres::shared().database();
    let (store, hand) = (patient(&address), Hand::at(&address));
    append(&store, "a", "x").unwrap();
    for (number, (name, kind)) in (1000..).zip([("", "T"), ("b", ""), ("c\u{7}", "T")]) {
        hand.run(&format!(
            "INSERT INTO events VALUES ({number} << 14, '{name}', 1, '{}', '{kind}', '', '', 0)",
            factlog::EventId::generate()
        ));
        let error = block_on(store.read_all(ReadAll::after(Position::START))).unwrap_err();
        let Error::Damaged(damage) = &error else { panic!("{error}") };
        assert_eq!(damage.place.position, Position::new(number << 14), "{error}");
        assert!(error.to_string().contains("the table `events`"), "{error}");
        hand.run(&format!("DELETE FROM events WHERE position = {number} << 14"));
    }
    for (broken, part) in [
        ("DROP FUNCTION factlog_append", "factlog_append"),
        ("ALTER TABLE events RENAME event_data TO data", "event_data"),
        ("DROP TABLE events", "\"events\""),
    ] {
        hand.run(broken);
        // A handle that was there before may know how to do without.
        let made = PostgresStore::connect(&address).and_then(|store| {
            block_on(store.read_all(ReadAll::after(Position::START)))?;
            append(&store, "a", "x")
        });
        let error = made.unwrap_err();
        assert!(matches!(error, Error::NotAStore { .. }) && error.to_string().contains(part), "{error}");
    }
}
