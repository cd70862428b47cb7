//! Questions about orders, answered from the table `order_view`.
//!
//! Orders come newest first, by the time of their creation, and by their id where that is the same. A page and the total
//! beside it are of one state of the table.

use rusqlite::{Connection, OptionalExtension, Row, ToSql, types::Type};
use serde::Serialize;
use serde_json::value::RawValue;
use thiserror::Error;

use super::{aggregate::OrderStatus, money::Money};
use crate::model::ModelError;

const COLUMNS: &str = "order_id, user_id, status, total_amount, shipping_address, items, payment_id, tracking_number, \
     cancelled_at, cancellation_reason, created_at, updated_at";

/// Which part of a long answer is wanted: `limit` orders a page, the first page being 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    page: u64,
    limit: u64,
}

/// A page or a limit below 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the {what} is {found}; it must be at least 1")]
pub struct BadPage {
    /// Which of the two.
    pub what: &'static str,
    /// Its value.
    pub found: i64,
}

impl Page {
    /// The page with this number.
    ///
    /// # Errors
    ///
    /// When either is below 1.
    pub fn new(page: i64, limit: i64) -> Result<Page, BadPage> {
        let at_least_one = |what, found: i64| match u64::try_from(found) {
            Err(_) | Ok(0) => Err(BadPage { what, found }),
            Ok(number) => Ok(number),
        };
        Ok(Page { page: at_least_one("page", page)?, limit: at_least_one("limit", limit)? })
    }
}

/// The first page, of ten orders.
impl Default for Page {
    fn default() -> Self {
        Page { page: 1, limit: 10 }
    }
}

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

/// The place of a page in the whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pagination {
    /// The page's number, from 1.
    pub page: u64,
    /// Orders a page.
    pub limit: u64,
    /// Orders in the whole answer.
    pub total: u64,
    /// Pages in the whole answer.
    pub total_pages: u64,
}

/// Answers questions about orders from a database that [`super::OrderProjection`] has been projected into.
#[derive(Clone, Copy, Debug)]
pub struct OrderQueryHandler<'a> {
    connection: &'a Connection,
}

impl<'a> OrderQueryHandler<'a> {
    /// Queries on this database.
    pub fn new(connection: &'a Connection) -> OrderQueryHandler<'a> {
        OrderQueryHandler { connection }
    }

    /// One order; `None` when there is none with this id.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub fn order(&self, order_id: &str) -> Result<Option<OrderRow>, ModelError> {
        let sql = format!("SELECT {COLUMNS} FROM order_view WHERE order_id = ?1");
        Ok(self.connection.prepare_cached(&sql)?.query_row([order_id], order_row).optional()?)
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
        let transaction = self.connection.unchecked_transaction()?;
        let sql = format!("SELECT count(*) FROM order_view WHERE {condition}");
        let total = transaction.prepare_cached(&sql)?.query_row(values, |row| row.get::<_, i64>(0))?;
        let total = u64::try_from(total).unwrap_or_default();

        let Page { page, limit } = page;
        let largest = i64::MAX.unsigned_abs();
        let (rows, skipped) = (limit.min(largest) as i64, (page - 1).saturating_mul(limit).min(largest) as i64);
        let window: [(&str, &dyn ToSql); 2] = [(":limit", &rows), (":offset", &skipped)];
        let sql = format!(
            "SELECT {COLUMNS} FROM order_view WHERE {condition}
             ORDER BY created_at DESC, order_id LIMIT :limit OFFSET :offset"
        );
        let orders = transaction
            .prepare_cached(&sql)?
            .query_map(&*[values, &window].concat(), order_row)?
            .collect::<Result<_, _>>()?;
        Ok(OrderPage { orders, pagination: Pagination { page, limit, total, total_pages: total.div_ceil(limit) } })
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
