//! The tests of the view on PostgreSQL, and those of what only it has.

use view::Scene;

use crate::databases::Database;
pub use crate::databases::Postgres as Place;

#[path = "view.rs"]
mod view;

#[test]
fn the_newest_users_are_found_by_an_index() {
    let scene = Scene::of(&[("a", "Ann", "ann@example.com")]);
    scene.database.execute(
        "INSERT INTO user_view SELECT n::text, 'Ann ' || n, 'ann@example.com', (100000 + n)::text, '' \
         FROM generate_series(1, 20000) AS n; ANALYZE user_view",
    );
    let list = r"EXPLAIN SELECT id, name, email, created_at, updated_at FROM user_view
        WHERE name ILIKE '%a%' ESCAPE '\' AND email ILIKE '%' ESCAPE '\' ORDER BY created_at DESC, id LIMIT 10";
    let lines: Vec<String> = scene.database.rows(list).into_iter().map(|mut row| row.text(0).unwrap()).collect();
    let plan = lines.join("\n");
    assert!(plan.contains("Index Scan using user_view_by_creation") && !plan.contains("Sort"), "{plan}");
}
