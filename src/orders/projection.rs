//! The projection of orders into the table `order_view`.
//!
//! ```text
//! order_view: | order_id (primary key) | user_id | status | total_amount | shipping_address | items | payment_id
//!             | tracking_number | cancelled_at | cancellation_reason | created_at | updated_at | version |
//! ```
//!
//! Amounts are integer cents, `shipping_address` and `items` JSON, times RFC 3339 in UTC with six digits of a second, so
//! that their texts sort as the moments do. `version` is the version of the newest event in the row.
//!
//! Invariants:
//!
//! - a row is what the events of its order's stream up to `version` make it: an event that the row has taken changes
//!   nothing;
//! - events of other streams and of other types concern it not at all.

use super::{
    aggregate::{Order, OrderStatus},
    event::OrderEvent,
    item::{OrderItem, ShippingAddress},
    money::Money,
};
use crate::{
    event::RecordedEvent,
    model::{Aggregate, BusinessTime, Dialect, ModelError, Projection, Tables, Value},
};

/// The projection of orders into the table `order_view`, of whichever database.
#[derive(Clone, Copy, Debug, Default)]
pub struct OrderProjection;

impl OrderProjection {
    /// The name under which its place in the log is kept.
    pub const NAME: &'static str = "orders";
}

/// The types of columns are filled in: of texts that are compared, of JSON, and of whole numbers.
macro_rules! schema {
    ($text:literal, $json:literal, $integer:literal) => {
        concat!(
            "CREATE TABLE IF NOT EXISTS order_view (
                order_id ",
            $text,
            " PRIMARY KEY,
                user_id ",
            $text,
            " NOT NULL,
                status ",
            $text,
            " NOT NULL,
                total_amount ",
            $integer,
            " NOT NULL,
                shipping_address ",
            $json,
            " NOT NULL,
                items ",
            $json,
            " NOT NULL,
                payment_id TEXT,
                tracking_number TEXT,
                cancelled_at TEXT,
                cancellation_reason TEXT,
                created_at ",
            $text,
            " NOT NULL,
                updated_at ",
            $text,
            " NOT NULL,
                version ",
            $integer,
            " NOT NULL
            );
            CREATE INDEX IF NOT EXISTS order_view_by_user ON order_view (user_id, created_at DESC, order_id);
            CREATE INDEX IF NOT EXISTS order_view_by_user_and_status
                ON order_view (user_id, status, created_at DESC, order_id);
            CREATE INDEX IF NOT EXISTS order_view_by_status ON order_view (status, created_at DESC, order_id);"
        )
    };
}

impl<T: Tables> Projection<T> for OrderProjection {
    fn name(&self) -> &'static str {
        OrderProjection::NAME
    }

    fn set_up(&self, tables: &T) -> Result<(), ModelError> {
        tables.define(match tables.dialect() {
            Dialect::Sqlite => schema!("TEXT", "TEXT", "INTEGER"),
            // Texts are compared byte by byte, as SQLite does; JSON keeps its numbers and keys as they were written.
            Dialect::Postgres => schema!("TEXT COLLATE \"C\"", "JSON", "BIGINT"),
        })
    }

    fn handle(&self, tables: &T, event: &RecordedEvent) -> Result<(), ModelError> {
        let Some((order_id, order_event)) = Order::event_of(event)? else { return Ok(()) };
        View { tables, order_id, event }.take(&order_event)
    }
}

/// The row of one order, on its way to take one event.
struct View<'a, T> {
    tables: &'a T,
    order_id: &'a str,
    event: &'a RecordedEvent,
}

