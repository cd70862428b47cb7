//! The read model of orders, and what it is asked.

use std::{sync::Arc, thread};

use factlog::{
    EventStore, ExpectedVersion, MemoryStore, NewEvent, Position, ReadAll, RecordedEvent, block_on,
    model::{Aggregate, Checkpoint, ModelError, Page, Pagination, Projection, Runner, Tables, Taken},
    orders::{Order, OrderProjection, OrderQueryHandler, OrderStatus},
};
use parking_lot::Mutex;

use super::Place;
use crate::{
    add, at, cancel, create, databases::Database, handle, item, many_orders, noon, on_every_store, pay, placed, ship,
};

fn caught_up(store: &Arc<dyn EventStore>, views: &Place) {
    block_on(Runner::new(Arc::clone(store), views.project(OrderProjection)).catch_up()).unwrap();
}

#[test]
fn a_view_built_step_by_step_equals_one_built_at_once() {
    on_every_store(|store| {
        let (stepwise, at_once) = (Place::new(), Place::new());
        for command in [placed("0"), pay("0"), ship("0")] {
            handle(&store, &[command]);
            caught_up(&store, &stepwise);
        }
        many_orders(&store);
        caught_up(&store, &stepwise);
        caught_up(&store, &at_once);
        assert_eq!(stepwise.order_contents(), at_once.order_contents());
        assert_eq!(at_once.order_contents().len(), 12);
    });
}

/// The projection of orders, which is handed each event twice, and all that came before once more.
#[derive(Default)]
struct Repeating(Mutex<Vec<RecordedEvent>>);

impl<T: Tables> Projection<T> for Repeating {
    fn name(&self) -> &'static str {
        OrderProjection::NAME
    }

    fn set_up(&self, tables: &T) -> Result<(), ModelError> {
        OrderProjection.set_up(tables)
    }

    fn handle(&self, tables: &T, event: &RecordedEvent) -> Result<(), ModelError> {
        let mut events = self.0.lock();
        events.push(event.clone());
        events.push(event.clone());
        events.iter().try_for_each(|event| OrderProjection.handle(tables, event))
    }
}

#[test]
fn the_same_event_twice_changes_nothing_in_the_view() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    many_orders(&store);
    let (repeating, once) = (Place::new(), Place::new());
    let repeated = repeating.project(Repeating::default());
    block_on(Runner::new(Arc::clone(&store), repeated).page_events(7).catch_up()).unwrap();
    caught_up(&store, &once);
    assert_eq!(repeating.order_contents(), once.order_contents());
}

/// The projection of orders, which fails at one event.
struct FailingAt(Position);

impl<T: Tables> Projection<T> for FailingAt {
    fn name(&self) -> &'static str {
        OrderProjection::NAME
    }

    fn set_up(&self, tables: &T) -> Result<(), ModelError> {
        OrderProjection.set_up(tables)
    }

    fn handle(&self, tables: &T, event: &RecordedEvent) -> Result<(), ModelError> {
        if event.position() == self.0 {
            return Err(ModelError::unreadable(event, "failed"));
        }
        OrderProjection.handle(tables, event)
    }
}

#[test]
fn a_projection_that_ends_within_any_page_leaves_none_of_it_and_goes_on_from_there() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    many_orders(&store);
    let at_once = Place::new();
    caught_up(&store, &at_once);
    let last = block_on(store.last_position()).unwrap();
    for failing in (1..=last.get()).step_by(7).map(Position::new) {
        let views = Place::new();
        let orders = views.project(FailingAt(failing));
        block_on(orders.prepare()).unwrap();
        // Pages of three events, up to the one that fails.
        let failed = loop {
            let known = views.checkpoint("orders");
            let page = block_on(store.read_all(ReadAll::after(known.position).limit(3))).unwrap();
            if let Taken::Failed { index, error } = block_on(orders.take(known, &page)).unwrap() {
                assert_eq!(page[index].position(), failing);
                break error;
            }
        };
        assert!(failed.to_string().contains(&format!("position {failing}")), "{failed}");
        let whole_pages = (failing.get() - 1) / 3 * 3;
        assert_eq!(views.checkpoint("orders").position.get(), whole_pages);
        caught_up(&store, &views);
        assert_eq!(views.order_contents(), at_once.order_contents());
    }
}

#[test]
fn a_page_that_was_read_behind_another_checkpoint_is_not_taken() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    handle(&store, &[placed("1"), add("1", item("x", 1, "1"))]);
    let views = Place::new();
    caught_up(&store, &views);
    let orders = views.project(OrderProjection);
    let before = views.order_contents();
    let page = block_on(store.read_all(ReadAll::after(Position::START))).unwrap();
    let now = block_on(orders.take(Checkpoint::default(), &page)).unwrap();
    assert!(matches!(now, Taken::UpTo(now) if now == Checkpoint::from(&page[1])), "{now:?}");
    assert_eq!(views.order_contents(), before);
}

#[test]
fn many_that_catch_up_one_file_at_once_build_what_one_builds() {
    on_every_store(|store| {
        many_orders(&store);
        let (shared, alone) = (Place::new(), Place::new());
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| caught_up(&store, &shared));
            }
        });
        caught_up(&store, &alone);
        assert_eq!(shared.order_contents(), alone.order_contents());
    });
}

