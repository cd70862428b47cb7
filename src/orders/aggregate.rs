//! The order aggregate: its state and every rule about it.
//!
//! ```text
//!   (create) -> PENDING --confirm--> CONFIRMED
//!                  |  \                 |
//!                  |   `------pay-------+--> PAID --ship--> SHIPPED --deliver--> DELIVERED
//!                  |                    |     |
//!                  `-------cancel-------+-----+--> CANCELLED
//! ```
//!
//! Items change only while the order is PENDING.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    command::OrderCommand,
    event::OrderEvent,
    item::{NewItem, OrderItem, ShippingAddress},
    money::Money,
};
use crate::model::{Aggregate, BusinessTime, Snapshots};

/// A rule that forbids a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum OrderRefusal {
    /// Created twice.
    #[error("Order already exists")]
    AlreadyExists,
    /// Created without items, or its last item removed.
    #[error("Order must have at least one item")]
    NoItems,
    /// An item with a quantity below 1.
    #[error("Quantity must be at least 1")]
    QuantityTooSmall,
    /// An item with a price below 0.
    #[error("Unit price must not be negative")]
    NegativePrice,
    /// A quantity, price or total that has more digits than are kept exactly.
    #[error("Quantities and amounts must have at most 15 digits")]
    AmountTooLarge,
    /// Items added when the order was not pending.
    #[error("Cannot add items to non-pending order")]
    AddToNonPending,
    /// Items removed when the order was not pending.
    #[error("Cannot remove items from non-pending order")]
    RemoveFromNonPending,
    /// No item of the product to remove.
    #[error("Item not found in order")]
    ItemNotFound,
    /// Confirmed when it was not pending.
    #[error("Only pending orders can be confirmed")]
    ConfirmNonPending,
    /// Paid when it was neither pending nor confirmed.
    #[error("Payment can only be completed for pending orders")]
    PayNonPending,
    /// Shipped when it was not paid.
    #[error("Shipping can only be started for paid orders")]
    ShipNonPaid,
    /// Delivered when it was not shipped.
    #[error("Delivery can only be completed for shipped orders")]
    DeliverNonShipped,
    /// Cancelled after it was shipped.
    #[error("Cannot cancel shipped or delivered orders")]
    CancelShipped,
    /// Cancelled twice.
    #[error("Order is already cancelled")]
    AlreadyCancelled,
}

/// How far an order has come. Its text form is in capitals: `PENDING`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "the names say it")]
pub enum OrderStatus {
    #[default]
    Pending,
    Confirmed,
    Paid,
    Shipped,
    Delivered,
    Cancelled,
}

impl OrderStatus {
    /// Every status, in the order of an order's life.
    pub const ALL: [OrderStatus; 6] = [
        OrderStatus::Pending,
        OrderStatus::Confirmed,
        OrderStatus::Paid,
        OrderStatus::Shipped,
        OrderStatus::Delivered,
        OrderStatus::Cancelled,
    ];

    /// Its text form.
    pub fn as_str(self) -> &'static str {
        match self {
            OrderStatus::Pending => "PENDING",
            OrderStatus::Confirmed => "CONFIRMED",
            OrderStatus::Paid => "PAID",
            OrderStatus::Shipped => "SHIPPED",
            OrderStatus::Delivered => "DELIVERED",
            OrderStatus::Cancelled => "CANCELLED",
        }
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no status.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is no status; there are PENDING, CONFIRMED, PAID, SHIPPED, DELIVERED and CANCELLED")]
pub struct UnknownStatus {
    /// The text as given.
    pub text: String,
}

impl FromStr for OrderStatus {
    type Err = UnknownStatus;

    /// Parses the text form, in capitals or not.
    fn from_str(text: &str) -> Result<OrderStatus, UnknownStatus> {
        let named = OrderStatus::ALL.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(text));
        named.ok_or_else(|| UnknownStatus { text: text.to_owned() })
    }
}

