//! Projections: building the view of orders anew, beside a bare loop of prepared statements that writes the same rows.
//!
//! The orders are made up in the shape of the published ones: 22,760 of them with four events each, sixteen orders going on at
//! any time. `FACTLOG_BENCH_ORDERS` names a store to take orders from instead, such as one that `orders import` has filled.

use std::{env, path::Path, sync::Arc, time::Instant};

use criterion::Criterion;
use factlog::{
    Durability, Options, Position, ReadAll, RecordedEvent, Store, StreamAppend, block_on,
    model::{Aggregate, DomainEvent, Runner, SqliteViews},
    orders::{NewItem, Order, OrderCommand, OrderEvent, OrderProjection, ShippingAddress},
};
use rusqlite::{Connection, TransactionBehavior, params};

use crate::support::{
    case::{Case, Role, Run, Turn},
    figure::{Figure, Target},
    place::place,
};

pub const CASES: [(&str, Run); 2] = [("rebuild", rebuild), ("catching up", catching_up)];

const GROUP: &str = "projection";
const ORDERS: usize = 22_760;
const SIDE_BY_SIDE: usize = 16;
/// Events in a transaction, as the runner has them.
const TOGETHER: usize = 1024;

fn rebuild(criterion: &mut Criterion) -> Figure {
    against_bare(criterion, "rebuild", |store, dir, events| {
        let views = SqliteViews::open(dir.join("views")).unwrap();
        let runner = Runner::new(Arc::new(store.clone()), Arc::new(views.project(OrderProjection).unwrap()));
        // What is to be replaced.
        block_on(runner.catch_up()).unwrap();
        let begin = Instant::now();
        block_on(runner.rebuild()).unwrap();
        Turn::new(events, begin.elapsed())
    })
}

fn catching_up(criterion: &mut Criterion) -> Figure {
    against_bare(criterion, "catching up", |store, dir, events| {
        let views = SqliteViews::open(dir.join("views")).unwrap();
        let runner = Runner::new(Arc::new(store.clone()), Arc::new(views.project(OrderProjection).unwrap()));
        let begin = Instant::now();
        block_on(runner.catch_up()).unwrap();
        Turn::new(events, begin.elapsed())
    })
}

fn against_bare(criterion: &mut Criterion, case: &str, mut factlog: impl FnMut(&Store, &Path, u64) -> Turn) -> Figure {
    let home = place();
    let store = match env::var_os("FACTLOG_BENCH_ORDERS") {
        Some(given) => Options::new().read_only(true).open(given).unwrap(),
        None => with_orders(&home.path().join("store")),
    };
    let events: Vec<RecordedEvent> = store.read_all(ReadAll::after(Position::START)).map(Result::unwrap).collect();
    let rows = prepared(&events);
    let figure = Case::rate(GROUP, case, "events/s")
        .target(Target::AtLeast(0.6))
        .whole(9)
        .contestant(Role::Factlog, "factlog", |_| factlog(&store, place().path(), events.len() as u64))
        .contestant(Role::Limit, "bare statements", |_| bare(&rows))
        .run(criterion);
    figure.note(format!("{} events", events.len()))
}

fn with_orders(dir: &Path) -> Store {
    let store = Options::new().durability(Durability::OnDemand).open(dir).unwrap();
    let numbers: Vec<usize> = (0..ORDERS).collect();
    for going_on in numbers.chunks(SIDE_BY_SIDE) {
        let mut orders: Vec<Order> = going_on.iter().map(|_| Order::default()).collect();
        for step in 0..4 {
            let appends = going_on.iter().zip(&mut orders).map(|(number, order)| {
                let event = order.decide(&command(*number, step)).unwrap();
                order.apply(&event);
                let stream = Order::stream(&order_id(*number)).unwrap();
                StreamAppend::new(stream, factlog::ExpectedVersion::Any, vec![event.to_new_event().unwrap()])
            });
            store.append_streams(appends.collect()).unwrap();
        }
    }
    store
}

/// As long as those of the published orders.
fn order_id(number: usize) -> String {
    format!("{:016x}{:016x}", (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15), number)
}

fn command(number: usize, step: usize) -> OrderCommand {
    let (order_id, at) = (order_id(number), "2018-08-15T12:00:00Z".parse().unwrap());
    match step {
        0 => OrderCommand::CreateOrder {
            user_id: order_id.chars().rev().collect(),
            items: vec![NewItem {
                product_id: order_id.clone(),
                product_name: "cama_mesa_banho".into(),
                quantity: 1,
                unit_price: "119.90".parse().unwrap(),
            }],
            shipping_address: ShippingAddress {
                street: String::new(),
                city: "sao paulo".into(),
                state: "SP".into(),
                zip_code: "01234".into(),
                country: "BR".into(),
            },
            order_id,
            at,
        },
        1 => OrderCommand::CompletePayment { payment_id: format!("pay-{order_id}"), order_id, at },
        2 => OrderCommand::StartShipping { tracking_number: format!("track-{order_id}"), order_id, at },
        _ => OrderCommand::CompleteDelivery { order_id, at },
    }
}

