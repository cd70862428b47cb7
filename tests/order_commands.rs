//! Orders through their service and its bus, as an application meets them; and handlers that race.

#![cfg(feature = "orders")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::{
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use factlog::{
    EventId, EventStore, MemoryStore, Position, ReadAll, ReadStream, RecordedEvent, Version, block_on,
    model::{
        Aggregate, AggregateCommand, BusinessTime, CommandHandler, Committed, Consistency, DomainEvent, Metadata,
        ModelError, Page, Receipt, Repository, Runner, SqliteViews,
    },
    orders::{
        GetOrder, GetOrdersByStatus, GetUserOrders, ImportedOrderCommand, NewItem, Order, OrderAction, OrderCommand,
        OrderCommandHandler, OrderEvent, OrderItem, OrderProjection, OrderQueryHandler, OrderRefusal, OrderRequest,
        OrderService, OrderStatus, ShippingAddress,
    },
    testing::given,
};
use tempfile::TempDir;

#[path = "support/every_store.rs"]
mod every_store;

use every_store::on_every_store;

fn noon() -> BusinessTime {
    "2018-08-15T12:00:00Z".parse().unwrap()
}

fn item(product: &str, quantity: i64, price: &str) -> NewItem {
    let (product_id, product_name) = (product.to_owned(), "Test Product".to_owned());
    NewItem { product_id, product_name, quantity, unit_price: price.parse().unwrap() }
}

fn address() -> ShippingAddress {
    ShippingAddress {
        street: "123 Main St".into(),
        city: "Seoul".into(),
        state: "Seoul".into(),
        zip_code: "12345".into(),
        country: "South Korea".into(),
    }
}

fn request(id: &str, action: OrderAction) -> OrderRequest {
    OrderRequest { order_id: id.into(), at: Some(noon()), action }
}

fn create(id: &str) -> OrderRequest {
    let items = vec![item("product-1", 2, "29.99")];
    request(id, OrderAction::Create { user_id: "user-456".into(), items, shipping_address: address() })
}

fn add(id: &str, product: &str) -> OrderRequest {
    request(id, OrderAction::AddItem { item: item(product, 1, "0.01") })
}

fn pay(id: &str, payment: &str) -> OrderRequest {
    request(id, OrderAction::Pay { payment_id: payment.into() })
}

fn events_of(store: &dyn EventStore, id: &str) -> Vec<RecordedEvent> {
    block_on(store.read_stream(ReadStream::new(&Order::stream(id).unwrap()))).unwrap()
}

#[test]
fn a_request_is_answered_with_where_its_event_is() {
    on_every_store(|store| {
        let orders = OrderService::new(Arc::clone(&store)).unwrap();
        let receipt = block_on(orders.handle(create("order-123"))).unwrap();
        let position = events_of(&*store, "order-123")[0].position().get();
        assert_eq!(receipt, Receipt { stream: "order-order-123".into(), version: 1, position });
        let receipt = block_on(orders.handle(pay("order-123", "payment-789"))).unwrap();
        let events = events_of(&*store, "order-123");
        assert_eq!((receipt.version, receipt.position), (2, events[1].position().get()));
        assert_eq!(events[0].json::<serde_json::Value>().unwrap()["totalAmount"], 59.98);
        assert_eq!(events[1].json::<serde_json::Value>().unwrap()["paymentId"], "payment-789");
    });
}

#[test]
fn an_order_comes_back_from_its_snapshot_as_it_was() {
    on_every_store(|store| {
        let handler = OrderCommandHandler::new(Arc::clone(&store));
        let orders = handler.orders().clone().snapshot_every(1);
        let life = [
            create("1").action,
            add("1", "b").action,
            OrderAction::Confirm,
            pay("1", "p").action,
            OrderAction::Ship { tracking_number: "t".into() },
            OrderAction::Deliver,
        ];
        let cancelled = [create("2").action, OrderAction::Cancel { reason: "r".into() }];
        let ones = life.into_iter().map(|action| request("1", action));
        for wanted in ones.chain(cancelled.into_iter().map(|action| request("2", action))) {
            let command = OrderCommand::from(wanted);
            block_on(orders.execute(&command, &Metadata::none())).unwrap();
            let id = command.order_id();
            let (restored, folded) = (block_on(orders.load(id)).unwrap(), {
                block_on(Repository::<Order>::new(Arc::clone(&store)).without_snapshots().load(id)).unwrap()
            });
            assert_eq!((restored.snapshot_version(), folded.snapshot_version()), (restored.version(), Version::NONE));
            assert_eq!(restored.state(), folded.state());
        }
        let order = block_on(orders.load("1")).unwrap();
        assert_eq!(order.state().user_id(), Some("user-456"));
        assert_eq!(
            (order.state().total_amount(), order.state().status()),
            ("59.99".parse().unwrap(), OrderStatus::Delivered)
        );
    });
}

