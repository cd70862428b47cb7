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