/// What an event writes, made before the clock starts.
enum Row {
    Insert { order: String, user: String, total: i64, address: String, items: String, at: String },
    Update { order: String, status: &'static str, column: &'static str, value: String, at: String, version: i64 },
}

fn prepared(events: &[RecordedEvent]) -> Vec<Row> {
    let row = |event: &RecordedEvent| {
        let stream = event.stream();
        let order = stream.as_str().split_once('-').unwrap().1.to_owned();
        let version = event.version().get() as i64;
        let update = |status, column, value: &str, at: factlog::model::BusinessTime| Row::Update {
            order: order.clone(),
            status,
            column,
            value: value.to_owned(),
            at: at.to_sortable(),
            version,
        };
        match OrderEvent::from_recorded(event).unwrap().unwrap() {
            OrderEvent::Created { user_id, items, total_amount, shipping_address, timestamp, .. } => Row::Insert {
                order: order.clone(),
                user: user_id,
                total: total_amount.cents(),
                address: serde_json::to_string(&shipping_address).unwrap(),
                items: serde_json::to_string(&items).unwrap(),
                at: timestamp.to_sortable(),
            },
            OrderEvent::PaymentCompleted { payment_id, timestamp, .. } => {
                update("PAID", "payment_id", &payment_id, timestamp)
            }
            OrderEvent::ShippingStarted { tracking_number, timestamp, .. } => {
                update("SHIPPED", "tracking_number", &tracking_number, timestamp)
            }
            OrderEvent::Delivered { timestamp, .. } => update("DELIVERED", "", "", timestamp),
            OrderEvent::Cancelled { reason, timestamp, .. } => {
                update("CANCELLED", "cancellation_reason", &reason, timestamp)
            }
            other => panic!("no event of these orders: {other:?}"),
        }
    };
    events.iter().map(row).collect()
}

/// Writes the rows into the same table with the same indexes, as many in a transaction, with a journal as the views have it.
fn bare(rows: &[Row]) -> Turn {
    let place = place();
    let views = SqliteViews::open(place.path().join("bare")).unwrap();
    factlog::model::Projection::set_up(&OrderProjection, &Connection::open(views.path()).unwrap()).unwrap();
    let mut connection = Connection::open(views.path()).unwrap();
    connection.pragma_update(None, "synchronous", "normal").unwrap();
    connection.set_prepared_statement_cache_capacity(64);
    let begin = Instant::now();
    for together in rows.chunks(TOGETHER) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        together.iter().for_each(|row| write(&transaction, row));
        transaction.commit().unwrap();
    }
    Turn::new(rows.len() as u64, begin.elapsed())
}

fn write(connection: &Connection, row: &Row) {
    let changed = match row {
        Row::Insert { order, user, total, address, items, at } => connection
            .prepare_cached(
                "INSERT INTO order_view
                    (order_id, user_id, status, total_amount, shipping_address, items, created_at, updated_at, version)
                 VALUES (?1, ?2, 'PENDING', ?3, ?4, ?5, ?6, ?6, 1)",
            )
            .unwrap()
            .execute(params![order, user, total, address, items, at]),
        Row::Update { order, status, column: "", at, version, .. } => connection
            .prepare_cached("UPDATE order_view SET status = ?2, updated_at = ?3, version = ?4 WHERE order_id = ?1")
            .unwrap()
            .execute(params![order, status, at, version]),
        Row::Update { order, status, column, value, at, version } => connection
            .prepare_cached(match *column {
                "payment_id" => {
                    "UPDATE order_view SET payment_id = ?5, status = ?2, updated_at = ?3, version = ?4 WHERE order_id = ?1"
                }
                "tracking_number" => {
                    "UPDATE order_view SET tracking_number = ?5, status = ?2, updated_at = ?3, version = ?4
                     WHERE order_id = ?1"
                }
                _ => {
                    "UPDATE order_view SET cancellation_reason = ?5, cancelled_at = ?3, status = ?2, updated_at = ?3,
                        version = ?4 WHERE order_id = ?1"
                }
            })
            .unwrap()
            .execute(params![order, status, at, version, value]),
    };
    assert_eq!(changed.unwrap(), 1);
}
