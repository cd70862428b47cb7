//! What a rebuild does with everything else that SQLite keeps, and what a file of another version is.

use std::sync::Arc;

use factlog::{
    block_on,
    model::{ModelError, OnFailure, Projection, Runner, SqliteViews},
};
use rusqlite::Connection;

use super::Scene;

#[test]
fn a_rebuild_keeps_indexes_views_and_triggers_and_leaves_the_tables_of_others() {
    let scene = Scene::of("a1 a2");
    let runner = scene.runner(OnFailure::Stop);
    block_on(runner.catch_up()).unwrap();
    let connection = Connection::open(scene.database.file()).unwrap();
    connection.execute_batch("CREATE TABLE mine (x); INSERT INTO mine VALUES (7);").unwrap();
    let schema = || {
        let sql = "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY 1";
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap).collect::<Vec<_>>()
    };
    let before = schema();
    for _ in 0..2 {
        block_on(runner.rebuild()).unwrap();
        assert_eq!(schema(), before);
    }
    let read = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(read("SELECT x FROM mine"), 7);
    assert_eq!(read("SELECT count(*) FROM changes"), 2, "the trigger fired for the events and not for the copy");
    scene.append("a3");
    block_on(runner.catch_up()).unwrap();
    assert_eq!(read("SELECT count(*) FROM changes"), 3);
    assert_eq!(read("SELECT length FROM longest"), "a1,a2,a3,".len() as i64);
}

/// Has columns that SQLite computes, between those that are written.
struct Computing;

impl Projection<Connection> for Computing {
    fn name(&self) -> &'static str {
        "computing"
    }

    fn set_up(&self, context: &Connection) -> Result<(), ModelError> {
        Ok(context.execute_batch(
            "CREATE TABLE computed (
                stream TEXT PRIMARY KEY,
                upper TEXT AS (upper(stream)) STORED,
                \"the length\" INTEGER AS (length(stream)),
                n INTEGER NOT NULL
             )",
        )?)
    }

    fn handle(&self, context: &Connection, event: &factlog::RecordedEvent) -> Result<(), ModelError> {
        let sql = "INSERT INTO computed (stream, n) VALUES (?1, 1) ON CONFLICT DO UPDATE SET n = n + 1";
        context.execute(sql, [event.stream_str()])?;
        Ok(())
    }
}

#[test]
fn a_rebuild_leaves_to_sqlite_the_columns_that_it_computes() {
    let scene = Scene::of("a1 a2");
    let runner = Runner::new(scene.store.clone(), Arc::new(scene.views().project(Computing).unwrap()));
    block_on(runner.catch_up()).unwrap();
    block_on(runner.rebuild()).unwrap();
    let sql = r#"SELECT upper || "the length" || n FROM computed"#;
    let row: String = scene.views().read().unwrap().query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(row, "NOTE-A62");
}

#[test]
fn a_views_file_with_tables_of_another_version_is_refused_with_what_to_do() {
    let scene = Scene::new();
    drop(scene.views());
    Connection::open(scene.database.file()).unwrap().pragma_update(None, "user_version", 7).unwrap();
    let error = SqliteViews::open(scene.database.file()).unwrap_err().to_string();
    assert!(error.contains("version 7") && error.contains("delete the file"), "{error}");
}

/// Keeps an index of words, in a virtual table.
struct Words;

impl Projection<Connection> for Words {
    fn name(&self) -> &'static str {
        "words"
    }

    fn set_up(&self, context: &Connection) -> Result<(), ModelError> {
        Ok(context.execute_batch("CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(word)")?)
    }

    fn handle(&self, context: &Connection, event: &factlog::RecordedEvent) -> Result<(), ModelError> {
        context.execute("INSERT INTO words VALUES (?1)", [event.stream_str()])?;
        Ok(())
    }
}

#[test]
fn a_rebuild_of_a_virtual_table_is_refused_by_name_and_leaves_the_present_one() {
    let scene = Scene::of("a1 b1");
    let runner = Runner::new(scene.store.clone(), Arc::new(scene.views().project(Words).unwrap()));
    block_on(runner.catch_up()).unwrap();
    let refused = block_on(runner.rebuild()).unwrap_err();
    assert!(
        matches!(&refused, ModelError::NotRebuildable { projection, table } if projection == "words" && table == "words"),
        "{refused}"
    );
    assert!(refused.to_string().contains("delete"), "{refused}");
    let count = |sql: &str| scene.views().read().unwrap().query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM words WHERE words MATCH 'note'"), 2);
    scene.append("c1");
    block_on(runner.catch_up()).unwrap();
    assert_eq!(count("SELECT count(*) FROM words"), 3);
}

/// A table whose columns a later version of the program wants otherwise.
struct Columns(&'static str);

impl Projection<Connection> for Columns {
    fn name(&self) -> &'static str {
        "columns"
    }

    fn set_up(&self, context: &Connection) -> Result<(), ModelError> {
        Ok(context.execute_batch(&format!("CREATE TABLE IF NOT EXISTS columned ({})", self.0))?)
    }

    fn handle(&self, context: &Connection, event: &factlog::RecordedEvent) -> Result<(), ModelError> {
        context.execute("INSERT INTO columned (stream) VALUES (?1)", [event.stream_str()])?;
        Ok(())
    }
}

#[test]
fn tables_that_the_program_would_make_otherwise_by_now_are_told_until_they_are_rebuilt() {
    let scene = Scene::of("a1");
    let runner = |columns: &'static str| {
        Runner::new(scene.store.clone(), Arc::new(scene.views().project(Columns(columns)).unwrap()))
    };
    let changed = |runner: &Runner| block_on(runner.status()).unwrap().tables_changed;
    let old = runner("stream TEXT");
    block_on(old.catch_up()).unwrap();
    assert!(!changed(&old));
    let new = runner("stream TEXT, note TEXT");
    assert!(changed(&new), "the table is the old one");
    block_on(new.rebuild()).unwrap();
    assert!(!changed(&new));
    assert!(changed(&old), "for the older program it is another");
}
