//! The order domain from outside: commands over any store, and the read model in an SQLite file.

#![cfg(feature = "orders")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

use std::{path::Path, sync::Arc, thread};

use factlog::{
    EventId, EventStore, ExpectedVersion, MemoryStore, NewEvent, Position, ReadAll, ReadStream, RecordedEvent,
    StreamName, Version, block_on,
    model::{
        Aggregate, AggregateRoot, BusinessTime, Checkpoint, CommandHandler, Metadata, ModelError, Page, Pagination,
        Projection, ReadModel, Repository, Runner, SqliteViews, Taken,
    },
    orders::{
        ImportedOrderCommand, NewItem, Order, OrderCommand, OrderCommandHandler, OrderProjection, OrderQueryHandler,
        OrderStatus, ShippingAddress,
    },
};
use rusqlite::Connection;
use tempfile::TempDir;

#[path = "support/every_store.rs"]
mod every_store;

use every_store::on_every_store;

fn at(text: &str) -> BusinessTime {
    text.parse().unwrap()
}

fn noon() -> BusinessTime {
    at("2018-08-15T12:00:00Z")
}

fn item(product: &str, quantity: i64, price: &str) -> NewItem {
    NewItem {
        product_id: product.into(),
        product_name: "Test Product".into(),
        quantity,
        unit_price: price.parse().unwrap(),
    }
}

fn create(id: &str, user: &str, items: Vec<NewItem>, at: BusinessTime) -> OrderCommand {
    let shipping_address = ShippingAddress {
        street: "123 Main St".into(),
        city: "Seoul".into(),
        state: "Seoul".into(),
        zip_code: "12345".into(),
        country: "South Korea".into(),
    };
    OrderCommand::CreateOrder { order_id: id.into(), user_id: user.into(), items, shipping_address, at }
}

fn placed(id: &str) -> OrderCommand {
    create(id, "user-456", vec![item("product-1", 2, "29.99")], noon())
}

fn add(id: &str, item: NewItem) -> OrderCommand {
    OrderCommand::AddOrderItem { order_id: id.into(), item, at: noon() }
}

fn remove(id: &str, product: &str) -> OrderCommand {
    OrderCommand::RemoveOrderItem { order_id: id.into(), product_id: product.into(), at: noon() }
}

fn confirm(id: &str) -> OrderCommand {
    OrderCommand::ConfirmOrder { order_id: id.into(), at: noon() }
}

fn pay(id: &str) -> OrderCommand {
    OrderCommand::CompletePayment { order_id: id.into(), payment_id: "payment-789".into(), at: noon() }
}

fn ship(id: &str) -> OrderCommand {
    OrderCommand::StartShipping { order_id: id.into(), tracking_number: "track-1".into(), at: noon() }
}

fn deliver(id: &str) -> OrderCommand {
    OrderCommand::CompleteDelivery { order_id: id.into(), at: noon() }
}

fn cancel(id: &str) -> OrderCommand {
    OrderCommand::CancelOrder { order_id: id.into(), reason: "changed my mind".into(), at: noon() }
}

fn handle(store: &Arc<dyn EventStore>, commands: &[OrderCommand]) {
    let handler = OrderCommandHandler::new(Arc::clone(store));
    for command in commands {
        block_on(handler.handle(command, &Metadata::none())).unwrap();
    }
}

fn refusal(store: &Arc<dyn EventStore>, command: &OrderCommand) -> ModelError {
    block_on(OrderCommandHandler::new(Arc::clone(store)).handle(command, &Metadata::none())).unwrap_err()
}

fn events_of(store: &Arc<dyn EventStore>, id: &str) -> Vec<RecordedEvent> {
    block_on(store.read_stream(ReadStream::new(&Order::stream(id).unwrap()))).unwrap()
}

fn load(store: &Arc<dyn EventStore>, id: &str) -> AggregateRoot<Order> {
    block_on(Repository::<Order>::new(Arc::clone(store)).load(id)).unwrap()
}

