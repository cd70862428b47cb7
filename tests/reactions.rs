//! Handlers of events: what they are handed, and commands that follow from events once.

#![cfg(feature = "orders")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

use std::{sync::Arc, thread};

use factlog::{
    CursorName, EventStore, EventType, ExpectedVersion, NewEvent, Position, ReadAll, RecordedEvent, StreamName,
    Subscribe, block_on,
    model::{Aggregate, CommandHandler, EventBus, EventHandler, Metadata, ModelError, Repository, RetryPolicy, Stop},
    orders::{NewItem, Order, OrderCommand, OrderCommandHandler, OrderStatus, ShippingAddress, ShippingOnPayment},
};
use parking_lot::Mutex;

#[path = "support/every_store.rs"]
mod every_store;

use every_store::on_every_store;

fn handle(store: &Arc<dyn EventStore>, command: OrderCommand) {
    let metadata = Metadata::correlated("request-1");
    block_on(OrderCommandHandler::new(Arc::clone(store)).handle(&command, &metadata)).unwrap();
}

fn creation(id: &str) -> OrderCommand {
    let item =
        NewItem { product_id: "p".into(), product_name: "P".into(), quantity: 1, unit_price: "29.99".parse().unwrap() };
    let shipping_address = ShippingAddress {
        street: "1 Main St".into(),
        city: "Seoul".into(),
        state: "Seoul".into(),
        zip_code: "01234".into(),
        country: "KR".into(),
    };
    let (order_id, user_id, at) = (id.into(), "u".into(), "2018-08-15T12:00:00Z".parse().unwrap());
    OrderCommand::CreateOrder { order_id, user_id, items: vec![item], shipping_address, at }
}

fn create(store: &Arc<dyn EventStore>, id: &str) {
    handle(store, creation(id));
}

fn pay(store: &Arc<dyn EventStore>, id: &str) {
    let at = "2018-08-15T12:00:00Z".parse().unwrap();
    handle(store, OrderCommand::CompletePayment { order_id: id.into(), payment_id: "pay".into(), at });
}

fn events(store: &Arc<dyn EventStore>) -> Vec<RecordedEvent> {
    block_on(store.read_all(ReadAll::after(Position::START))).unwrap()
}

fn types_of(store: &Arc<dyn EventStore>, id: &str) -> Vec<String> {
    let stream = Order::stream(id).unwrap();
    let of_order = |event: &RecordedEvent| event.stream() == stream;
    events(store).iter().filter(|event| of_order(event)).map(|event| event.event_type().to_string()).collect()
}

/// Hands over everything that there is now, and stops.
struct UpTo<H> {
    handler: H,
    is_last: Box<dyn Fn(&RecordedEvent) -> bool + Send + Sync>,
    stop: Stop,
}

impl<H: EventHandler> EventHandler for UpTo<H> {
    fn cursor(&self) -> Result<CursorName, ModelError> {
        self.handler.cursor()
    }

    fn narrow(&self, everything: Subscribe) -> Subscribe {
        self.handler.narrow(everything)
    }

    async fn handle(&self, event: &RecordedEvent) -> Result<(), ModelError> {
        self.handler.handle(event).await?;
        if (self.is_last)(event) {
            self.stop.stop();
        }
        Ok(())
    }
}

/// Runs the handler up to the newest event that is there.
fn run(store: &Arc<dyn EventStore>, handler: impl EventHandler) -> Result<(), ModelError> {
    let newest = block_on(store.last_position())?;
    run_up_to(store, handler, move |event| event.position() >= newest)
}

fn run_up_to(
    store: &Arc<dyn EventStore>,
    handler: impl EventHandler,
    is_last: impl Fn(&RecordedEvent) -> bool + Send + Sync + 'static,
) -> Result<(), ModelError> {
    let stop = Stop::new();
    let handler = UpTo { handler, is_last: Box::new(is_last), stop: stop.clone() };
    let bus = EventBus::new(Arc::clone(store)).retry_policy(RetryPolicy::once());
    block_on(bus.run(&handler, &stop))
}

