//! The servers of these tests themselves.

use crate::postgres::Postgres;

#[test]
fn a_killed_server_comes_back_with_what_was_committed_and_a_dropped_one_leaves_nothing() {
    let server = Postgres::new();
    let database = server.database();
    let name = database.rsplit('/').next().unwrap();
    server.execute(name, "CREATE TABLE t (x int)");
    server.execute(name, "INSERT INTO t VALUES (7)");
    server.kill();
    server.start();
    assert_eq!(server.execute(name, "SELECT x FROM t"), ["7"]);
    assert_eq!(server.execute(name, "SHOW fsync"), ["on"]);
    let place = server.place();
    drop(server);
    assert!(!place.exists(), "{}", place.display());
}
