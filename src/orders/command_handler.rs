//! From a command to a stored event.

use std::sync::Arc;

use super::{aggregate::Order, command::OrderCommand};
use crate::{
    event::{EventId, InvalidInput},
    event_store::{Appended, EventStore},
    model::{AggregateRoot, ModelError, Repository},
};

/// Decides commands and stores the events that they lead to. Cheap to clone.
#[derive(Clone)]
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

    /// Decides one command; each leads to one event, which is durable when the answer is there.
    ///
    /// Creation expects that the order has no stream, and is decided once. Every other command is decided again when
    /// another one for the same order got in between.
    ///
    /// # Errors
    ///
    /// [`ModelError::Refused`] with an [`super::OrderRefusal`]; [`ModelError::AggregateNotFound`] for every command but
    /// creation on an order that does not exist; [`ModelError::Concurrency`] for the creation of an order that does; or
    /// the store's error.
    pub async fn handle(&self, command: &OrderCommand) -> Result<Appended, ModelError> {
        self.store(command, |order| {
            let event = order.state().decide(command).map_err(ModelError::refused)?;
            order.record(&event)
        })
        .await
    }

    /// Decides a command that was carried out elsewhere: its event gets this id, and counts as recorded at the time that
    /// the command names.
    ///
    /// # Errors
    ///
    /// As for [`OrderCommandHandler::handle`].
    pub async fn handle_imported(&self, command: &OrderCommand, id: EventId) -> Result<Appended, ModelError> {
        self.store(command, |order| {
            let event = order.state().decide(command).map_err(ModelError::refused)?;
            order.record_as(&event, id, command.at().timestamp())
        })
        .await
    }

    async fn store(
        &self,
        command: &OrderCommand,
        decide: impl Fn(&mut AggregateRoot<Order>) -> Result<(), ModelError>,
    ) -> Result<Appended, ModelError> {
        let stored = match command {
            OrderCommand::CreateOrder { order_id, .. } => {
                let mut order = AggregateRoot::new(order_id)?;
                decide(&mut order)?;
                self.orders.save(&mut order).await?
            }
            _ => self.orders.change(command.order_id(), decide).await?,
        };
        stored.ok_or_else(|| InvalidInput::NoEvents.into())
    }
}
