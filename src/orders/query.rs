//! Questions about orders, answered from the table `order_view`.
//!
//! Orders come newest first, by the time of their creation, and by their id where that is the same. A page and the total
//! beside it are of one state of the table.

use rusqlite::{OptionalExtension, Row, ToSql, types::Type};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{OrderProjection, aggregate::OrderStatus, money::Money};
use crate::model::{Consistency, ModelError, Page, Pagination, Projection, SqliteViews};

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

/// Answers questions about orders from a file that [`OrderProjection`] is projected into.
#[derive(Clone, Debug)]
pub struct OrderQueryHandler {
    views: SqliteViews,
}

impl OrderQueryHandler {
    /// Queries on this file.
    pub fn new(views: SqliteViews) -> OrderQueryHandler {
        OrderQueryHandler { views }
    }

    /// The same, once the answers are as recent as asked for.
    ///
    /// # Errors
    ///
    /// [`ModelError::NotYetProjected`] when they are not in time, and when the database cannot be read.
    pub async fn at(&self, consistency: Consistency) -> Result<&OrderQueryHandler, ModelError> {
        self.views.wait_until(OrderProjection.name(), consistency).await?;
        Ok(self)
    }

    /// One order; `None` when there is none with this id.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub fn order(&self, order_id: &str) -> Result<Option<OrderRow>, ModelError> {
        let sql = format!("SELECT {COLUMNS} FROM order_view WHERE order_id = ?1");
        Ok(self.views.read()?.prepare_cached(&sql)?.query_row([order_id], order_row).optional()?)
    }

    /// The orders of a user, all or those of one status.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub fn user_orders(&self, user_id: &str, status: Option<OrderStatus>, page: Page) -> Result<OrderPage, ModelError> {
        match status.map(OrderStatus::as_str) {
            None => self.page("user_id = :user", &[(":user", &user_id)], page),
            Some(status) => {
                let values: [(&str, &dyn ToSql); 2] = [(":user", &user_id), (":status", &status)];
                self.page("user_id = :user AND status = :status", &values, page)
            }
        }
    }

    /// The orders of a status.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub fn orders_by_status(&self, status: OrderStatus, page: Page) -> Result<OrderPage, ModelError> {
        self.page("status = :status", &[(":status", &status.as_str())], page)
    }

    fn page(&self, condition: &str, values: &[(&str, &dyn ToSql)], page: Page) -> Result<OrderPage, ModelError> {
        let reading = self.views.read()?;
        let transaction = reading.unchecked_transaction()?;
        let sql = format!("SELECT count(*) FROM order_view WHERE {condition}");
        let total = transaction.prepare_cached(&sql)?.query_row(values, |row| row.get::<_, i64>(0))?;
        let total = u64::try_from(total).unwrap_or_default();

        let (rows, skipped) = (page.limit(), page.offset());
        let window: [(&str, &dyn ToSql); 2] = [(":limit", &rows), (":offset", &skipped)];
        let sql = format!(
            "SELECT {COLUMNS} FROM order_view WHERE {condition}
             ORDER BY created_at DESC, order_id LIMIT :limit OFFSET :offset"
        );
        let orders = transaction
            .prepare_cached(&sql)?
            .query_map(&*[values, &window].concat(), order_row)?
            .collect::<Result<_, _>>()?;
        Ok(OrderPage { orders, pagination: page.of(total) })
    }
}

/// Reads a row of [`COLUMNS`].
fn order_row(row: &Row<'_>) -> rusqlite::Result<OrderRow> {
    let json = |column: usize| {
        RawValue::from_string(row.get(column)?)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
    };
    let total_amount = Money::from_cents(row.get(3)?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(3, Type::Integer, Box::new(error)))?;
    Ok(OrderRow {
        order_id: row.get(0)?,
        user_id: row.get(1)?,
        status: row.get(2)?,
        total_amount,
        shipping_address: json(4)?,
        items: json(5)?,
        payment_id: row.get(6)?,
        tracking_number: row.get(7)?,
        cancelled_at: row.get(8)?,
        cancellation_reason: row.get(9)?,
        created_at: row.get(10)?,
        updated_at: row.get(11)?,
    })
}
