//! What is acknowledged is on the server's disk.

use factlog::{
    Action, Error,
    backend::postgres::{PostgresOptions, PostgresStore},
};

use crate::{
    postgres::Postgres,
    support::{Hand, append, patient, whole_log},
};

#[test]
fn a_server_that_does_not_sync_is_refused_unless_it_is_accepted() {
    let server = Postgres::new();
    let address = server.database();
    for setting in ["fsync", "full_page_writes"] {
        server.execute("postgres", &format!("ALTER SYSTEM SET {setting} = off"));
        server.kill();
        server.start();
        let error = PostgresStore::connect(&address).unwrap_err();
        assert!(matches!(&error, Error::NotAStore { .. }) && error.action() == Action::FixInput, "{error}");
        for part in [&format!("`{setting}` is off"), "postgresql.conf", "--accept-unsynced"] {
            assert!(error.to_string().contains(part), "{error}");
        }
        let accepted = PostgresOptions::new(&address).unwrap().accept_unsynced(true).connect().unwrap();
        append(&accepted, setting, setting).unwrap();
        server.execute("postgres", &format!("ALTER SYSTEM RESET {setting}"));
        server.kill();
        server.start();
    }
    assert_eq!(whole_log(&patient(&address)), ["fsync", "full_page_writes"]);
}

#[test]
fn commits_wait_for_the_disk_also_where_the_user_has_it_otherwise() {
    let server = Postgres::shared();
    let address = server.database();
    drop(patient(&address));
    let name = address.rsplit('/').next().unwrap();
    Hand::at(&address).run(&format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    Hand::at(&address).run("ALTER TABLE events ADD CHECK (current_setting('synchronous_commit') = 'on')");
    append(&patient(&address), "a", "x").unwrap();
}
