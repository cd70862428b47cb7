//! `factlog demo`: the whole path on made-up orders, in a store of its own.

use std::{
    env,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use factlog::{
    EventId, block_on,
    model::{Aggregate, BusinessTime, CommandBus, ModelError, Page},
    orders::{Money, NewItem, Order, OrderCommand, OrderQueryHandler, OrderService, OrderStatus, ShippingAddress},
};
use serde::Serialize;

use super::{
    event_line,
    failure::Failure,
    open,
    output::{Output, say},
    place::Place,
    progress::{Progress, Unit},
    views::{self, Freshness, Sample, ViewsPlace},
};

const ORDERS: u64 = 3_000;
const USERS: u64 = 100;
const JOBS: usize = 16;

/// The order whose history is shown: one that is delivered.
const SHOWN: &str = "13";

/// No order is begun after this time, so that a slow disk gives a smaller demonstration and not a longer one.
const PATIENCE: Duration = Duration::from_secs(5);

/// See it work: some thousand made-up orders through their lives, in a temporary store of its own, whatever `--store` says
#[derive(Debug, Args)]
pub struct Demo {}

#[derive(Serialize)]
struct StatusCount {
    status: OrderStatus,
    orders: u64,
}

impl Demo {
    pub fn run(self, out: &mut Output) -> Result<(), Failure> {
        let directory = env::temp_dir().join(format!("factlog-demo-{}", EventId::generate()));
        let place = Place::Directory(directory.clone());
        let store = open::for_writing(&place)?;
        let service = OrderService::new(store.shared())?;

        say(format_args!("{JOBS} threads see orders of {USERS} users through their lives, one command at a time."));
        let started = Instant::now();
        let orders = place_orders(service.commands())?;
        let seconds = started.elapsed().as_secs_f64();
        let events = store.last_position()?.get();
        let speed = events as f64 / seconds;
        say(format_args!(
            "{orders} orders, {events} events in {seconds:.1} s: {speed:.0} a second, each on the disk before its \
             command was answered."
        ));

        let views = ViewsPlace::beside_store().open(&place)?;
        let queries = OrderQueryHandler::new(views::fresh(&store, &views, Sample::Orders, Freshness::default())?);
        say("\nThe read model, built from the log; how many orders have which status:");
        for status in OrderStatus::ALL {
            let orders = block_on(queries.orders_by_status(status, Page::default()))?.pagination.total;
            out.line(&StatusCount { status, orders })?;
        }
        out.flush()?;
        say("\nA page of one user's orders, newest first:");
        out.line(&block_on(queries.user_orders("user-7", None, Page::new(1, 2).unwrap_or_default()))?)?;
        out.flush()?;
        say("\nThe whole history of one order:");
        for event in store.read_stream((&Order::stream(SHOWN)?).into()) {
            event_line::print(&event?, out)?;
        }
        out.flush()?;
        store.close();
        say_what_next(&directory);
        Ok(())
    }
}

fn say_what_next(place: &Path) {
    let command = env::args().next().unwrap_or_else(|| "factlog".to_owned());
    let place = place.display();
    say(format_args!(
        "\nThe files are in {place}; delete them when you have seen enough. Until then, try:\n\
         \x20 {command} --store {place} orders list --status SHIPPED --limit 3\n\
         \x20 {command} --store {place} orders cancel {SHOWN} --reason 'found it cheaper'   # refused: it is delivered\n\
         \x20 {command} --store {place} read --limit 5\n\
         \x20 {command} --store {place} verify"
    ));
}

/// Sees orders through their lives, and returns how many.
fn place_orders(bus: &CommandBus) -> Result<u64, Failure> {
    let progress = Progress::new(Unit::Things("orders"), Some(ORDERS));
    let (next, started) = (AtomicU64::new(1), Instant::now());
    let job = || {
        let mut placed = 0;
        while started.elapsed() < PATIENCE {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number > ORDERS {
                break;
            }
            for command in life(number)? {
                block_on(bus.dispatch(command))?;
            }
            progress.add(1);
            placed += 1;
        }
        Ok::<u64, ModelError>(placed)
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..JOBS).map(|_| scope.spawn(job)).collect();
        let mut placed = 0;
        for job in running {
            placed += job.join().map_err(|_| Failure::Failed("a thread of the demo ended early".to_owned()))??;
        }
        Ok(placed)
    })
}

/// What happens to the order with this number: the same in every run.
fn life(number: u64) -> Result<Vec<OrderCommand>, ModelError> {
    let order_id = || number.to_string();
    // Spreads neighbouring numbers over the whole range.
    let chance = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let now = BusinessTime::now();
    let items = (0..=chance % 3).map(|line| item(chance.wrapping_add(line))).collect::<Result<_, _>>()?;
    let mut commands = vec![OrderCommand::CreateOrder {
        order_id: order_id(),
        user_id: format!("user-{}", number % USERS),
        items,
        shipping_address: ShippingAddress {
            street: format!("{} Main St", 1 + chance % 200),
            city: "Seoul".to_owned(),
            state: "Seoul".to_owned(),
            zip_code: format!("{:05}", chance % 100_000),
            country: "South Korea".to_owned(),
        },
        at: now,
    }];
    if chance.is_multiple_of(5) {
        commands.push(OrderCommand::AddOrderItem { order_id: order_id(), item: item(chance + 7)?, at: now });
    }
    let confirm = OrderCommand::ConfirmOrder { order_id: order_id(), at: now };
    let pay = OrderCommand::CompletePayment { order_id: order_id(), payment_id: format!("payment-{number}"), at: now };
    let ship =
        OrderCommand::StartShipping { order_id: order_id(), tracking_number: format!("track-{number}"), at: now };
    let deliver = OrderCommand::CompleteDelivery { order_id: order_id(), at: now };
    let cancel = OrderCommand::CancelOrder { order_id: order_id(), reason: "changed my mind".to_owned(), at: now };
    commands.extend(match chance % 20 {
        0 => vec![],
        1 => vec![confirm],
        2..=3 => vec![cancel],
        4 => vec![pay, cancel],
        5..=6 => vec![pay],
        7..=10 => vec![confirm, pay, ship],
        _ => vec![confirm, pay, ship, deliver],
    });
    Ok(commands)
}

fn item(seed: u64) -> Result<NewItem, ModelError> {
    let product = seed % 40;
    let unit_price = Money::from_cents(499 + 250 * product as i64).map_err(ModelError::refused)?;
    let quantity = 1 + (seed / 40 % 3) as i64;
    let (product_id, product_name) = (format!("product-{product}"), format!("Product {product}"));
    Ok(NewItem { product_id, product_name, quantity, unit_price })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_life_is_one_that_the_rules_allow_and_all_statuses_are_reached() {
        let mut reached = Vec::new();
        for number in 1..=ORDERS {
            let mut order = Order::default();
            for command in life(number).unwrap() {
                let event = order.decide(&command).unwrap();
                order.apply(&event);
            }
            if number.to_string() == SHOWN {
                assert_eq!(order.status(), OrderStatus::Delivered);
            }
            reached.push(order.status());
        }
        assert!(OrderStatus::ALL.iter().all(|status| reached.contains(status)));
    }
}
