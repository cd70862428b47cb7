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

use rusqlite::{Connection, OptionalExtension, Row, ToSql, named_params};

use super::{
    aggregate::{Order, OrderStatus},
    event::OrderEvent,
    item::{OrderItem, ShippingAddress},
    money::Money,
};
use crate::{
    event::RecordedEvent,
    model::{Aggregate, BusinessTime, ModelError, Projection},
};

/// The projection of orders into the table `order_view` of an SQLite database.
#[derive(Clone, Copy, Debug, Default)]
pub struct OrderProjection;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS order_view (
        order_id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL,
        status TEXT NOT NULL,
        total_amount INTEGER NOT NULL,
        shipping_address TEXT NOT NULL,
        items TEXT NOT NULL,
        payment_id TEXT,
        tracking_number TEXT,
        cancelled_at TEXT,
        cancellation_reason TEXT,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        version INTEGER NOT NULL
    );
    CREATE INDEX IF NOT EXISTS order_view_by_user ON order_view (user_id, created_at DESC, order_id);
    CREATE INDEX IF NOT EXISTS order_view_by_user_and_status
        ON order_view (user_id, status, created_at DESC, order_id);
    CREATE INDEX IF NOT EXISTS order_view_by_status ON order_view (status, created_at DESC, order_id);
";

impl Projection<Connection> for OrderProjection {
    fn name(&self) -> &'static str {
        "orders"
    }

    fn set_up(&self, context: &Connection) -> Result<(), ModelError> {
        Ok(context.execute_batch(SCHEMA)?)
    }

    fn handle(&self, context: &Connection, event: &RecordedEvent) -> Result<(), ModelError> {
        let Some((order_id, order_event)) = Order::event_of(event)? else { return Ok(()) };
        View { connection: context, order_id, event }.take(&order_event)
    }
}

/// The row of one order, on its way to take one event.
struct View<'a> {
    connection: &'a Connection,
    order_id: &'a str,
    event: &'a RecordedEvent,
}

impl View<'_> {
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
            OrderEvent::Confirmed { timestamp, .. } => self.change_status(OrderStatus::Confirmed, *timestamp, "", &[]),
            OrderEvent::PaymentCompleted { payment_id, timestamp, .. } => {
                self.change_status(OrderStatus::Paid, *timestamp, "payment_id = :payment,", &[(":payment", payment_id)])
            }
            OrderEvent::ShippingStarted { tracking_number, timestamp, .. } => self.change_status(
                OrderStatus::Shipped,
                *timestamp,
                "tracking_number = :tracking,",
                &[(":tracking", tracking_number)],
            ),
            OrderEvent::Delivered { timestamp, .. } => self.change_status(OrderStatus::Delivered, *timestamp, "", &[]),
            OrderEvent::Cancelled { reason, timestamp, .. } => self.change_status(
                OrderStatus::Cancelled,
                *timestamp,
                "cancelled_at = :updated, cancellation_reason = :reason,",
                &[(":reason", reason)],
            ),
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
        self.connection
            .prepare_cached(
                "INSERT INTO order_view
                    (order_id, user_id, status, total_amount, shipping_address, items, created_at, updated_at, version)
                 VALUES (:order, :user, :status, :total, :address, :items, :at, :at, :version)
                 ON CONFLICT (order_id) DO NOTHING",
            )?
            .execute(named_params! {
                ":order": self.order_id,
                ":user": user_id,
                ":status": OrderStatus::Pending.as_str(),
                ":total": total.cents(),
                ":address": self.json(address)?,
                ":items": self.json(items)?,
                ":at": at.to_sortable(),
                ":version": self.version(),
            })?;
        Ok(())
    }

    fn change_items(
        &self,
        total: Money,
        at: BusinessTime,
        change: impl FnOnce(&mut Vec<OrderItem>),
    ) -> Result<(), ModelError> {
        let row = self
            .connection
            .prepare_cached("SELECT items FROM order_view WHERE order_id = ?1")?
            .query_row([self.order_id], |row: &Row<'_>| row.get::<_, String>(0))
            .optional()?;
        let mut items: Vec<OrderItem> = match row {
            Some(items) => {
                serde_json::from_str(&items).map_err(|error| ModelError::unreadable(self.event, error.to_string()))?
            }
            None => return Err(self.not_found()),
        };
        change(&mut items);
        self.update(
            "UPDATE order_view SET items = :items, total_amount = :total, updated_at = :updated, version = :version
             WHERE order_id = :order AND version < :version",
            at,
            &[(":items", &self.json(&items)?), (":total", &total.cents())],
        )
    }

    /// `columns` are the further columns that the event sets, as SQL.
    fn change_status(
        &self,
        status: OrderStatus,
        at: BusinessTime,
        columns: &'static str,
        values: &[(&str, &dyn ToSql)],
    ) -> Result<(), ModelError> {
        let sql = format!(
            "UPDATE order_view SET {columns} status = :status, updated_at = :updated, version = :version
             WHERE order_id = :order AND version < :version"
        );
        let status = status.as_str();
        self.update(&sql, at, &[values, &[(":status", &status as &dyn ToSql)]].concat())
    }

    fn update(&self, sql: &str, at: BusinessTime, values: &[(&str, &dyn ToSql)]) -> Result<(), ModelError> {
        let (updated, version) = (at.to_sortable(), self.version());
        let common: [(&str, &dyn ToSql); 3] =
            [(":order", &self.order_id), (":updated", &updated), (":version", &version)];
        let changed = self.connection.prepare_cached(sql)?.execute(&*[&common, values].concat())?;
        if changed == 0 && !self.exists()? {
            return Err(self.not_found());
        }
        Ok(())
    }

    fn exists(&self) -> Result<bool, ModelError> {
        Ok(self.connection.prepare_cached("SELECT 1 FROM order_view WHERE order_id = ?1")?.exists([self.order_id])?)
    }

    fn json(&self, value: &(impl serde::Serialize + ?Sized)) -> Result<String, ModelError> {
        serde_json::to_string(value).map_err(|error| ModelError::unreadable(self.event, error.to_string()))
    }

    fn not_found(&self) -> ModelError {
        ModelError::unreadable(self.event, format!("Order not found: {}", self.order_id))
    }
}
