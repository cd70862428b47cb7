//! `factlog orders import`: real orders through the same commands as everyone else's.
//!
//! Invariants:
//!
//! - the event of a step has an id made from the order and the step, so that a step which the stream already holds is
//!   recognised and not taken again;
//! - every step is judged on the state that it met first: a run that follows a killed one replays the stream up to each
//!   step, and refuses what an unbroken run would have refused;
//! - the steps of one order follow each other; orders go side by side.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use clap::Args;
use factlog::{
    EventId, EventStore, ReadStream, RecordedEvent, block_on,
    model::{Aggregate, CommandBus, DomainEvent, Metadata, ModelError},
    orders::{ImportedOrderCommand, Order, OrderCommand, OrderEvent, OrderService},
};
use serde::Serialize;
use uuid::Uuid;

use super::{
    failure::Failure,
    olist::{self, OlistOrder},
    open,
    output::Output,
    place::Place,
    progress::{Progress, Unit},
};

/// Import the orders of the Olist tables; run again after an interruption, it goes on where it was
#[derive(Debug, Args)]
pub struct OrdersImport {
    /// The directory with the tables, as CSV files
    directory: PathBuf,

    /// Orders that are imported side by side, and share the syncs of their events
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: u16,
}

#[derive(Serialize)]
struct Summary {
    orders: usize,
    created: u64,
    events: u64,
    refused: BTreeMap<String, u64>,
    seconds: f64,
}

/// What one job did.
#[derive(Default)]
struct Tally {
    created: u64,
    events: u64,
    refused: BTreeMap<String, u64>,
}

impl Tally {
    fn refuse(&mut self, message: String) {
        *self.refused.entry(message).or_default() += 1;
    }

    fn add(&mut self, other: Tally) {
        self.created += other.created;
        self.events += other.events;
        for (message, count) in other.refused {
            *self.refused.entry(message).or_default() += count;
        }
    }
}

impl OrdersImport {
    pub fn run(self, place: &Place, out: &mut Output) -> Result<(), Failure> {
        let started = Instant::now();
        let orders = olist::read(&self.directory)?;
        let store = open::for_writing_patiently(place)?;
        let tally = import(store.shared(), &orders, self.jobs.into())?;
        store.close();
        let Tally { created, events, refused } = tally;
        let seconds = (started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        out.line(&Summary { orders: orders.len(), created, events, refused, seconds })
    }
}

fn import(store: Arc<dyn EventStore>, orders: &[OlistOrder], jobs: usize) -> Result<Tally, Failure> {
    let progress = Progress::new(Unit::Things("orders"), Some(orders.len() as u64));
    let service = OrderService::new(Arc::clone(&store))?;
    let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let job = || {
        let mut tally = Tally::default();
        while !stopped.load(Ordering::Relaxed)
            && let Some(order) = orders.get(next.fetch_add(1, Ordering::Relaxed))
        {
            if let Err(failure) = import_order(&*store, service.commands(), order, &mut tally) {
                stopped.store(true, Ordering::Relaxed);
                return Err(failure.at(format_args!("order {}", order.id)));
            }
            progress.add(1);
        }
        Ok(tally)
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..jobs.min(orders.len())).map(|_| scope.spawn(job)).collect();
        let mut all = Tally::default();
        for job in running {
            all.add(job.join().map_err(|_| Failure::Failed("an import job ended early".to_owned()))??);
        }
        Ok(all)
    })
}

fn import_order(
    store: &dyn EventStore,
    bus: &CommandBus,
    order: &OlistOrder,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let stored = stored_events(store, &order.id)?;
    let mut unfolded = &stored[..];
    let mut state = Order::default();
    for (step, command) in &order.steps {
        let id = step_id(&order.id, step);
        if let Some(at) = unfolded.iter().position(|event| event.id() == id) {
            for event in &unfolded[..=at] {
                fold(&mut state, event)?;
            }
            unfolded = &unfolded[at + 1..];
            continue;
        }
        match take(bus, &mut state, command, id) {
            Ok(()) => {
                tally.events += 1;
                tally.created += u64::from(is_creation(command));
            }
            Err(refused @ (ModelError::Refused(_) | ModelError::Concurrency(_))) => {
                tally.refuse(refused.to_string());
                if is_creation(command) {
                    return Ok(());
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Judges a step on the state that it meets, and has it stored when no rule forbids it.
fn take(bus: &CommandBus, state: &mut Order, command: &OrderCommand, id: EventId) -> Result<(), ModelError> {
    let event = state.decide(command).map_err(ModelError::refused)?;
    // The same in every run, as the ids are.
    let metadata = Metadata::correlated(format!("import-{}", command.order_id()));
    block_on(bus.dispatch_with(ImportedOrderCommand { command: command.clone(), event_id: id }, metadata))?;
    state.apply(&event);
    Ok(())
}

fn is_creation(command: &OrderCommand) -> bool {
    matches!(command, OrderCommand::CreateOrder { .. })
}

fn stored_events(store: &dyn EventStore, order_id: &str) -> Result<Vec<RecordedEvent>, Failure> {
    let mut read = ReadStream::new(&Order::stream(order_id)?);
    let mut events: Vec<RecordedEvent> = Vec::new();
    loop {
        let page = block_on(store.read_stream(read.clone()))?;
        let Some(last) = page.last() else { return Ok(events) };
        read.from = last.version().next();
        events.extend(page);
    }
}

fn fold(state: &mut Order, event: &RecordedEvent) -> Result<(), Failure> {
    match OrderEvent::from_recorded(event)? {
        Some(event) => state.apply(&event),
        None => return Err(ModelError::unreadable(event, "it is no event of an order").into()),
    }
    Ok(())
}

fn step_id(order_id: &str, step: &str) -> EventId {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("order-{order_id}/{step}").as_bytes()).into()
}

#[cfg(test)]
#[path = "orders_import_tests.rs"]
mod tests;