#[test]
fn a_request_that_cannot_be_meant_is_refused_with_its_field_before_anything_is_stored() {
    on_every_store(|store| {
        let orders = OrderService::new(Arc::clone(&store)).unwrap();
        let nobody =
            OrderAction::Create { user_id: " ".into(), items: vec![item("a", 1, "1")], shipping_address: address() };
        let nothing =
            OrderAction::Create { user_id: "u".into(), items: vec![item("", 1, "1")], shipping_address: address() };
        for (action, field) in [
            (nobody, "userId"),
            (nothing, "productId"),
            (OrderAction::AddItem { item: item("", 1, "1") }, "productId"),
            (OrderAction::RemoveItem { product_id: String::new() }, "productId"),
            (OrderAction::Pay { payment_id: String::new() }, "paymentId"),
            (OrderAction::Ship { tracking_number: "\t".into() }, "trackingNumber"),
        ] {
            match block_on(orders.handle(request("1", action))).unwrap_err() {
                ModelError::InvalidField(invalid) => {
                    assert_eq!(invalid.to_string(), format!("{field}: must not be empty"))
                }
                other => unreachable!("{other}"),
            }
        }
        let error = block_on(orders.handle(create(""))).unwrap_err();
        assert_eq!(error.to_string(), "the aggregate's id is empty");
        assert_eq!(block_on(store.last_position()).unwrap(), Position::START);
    });
}

#[test]
fn the_events_of_a_request_have_the_metadata_of_who_asked() {
    let store = MemoryStore::new();
    let orders = OrderService::new(Arc::new(store.clone())).unwrap();
    let asked = Metadata::correlated("request-1").with("userId", "clerk-3");
    block_on(orders.handle_with(create("1"), asked.clone())).unwrap();
    block_on(orders.handle(pay("1", "p"))).unwrap();
    let events = events_of(&store, "1");
    assert_eq!(Metadata::of(&events[0]).unwrap(), asked);
    let begun = Metadata::of(&events[1]).unwrap();
    assert!(begun.correlation_id.is_some() && begun.correlation_id != asked.correlation_id);
}

#[test]
fn an_imported_command_goes_through_the_bus_and_keeps_the_id_and_time_of_the_original() {
    let store = MemoryStore::new();
    let orders = OrderService::new(Arc::new(store.clone())).unwrap();
    let imported = ImportedOrderCommand { command: create("1").into(), event_id: EventId::generate() };
    let committed: Committed = block_on(orders.commands().dispatch(imported.clone())).unwrap();
    assert_eq!((committed.version, committed.events), (Version::FIRST, 1));
    let event = &events_of(&store, "1")[0];
    assert_eq!((event.id(), event.timestamp()), (imported.event_id, noon().timestamp()));
}

#[test]
fn a_payment_is_decided_as_the_rules_say() {
    let placed = || match OrderCommand::from(create("1")).decide(&Order::default()) {
        Ok(mut events) => events.remove(0),
        Err(refusal) => unreachable!("{refusal}"),
    };
    let paid = || OrderEvent::PaymentCompleted { order_id: "1".into(), payment_id: "p".into(), timestamp: noon() };
    let pay = OrderCommand::from(pay("1", "p"));
    given::<Order>([placed()]).when(&pay).then([paid()]).when(&pay).then_refused(OrderRefusal::PayNonPending);
    let added = OrderItem::new(&item("b", 1, "0.01")).unwrap();
    given::<Order>([placed()]).when(&OrderCommand::from(add("1", "b"))).then([OrderEvent::ItemAdded {
        order_id: "1".into(),
        item: added,
        new_total_amount: "59.99".parse().unwrap(),
        timestamp: noon(),
    }]);
    let create = OrderCommand::from(create("1"));
    given::<Order>([placed()]).when(&create).then_refused(OrderRefusal::AlreadyExists);
}