#[test]
fn views_of_another_or_a_longer_store_is_refused_with_what_to_do() {
    let views = Place::new();
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    handle(&store, &[placed("1"), pay("1")]);
    caught_up(&store, &views);
    let refused = |other: &Arc<dyn EventStore>| {
        let orders = views.project(OrderProjection);
        block_on(Runner::new(Arc::clone(other), orders).catch_up()).unwrap_err().to_string()
    };
    let other: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let error = refused(&other);
    assert!(error.contains("ahead of the store") && error.contains("position 2"), "{error}");
    assert!(error.contains("ends at 0") && error.contains("rebuild the projection"), "{error}");
    handle(&other, &[placed("1"), pay("1"), ship("1")]);
    let error = refused(&other);
    assert!(error.contains("another store") && error.contains("rebuild the projection"), "{error}");
}

#[test]
fn an_event_without_its_order_stops_the_view_and_is_named() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let data = serde_json::json!({"orderId": "1", "paymentId": "p", "timestamp": "2018-08-15T10:10:18Z"});
    let event = NewEvent::json("PaymentCompletedEvent", &data).unwrap();
    block_on(store.append(&Order::stream("1").unwrap(), ExpectedVersion::Any, vec![event])).unwrap();
    let error = block_on(Runner::new(store, Place::new().project(OrderProjection)).catch_up()).unwrap_err().to_string();
    assert!(error.contains("position 1") && error.contains("Order not found: 1"), "{error}");
}

#[test]
fn a_row_shows_the_order_as_its_events_made_it() {
    on_every_store(|store| {
        handle(&store, &[placed("1"), add("1", item("b", 1, "0.02")), pay("1"), ship("1")]);
        handle(&store, &[placed("2"), cancel("2")]);
        let views = Place::new();
        caught_up(&store, &views);
        let queries = OrderQueryHandler::new(views.views());
        let row = serde_json::to_value(block_on(queries.order("1")).unwrap().unwrap()).unwrap();
        assert_eq!(row["status"], "SHIPPED");
        assert_eq!(row["total_amount"], 60);
        assert_eq!(row["items"][1]["totalPrice"], 0.02);
        assert_eq!(row["shipping_address"]["zipCode"], "12345");
        assert_eq!((&row["payment_id"], &row["tracking_number"]), (&"payment-789".into(), &"track-1".into()));
        assert_eq!(row["created_at"], "2018-08-15T12:00:00.000000Z");
        let row = serde_json::to_value(block_on(queries.order("2")).unwrap().unwrap()).unwrap();
        assert_eq!(row["total_amount"], 59.98);
        assert_eq!(
            (&row["cancellation_reason"], &row["cancelled_at"]),
            (&"changed my mind".into(), &row["updated_at"])
        );
        assert!(block_on(queries.order("3")).unwrap().is_none());
    });
}

#[test]
fn lists_are_newest_first_by_instant_with_the_id_breaking_ties_and_have_totals() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    for (id, time) in [
        ("d", "2018-08-15T10:00:00Z"),
        ("c", "2018-08-15T10:00:00.5Z"),
        ("b", "2018-08-15T10:00:00Z"),
        // Later than the others, though its text sorts before theirs.
        ("a", "2018-08-15T01:00:00-10:00"),
    ] {
        handle(&store, &[create(id, "u", vec![item("p", 1, "1")], at(time))]);
    }
    handle(&store, &[create("x", "other", vec![item("p", 1, "1")], noon()), pay("b"), pay("x")]);
    let views = Place::new();
    caught_up(&store, &views);
    let queries = OrderQueryHandler::new(views.views());
    let ids = |page: factlog::orders::OrderPage| {
        let ids: Vec<String> = page.orders.into_iter().map(|order| order.order_id).collect();
        (ids.join(" "), page.pagination)
    };
    let page = |page, limit| Page::new(page, limit).unwrap();
    let place = |page, limit, total, total_pages| Pagination { page, limit, total, total_pages };

    assert_eq!(
        ids(block_on(queries.user_orders("u", None, Page::default())).unwrap()),
        ("a c b d".into(), place(1, 10, 4, 1))
    );
    assert_eq!(ids(block_on(queries.user_orders("u", None, page(2, 3))).unwrap()), ("d".into(), place(2, 3, 4, 2)));
    let last = i64::MAX;
    assert_eq!(ids(block_on(queries.user_orders("u", None, page(last, last))).unwrap()).0, "");
    let paid = Some(OrderStatus::Paid);
    assert_eq!(
        ids(block_on(queries.user_orders("u", paid, Page::default())).unwrap()),
        ("b".into(), place(1, 10, 1, 1))
    );
    assert_eq!(
        ids(block_on(queries.orders_by_status(OrderStatus::Paid, page(1, 1))).unwrap()),
        ("x".into(), place(1, 1, 2, 2))
    );
    assert_eq!(
        ids(block_on(queries.user_orders("nobody", None, page(1, 10))).unwrap()),
        ("".into(), place(1, 10, 0, 0))
    );
    for (page, limit) in [(0, 10), (-1, 10), (1, 0), (1, -5)] {
        let error = Page::new(page, limit).unwrap_err().to_string();
        assert!(error.contains("must be at least 1"), "{error}");
    }
}
