//! A transaction, and the tables that a projection writes in it.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
};

use deadpool_postgres::Object;
use parking_lot::Mutex;
use tokio_postgres::types::ToSql;

use super::{error::PostgresError, server::Server, values};
use crate::{
    event_store::block_on,
    model::{Dialect, ModelError, Row, Tables, Value, sql::Statement},
};

/// Bounds for whoever holds locks: an application that stands still between two statements, a host that is gone; and for who
/// waits for them. In milliseconds.
const BOUNDS: &str = "SET LOCAL idle_in_transaction_session_timeout = 60000; SET LOCAL lock_timeout = 60000;";

/// A request that is on its way, or will be once it is polled.
pub(super) type Request<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A transaction in a PostgreSQL database, in which a projection writes its tables.
///
/// Changes are gathered and sent together, unless each is waited for. A query waits for the database on the thread that asks.
pub struct PostgresTables {
    /// There until the transaction has ended.
    client: Option<Object>,
    server: Arc<Server>,
    gathered: Mutex<Gathered>,
    /// Whether each change is waited for.
    one_by_one: bool,
}

#[derive(Debug, Default)]
struct Gathered {
    changes: Vec<Change>,
    /// Whether one of them failed, or has changed no row where one was to.
    odd: bool,
}

#[derive(Debug)]
struct Change {
    sql: String,
    values: Vec<Value<'static>>,
    /// Whether it must change a row.
    must: bool,
}

impl std::fmt::Debug for PostgresTables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresTables").field("place", self.server.place()).finish_non_exhaustive()
    }
}

/// How a transaction begins.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beginning<'a> {
    /// The schema that comes before the search path.
    pub schema: Option<&'a str>,
    /// Whether a crash of the server may take it back, with those behind it.
    pub relaxed: bool,
    /// Whether changes are gathered.
    pub gather: bool,
}

impl PostgresTables {
    pub(super) async fn begin(server: &Arc<Server>, beginning: Beginning<'_>) -> Result<PostgresTables, ModelError> {
        let client = server.connection().await?;
        let tables = PostgresTables {
            client: Some(client),
            server: Arc::clone(server),
            gathered: Mutex::default(),
            one_by_one: !beginning.gather,
        };
        let mut sql = format!("BEGIN; {BOUNDS}");
        if beginning.relaxed {
            sql.push_str("SET LOCAL synchronous_commit = off;");
        }
        if let Some(schema) = beginning.schema {
            // A name of ours, without quotes.
            sql.push_str(&format!(
                "SELECT set_config('search_path', '{schema}, ' || current_setting('search_path'), true);"
            ));
        }
        tables.batch(&sql).await?;
        Ok(tables)
    }

    pub(super) async fn commit(mut self) -> Result<(), ModelError> {
        self.end("COMMIT").await
    }

    pub(super) async fn roll_back(mut self) -> Result<(), ModelError> {
        self.end("ROLLBACK").await
    }

    async fn end(&mut self, how: &str) -> Result<(), ModelError> {
        self.batch(how).await?;
        // Given back to the pool.
        drop(self.client.take());
        Ok(())
    }

    fn client(&self) -> &Object {
        self.client.as_ref().unwrap_or_else(|| unreachable!("it is taken only when the transaction ends"))
    }

    fn error(&self, error: tokio_postgres::Error) -> ModelError {
        PostgresError::new(self.server.place(), error).into()
    }