/// Two handlers each add an item of their own and pay. Whatever the order in which they come: an item that was acknowledged is
/// there once, one that was refused is not, and one of the two payments counts.
fn race(store: &Arc<dyn EventStore>, rounds: usize) {
    let services = [(); 2].map(|()| OrderService::new(Arc::clone(store)).unwrap());
    let start = Barrier::new(2);
    let results: Vec<Vec<[Result<Receipt, ModelError>; 2]>> = thread::scope(|scope| {
        let racing = services.iter().enumerate().map(|(racer, service)| {
            let start = &start;
            scope.spawn(move || {
                let round = |round: usize| {
                    let id = round.to_string();
                    // One of them places the order, and then they are off.
                    if racer == 0 {
                        block_on(service.handle(create(&id))).unwrap();
                    }
                    start.wait();
                    [add(&id, &format!("item-{racer}")), pay(&id, &format!("payment-{racer}"))]
                        .map(|request| block_on(service.handle(request)))
                };
                (0..rounds).map(round).collect()
            })
        });
        let racing: Vec<_> = racing.collect();
        racing.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    let repository = Repository::<Order>::new(Arc::clone(store));
    for (round, both) in results[0].iter().zip(&results[1]).enumerate() {
        let both = [both.0, both.1];
        let id = round.to_string();
        let order = block_on(repository.load(&id)).unwrap();
        let accepted = |step: usize, racer: usize| match &both[racer][step] {
            Ok(_) => true,
            Err(error) => {
                let rule =
                    ["Cannot add items to non-pending order", "Payment can only be completed for pending orders"];
                assert_eq!(error.to_string(), rule[step], "only the rules refuse");
                false
            }
        };
        for racer in 0..2 {
            let product = format!("item-{racer}");
            let times = order.state().items().iter().filter(|item| item.product_id == product).count();
            assert_eq!(times, usize::from(accepted(0, racer)), "order {id}: {product}");
        }
        let payers: Vec<_> = (0..2).filter(|racer| accepted(1, *racer)).collect();
        assert_eq!(payers.len(), 1, "order {id} was paid by {payers:?}");
        assert_eq!(order.state().payment_id().unwrap(), format!("payment-{}", payers[0]));
        let effects = 2 + (0..2).filter(|racer| accepted(0, *racer)).count();
        assert_eq!(order.version(), Version::new(effects as u64));
    }
    let ids = (0..rounds).map(|round| Order::stream(&round.to_string()).unwrap());
    let stored: u64 = ids.map(|id| block_on(store.stream_version(&id)).unwrap().get()).sum();
    let acknowledged = results.iter().flatten().flatten().filter(|result| result.is_ok()).count();
    assert_eq!(stored, (rounds + acknowledged) as u64);
    if store.capabilities().dense_positions {
        assert_eq!(block_on(store.last_position()).unwrap(), Position::new(stored));
    }
}

#[test]
fn two_handlers_that_race_on_one_order_a_thousand_times_lose_and_double_nothing() {
    on_every_store(|store| race(&store, 1000));
}

#[test]
fn two_handlers_that_change_one_order_all_the_time_both_get_everything_in() {
    on_every_store(|store| {
        block_on(OrderService::new(Arc::clone(&store)).unwrap().handle(create("busy"))).unwrap();
        let each = 150;
        thread::scope(|scope| {
            for racer in 0..2 {
                let handler = OrderCommandHandler::new(Arc::clone(&store));
                scope.spawn(move || {
                    for number in 0..each {
                        let command = OrderCommand::from(add("busy", &format!("{racer}-{number}")));
                        let committed = block_on(handler.handle(&command, &Metadata::none())).unwrap();
                        assert_eq!(committed.events, 1);
                    }
                });
            }
        });
        let order = block_on(Repository::<Order>::new(Arc::clone(&store)).load("busy")).unwrap();
        let mut products: Vec<_> = order.state().items().iter().map(|item| item.product_id.clone()).collect();
        products.sort();
        products.dedup();
        assert_eq!((products.len(), order.version()), (2 * each + 1, Version::new(2 * each as u64 + 1)));
        assert!(order.snapshot_version() >= Version::new(100), "snapshots were taken on the way");
        let log = block_on(store.read_all(ReadAll::after(Position::START).limit(1))).unwrap();
        assert!(matches!(OrderEvent::from_recorded(&log[0]), Ok(Some(OrderEvent::Created { .. }))));
    });
}

#[test]
fn a_query_that_asks_for_what_a_command_wrote_sees_it_through_the_bus() {
    on_every_store(|store| {
        let directory = TempDir::new().unwrap();
        let orders = OrderService::new(Arc::clone(&store)).unwrap();
        let views = SqliteViews::open(directory.path().join("views")).unwrap();
        let runner = Runner::new(Arc::clone(&store), Arc::new(views.project(OrderProjection).unwrap()));
        let queries = OrderQueryHandler::new(views).into_bus().unwrap();
        block_on(orders.handle(create("1"))).unwrap();
        let receipt = block_on(orders.handle(pay("1", "p"))).unwrap();
        block_on(runner.catch_up()).unwrap();
        let consistency = Consistency::at_least(Position::new(receipt.position));
        let row = block_on(queries.ask(GetOrder { order_id: "1".into(), consistency })).unwrap().unwrap();
        assert_eq!((row.status.as_str(), row.payment_id.as_deref()), ("PAID", Some("p")));
        let page = Page::default();
        let of_user = GetUserOrders { user_id: "user-456".into(), status: None, page, consistency };
        assert_eq!(block_on(queries.ask(of_user)).unwrap().pagination.total, 1);
        let unpaid = GetOrdersByStatus { status: OrderStatus::Pending, page, consistency };
        assert_eq!(block_on(queries.ask(unpaid)).unwrap().orders.len(), 0);
        let ahead = Consistency::at_least(Position::new(receipt.position + 1)).within(Duration::ZERO);
        let error = block_on(queries.ask(GetOrder { order_id: "1".into(), consistency: ahead })).unwrap_err();
        assert!(matches!(error, ModelError::NotYetProjected { .. }), "{error}");
    });
}
