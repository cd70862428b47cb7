//! From a command to a stored event.

use std::sync::Arc;

use super::{
    aggregate::Order,
    command::{ImportedOrderCommand, OrderCommand},
};
use crate::{
    event_store::EventStore,
    model::{AggregateCommand, AggregateRoot, CommandHandler, Committed, Metadata, ModelError, Repository},
};

/// Carries out commands for orders. Cheap to clone.
#[derive(Clone, Debug)]
pub struct OrderCommandHandler {
    orders: Repository<Order>,
}

impl OrderCommandHandler {
    /// A handler for the orders in this store.
    pub fn new(store: Arc<dyn EventStore>) -> OrderCommandHandler {
        OrderCommandHandler { orders: Repository::new(store) }
    }

    /// The orders, as they are stored.
    pub fn orders(&self) -> &Repository<Order> {
        &self.orders
    }
}

/// Creation expects that the order has no stream, and is decided once. Every other command is decided again when another
/// one for the same order got in between.
///
/// It fails with [`ModelError::Refused`] and an [`super::OrderRefusal`]; with [`ModelError::AggregateNotFound`] for every
/// command but creation on an order that does not exist; with [`ModelError::Concurrency`] for the creation of an order
/// that does; or with the store's error.
impl CommandHandler<OrderCommand> for OrderCommandHandler {
    async fn handle(&self, command: &OrderCommand, metadata: &Metadata) -> Result<Committed, ModelError> {
        self.orders.execute(command, metadata).await
    }
}

/// As for an [`OrderCommand`], but for the id and the time of the event.
impl CommandHandler<ImportedOrderCommand> for OrderCommandHandler {
    async fn handle(&self, imported: &ImportedOrderCommand, metadata: &Metadata) -> Result<Committed, ModelError> {
        let ImportedOrderCommand { command, event_id } = imported;
        let decide = |order: &mut AggregateRoot<Order>| {
            let event = order.state().decide(command).map_err(ModelError::refused)?;
            order.record_as(&event, *event_id, command.at().timestamp())
        };
        match command.creates() {
            true => self.orders.create(command.order_id(), metadata, decide).await,
            false => self.orders.change(command.order_id(), metadata, decide).await,
        }
    }
}