/// Some orders with every kind of event in their streams, and other streams between them.
fn many_orders(store: &Arc<dyn EventStore>) {
    let other = NewEvent::json("UserCreatedEvent", &"u").unwrap();
    for n in 0..5 {
        let id = format!("a-{n}");
        handle(store, &[placed(&id), add(&id, item("x", 1, "0.10")), add(&id, item("x", 3, "1")), remove(&id, "x")]);
        handle(store, &[confirm(&id), pay(&id), ship(&id), deliver(&id)]);
        let stream = StreamName::new("user-1").unwrap();
        block_on(store.append(&stream, ExpectedVersion::Any, vec![other.clone()])).unwrap();
        let id = format!("b-{n}");
        handle(store, &[placed(&id), pay(&id), cancel(&id)]);
    }
}

/// Everything that the read model's tables hold.
fn contents(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let mut rows = Vec::new();
    for sql in ["SELECT * FROM order_view ORDER BY 1", "SELECT name, position, event_id FROM projections ORDER BY 1"] {
        let mut statement = connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let row = statement.query_map([], |row| {
            (0..columns).map(|n| Ok(format!("{:?}|", row.get_ref(n)?))).collect::<rusqlite::Result<String>>()
        });
        rows.extend(row.unwrap().map(Result::unwrap));
    }
    rows
}

fn caught_up(store: &Arc<dyn EventStore>, path: &Path) -> SqliteViews {
    let views = SqliteViews::open(path).unwrap();
    let runner = Runner::new(Arc::clone(store), Arc::new(views.project(OrderProjection).unwrap()));
    block_on(runner.catch_up()).unwrap();
    views
}

#[test]
fn an_order_is_created_and_its_payment_completed() {
    on_every_store(|store| {
        handle(&store, &[placed("order-123")]);
        let events = events_of(&store, "order-123");
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].stream(), "order-order-123");
        assert_eq!(events[0].event_type(), "OrderCreatedEvent");
        let data: serde_json::Value = events[0].json().unwrap();
        assert_eq!(data["totalAmount"], 59.98);
        assert_eq!(data["timestamp"], "2018-08-15T12:00:00Z");

        handle(&store, &[pay("order-123")]);
        let events = events_of(&store, "order-123");
        assert_eq!(events.len(), 2);
        assert_eq!(events[1].event_type(), "PaymentCompletedEvent");
        assert_eq!(events[1].json::<serde_json::Value>().unwrap()["paymentId"], "payment-789");
    });
}

#[test]
fn of_two_creations_the_second_fails_with_both_versions() {
    on_every_store(|store| {
        handle(&store, &[placed("concurrent")]);
        let error = refusal(&store, &placed("concurrent"));
        assert!(matches!(error, ModelError::Concurrency(_)));
        assert_eq!(error.to_string(), "Expected version 0, but current version is 1");
        assert_eq!(events_of(&store, "concurrent").len(), 1);
    });
}

#[test]
fn of_racing_creations_exactly_one_succeeds() {
    on_every_store(|store| {
        let racers: Vec<_> = (0..8)
            .map(|_| {
                let handler = OrderCommandHandler::new(Arc::clone(&store));
                thread::spawn(move || block_on(handler.handle(&placed("raced"), &Metadata::none())))
            })
            .collect();
        let results: Vec<_> = racers.into_iter().map(|racer| racer.join().unwrap()).collect();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        for error in results.into_iter().filter_map(Result::err) {
            assert_eq!(error.to_string(), "Expected version 0, but current version is 1");
        }
    });
}

#[test]
fn commands_that_meet_each_other_are_decided_again_and_none_is_lost() {
    on_every_store(|store| {
        handle(&store, &[placed("busy")]);
        let racers: Vec<_> = (0..4)
            .map(|racer| {
                let handler = OrderCommandHandler::new(Arc::clone(&store));
                thread::spawn(move || {
                    for n in 0..10 {
                        let command = add("busy", item(&format!("{racer}-{n}"), 1, "0.01"));
                        block_on(handler.handle(&command, &Metadata::none())).unwrap();
                    }
                })
            })
            .collect();
        racers.into_iter().for_each(|racer| racer.join().unwrap());
        let order = load(&store, "busy");
        assert_eq!((order.version(), order.state().items().len()), (Version::new(41), 41));
        assert_eq!(order.state().total_amount(), "60.38".parse().unwrap());
    });
}

