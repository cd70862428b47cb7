//! The tests of the view on PostgreSQL, and how it compares with the one on SQLite.

use std::sync::Arc;

use factlog::{
    EventStore, MemoryStore, block_on,
    model::Runner,
    orders::{OrderProjection, OrderQueryHandler, OrderStatus},
};

pub use crate::databases::Postgres as Place;
use crate::{
    databases::{Database, Sqlite},
    many_orders,
};

#[path = "view.rs"]
mod view;

/// Everything that a store makes of the views in each database, caught up and then built anew.
fn of_both(store: &Arc<dyn EventStore>) -> [Vec<String>; 3] {
    let (here, there) = (Sqlite::new(), Place::new());
    block_on(Runner::new(Arc::clone(store), here.project(OrderProjection)).catch_up()).unwrap();
    let runner = Runner::new(Arc::clone(store), there.project(OrderProjection));
    block_on(runner.catch_up()).unwrap();
    let caught_up = there.order_contents();
    block_on(runner.rebuild()).unwrap();
    [here.order_contents(), caught_up, there.order_contents()]
}

#[test]
fn both_databases_have_the_same_rows_of_the_same_events() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    many_orders(&store);
    let [here, there, rebuilt] = of_both(&store);
    assert_eq!(here, there);
    assert_eq!(here, rebuilt);
}

#[test]
fn each_list_uses_an_index_and_sorts_nothing() {
    let place = Place::new();
    place.project(OrderProjection);
    place.execute(
        "INSERT INTO order_view SELECT n::text, (n % 100)::text, CASE n % 3 WHEN 0 THEN 'PAID' ELSE 'PENDING' END, 1, '{}',
            '[]', NULL, NULL, NULL, NULL, (100000 + n)::text, '', 1 FROM generate_series(1, 20000) AS n;
         ANALYZE order_view",
    );
    for condition in ["user_id = '7'", "user_id = '7' AND status = 'PAID'", "status = 'PAID'"] {
        let sql =
            format!("EXPLAIN SELECT * FROM order_view WHERE {condition} ORDER BY created_at DESC, order_id LIMIT 10");
        let lines: Vec<String> = place.rows(&sql).into_iter().map(|mut row| row.text(0).unwrap()).collect();
        let plan = lines.join("\n");
        assert!(plan.contains("Index Scan using order_view_by") && !plan.contains("Sort"), "{condition}: {plan}");
    }
    let queries = OrderQueryHandler::new(place.views());
    let paid = block_on(queries.orders_by_status(OrderStatus::Paid, Default::default())).unwrap();
    assert_eq!((paid.pagination.total, paid.orders[0].order_id.as_str()), (6666, "19998"));
}
