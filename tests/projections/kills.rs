//! `kill -9` of a projecting process, at random moments.

use std::{
    env,
    path::Path,
    process::Child,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use factlog::{
    Durability, EventStore, ExpectedVersion, MemoryStore, NewEvent, Options, Position, ReadAll, RecordedEvent,
    StreamAppend, block_on,
    model::{Aggregate, DomainEvent, OnFailure, Runner},
    orders::{NewItem, Order, OrderCommand, OrderProjection, ShippingAddress},
};

use super::Place;
use crate::{databases::Database, random::Random, support::Factlog};

const ORDERS: u64 = 1_000;

/// Kills, unless `PROJECTION_KILLS` says how many.
const KILLS: u64 = 10;

#[test]
fn the_view_equals_a_fresh_one_of_the_same_events_whenever_the_process_was_killed() {
    let seed = match env::var("PROJECTION_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 | 1,
    };
    println!("PROJECTION_SEED={seed}");
    let kills = env::var("PROJECTION_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let (mut random, factlog) = (Random(seed), Factlog::new());
    let events = many_orders(&factlog.store());
    let views = Place::new();
    let named = views.named();
    let named = named.as_str();

    let started = Instant::now();
    factlog.json(&["projections", "--views", named, "run", "orders", "--once"], "");
    let mut usual = started.elapsed();
    let whole = views.order_contents();
    assert_eq!(whole, fresh(&events));

    let (mut kill, mut midway) = (0, 0);
    // More, while the machine is so much faster or slower than it was that they miss the work.
    while kill < kills || midway * 10 < kills && kill < kills * 20 {
        kill += 1;
        // Every third time while it builds beside a view that is complete or not.
        let command = if kill % 3 == 2 { ["rebuild", "orders"] } else { ["run", "orders"] };
        if kill % 3 != 2 && position(&views) == events.len() {
            views.clear();
        }
        let child = factlog.spawn(&[&["projections", "--views", named], &command[..]].concat());
        if let Some(taken) = kill_after(child, Duration::from_nanos(random.below(usual.as_nanos() as u64))) {
            usual = taken;
        }
        if position(&views) == 0 {
            continue;
        }
        let reached = position(&views);
        midway += u64::from(reached < events.len());
        assert_eq!(views.order_contents(), fresh(&events[..reached]), "kill {kill} at position {reached}");
    }
    factlog.json(&["projections", "--views", named, "run", "orders", "--once"], "");
    assert_eq!(views.order_contents(), whole);
    println!("{kill} kills, {midway} left a view midway");
    assert!(midway * 10 >= kills, "too few kills hit the work to show anything");
}

#[test]
fn two_processes_project_side_by_side_and_whichever_is_killed_each_event_takes_effect_once() {
    let factlog = Factlog::new();
    let events = many_orders(&factlog.store());
    let views = Place::new();
    let named = views.named();
    let begin = || factlog.spawn(&["projections", "--views", &named, "run", "orders"]);
    let (mut running, mut kills) = ([begin(), begin()], 0);
    while position(&views) < events.len() {
        if position(&views) > kills * events.len() / 8 {
            kill_after(std::mem::replace(&mut running[kills % 2], begin()), Duration::ZERO);
            kills += 1;
        }
        for child in &mut running {
            assert_eq!(child.try_wait().unwrap(), None, "it has ended by itself");
        }
    }
    for child in running {
        kill_after(child, Duration::ZERO);
    }
    assert!(kills > 0, "nothing was killed: this shows nothing");
    assert_eq!(views.order_contents(), fresh(&events));
}

/// Kills a process once so much time has passed; gives how long it took if it ended before.
fn kill_after(mut child: Child, time: Duration) -> Option<Duration> {
    let started = Instant::now();
    while started.elapsed() < time {
        if child.try_wait().unwrap().is_some() {
            return Some(started.elapsed());
        }
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

/// Orders whose events lie between one another's; some events in between cannot be read, and some orders end in them.
fn many_orders(place: &Path) -> Vec<RecordedEvent> {
    let store = Options::new().durability(Durability::OnDemand).open(place).unwrap();
    let mut orders: Vec<Order> = (0..ORDERS).map(|_| Order::default()).collect();
    for step in 0..4 {
        for (n, order) in orders.iter_mut().enumerate() {
            let broken = n.is_multiple_of(97) && step == 2;
            let event = if broken {
                NewEvent::new("PaymentCompletedEvent".parse().unwrap(), "{\"paymentId\":7}")
            } else {
                let event = order.decide(&command(n, step)).unwrap();
                order.apply(&event);
                event.to_new_event().unwrap()
            };
            let stream = Order::stream(&n.to_string()).unwrap();
            store.append_streams(vec![StreamAppend::new(stream, ExpectedVersion::Any, vec![event])]).unwrap();
        }
    }
    let events = store.read_all(ReadAll::after(Position::START)).map(Result::unwrap).collect();
    store.close().unwrap();
    events
}

fn command(order: usize, step: usize) -> OrderCommand {
    let (order_id, at) = (order.to_string(), "2018-08-15T12:00:00Z".parse().unwrap());
    let item = |product: &str| NewItem {
        product_id: product.into(),
        product_name: "P".into(),
        quantity: 1,
        unit_price: "29.99".parse().unwrap(),
    };
    match step {
        0 => OrderCommand::CreateOrder {
            order_id,
            user_id: format!("user-{}", order % 100),
            items: vec![item("a")],
            shipping_address: ShippingAddress {
                street: "1 Main St".into(),
                city: "Seoul".into(),
                state: "Seoul".into(),
                zip_code: "01234".into(),
                country: "KR".into(),
            },
            at,
        },
        1 => OrderCommand::AddOrderItem { order_id, item: item("b"), at },
        2 => OrderCommand::CompletePayment { order_id, payment_id: "p".into(), at },
        _ if order.is_multiple_of(97) => OrderCommand::CancelOrder { order_id, reason: "r".into(), at },
        _ => OrderCommand::StartShipping { order_id, tracking_number: "t".into(), at },
    }
}

/// What a view is that was made of these events at once.
fn fresh(events: &[RecordedEvent]) -> Vec<String> {
    let store = Arc::new(MemoryStore::new());
    for event in events {
        let copy = NewEvent::new(event.event_type(), event.payload())
            .with_id(event.id())
            .with_metadata(event.metadata())
            .with_timestamp(event.timestamp());
        block_on(store.append(&event.stream(), ExpectedVersion::Any, vec![copy])).unwrap();
    }
    let views = Place::new();
    let runner = Runner::new(store, views.project(OrderProjection)).on_failure(OnFailure::GoOn);
    block_on(runner.catch_up()).unwrap();
    views.order_contents()
}

fn position(views: &Place) -> usize {
    views.checkpoint("orders").position.get() as usize
}