impl<T: Tables> View<'_, T> {
    fn take(&self, event: &OrderEvent) -> Result<(), ModelError> {
        match event {
            OrderEvent::Created { user_id, items, total_amount, shipping_address, timestamp, .. } => {
                self.insert(user_id, items, *total_amount, shipping_address, *timestamp)
            }
            OrderEvent::ItemAdded { item, new_total_amount, timestamp, .. } => {
                self.change_items(*new_total_amount, *timestamp, |items| items.push(item.clone()))
            }
            OrderEvent::ItemRemoved { product_id, new_total_amount, timestamp, .. } => {
                let remove = |items: &mut Vec<OrderItem>| items.retain(|item| item.product_id != *product_id);
                self.change_items(*new_total_amount, *timestamp, remove)
            }
            OrderEvent::Confirmed { timestamp, .. } => self.update(STATUS, *timestamp, [OrderStatus::Confirmed.into()]),
            OrderEvent::PaymentCompleted { payment_id, timestamp, .. } => {
                self.update(PAYMENT, *timestamp, [OrderStatus::Paid.into(), payment_id.into()])
            }
            OrderEvent::ShippingStarted { tracking_number, timestamp, .. } => {
                self.update(TRACKING, *timestamp, [OrderStatus::Shipped.into(), tracking_number.into()])
            }
            OrderEvent::Delivered { timestamp, .. } => self.update(STATUS, *timestamp, [OrderStatus::Delivered.into()]),
            OrderEvent::Cancelled { reason, timestamp, .. } => {
                self.update(CANCELLATION, *timestamp, [OrderStatus::Cancelled.into(), reason.into()])
            }
        }
    }

    fn version(&self) -> i64 {
        i64::try_from(self.event.version().get()).unwrap_or(i64::MAX)
    }

    fn insert(
        &self,
        user_id: &str,
        items: &[OrderItem],
        total: Money,
        address: &ShippingAddress,
        at: BusinessTime,
    ) -> Result<(), ModelError> {
        let values = [
            self.order_id.into(),
            user_id.into(),
            OrderStatus::Pending.into(),
            total.cents().into(),
            self.json(address)?.into(),
            self.json(items)?.into(),
            at.to_sortable().into(),
            self.version().into(),
        ];
        // An order that is there has taken the event.
        self.tables.run(INSERT, &values)
    }

    fn change_items(
        &self,
        total: Money,
        at: BusinessTime,
        change: impl FnOnce(&mut Vec<OrderItem>),
    ) -> Result<(), ModelError> {
        let found = self.tables.query("SELECT items FROM order_view WHERE order_id = $1", &[self.order_id.into()])?;
        let Some(mut row) = found.into_iter().next() else { return Err(self.not_found()) };
        let mut items: Vec<OrderItem> = serde_json::from_str(&row.text(0)?)
            .map_err(|error| ModelError::unreadable(self.event, error.to_string()))?;
        change(&mut items);
        self.update(ITEMS, at, [self.json(&items)?.into(), total.cents().into()])
    }

    /// `further` are the values from `$4` on.
    fn update<const N: usize>(&self, sql: &str, at: BusinessTime, further: [Value<'_>; N]) -> Result<(), ModelError> {
        let mut values = vec![self.order_id.into(), self.version().into(), at.to_sortable().into()];
        values.extend(further);
        self.tables.change(sql, &values, || if self.exists()? { Ok(()) } else { Err(self.not_found()) })
    }

    fn exists(&self) -> Result<bool, ModelError> {
        let found = self.tables.query("SELECT version FROM order_view WHERE order_id = $1", &[self.order_id.into()])?;
        Ok(!found.is_empty())
    }

    fn json(&self, value: &(impl serde::Serialize + ?Sized)) -> Result<String, ModelError> {
        serde_json::to_string(value).map_err(|error| ModelError::unreadable(self.event, error.to_string()))
    }

    fn not_found(&self) -> ModelError {
        ModelError::unreadable(self.event, format!("Order not found: {}", self.order_id))
    }
}

impl From<OrderStatus> for Value<'_> {
    fn from(status: OrderStatus) -> Self {
        Value::from(status.as_str())
    }
}

const INSERT: &str = "
    INSERT INTO order_view
        (order_id, user_id, status, total_amount, shipping_address, items, created_at, updated_at, version)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8)
    ON CONFLICT (order_id) DO NOTHING";

/// An update of a row that has not taken the event yet.
macro_rules! update {
    ($columns:literal) => {
        concat!(
            "UPDATE order_view SET ",
            $columns,
            ", updated_at = $3, version = $2
             WHERE order_id = $1 AND version < $2"
        )
    };
}

const ITEMS: &str = update!("items = $4, total_amount = $5");
const STATUS: &str = update!("status = $4");
const PAYMENT: &str = update!("status = $4, payment_id = $5");
const TRACKING: &str = update!("status = $4, tracking_number = $5");
const CANCELLATION: &str = update!("status = $4, cancelled_at = $3, cancellation_reason = $5");