#[test]
fn every_command_but_creation_on_a_missing_order_says_so() {
    on_every_store(|store| {
        let commands = [add("17", item("a", 1, "1")), remove("17", "a"), confirm("17"), pay("17"), ship("17")];
        for command in commands.into_iter().chain([deliver("17"), cancel("17")]) {
            assert_eq!(refusal(&store, &command).to_string(), "Aggregate not found: 17");
        }
        assert_eq!(block_on(store.last_position()).unwrap(), Position::START);
    });
}

#[test]
fn the_command_for_shipping_reaches_its_handler_and_every_status_is_reached() {
    on_every_store(|store| {
        let mut seen = Vec::new();
        for command in [placed("1"), confirm("1"), pay("1"), ship("1"), deliver("1")] {
            handle(&store, &[command]);
            seen.push(load(&store, "1").state().status());
        }
        handle(&store, &[placed("2"), cancel("2")]);
        seen.push(load(&store, "2").state().status());
        assert_eq!(seen, OrderStatus::ALL);
        assert_eq!(refusal(&store, &cancel("1")).to_string(), "Cannot cancel shipped or delivered orders");
    });
}

#[test]
fn an_id_that_makes_no_stream_is_refused_before_anything_is_written() {
    on_every_store(|store| {
        for id in ["", "line\nbreak", &"x".repeat(600)] {
            assert!(matches!(refusal(&store, &placed(id)), ModelError::Store(factlog::Error::Invalid(_))), "{id}");
        }
    });
}

#[test]
fn a_save_on_an_old_version_is_refused_and_keeps_what_was_decided() {
    on_every_store(|store| {
        handle(&store, &[placed("1")]);
        let (mut first, mut second) = (load(&store, "1"), load(&store, "1"));
        let orders = Repository::<Order>::new(Arc::clone(&store));
        for order in [&mut first, &mut second] {
            let event = order.state().decide(&pay("1")).unwrap();
            order.record(&event).unwrap();
        }
        let save = |order: &mut AggregateRoot<Order>| block_on(orders.save(order, &Metadata::none()));
        let committed = save(&mut first).unwrap();
        let paid = events_of(&store, "1")[1].position();
        assert_eq!((committed.version, committed.position, committed.events), (Version::new(2), paid, 1));
        assert_eq!((first.version(), first.uncommitted().len()), (Version::new(2), 0));
        assert_eq!(save(&mut first).unwrap(), factlog::model::Committed { events: 0, ..committed });
        let error = save(&mut second).unwrap_err();
        assert_eq!(error.to_string(), "Expected version 1, but current version is 2");
        assert!(error.is_retryable());
        assert_eq!((second.version(), second.uncommitted().len()), (Version::FIRST, 1));
    });
}

#[test]
fn an_event_of_another_type_in_an_orders_stream_is_an_error_that_names_it() {
    on_every_store(|store| {
        handle(&store, &[placed("1")]);
        let stranger = NewEvent::json("OrderLostEvent", &"x").unwrap();
        block_on(store.append(&Order::stream("1").unwrap(), ExpectedVersion::Any, vec![stranger])).unwrap();
        let error = refusal(&store, &pay("1")).to_string();
        assert!(error.contains("event 2 of stream `order-1`") && error.contains("OrderLostEvent"), "{error}");
    });
}

#[test]
fn an_imported_event_has_the_id_and_time_of_the_original() {
    on_every_store(|store| {
        let id = EventId::generate();
        let handler = OrderCommandHandler::new(Arc::clone(&store));
        let imported = ImportedOrderCommand { command: placed("1"), event_id: id };
        block_on(handler.handle(&imported, &Metadata::none())).unwrap();
        let event = &events_of(&store, "1")[0];
        assert_eq!((event.id(), event.timestamp()), (id, noon().timestamp()));
    });
}

#[test]
fn a_view_built_step_by_step_equals_one_built_at_once() {
    on_every_store(|store| {
        let directory = TempDir::new().unwrap();
        let (stepwise, at_once) = (directory.path().join("stepwise"), directory.path().join("at-once"));
        for command in [placed("0"), pay("0"), ship("0")] {
            handle(&store, &[command]);
            caught_up(&store, &stepwise);
        }
        many_orders(&store);
        caught_up(&store, &stepwise);
        caught_up(&store, &at_once);
        assert_eq!(contents(&stepwise), contents(&at_once));
        assert_eq!(contents(&at_once).len(), 12);
    });
}

