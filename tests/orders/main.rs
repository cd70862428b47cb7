//! The order domain from outside: commands over any store, and the read model in any database.

#![cfg(feature = "orders")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]
#![allow(clippy::duplicate_mod, reason = "the same tests are made for each database")]

use std::{sync::Arc, thread};

use factlog::{
    EventId, EventStore, ExpectedVersion, NewEvent, Position, ReadStream, RecordedEvent, StreamName, Version, block_on,
    model::{Aggregate, AggregateRoot, BusinessTime, CommandHandler, Metadata, ModelError, Repository},
    orders::{ImportedOrderCommand, NewItem, Order, OrderCommand, OrderCommandHandler, OrderStatus, ShippingAddress},
};

#[path = "../support/databases.rs"]
mod databases;
#[path = "../support/every_store.rs"]
mod every_store;
#[cfg(feature = "postgres")]
mod in_postgres;
mod in_sqlite;

use every_store::on_every_store;
#[cfg(feature = "postgres")]
use every_store::postgres;

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
