//! A database of read models, as queries see it.

use std::{fmt, sync::Arc};

use super::{Dialect, Row, Value};
use crate::{
    event_store::BoxFuture,
    model::{Consistency, ModelError, Page, Pagination},
};

/// A query and its values.
#[derive(Clone, Copy, Debug)]
pub struct Select<'a> {
    /// What is asked.
    pub sql: &'a str,
    /// What stands for `$1`, `$2` and so on.
    pub values: &'a [Value<'a>],
}

/// A database of read models, as queries see it. Queries over any such database are written once.
pub trait Views: fmt::Debug + Send + Sync {
    /// Which database it is.
    fn dialect(&self) -> Dialect;

    /// Waits until the projection with this name is as recent as asked for.
    ///
    /// # Errors
    ///
    /// [`ModelError::NotYetProjected`] when it did not come so far in time: nobody runs it, it is paused, stopped, or slow.
    fn wait_until<'a>(&'a self, projection: &'a str, consistency: Consistency)
    -> BoxFuture<'a, Result<(), ModelError>>;

    /// The rows that each query finds, all in the same state of the database: the newest one that was committed. Waits for nobody
    /// who writes.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    fn select<'a>(&'a self, queries: &'a [Select<'a>]) -> BoxFuture<'a, Result<Vec<Vec<Row>>, ModelError>>;
}

impl dyn Views {
    /// A page of the rows that a query finds, and its place among all of them, in one state of the database. The query is put
    /// together from the columns, all from `FROM` on up to its order, and the order, which must leave no two rows in doubt.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn page(
        &self,
        [columns, from, order]: [&str; 3],
        values: &[Value<'_>],
        page: Page,
    ) -> Result<(Vec<Row>, Pagination), ModelError> {
        let (limit, offset) = (values.len() + 1, values.len() + 2);
        let counting = format!("SELECT count(*) {from}");
        let listing = format!("SELECT {columns} {from} ORDER BY {order} LIMIT ${limit} OFFSET ${offset}");
        let windowed = [values, &[page.limit().into(), page.offset().into()]].concat();
        let queries = [Select { sql: &counting, values }, Select { sql: &listing, values: &windowed }];
        let mut found = self.select(&queries).await?;
        let rows = found.pop().unwrap_or_default();
        let total = found.iter_mut().flatten().next().map_or(Ok(0), |row| row.integer(0))?;
        Ok((rows, page.of(total.unsigned_abs())))
    }
}

impl<V: Views + ?Sized> Views for Arc<V> {
    fn dialect(&self) -> Dialect {
        (**self).dialect()
    }

    fn wait_until<'a>(
        &'a self,
        projection: &'a str,
        consistency: Consistency,
    ) -> BoxFuture<'a, Result<(), ModelError>> {
        (**self).wait_until(projection, consistency)
    }

    fn select<'a>(&'a self, queries: &'a [Select<'a>]) -> BoxFuture<'a, Result<Vec<Vec<Row>>, ModelError>> {
        (**self).select(queries)
    }
}