#[test]
fn the_same_event_twice_changes_nothing_in_the_view() {
    on_every_store(|store| {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("views");
        many_orders(&store);
        caught_up(&store, &path);
        let connection = Connection::open(&path).unwrap();
        let before = contents(&path);
        let mut after = Position::START;
        loop {
            let page = block_on(store.read_all(ReadAll::after(after))).unwrap();
            let Some(last) = page.last() else { break };
            after = last.position();
            for event in &page {
                OrderProjection.handle(&connection, event).unwrap();
                OrderProjection.handle(&connection, event).unwrap();
            }
        }
        assert_eq!(contents(&path), before);
    });
}

/// The projection of orders, which fails at one event.
struct FailingAt(Position);

impl Projection<Connection> for FailingAt {
    fn name(&self) -> &'static str {
        OrderProjection.name()
    }

    fn set_up(&self, context: &Connection) -> Result<(), ModelError> {
        OrderProjection.set_up(context)
    }

    fn handle(&self, context: &Connection, event: &RecordedEvent) -> Result<(), ModelError> {
        if event.position() == self.0 {
            return Err(ModelError::unreadable(event, "failed"));
        }
        OrderProjection.handle(context, event)
    }
}

#[test]
fn a_projection_that_ends_within_any_page_leaves_none_of_it_and_goes_on_from_there() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    many_orders(&store);
    let directory = TempDir::new().unwrap();
    let at_once = directory.path().join("at-once");
    caught_up(&store, &at_once);
    let last = block_on(store.last_position()).unwrap();
    for failing in (1..=last.get()).step_by(7).map(Position::new) {
        let path = directory.path().join(format!("failing-{failing}"));
        let views = SqliteViews::open(&path).unwrap();
        let orders = views.project(FailingAt(failing)).unwrap();
        block_on(orders.prepare()).unwrap();
        // Pages of three events, up to the one that fails.
        let failed = loop {
            let known = views.checkpoint("orders").unwrap();
            let page = block_on(store.read_all(ReadAll::after(known.position).limit(3))).unwrap();
            if let Taken::Failed { index, error } = block_on(orders.take(known, &page)).unwrap() {
                assert_eq!(page[index].position(), failing);
                break error;
            }
        };
        assert!(failed.to_string().contains(&format!("position {failing}")), "{failed}");
        let whole_pages = (failing.get() - 1) / 3 * 3;
        assert_eq!(views.checkpoint("orders").unwrap().position.get(), whole_pages);
        drop((orders, views));
        caught_up(&store, &path);
        assert_eq!(contents(&path), contents(&at_once));
    }
}

#[test]
fn a_page_that_was_read_behind_another_checkpoint_is_not_taken() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    handle(&store, &[placed("1"), add("1", item("x", 1, "1"))]);
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("views");
    let orders = caught_up(&store, &path).project(OrderProjection).unwrap();
    let before = contents(&path);
    let page = block_on(store.read_all(ReadAll::after(Position::START))).unwrap();
    let now = block_on(orders.take(Checkpoint::default(), &page)).unwrap();
    assert!(matches!(now, Taken::UpTo(now) if now == Checkpoint::from(&page[1])), "{now:?}");
    assert_eq!(contents(&path), before);
}

#[test]
fn many_that_catch_up_one_file_at_once_build_what_one_builds() {
    on_every_store(|store| {
        many_orders(&store);
        let directory = TempDir::new().unwrap();
        let (shared, alone) = (directory.path().join("shared"), directory.path().join("alone"));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| caught_up(&store, &shared));
            }
        });
        caught_up(&store, &alone);
        assert_eq!(contents(&shared), contents(&alone));
    });
}

