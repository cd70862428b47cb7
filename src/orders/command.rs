//! What can be asked of an order.

use super::item::{NewItem, ShippingAddress};
use crate::model::BusinessTime;

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