/// An order. Its default is the order that was not created yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    user_id: Option<String>,
    items: Vec<OrderItem>,
    status: OrderStatus,
    total_amount: Money,
    shipping_address: Option<ShippingAddress>,
    payment_id: Option<String>,
    tracking_number: Option<String>,
    cancelled_at: Option<BusinessTime>,
    cancellation_reason: Option<String>,
}

impl Order {
    /// The event that a command leads to.
    ///
    /// # Errors
    ///
    /// The first rule that forbids it.
    pub fn decide(&self, command: &OrderCommand) -> Result<OrderEvent, OrderRefusal> {
        let (order_id, timestamp) = (command.order_id().to_owned(), command.at());
        match command {
            OrderCommand::CreateOrder { user_id, items, shipping_address, .. } => {
                let (items, total_amount) = self.decide_creation(items)?;
                let (user_id, shipping_address) = (user_id.clone(), shipping_address.clone());
                Ok(OrderEvent::Created { order_id, user_id, items, total_amount, shipping_address, timestamp })
            }
            OrderCommand::AddOrderItem { item, .. } => {
                let (item, new_total_amount) = self.decide_addition(item)?;
                Ok(OrderEvent::ItemAdded { order_id, item, new_total_amount, timestamp })
            }
            OrderCommand::RemoveOrderItem { product_id, .. } => {
                let new_total_amount = self.decide_removal(product_id)?;
                Ok(OrderEvent::ItemRemoved { order_id, product_id: product_id.clone(), new_total_amount, timestamp })
            }
            OrderCommand::ConfirmOrder { .. } => {
                self.require(&[OrderStatus::Pending], OrderRefusal::ConfirmNonPending)?;
                Ok(OrderEvent::Confirmed { order_id, timestamp })
            }
            OrderCommand::CompletePayment { payment_id, .. } => {
                self.require(&[OrderStatus::Pending, OrderStatus::Confirmed], OrderRefusal::PayNonPending)?;
                Ok(OrderEvent::PaymentCompleted { order_id, payment_id: payment_id.clone(), timestamp })
            }
            OrderCommand::StartShipping { tracking_number, .. } => {
                self.require(&[OrderStatus::Paid], OrderRefusal::ShipNonPaid)?;
                Ok(OrderEvent::ShippingStarted { order_id, tracking_number: tracking_number.clone(), timestamp })
            }
            OrderCommand::CompleteDelivery { .. } => {
                self.require(&[OrderStatus::Shipped], OrderRefusal::DeliverNonShipped)?;
                Ok(OrderEvent::Delivered { order_id, timestamp })
            }
            OrderCommand::CancelOrder { reason, .. } => {
                self.decide_cancellation()?;
                Ok(OrderEvent::Cancelled { order_id, reason: reason.clone(), timestamp })
            }
        }
    }

    fn require(&self, allowed: &[OrderStatus], refusal: OrderRefusal) -> Result<(), OrderRefusal> {
        if allowed.contains(&self.status) { Ok(()) } else { Err(refusal) }
    }

    fn decide_creation(&self, items: &[NewItem]) -> Result<(Vec<OrderItem>, Money), OrderRefusal> {
        if self.user_id.is_some() {
            return Err(OrderRefusal::AlreadyExists);
        }
        if items.is_empty() {
            return Err(OrderRefusal::NoItems);
        }
        let items = items.iter().map(OrderItem::new).collect::<Result<Vec<_>, _>>()?;
        let total = total_of(&items)?;
        Ok((items, total))
    }

    fn decide_addition(&self, item: &NewItem) -> Result<(OrderItem, Money), OrderRefusal> {
        self.require(&[OrderStatus::Pending], OrderRefusal::AddToNonPending)?;
        let item = OrderItem::new(item)?;
        let total = total_of(self.items.iter().chain([&item]))?;
        Ok((item, total))
    }