#[test]
fn a_views_file_of_another_or_a_longer_store_is_refused_with_what_to_do() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("views");
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    handle(&store, &[placed("1"), pay("1")]);
    caught_up(&store, &path);
    let refused = |other: &Arc<dyn EventStore>| {
        let orders = SqliteViews::open(&path).unwrap().project(OrderProjection).unwrap();
        block_on(Runner::new(Arc::clone(other), Arc::new(orders)).catch_up()).unwrap_err().to_string()
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
fn an_event_without_its_order_stops_the_view_and_is_named() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let data = serde_json::json!({"orderId": "1", "paymentId": "p", "timestamp": "2018-08-15T10:10:18Z"});
    let event = NewEvent::json("PaymentCompletedEvent", &data).unwrap();
    block_on(store.append(&Order::stream("1").unwrap(), ExpectedVersion::Any, vec![event])).unwrap();
    let directory = TempDir::new().unwrap();
    let orders = SqliteViews::open(directory.path().join("views")).unwrap().project(OrderProjection).unwrap();
    let error = block_on(Runner::new(store, Arc::new(orders)).catch_up()).unwrap_err().to_string();
    assert!(error.contains("position 1") && error.contains("Order not found: 1"), "{error}");
}

#[test]
fn a_row_shows_the_order_as_its_events_made_it() {
    on_every_store(|store| {
        let directory = TempDir::new().unwrap();
        handle(&store, &[placed("1"), add("1", item("b", 1, "0.02")), pay("1"), ship("1")]);
        handle(&store, &[placed("2"), cancel("2")]);
        let views = caught_up(&store, &directory.path().join("views"));
        let queries = OrderQueryHandler::new(views);
        let row = serde_json::to_value(queries.order("1").unwrap().unwrap()).unwrap();
        assert_eq!(row["status"], "SHIPPED");
        assert_eq!(row["total_amount"], 60);
        assert_eq!(row["items"][1]["totalPrice"], 0.02);
        assert_eq!(row["shipping_address"]["zipCode"], "12345");
        assert_eq!((&row["payment_id"], &row["tracking_number"]), (&"payment-789".into(), &"track-1".into()));
        assert_eq!(row["created_at"], "2018-08-15T12:00:00.000000Z");
        let row = serde_json::to_value(queries.order("2").unwrap().unwrap()).unwrap();
        assert_eq!(row["total_amount"], 59.98);
        assert_eq!(
            (&row["cancellation_reason"], &row["cancelled_at"]),
            (&"changed my mind".into(), &row["updated_at"])
        );
        assert!(queries.order("3").unwrap().is_none());
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
    let directory = TempDir::new().unwrap();
    let views = caught_up(&store, &directory.path().join("views"));
    let queries = OrderQueryHandler::new(views);
    let ids = |page: factlog::orders::OrderPage| {
        let ids: Vec<String> = page.orders.into_iter().map(|order| order.order_id).collect();
        (ids.join(" "), page.pagination)
    };
    let page = |page, limit| Page::new(page, limit).unwrap();
    let place = |page, limit, total, total_pages| Pagination { page, limit, total, total_pages };

    assert_eq!(ids(queries.user_orders("u", None, Page::default()).unwrap()), ("a c b d".into(), place(1, 10, 4, 1)));
    assert_eq!(ids(queries.user_orders("u", None, page(2, 3)).unwrap()), ("d".into(), place(2, 3, 4, 2)));
    let last = i64::MAX;
    assert_eq!(ids(queries.user_orders("u", None, page(last, last)).unwrap()).0, "");
    let paid = Some(OrderStatus::Paid);
    assert_eq!(ids(queries.user_orders("u", paid, Page::default()).unwrap()), ("b".into(), place(1, 10, 1, 1)));
    assert_eq!(ids(queries.orders_by_status(OrderStatus::Paid, page(1, 1)).unwrap()), ("x".into(), place(1, 1, 2, 2)));
    assert_eq!(ids(queries.user_orders("nobody", None, page(1, 10)).unwrap()), ("".into(), place(1, 10, 0, 0)));
    for (page, limit) in [(0, 10), (-1, 10), (1, 0), (1, -5)] {
        let error = Page::new(page, limit).unwrap_err().to_string();
        assert!(error.contains("must be at least 1"), "{error}");
    }
}

#[test]
fn each_list_uses_an_index_and_sorts_nothing() {
    let directory = TempDir::new().unwrap();
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let views = caught_up(&store, &directory.path().join("views"));
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