    /// Carries out statements without values, with semicolons between them.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), ModelError> {
        self.client().batch_execute(sql).await.map_err(|error| self.error(error))
    }

    /// Carries out a statement, and says how many rows have changed.
    pub(super) async fn execute(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<u64, ModelError> {
        let done = async { self.client().execute(&self.client().prepare_cached(sql).await?, values).await };
        done.await.map_err(|error| self.error(error))
    }

    /// Carries out a statement whose answer nobody reads.
    pub(super) async fn say(&self, statement: Statement<'_>) -> Result<(), ModelError> {
        self.execute(statement.sql, &parameters(&statement.values)).await.map(drop)
    }

    /// What a statement answers.
    pub(super) async fn ask<T>(&self, statement: Statement<'_, T>) -> Result<Vec<T>, ModelError> {
        self.found(statement.sql, &parameters(&statement.values)).await?.into_iter().map(statement.read).collect()
    }

    /// The first row of what a statement answers.
    pub(super) async fn ask_one<T>(&self, statement: Statement<'_, T>) -> Result<Option<T>, ModelError> {
        Ok(self.ask(statement).await?.into_iter().next())
    }

    async fn found(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, ModelError> {
        let found = self.rows(sql, values).await?;
        found.iter().map(values::row).collect::<Result<_, _>>().map_err(|error| self.error(error))
    }

    /// The rows that a query finds.
    pub(super) async fn rows(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, ModelError> {
        let found = async { self.client().query(&self.client().prepare_cached(sql).await?, values).await };
        found.await.map_err(|error| self.error(error))
    }

    /// The same, for a statement that is not said again.
    pub(super) async fn rows_once(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, ModelError> {
        self.client().query(sql, values).await.map_err(|error| self.error(error))
    }

    /// The column of a row of an answer.
    pub(super) fn column<'a, T>(&self, row: &'a tokio_postgres::Row, column: usize) -> Result<T, ModelError>
    where
        T: tokio_postgres::types::FromSql<'a>,
    {
        row.try_get(column).map_err(|error| self.error(error))
    }

    /// Sends what was gathered. `false` when one of the changes so far failed for what may be its own reason, or has changed no
    /// row.
    pub(super) async fn send(&self) -> Result<bool, ModelError> {
        let changes = std::mem::take(&mut self.gathered.lock().changes);
        let mut odd = false;
        for (change, changed) in changes.iter().zip(self.send_all(&changes).await?) {
            match changed {
                Ok(rows) => odd |= rows == 0 && change.must,
                Err(error) => {
                    let error = PostgresError::new(self.server.place(), error);
                    if !error.is_the_events() {
                        return Err(error.into());
                    }
                    odd = true;
                    // All others failed because of it.
                    break;
                }
            }
        }
        let mut gathered = self.gathered.lock();
        gathered.odd |= odd;
        Ok(!gathered.odd)
    }

    fn gather(&self, sql: &str, values: &[Value<'_>], must: bool) {
        let values = values.iter().cloned().map(Value::into_owned).collect();
        self.gathered.lock().changes.push(Change { sql: sql.to_owned(), values, must });
    }

    async fn send_all(&self, changes: &[Change]) -> Result<Vec<Result<u64, tokio_postgres::Error>>, ModelError> {
        let client = self.client();
        let mut requests: Vec<Request<'_, _>> = Vec::with_capacity(changes.len());
        for Change { sql, values, .. } in changes {
            let statement = client.prepare_cached(sql).await.map_err(|error| self.error(error))?;
            requests.push(Box::pin(async move { client.execute(&statement, &parameters(values)).await }));
        }
        Ok(in_order(requests).await)
    }
}

/// Values as the driver takes them.
pub(super) fn parameters<'a>(values: &'a [Value<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    values.iter().map(|value| value as _).collect()
}

/// Sends requests one behind the other, without waiting for answers in between, and gives the answers.
pub(super) async fn in_order<T>(requests: Vec<Request<'_, T>>) -> Vec<T> {
    let mut sent = Vec::with_capacity(requests.len());
    let mut requests = requests.into_iter();
    // The first poll of a request sends it.
    poll_fn(|context| {
        sent.extend(requests.by_ref().map(|mut request| match request.as_mut().poll(context) {
            Poll::Ready(answer) => Ok(answer),
            Poll::Pending => Err(request),
        }));
        Poll::Ready(())
    })
    .await;
    let mut answers = Vec::with_capacity(sent.len());
    for one in sent {
        answers.push(match one {
            Ok(answer) => answer,
            Err(request) => request.await,
        });
    }
    answers
}

/// A change that was sent with others has changed no row. Nobody sees this: the page is taken once more.
#[derive(Debug, thiserror::Error)]
#[error("a change has changed no row")]
struct Odd;

impl Tables for PostgresTables {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn define(&self, sql: &str) -> Result<(), ModelError> {
        block_on(async {
            self.send().await?;
            self.batch(sql).await
        })
    }

    fn run(&self, sql: &str, values: &[Value<'_>]) -> Result<(), ModelError> {
        match self.one_by_one {
            true => block_on(self.execute(sql, &parameters(values))).map(drop),
            false => {
                self.gather(sql, values, false);
                Ok(())
            }
        }
    }

    fn change(
        &self,
        sql: &str,
        values: &[Value<'_>],
        otherwise: impl FnOnce() -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        if !self.one_by_one {
            self.gather(sql, values, true);
            return Ok(());
        }
        match block_on(self.execute(sql, &parameters(values)))? {
            0 => otherwise(),
            _ => Ok(()),
        }
    }

    fn query(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, ModelError> {
        let values = parameters(values);
        block_on(async {
            if !self.send().await? {
                return Err(ModelError::refused(Odd));
            }
            self.found(sql, &values).await
        })
    }
}

impl Drop for PostgresTables {
    fn drop(&mut self) {
        // A connection with a transaction open is closed, which takes the transaction back.
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }
}
