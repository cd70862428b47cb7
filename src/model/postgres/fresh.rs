//! Tables that are built beside those of a database, and then take their place.
//!
//! They are in a schema of their own, `factlog_building_...`, which comes before the search path of whoever builds them. Putting
//! them in place moves them to the schema of the others, in one transaction that copies no row. Whoever builds holds a lock of the
//! server's under the schema's name for as long as its connection lives: a schema under whose name nobody holds one was left
//! behind by a process that is gone, and the next rebuild drops it.

use std::{sync::Arc, time::Duration};

use deadpool_postgres::Object;
use uuid::Uuid;

use super::{bookkeeping::lock, projected::PostgresProjection, tables::PostgresTables, views::PostgresViews};
use crate::{
    event_store::BoxFuture,
    model::{
        ModelError, Sleep, Timer,
        projection::{FreshTables, Projection, ReadModel},
        sql::{bookkeeping::number, failed},
    },
};

/// How often it is tried to put the tables in place while others read those that are there.
const ATTEMPTS: u32 = 200;

/// How long others may pass before the next attempt.
const PASSING: Duration = Duration::from_millis(50);

pub(super) struct Fresh<P> {
    /// What it is to replace.
    present: PostgresViews,
    building: Arc<PostgresProjection<P>>,
    /// What it is built in.
    schema: String,
    /// Holds the lock under the schema's name.
    keeper: Option<Object>,
}

impl<P: Projection<PostgresTables> + 'static> Fresh<P> {
    pub(super) async fn beside(present: PostgresViews, projection: Arc<P>) -> Result<Fresh<P>, ModelError> {
        let schema = format!("factlog_building_{}", Uuid::new_v4().simple());
        let keeper = present.server().connection().await?;
        keep(&keeper, &schema).await.map_err(|error| present.server().error(error))?;
        let building = Arc::new(PostgresProjection::over(present.building(&schema), projection));
        // From here on what is dropped leaves no schema.
        let fresh = Fresh { present, building, schema, keeper: Some(keeper) };
        let tables = fresh.building.views().begin().await?;
        fresh.building.views().create_bookkeeping(&tables).await?;
        let (columns, present) = (failed::COLUMNS, fresh.present.schema());
        let sql = format!(
            "INSERT INTO failed_events ({columns}) SELECT {columns} FROM {present}.failed_events
             WHERE projection = $1 AND resolved_at IS NOT NULL"
        );
        tables.execute(&sql, &[&fresh.building.name()]).await?;
        tables.commit().await?;
        Ok(fresh)
    }

    async fn swap_in_now(&self, whatever: bool) -> Result<bool, ModelError> {
        let mut attempts = 1;
        loop {
            match self.swap(whatever).await {
                // Others read.
                Err(ModelError::Postgres(error)) if error.code() == Some("55P03") && attempts < ATTEMPTS => {
                    attempts += 1;
                    Timer.sleep(PASSING).await;
                }
                swapped => {
                    self.present.has_changed();
                    return swapped;
                }
            }
        }
    }

    async fn swap(&self, whatever: bool) -> Result<bool, ModelError> {
        let (name, from, to) = (self.building.name(), self.schema.as_str(), self.present.schema());
        let tables = self.present.begin().await?;
        let (present, _) = tables.ask_one(lock(name)).await?.unwrap_or_default();
        let sql = format!("SELECT position FROM {from}.projections WHERE name = $1");
        let own = tables.rows_once(&sql, &[&name]).await?;
        let own = own.first().map_or(Ok(0), |row| tables.column::<i64>(row, 0))?;
        if !whatever && number(present.position) > own {
            tables.roll_back().await?;
            return Ok(false);
        }
        tables.batch("SET LOCAL lock_timeout = 100; LOCK TABLE read_model IN ACCESS EXCLUSIVE MODE").await?;
        move_all(&tables, from, to).await?;
        let sql = format!(
            "UPDATE projections SET (position, event_id) =
                (SELECT position, event_id FROM {from}.projections WHERE name = $1)
             WHERE name = $1"
        );
        tables.rows_once(&sql, &[&name]).await?;
        tables.rows_once("DELETE FROM failed_events WHERE projection = $1 AND resolved_at IS NULL", &[&name]).await?;
        let columns = failed::COLUMNS;
        // What was resolved in the meantime stays so.
        let sql = format!(
            "INSERT INTO failed_events ({columns}) SELECT {columns} FROM {from}.failed_events
             WHERE projection = $1 AND resolved_at IS NULL ORDER BY position ON CONFLICT DO NOTHING"
        );
        tables.rows_once(&sql, &[&name]).await?;
        let bookkeeping = ["read_model", "projections", "failed_events"].map(|table| format!("{from}.{table}"));
        tables.batch(&format!("DROP TABLE {}; DROP SCHEMA {from}", bookkeeping.join(", "))).await?;
        tables.commit().await?;
        Ok(true)
    }
}

