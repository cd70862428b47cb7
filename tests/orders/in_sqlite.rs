//! The tests of the view on SQLite, and those of what only it has.

use factlog::{
    model::{ModelError, SqliteViews},
    orders::OrderProjection,
};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::databases::Database;
pub use crate::databases::Sqlite as Place;

#[path = "view.rs"]
mod view;

#[test]
fn a_file_of_another_program_is_refused_and_left_as_it_is() {
    let directory = TempDir::new().unwrap();
    let (database, text) = (directory.path().join("database"), directory.path().join("text"));
    Connection::open(&database).unwrap().execute("CREATE TABLE mine (a)", []).unwrap();
    std::fs::write(&text, "no database, but some text that is long enough to be looked at".repeat(20)).unwrap();
    for path in [database, text] {
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(SqliteViews::open(&path).unwrap_err(), ModelError::ForeignViews { .. }));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[test]
fn each_list_uses_an_index_and_sorts_nothing() {
    let place = Place::new();
    place.project(OrderProjection);
    let views = place.views();
    for condition in ["user_id = 'u'", "user_id = 'u' AND status = 'PAID'", "status = 'PAID'"] {
        let sql = format!(
            "EXPLAIN QUERY PLAN SELECT * FROM order_view WHERE {condition} ORDER BY created_at DESC, order_id LIMIT 10"
        );
        let reading = views.read().unwrap();
        let mut statement = reading.prepare(&sql).unwrap();
        let plan: Vec<String> = statement.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert_eq!(plan.len(), 1, "{condition}: {plan:?}");
        assert!(plan[0].contains("USING INDEX order_view_by"), "{condition}: {plan:?}");
    }
}
