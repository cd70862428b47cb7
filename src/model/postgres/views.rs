//! The database: its connections, and what marks its tables as made here.

use std::{sync::Arc, time::Duration};

use super::{
    bookkeeping::SCHEMA,
    projected::PostgresProjection,
    server::Server,
    tables::{Beginning, PostgresTables, Request, in_order, parameters},
    values,
};
use crate::{
    event_store::{BoxFuture, Watchers},
    model::{
        Consistency, Dialect, ModelError, Row, Select, Views,
        projection::{Checkpoint, Projection},
        sql::bookkeeping::place,
    },
};

/// Which tables [`SCHEMA`] makes.
const SCHEMA_VERSION: i32 = 1;

/// How often a query that waits for a projection looks what other processes have done.
const LOOK: Duration = Duration::from_millis(10);

/// A PostgreSQL database of read models. What is in it can always be made again from the store. Cheap to clone: all clones
/// share its connections, twenty at most.
///
/// Its futures need no runtime, and work in any. Writing a page blocks the thread that polls only where a projection asks what is in
/// its tables.
#[derive(Clone, Debug)]
pub struct PostgresViews {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    server: Arc<Server>,
    /// The schema that the tables are in, as SQL has it.
    schema: String,
    /// Whether they are still being built, and the schema must be put before the search path.
    building: bool,
    /// Those who wait for a projection of this database to come farther.
    waiting: Arc<Watchers>,
}

impl PostgresViews {
    /// Connects to the database at an address such as `postgres://user@host:5432/database`, and makes the tables that are kept
    /// beside those of projections, if there are none yet. The password may stand in `PGPASSWORD`. The tables are in the first
    /// schema of the search path; `?options=-csearch_path%3Dreports` names another one.
    ///
    /// # Errors
    ///
    /// [`ModelError::ForeignViews`] for a schema with tables of another program, or of another version of this one;
    /// [`ModelError::Postgres`] when the server cannot be reached or refuses.
    pub async fn connect(address: &str) -> Result<PostgresViews, ModelError> {
        let server = Arc::new(Server::new(address)?);
        let tables = PostgresTables::begin(&server, Beginning::default()).await?;
        let found = tables.rows("SELECT quote_ident(current_schema())", &[]).await?;
        let schema: Option<String> = found.first().map_or(Ok(None), |row| tables.column(row, 0))?;
        let Some(schema) = schema else {
            let reason = "no schema of its search path exists: create one, or name another in the address";
            return Err(ModelError::ForeignViews { place: server.place().to_string(), reason: reason.to_owned() });
        };
        let inner = Inner { server, schema, building: false, waiting: Arc::default() };
        let views = PostgresViews { inner: Arc::new(inner) };
        if !views.is_ours(&tables).await? {
            views.lock_schema(&tables).await?;
            if !views.is_ours(&tables).await? {
                views.create_bookkeeping(&tables).await?;
            }
        }
        tables.commit().await?;
        Ok(views)
    }

    /// The same database, with tables in a schema of their own.
    pub(super) fn building(&self, schema: &str) -> PostgresViews {
        let (server, schema) = (Arc::clone(&self.inner.server), schema.to_owned());
        PostgresViews { inner: Arc::new(Inner { server, schema, building: true, waiting: Arc::default() }) }
    }

    /// The address, without its password.
    pub fn place(&self) -> &str {
        self.inner.server.place()
    }

    pub(super) fn server(&self) -> &Arc<Server> {
        &self.inner.server
    }

    pub(super) fn schema(&self) -> &str {
        &self.inner.schema
    }

    /// A projection with its tables in this database. They are made if there are none yet, so that queries find them empty before
    /// anything was projected.
    ///
    /// # Errors
    ///
    /// When the database cannot be written, and what [`Projection::set_up`] returns.
    pub async fn project<P>(&self, projection: P) -> Result<PostgresProjection<P>, ModelError>
    where
        P: Projection<PostgresTables>,
    {
        let projected = PostgresProjection::over(self.clone(), Arc::new(projection));
        projected.prepare_now().await?;
        Ok(projected)
    }

    /// Waits until the projection with this name is as recent as asked for.
    ///
    /// # Errors
    ///
    /// [`ModelError::NotYetProjected`] when it did not come so far in time: nobody runs it, it is paused, stopped, or slow.
    pub async fn wait_until(&self, projection: &str, consistency: Consistency) -> Result<(), ModelError> {
        let look = || Box::pin(async { Ok(self.checkpoint(projection).await?.position) }) as BoxFuture<'_, _>;
        consistency.wait(projection, &self.inner.waiting, LOOK, look).await
    }

