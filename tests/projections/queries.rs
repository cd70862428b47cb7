//! Queries beside a writer, and the indexes that they use.

use factlog::{
    block_on,
    model::{Consistency, OnFailure, SqliteViews},
};
use rusqlite::{Connection, TransactionBehavior};

use super::Scene;

#[test]
fn a_query_waits_for_nobody_who_writes() {
    let scene = Scene::of("a1");
    block_on(scene.runner(OnFailure::Stop).catch_up()).unwrap();
    let mut writer = Connection::open(scene.database.file()).unwrap();
    let writing = writer.transaction_with_behavior(TransactionBehavior::Exclusive).unwrap();
    writing.execute("UPDATE notes SET taken = 'half'", []).unwrap();
    // Everything that a query does, from opening the file on. Whoever waited would do so for a minute, and fail.
    let views = SqliteViews::open(scene.database.file()).unwrap();
    block_on(views.wait_until("notes", Consistency::at_least(views.checkpoint("notes").unwrap().position))).unwrap();
    let reading = views.read().unwrap();
    let taken: String = reading.query_row("SELECT taken FROM notes", [], |row| row.get(0)).unwrap();
    assert_eq!(taken, "a1,");
    assert_eq!(block_on(scene.runner(OnFailure::Stop).status()).unwrap().position.get(), 1);
    assert!(block_on(scene.runner(OnFailure::Stop).failed_events(true)).unwrap().is_empty());
    drop(writing);
}

#[test]
fn a_connection_for_queries_writes_nothing_and_is_given_back_without_its_transaction() {
    let scene = Scene::of("a1");
    block_on(scene.runner(OnFailure::Stop).catch_up()).unwrap();
    let views = scene.views();
    let reading = views.read().unwrap();
    assert!(reading.execute("DELETE FROM notes", []).is_err());
    reading.execute_batch("BEGIN; SELECT * FROM notes").unwrap();
    drop(reading);
    scene.append("a2");
    block_on(scene.runner(OnFailure::Stop).catch_up()).unwrap();
    let taken: String = views.read().unwrap().query_row("SELECT taken FROM notes", [], |row| row.get(0)).unwrap();
    assert_eq!(taken, "a1,a2,");
}

#[test]
fn each_look_into_the_failed_events_uses_an_index_and_sorts_nothing() {
    let scene = Scene::new();
    let reading = scene.views().read().unwrap();
    for (sql, index) in [
        ("SELECT * FROM failed_events WHERE projection = 'p' ORDER BY position", "sqlite_autoindex_failed_events_1"),
        (
            "SELECT * FROM failed_events WHERE projection = 'p' AND resolved_at IS NULL ORDER BY position",
            "sqlite_autoindex_failed_events_1",
        ),
        (
            "SELECT * FROM failed_events WHERE projection = 'p' AND stream = 's' AND resolved_at IS NULL
             ORDER BY position LIMIT 1",
            "failed_events_waiting",
        ),
        (
            "SELECT count(*), max(position) FROM failed_events INDEXED BY failed_events_waiting
             WHERE projection = 'p' AND resolved_at IS NULL",
            "failed_events_waiting",
        ),
        (
            "SELECT position FROM failed_events
             WHERE projection = 'p' AND position > 1 AND position <= 9 AND resolved_at IS NOT NULL",
            "sqlite_autoindex_failed_events_1",
        ),
    ] {
        let mut statement = reading.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let plan: Vec<String> = statement.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert_eq!(plan.len(), 1, "{sql}: {plan:?}");
        assert!(plan[0].contains(index), "{sql}: {plan:?}");
    }
}