/// Makes the schema with the lock under its name, and drops those under whose names nobody holds one.
async fn keep(keeper: &Object, schema: &str) -> Result<(), tokio_postgres::Error> {
    let left = "
        WITH building AS MATERIALIZED (
            SELECT nspname::text AS name FROM pg_namespace
            WHERE nspname LIKE 'factlog\\_building\\_%' AND pg_has_role(nspowner, 'USAGE')
        )
        SELECT quote_ident(name) FROM building WHERE pg_try_advisory_lock(hashtextextended(name, 0))";
    for row in keeper.query(left, &[]).await? {
        keeper.batch_execute(&format!("DROP SCHEMA IF EXISTS {} CASCADE", row.try_get::<_, String>(0)?)).await?;
    }
    // Lets go of theirs, as well.
    let own = format!("SELECT pg_advisory_unlock_all(), pg_advisory_lock(hashtextextended('{schema}', 0))");
    keeper.batch_execute(&format!("{own}; CREATE SCHEMA {schema}")).await
}

/// What a projection may have made in a schema: its kind, and its name as SQL has it.
const MADE: &str = "
    SELECT CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
        quote_ident(relname)
    FROM pg_class
    WHERE relnamespace = $1::text::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')
        AND relname NOT IN ('read_model', 'projections', 'failed_events')
        -- Goes with the column that it is for.
        AND NOT (relkind = 'S' AND EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype IN ('a', 'i')))
    UNION ALL
    SELECT CASE prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
        quote_ident(proname) || '(' || pg_get_function_identity_arguments(oid) || ')'
    FROM pg_proc WHERE pronamespace = $1::text::regnamespace
    UNION ALL
    SELECT CASE typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, quote_ident(typname)
    FROM pg_type WHERE typnamespace = $1::text::regnamespace AND typtype IN ('d', 'e')";

/// What others than their owner may do with the tables of a schema, as SQL.
const GRANTED: &str = "
    SELECT format('GRANT %s ON %s.%I TO %s', privilege_type, $1::text, relname,
        CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END)
    FROM pg_class, aclexplode(relacl)
    WHERE relnamespace = $1::text::regnamespace AND quote_ident(relname) = ANY($2) AND grantee <> relowner";

/// In which order what stands in the way is dropped: what depends on others before them.
const KINDS: [&str; 8] = ["VIEW", "MATERIALIZED VIEW", "TABLE", "SEQUENCE", "FUNCTION", "PROCEDURE", "DOMAIN", "TYPE"];

/// Puts everything that a projection has made in place of that of the same name. What others may do with it stays.
async fn move_all(tables: &PostgresTables, from: &str, to: &str) -> Result<(), ModelError> {
    let mut made: Vec<(String, String)> = Vec::new();
    for row in tables.rows(MADE, &[&from]).await? {
        made.push((tables.column(&row, 0)?, tables.column(&row, 1)?));
    }
    let names: Vec<&str> = made.iter().map(|(_, name)| name.as_str()).collect();
    let mut granted = String::new();
    for row in tables.rows(GRANTED, &[&to, &names]).await? {
        granted.push_str(&tables.column::<String>(&row, 0)?);
        granted.push(';');
    }
    let mut sql = String::new();
    for kind in KINDS {
        let names = made.iter().filter(|(other, _)| other == kind).map(|(_, name)| format!("{to}.{name}"));
        let names = names.collect::<Vec<_>>().join(", ");
        if !names.is_empty() {
            sql.push_str(&format!("DROP {kind} IF EXISTS {names};"));
        }
    }
    for (kind, name) in &made {
        sql.push_str(&format!("ALTER {kind} {from}.{name} SET SCHEMA {to};"));
    }
    tables.batch(&(sql + &granted)).await
}

impl<P: Projection<PostgresTables> + 'static> FreshTables for Fresh<P> {
    fn read_model(&self) -> Arc<dyn ReadModel> {
        Arc::clone(&self.building) as Arc<dyn ReadModel>
    }

    fn swap_in(&self, whatever: bool) -> BoxFuture<'_, Result<bool, ModelError>> {
        Box::pin(self.swap_in_now(whatever))
    }
}

impl<P> Drop for Fresh<P> {
    fn drop(&mut self) {
        let Some(keeper) = self.keeper.take() else { return };
        let schema = self.schema.clone();
        self.present.server().begin(async move {
            // One that took its place is gone already, and another rebuild drops what this one could not.
            let _ = keeper.batch_execute(&format!("DROP SCHEMA IF EXISTS {schema} CASCADE")).await;
            drop(Object::take(keeper));
        });
    }
}