    /// The place in the log of the projection with this name.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn checkpoint(&self, projection: &str) -> Result<Checkpoint, ModelError> {
        let tables = self.begin().await?;
        let place = tables.ask_one(place(projection)).await?;
        tables.commit().await?;
        Ok(place.map(|(checkpoint, _)| checkpoint).unwrap_or_default())
    }

    /// A transaction that is durable when it is committed.
    pub(super) async fn begin(&self) -> Result<PostgresTables, ModelError> {
        PostgresTables::begin(self.server(), self.beginning()).await
    }

    /// A transaction for a page. A crash of the server may take the newest of these back, each with its checkpoint: then they are
    /// made again.
    pub(super) async fn begin_page(&self, gather: bool) -> Result<PostgresTables, ModelError> {
        let beginning = Beginning { relaxed: true, gather, ..self.beginning() };
        PostgresTables::begin(self.server(), beginning).await
    }

    fn beginning(&self) -> Beginning<'_> {
        Beginning { schema: self.inner.building.then_some(self.schema()), ..Beginning::default() }
    }

    /// Lets nobody else make tables for read models until the transaction has ended.
    pub(super) async fn lock_schema(&self, tables: &PostgresTables) -> Result<(), ModelError> {
        tables.batch("SELECT pg_advisory_xact_lock(hashtextextended('factlog read model', 0))").await
    }

    pub(super) async fn create_bookkeeping(&self, tables: &PostgresTables) -> Result<(), ModelError> {
        let mark = format!(
            "CREATE TABLE read_model (schema_version INTEGER NOT NULL);
             INSERT INTO read_model VALUES ({SCHEMA_VERSION});"
        );
        tables.batch(&(mark + SCHEMA)).await
    }

    /// Whether the tables are there; an error when they are others.
    async fn is_ours(&self, tables: &PostgresTables) -> Result<bool, ModelError> {
        let sql = "SELECT relname::text FROM pg_class WHERE relnamespace = $1::text::regnamespace
             AND relname IN ('read_model', 'projections', 'failed_events')";
        let found = tables.rows(sql, &[&self.schema()]).await?;
        let names = found.iter().map(|row| tables.column(row, 0)).collect::<Result<Vec<String>, _>>()?;
        let foreign = |reason| Err(ModelError::ForeignViews { place: self.place().to_owned(), reason });
        if names.is_empty() {
            return Ok(false);
        }
        if !names.iter().any(|name| name == "read_model") {
            return foreign(format!(
                "its schema {} has a table `{}` of another program; name another schema, with \
                 `?options=-csearch_path%3DSCHEMA` behind the address",
                self.schema(),
                names[0]
            ));
        }
        let found = tables.rows("SELECT schema_version FROM read_model", &[]).await?;
        match found.first().map(|row| tables.column::<i32>(row, 0)).transpose()? {
            Some(SCHEMA_VERSION) => Ok(true),
            version => foreign(format!(
                "has tables of version {}, and this program those of version {SCHEMA_VERSION}; drop the schema {} to have them \
                 built again",
                version.unwrap_or_default(),
                self.schema()
            )),
        }
    }

    /// A projection of this database has come farther.
    pub(super) fn has_changed(&self) {
        self.inner.waiting.wake_all();
    }

    /// What several statements find in one state.
    async fn in_one_state(&self, queries: &[Select<'_>]) -> Result<Vec<Vec<Row>>, ModelError> {
        let client = self.server().connection().await?;
        let failed = |error| self.server().error(error);
        let mut statements = Vec::new();
        for select in queries {
            statements.push(client.prepare_cached(select.sql).await.map_err(failed)?);
        }
        // The lock comes before the state is chosen: tables that a rebuild puts in place cannot be older than it.
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE read_model IN ACCESS SHARE MODE";
        let client = &client;
        let batch = |sql| async move { client.batch_execute(sql).await.map(|()| Vec::new()) };
        let mut requests: Vec<Request<'_, Result<Vec<_>, _>>> = vec![Box::pin(batch(begin))];
        for (select, statement) in queries.iter().zip(&statements) {
            let values = parameters(select.values);
            requests.push(Box::pin(async move { client.query(statement, &values).await }));
        }
        // Sent with the others, so that the transaction ends whatever becomes of this future.
        requests.push(Box::pin(batch("COMMIT")));
        let answers: Vec<Vec<_>> = in_order(requests).await.into_iter().collect::<Result<_, _>>().map_err(failed)?;
        let rows = |found: &Vec<_>| found.iter().map(values::row).collect::<Result<_, _>>().map_err(failed);
        answers[1..=queries.len()].iter().map(rows).collect()
    }
}

impl Views for PostgresViews {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn wait_until<'a>(
        &'a self,
        projection: &'a str,
        consistency: Consistency,
    ) -> BoxFuture<'a, Result<(), ModelError>> {
        Box::pin(self.wait_until(projection, consistency))
    }

    fn select<'a>(&'a self, queries: &'a [Select<'a>]) -> BoxFuture<'a, Result<Vec<Vec<Row>>, ModelError>> {
        Box::pin(async move {
            let [Select { sql, values }] = queries else { return self.in_one_state(queries).await };
            let client = self.server().connection().await?;
            let values = parameters(values);
            let found = async {
                let found = client.query(&client.prepare_cached(sql).await?, &values).await?;
                found.iter().map(values::row).collect::<Result<_, _>>()
            };
            Ok(vec![found.await.map_err(|error| self.server().error(error))?])
        })
    }
}
