//! The tests of the view on SQLite, and those of what only it has.

use rusqlite::Connection;
use view::Scene;

use crate::databases::Database;
pub use crate::databases::Sqlite as Place;

#[path = "view.rs"]
mod view;

#[test]
fn looking_for_users_walks_along_an_index_and_sorts_nothing() {
    let scene = Scene::of(&[("a", "Ann", "ann@example.com")]);
    let plan = |connection: &Connection, sql: &str| -> Vec<String> {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        statement.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect()
    };
    let views = scene.database.views();
    let reading = views.read().unwrap();
    let list = r"SELECT id, name, email, created_at, updated_at FROM user_view
        WHERE name LIKE '%a%' ESCAPE '\' AND email LIKE '%' ESCAPE '\' ORDER BY created_at DESC, id LIMIT 10 OFFSET 0";
    assert_eq!(plan(&reading, list), ["SCAN user_view USING COVERING INDEX user_view_by_creation"]);
    let one = plan(&reading, "SELECT * FROM user_view WHERE id = 'a'");
    assert!(one.len() == 1 && one[0].starts_with("SEARCH user_view USING INDEX"), "{one:?}");
}