/// Notes the versions that it is handed, and fails at one of them until told otherwise.
#[derive(Clone, Default)]
struct Noting {
    seen: Arc<Mutex<Vec<u64>>>,
    failing: Arc<Mutex<Option<u64>>>,
}

impl EventHandler for Noting {
    fn cursor(&self) -> Result<CursorName, ModelError> {
        Ok(CursorName::new("noting")?)
    }

    async fn handle(&self, event: &RecordedEvent) -> Result<(), ModelError> {
        if *self.failing.lock() == Some(event.version().get()) {
            return Err(ModelError::unreadable(event, "not now"));
        }
        self.seen.lock().push(event.version().get());
        Ok(())
    }
}

fn append(store: &Arc<dyn EventStore>, count: usize) {
    let stream = StreamName::new("s").unwrap();
    for _ in 0..count {
        let event = NewEvent::new(EventType::new("T").unwrap(), "");
        block_on(store.append(&stream, ExpectedVersion::Any, vec![event])).unwrap();
    }
}

#[test]
fn a_handler_is_handed_each_event_in_order_and_goes_on_behind_its_cursor() {
    on_every_store(|store| {
        let noting = Noting::default();
        append(&store, 600);
        run(&store, noting.clone()).unwrap();
        append(&store, 3);
        run(&store, noting.clone()).unwrap();
        assert_eq!(*noting.seen.lock(), (1..=603).collect::<Vec<_>>());
    });
}

#[test]
fn a_handler_is_handed_what_comes_while_it_runs() {
    on_every_store(|store| {
        let noting = Noting::default();
        thread::scope(|scope| {
            let running = scope.spawn(|| run_up_to(&store, noting.clone(), |event| event.version().get() == 50));
            append(&store, 50);
            running.join().unwrap().unwrap();
        });
        assert_eq!(*noting.seen.lock(), (1..=50).collect::<Vec<_>>());
    });
}

#[test]
fn an_event_that_fails_is_named_and_comes_first_the_next_time() {
    on_every_store(|store| {
        let noting = Noting::default();
        append(&store, 5);
        *noting.failing.lock() = Some(3);
        let error = run(&store, noting.clone()).unwrap_err();
        let ModelError::EventFailed { name, position, .. } = &error else { panic!("{error}") };
        let third = events(&store)[2].position();
        assert_eq!((name.as_str(), *position), ("noting", third));
        *noting.failing.lock() = None;
        run(&store, noting.clone()).unwrap();
        assert_eq!(*noting.seen.lock(), [1, 2, 3, 4, 5]);
    });
}

#[test]
fn a_paid_order_is_shipped_with_the_cause_and_the_correlation_of_the_payment() {
    on_every_store(|store| {
        for id in ["1", "2"] {
            create(&store, id);
        }
        pay(&store, "1");
        run(&store, ShippingOnPayment::new(Arc::clone(&store))).unwrap();
        let all = events(&store);
        let (paid, shipped) = (&all[2], &all[3]);
        assert_eq!((all.len(), shipped.event_type().as_str()), (4, "ShippingStartedEvent"));
        let metadata = Metadata::of(shipped).unwrap();
        assert_eq!(metadata.causation_id, Some(paid.id().to_string()));
        assert_eq!(metadata.correlation_id.as_deref(), Some("request-1"));
        let order = block_on(Repository::<Order>::new(Arc::clone(&store)).load("1")).unwrap();
        assert_eq!(order.state().status(), OrderStatus::Shipped);
    });
}

#[test]
fn a_reaction_that_is_handed_its_event_again_has_no_further_effect() {
    on_every_store(|store| {
        create(&store, "1");
        pay(&store, "1");
        let shipping = ShippingOnPayment::new(Arc::clone(&store));
        let paid = events(&store).remove(1);
        // As after a crash between the append and the cursor, and once more when the order has gone on.
        for _ in 0..3 {
            block_on(shipping.handle(&paid)).unwrap();
        }
        let at = "2018-08-15T12:00:00Z".parse().unwrap();
        handle(&store, OrderCommand::CompleteDelivery { order_id: "1".into(), at });
        block_on(shipping.handle(&paid)).unwrap();
        let shipped = ["OrderCreatedEvent", "PaymentCompletedEvent", "ShippingStartedEvent", "OrderDeliveredEvent"];
        assert_eq!(types_of(&store, "1"), shipped);
    });
}