    fn decide_removal(&self, product_id: &str) -> Result<Money, OrderRefusal> {
        self.require(&[OrderStatus::Pending], OrderRefusal::RemoveFromNonPending)?;
        let remaining: Vec<_> = self.items.iter().filter(|item| item.product_id != product_id).collect();
        if remaining.len() == self.items.len() {
            return Err(OrderRefusal::ItemNotFound);
        }
        if remaining.is_empty() {
            return Err(OrderRefusal::NoItems);
        }
        total_of(remaining)
    }

    fn decide_cancellation(&self) -> Result<(), OrderRefusal> {
        match self.status {
            OrderStatus::Shipped | OrderStatus::Delivered => Err(OrderRefusal::CancelShipped),
            OrderStatus::Cancelled => Err(OrderRefusal::AlreadyCancelled),
            OrderStatus::Pending | OrderStatus::Confirmed | OrderStatus::Paid => Ok(()),
        }
    }

    /// Who placed it; `None` before it was created.
    pub fn user_id(&self) -> Option<&str> {
        self.user_id.as_deref()
    }

    /// What was ordered.
    pub fn items(&self) -> &[OrderItem] {
        &self.items
    }

    /// How far it has come.
    pub fn status(&self) -> OrderStatus {
        self.status
    }

    /// The sum of its items.
    pub fn total_amount(&self) -> Money {
        self.total_amount
    }

    /// Where it goes; `None` before it was created.
    pub fn shipping_address(&self) -> Option<&ShippingAddress> {
        self.shipping_address.as_ref()
    }

    /// The payment; `None` before it was paid.
    pub fn payment_id(&self) -> Option<&str> {
        self.payment_id.as_deref()
    }

    /// The carrier's number for it; `None` before it was shipped.
    pub fn tracking_number(&self) -> Option<&str> {
        self.tracking_number.as_deref()
    }

    /// When it was cancelled and why; `None` when it was not.
    pub fn cancellation(&self) -> Option<(BusinessTime, &str)> {
        Some((self.cancelled_at?, self.cancellation_reason.as_deref()?))
    }
}

fn total_of<'a>(items: impl IntoIterator<Item = &'a OrderItem>) -> Result<Money, OrderRefusal> {
    Money::total(items.into_iter().map(|item| item.total_price)).ok_or(OrderRefusal::AmountTooLarge)
}

impl Aggregate for Order {
    type Event = OrderEvent;

    const CATEGORY: &'static str = "order";

    fn snapshots() -> Option<Snapshots<Order>> {
        Some(Snapshots::of_version(1))
    }

    fn apply(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::Created { user_id, items, total_amount, shipping_address, .. } => {
                self.user_id = Some(user_id.clone());
                self.items.clone_from(items);
                self.total_amount = *total_amount;
                self.shipping_address = Some(shipping_address.clone());
                self.status = OrderStatus::Pending;
            }
            OrderEvent::ItemAdded { item, new_total_amount, .. } => {
                self.items.push(item.clone());
                self.total_amount = *new_total_amount;
            }
            OrderEvent::ItemRemoved { product_id, new_total_amount, .. } => {
                self.items.retain(|item| item.product_id != *product_id);
                self.total_amount = *new_total_amount;
            }
            OrderEvent::Confirmed { .. } => self.status = OrderStatus::Confirmed,
            OrderEvent::PaymentCompleted { payment_id, .. } => {
                self.payment_id = Some(payment_id.clone());
                self.status = OrderStatus::Paid;
            }
            OrderEvent::ShippingStarted { tracking_number, .. } => {
                self.tracking_number = Some(tracking_number.clone());
                self.status = OrderStatus::Shipped;
            }
            OrderEvent::Delivered { .. } => self.status = OrderStatus::Delivered,
            OrderEvent::Cancelled { reason, timestamp, .. } => {
                self.cancelled_at = Some(*timestamp);
                self.cancellation_reason = Some(reason.clone());
                self.status = OrderStatus::Cancelled;
            }
        }
    }
}

#[cfg(test)]
#[path = "aggregate_tests.rs"]
mod tests;
