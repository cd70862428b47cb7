//! What can be asked of an order.

use super::{
    aggregate::{Order, OrderRefusal},
    event::OrderEvent,
    item::{NewItem, ShippingAddress},
};
use crate::{
    event::EventId,
    model::{AggregateCommand, BusinessTime, Command, Committed, InvalidField},
};

/// What can be asked of an order. `at` is the time that the event will carry as its `timestamp`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the events")]
pub enum OrderCommand {
    /// Place an order that does not exist yet.
    CreateOrder {
        order_id: String,
        user_id: String,
        items: Vec<NewItem>,
        shipping_address: ShippingAddress,
        at: BusinessTime,
    },
    /// Add an item to a pending order.
    AddOrderItem { order_id: String, item: NewItem, at: BusinessTime },
    /// Remove every item of a product from a pending order.
    RemoveOrderItem { order_id: String, product_id: String, at: BusinessTime },
    /// Freeze the items of a pending order.
    ConfirmOrder { order_id: String, at: BusinessTime },
    /// Record the payment of a pending or confirmed order.
    CompletePayment { order_id: String, payment_id: String, at: BusinessTime },
    /// Hand a paid order to a carrier.
    StartShipping { order_id: String, tracking_number: String, at: BusinessTime },
    /// Record that a shipped order has arrived.
    CompleteDelivery { order_id: String, at: BusinessTime },
    /// Cancel an order that is not shipped yet.
    CancelOrder { order_id: String, reason: String, at: BusinessTime },
}

impl OrderCommand {
    /// The order that the command is for.
    pub fn order_id(&self) -> &str {
        match self {
            OrderCommand::CreateOrder { order_id, .. }
            | OrderCommand::AddOrderItem { order_id, .. }
            | OrderCommand::RemoveOrderItem { order_id, .. }
            | OrderCommand::ConfirmOrder { order_id, .. }
            | OrderCommand::CompletePayment { order_id, .. }
            | OrderCommand::StartShipping { order_id, .. }
            | OrderCommand::CompleteDelivery { order_id, .. }
            | OrderCommand::CancelOrder { order_id, .. } => order_id,
        }
    }

    /// The time that the command names.
    pub fn at(&self) -> BusinessTime {
        match self {
            OrderCommand::CreateOrder { at, .. }
            | OrderCommand::AddOrderItem { at, .. }
            | OrderCommand::RemoveOrderItem { at, .. }
            | OrderCommand::ConfirmOrder { at, .. }
            | OrderCommand::CompletePayment { at, .. }
            | OrderCommand::StartShipping { at, .. }
            | OrderCommand::CompleteDelivery { at, .. }
            | OrderCommand::CancelOrder { at, .. } => *at,
        }
    }
}

impl AggregateCommand for OrderCommand {
    type Aggregate = Order;
    type Refusal = OrderRefusal;

    fn aggregate_id(&self) -> &str {
        self.order_id()
    }

    fn creates(&self) -> bool {
        matches!(self, OrderCommand::CreateOrder { .. })
    }

    fn decide(&self, order: &Order) -> Result<Vec<OrderEvent>, OrderRefusal> {
        order.decide(self).map(|event| vec![event])
    }

    fn validate(&self) -> Result<(), InvalidField> {
        match self {
            OrderCommand::CreateOrder { user_id, items, .. } => {
                not_empty("userId", user_id)?;
                items.iter().try_for_each(|item| not_empty("productId", &item.product_id))
            }
            OrderCommand::AddOrderItem { item, .. } => not_empty("productId", &item.product_id),
            OrderCommand::RemoveOrderItem { product_id, .. } => not_empty("productId", product_id),
            OrderCommand::CompletePayment { payment_id, .. } => not_empty("paymentId", payment_id),
            OrderCommand::StartShipping { tracking_number, .. } => not_empty("trackingNumber", tracking_number),
            OrderCommand::ConfirmOrder { .. }
            | OrderCommand::CompleteDelivery { .. }
            | OrderCommand::CancelOrder { .. } => Ok(()),
        }
    }
}

fn not_empty(field: &'static str, text: &str) -> Result<(), InvalidField> {
    if text.trim().is_empty() { Err(InvalidField::new(field, "must not be empty")) } else { Ok(()) }
}

/// A command that was carried out elsewhere, and whose event is to be recorded as the one that it led to there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedOrderCommand {
    /// What was asked. Its event counts as recorded at the time that it names.
    pub command: OrderCommand,
    /// The id of its event.
    pub event_id: EventId,
}

impl Command for ImportedOrderCommand {
    type Output = Committed;
}
