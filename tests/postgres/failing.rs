//! What goes wrong, and what is said about it.

use std::{path::Path, process::Command, time::Duration};

use factlog::{
    Action, Error, EventStore,
    backend::postgres::{PostgresOptions, PostgresStore},
    block_on,
};

use crate::{
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
    assert!(insecure.to_string().contains("TLS"), "{insecure}");
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

/// A small disk, for as long as it is there.
struct Disk(tempfile::TempDir);

impl Disk {
    /// None where this process may not mount one.
    fn new() -> Option<Disk> {
        let place = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"]).arg(place.path()).output();
        mounted.is_ok_and(|mounted| mounted.status.success()).then_some(Disk(place))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_named_and_reads_go_on_and_so_do_appends_when_there_is_room() {
    let Some(disk) = Disk::new() else {
        eprintln!("skipped: this process may not mount a small disk");
        return;
    };
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
        let appended = store.append(&large, factlog::ExpectedVersion::Any, vec![event(payload)]);
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
