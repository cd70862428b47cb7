//! Questions about orders, answered from the table `order_view`.
//!
//! Orders come newest first, by the time of their creation, and by their id where that is the same. A page and the total
//! beside it are of one state of the table.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{OrderProjection, aggregate::OrderStatus, money::Money};
use crate::model::{Consistency, ModelError, Page, Pagination, Row, Select, Value, Views};

const COLUMNS: &str = "order_id, user_id, status, total_amount, shipping_address, items, payment_id, tracking_number, \
     cancelled_at, cancellation_reason, created_at, updated_at";

/// A row of `order_view`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the columns are described in the projection")]
pub struct OrderRow {
    pub order_id: String,
    pub user_id: String,
    pub status: String,
    /// In units of the currency.
    pub total_amount: Money,
    pub shipping_address: Box<RawValue>,
    pub items: Box<RawValue>,
    pub payment_id: Option<String>,
    pub tracking_number: Option<String>,
    pub cancelled_at: Option<String>,
    pub cancellation_reason: Option<String>,
    pub created_at: String,
    pub updated_at: String,
}

/// One page of an answer.
#[derive(Clone, Debug, Serialize)]
pub struct OrderPage {
    /// Its orders.
    pub orders: Vec<OrderRow>,
    /// Its place in the whole answer.
    pub pagination: Pagination,
}

/// Answers questions about orders from a database that [`OrderProjection`] is projected into. Cheap to clone.
#[derive(Clone, Debug)]
pub struct OrderQueryHandler {
    views: Arc<dyn Views>,
}

impl OrderQueryHandler {
    /// Queries on this database.
    pub fn new(views: impl Views + 'static) -> OrderQueryHandler {
        OrderQueryHandler { views: Arc::new(views) }
    }

    /// The same, once the answers are as recent as asked for.
    ///
    /// # Errors
    ///
    /// [`ModelError::NotYetProjected`] when they are not in time, and when the database cannot be read.
    pub async fn at(&self, consistency: Consistency) -> Result<&OrderQueryHandler, ModelError> {
        self.views.wait_until(OrderProjection::NAME, consistency).await?;
        Ok(self)
    }

    /// One order; `None` when there is none with this id.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn order(&self, order_id: &str) -> Result<Option<OrderRow>, ModelError> {
        let sql = format!("SELECT {COLUMNS} FROM order_view WHERE order_id = $1");
        let found = self.views.select(&[Select { sql: &sql, values: &[order_id.into()] }]).await?;
        found.into_iter().flatten().next().map(order_row).transpose()
    }

    /// The orders of a user, all or those of one status.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn user_orders(
        &self,
        user_id: &str,
        status: Option<OrderStatus>,
        page: Page,
    ) -> Result<OrderPage, ModelError> {
        match status {
            None => self.page("user_id = $1", &[user_id.into()], page).await,
            Some(status) => self.page("user_id = $1 AND status = $2", &[user_id.into(), status.into()], page).await,
        }
    }

    /// The orders of a status.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn orders_by_status(&self, status: OrderStatus, page: Page) -> Result<OrderPage, ModelError> {
        self.page("status = $1", &[status.into()], page).await
    }

    async fn page(&self, condition: &str, values: &[Value<'_>], page: Page) -> Result<OrderPage, ModelError> {
        let from = format!("FROM order_view WHERE {condition}");
        let (rows, pagination) = self.views.page([COLUMNS, &from, "created_at DESC, order_id"], values, page).await?;
        Ok(OrderPage { orders: rows.into_iter().map(order_row).collect::<Result<_, _>>()?, pagination })
    }
}

/// Reads a row of [`COLUMNS`].
fn order_row(mut row: Row) -> Result<OrderRow, ModelError> {
    let json = |row: &mut Row, column| {
        RawValue::from_string(row.text(column)?).map_err(|error| ModelError::unreadable_row(column, error))
    };
    Ok(OrderRow {
        order_id: row.text(0)?,
        user_id: row.text(1)?,
        status: row.text(2)?,
        total_amount: Money::from_cents(row.integer(3)?).map_err(|error| ModelError::unreadable_row(3, error))?,
        shipping_address: json(&mut row, 4)?,
        items: json(&mut row, 5)?,
        payment_id: row.optional_text(6)?,
        tracking_number: row.optional_text(7)?,
        cancelled_at: row.optional_text(8)?,
        cancellation_reason: row.optional_text(9)?,
        created_at: row.text(10)?,
        updated_at: row.text(11)?,
    })
}