#[test]
fn a_reaction_that_the_rules_refuse_by_now_leaves_nothing_and_holds_up_nobody() {
    on_every_store(|store| {
        create(&store, "1");
        pay(&store, "1");
        let at = "2018-08-15T12:00:00Z".parse().unwrap();
        handle(&store, OrderCommand::CancelOrder { order_id: "1".into(), reason: "r".into(), at });
        create(&store, "2");
        pay(&store, "2");
        run(&store, ShippingOnPayment::new(Arc::clone(&store))).unwrap();
        assert_eq!(types_of(&store, "1").last().unwrap(), "OrderCancelledEvent");
        assert_eq!(types_of(&store, "2").last().unwrap(), "ShippingStartedEvent");
    });
}

/// A command that an order accepts again and again.
fn add_item(id: &str) -> OrderCommand {
    let item = NewItem {
        product_id: "gift".into(),
        product_name: "Gift".into(),
        quantity: 1,
        unit_price: "0".parse().unwrap(),
    };
    OrderCommand::AddOrderItem { order_id: id.into(), item, at: "2018-08-15T12:00:00Z".parse().unwrap() }
}

#[test]
fn of_many_that_react_to_one_event_at_once_one_has_an_effect_also_where_the_rules_allow_more() {
    on_every_store(|store| {
        for round in 0..20 {
            let id = round.to_string();
            create(&store, &id);
            let cause = events(&store).pop().unwrap();
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let orders = Repository::<Order>::new(Arc::clone(&store));
                        block_on(orders.execute_once(&add_item(&id), &cause, "gift")).unwrap()
                    });
                }
                // Somebody else writes to the same stream.
                scope.spawn(|| handle(&store, add_item(&id)));
            });
            assert_eq!(types_of(&store, &id).len(), 3, "{:?}", types_of(&store, &id));
        }
        let orders = Repository::<Order>::new(Arc::clone(&store));
        let cause = events(&store).remove(0);
        assert_eq!(block_on(orders.execute_once(&add_item("0"), &cause, "gift")).unwrap(), None);
        // Another step is another reaction.
        assert!(block_on(orders.execute_once(&add_item("0"), &cause, "second gift")).unwrap().is_some());
    });
}

#[test]
fn one_step_into_several_aggregates_is_followed_up_from_each() {
    on_every_store(|store| {
        for id in ["1", "2", "3"] {
            create(&store, id);
        }
        let cause = events(&store).remove(0);
        let orders = Repository::<Order>::new(Arc::clone(&store));
        for id in ["2", "3"] {
            assert!(block_on(orders.execute_once(&add_item(id), &cause, "gift")).unwrap().is_some());
        }
        let added = events(&store).split_off(3);
        assert_ne!(added[0].id(), added[1].id());
        for event in &added {
            assert!(block_on(orders.execute_once(&add_item("1"), event, "note")).unwrap().is_some());
        }
        assert_eq!(types_of(&store, "1").len(), 3);
    });
}

#[test]
fn a_reaction_that_begins_an_aggregate_begins_it_once() {
    on_every_store(|store| {
        create(&store, "1");
        let cause = events(&store).remove(0);
        let command = creation("2");
        let orders = Repository::<Order>::new(Arc::clone(&store));
        assert!(block_on(orders.execute_once(&command, &cause, "again")).unwrap().is_some());
        assert_eq!(block_on(orders.execute_once(&command, &cause, "again")).unwrap(), None);
        let error = block_on(orders.execute_once(&command, &cause, "another")).unwrap_err();
        assert!(matches!(error, ModelError::Concurrency(_)), "{error}");
        assert_eq!(types_of(&store, "2"), ["OrderCreatedEvent"]);
    });
}
