//! Tables that are built beside those of a file, and then take their place.
//!
//! They are in a temporary database of their own, so that building them holds up nobody who writes to the file, needs no
//! journal, and leaves nothing behind when it is cut off. SQLite puts what does not fit its cache into the directory that
//! `SQLITE_TMPDIR` or `TMPDIR` names. Putting them in place copies them, in one transaction of the file:
//! its readers go on seeing the old ones until it is committed.

use std::sync::Arc;

use rusqlite::{Connection, Error, Transaction, TransactionBehavior, params};

use super::{projected::SqliteProjection, tables::ask_one, views::SqliteViews};
use crate::{
    event_store::BoxFuture,
    model::{
        ModelError,
        projection::{FreshTables, Projection, ReadModel},
        sql::{bookkeeping, failed},
    },
};

pub(super) struct Fresh<P> {
    /// What it is to replace.
    present: SqliteViews,
    building: Arc<SqliteProjection<P>>,
}

impl<P: Projection<Connection> + 'static> Fresh<P> {
    pub(super) fn beside(present: SqliteViews, projection: Arc<P>) -> Result<Fresh<P>, ModelError> {
        let building = Arc::new(SqliteProjection::over(SqliteViews::temporary()?, projection));
        building.prepare_now()?;
        check_rebuildable(&building.views().write(), building.name())?;
        let fresh = Fresh { present, building };
        fresh.with_present(|connection| {
            let columns = failed::COLUMNS;
            let sql = format!(
                "INSERT INTO main.failed_events ({columns}) SELECT {columns} FROM present.failed_events
                 WHERE projection = ?1 AND resolved_at IS NOT NULL"
            );
            Ok(connection.execute(&sql, [fresh.building.name()]).map(drop)?)
        })?;
        Ok(fresh)
    }

    /// Works with the file as the schema `present` beside the tables that are built.
    fn with_present<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T, ModelError>) -> Result<T, ModelError> {
        let path = self.present.path();
        let name = path.to_str().ok_or_else(|| Error::InvalidPath(path.to_owned()))?;
        let mut connection = self.building.views().write();
        connection.execute("ATTACH ?1 AS present", [name])?;
        let worked = work(&mut connection);
        let detached = connection.execute("DETACH present", []);
        let worked = worked?;
        detached?;
        Ok(worked)
    }

    fn swap_in_now(&self, whatever: bool) -> Result<bool, ModelError> {
        let swapped = self.with_present(|connection| {
            self.swap(connection.transaction_with_behavior(TransactionBehavior::Immediate)?, whatever)
        })?;
        self.present.has_changed();
        Ok(swapped)
    }

    fn swap(&self, transaction: Transaction<'_>, whatever: bool) -> Result<bool, ModelError> {
        let projection = self.building.name();
        let sql = "SELECT max(position) FROM present.projections WHERE name = ?1";
        let present: Option<i64> = transaction.query_row(sql, [projection], |row| row.get(0))?;
        let own = ask_one(&transaction, bookkeeping::place(projection))?.unwrap_or_default().0;
        if !whatever && present.is_some_and(|present| present > bookkeeping::number(own.position)) {
            return Ok(false);
        }
        transaction.pragma_update(None, "defer_foreign_keys", true)?;
        copy_tables(&transaction)?;
        transaction.execute(
            "UPDATE present.projections SET (position, event_id) =
                (SELECT position, event_id FROM main.projections WHERE name = ?1)
             WHERE name = ?1",
            [projection],
        )?;
        let sql = "DELETE FROM present.failed_events WHERE projection = ?1 AND resolved_at IS NULL";
        transaction.execute(sql, [projection])?;
        let columns = failed::COLUMNS;
        // What was resolved in the meantime stays so.
        transaction.execute(
            &format!(
                "INSERT INTO present.failed_events ({columns}) SELECT {columns} FROM main.failed_events
                 WHERE projection = ?1 AND resolved_at IS NULL ON CONFLICT DO NOTHING"
            ),
            params![projection],
        )?;
        transaction.commit()?;
        Ok(true)
    }
}

/// A type, a name, and the SQL that makes it.
type Made = (String, String, String);

/// Every table, index, view and trigger that the projection of this database has made, each behind what it needs.
fn made_tables(connection: &Connection) -> rusqlite::Result<Vec<Made>> {
    let mut statement = connection.prepare(
        "SELECT type, name, sql FROM main.sqlite_schema
         WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
            AND tbl_name NOT IN ('projections', 'failed_events')
         ORDER BY type <> 'table', type <> 'index', type <> 'view', rowid",
    )?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
}

/// A virtual table keeps what it holds in tables of its module's, which nobody else may write.
fn check_rebuildable(connection: &Connection, projection: &str) -> Result<(), ModelError> {
    let is_virtual = |(_, _, sql): &Made| sql.to_ascii_uppercase().starts_with("CREATE VIRTUAL TABLE");
    match made_tables(connection)?.into_iter().find(is_virtual) {
        Some((_, table, _)) => Err(ModelError::NotRebuildable { projection: projection.to_owned(), table }),
        None => Ok(()),
    }
}

/// Whether a projection makes something otherwise, or something else, than is in a file.
pub(super) fn tables_changed<P: Projection<Connection>>(
    present: &Connection,
    projection: &P,
) -> Result<bool, ModelError> {
    let fresh = Connection::open_in_memory()?;
    projection.set_up(&fresh)?;
    let mut is_there =
        present.prepare("SELECT count(*) FROM main.sqlite_schema WHERE type = ?1 AND name = ?2 AND sql = ?3")?;
    for (kind, name, sql) in made_tables(&fresh)? {
        if !is_there.query_row([kind, name, sql], |row| row.get::<_, bool>(0))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Puts every table, index, view and trigger that the projection has made in place of those of the same name.
fn copy_tables(transaction: &Connection) -> Result<(), ModelError> {
    let made = made_tables(transaction)?;
    for (kind, name, _) in made.iter().rev() {
        // With a table go its indexes and triggers.
        transaction.execute(&format!("DROP {kind} IF EXISTS present.{}", quoted(name)), [])?;
    }
    // The rows come before the triggers, which would fire for them, and behind the indexes: a table that is empty and has the
    // same indexes is copied page by page, and not row by row.
    let (tables, triggers): (Vec<_>, Vec<_>) = made.iter().partition(|(kind, ..)| kind != "trigger");
    for (_, _, sql) in &tables {
        create(transaction, sql)?;
    }
    for (_, name, _) in tables.iter().filter(|(kind, ..)| kind == "table") {
        let table = quoted(name);
        let sql = match written_columns(transaction, name)? {
            Some(written) => format!("INSERT INTO present.{table} ({written}) SELECT {written} FROM main.{table}"),
            // Only so is it copied page by page.
            None => format!("INSERT INTO present.{table} SELECT * FROM main.{table}"),
        };
        transaction.execute(&sql, [])?;
    }
    triggers.into_iter().try_for_each(|(_, _, sql)| create(transaction, sql))
}

/// The columns of a table that hold what was written to them, when SQLite computes others.
fn written_columns(transaction: &Connection, table: &str) -> Result<Option<String>, ModelError> {
    let mut statement =
        transaction.prepare_cached("SELECT name, hidden = 0 FROM pragma_table_xinfo(?1, 'main') ORDER BY cid")?;
    let columns = statement.query_map([table], |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?)))?;
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    if columns.iter().all(|(_, is_written)| *is_written) {
        return Ok(None);
    }
    let written = columns.iter().filter(|(_, is_written)| *is_written).map(|(name, _)| quoted(name));
    Ok(Some(written.collect::<Vec<_>>().join(", ")))
}

/// Makes in the other database what `sql` has made in this one. SQLite keeps that as `CREATE`, its kind, and all from
/// the name on as it was written.
fn create(transaction: &Connection, sql: &str) -> Result<(), ModelError> {
    let kinds = ["TABLE", "UNIQUE INDEX", "INDEX", "VIEW", "TRIGGER"];
    let rest = kinds.iter().find_map(|kind| {
        let name = sql.strip_prefix("CREATE ")?.strip_prefix(kind)?.strip_prefix(' ')?;
        Some(format!("CREATE {kind} present.{name}"))
    });
    Ok(transaction.execute_batch(rest.as_deref().unwrap_or(sql))?)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl<P: Projection<Connection> + 'static> FreshTables for Fresh<P> {
    fn read_model(&self) -> Arc<dyn ReadModel> {
        Arc::clone(&self.building) as Arc<dyn ReadModel>
    }

    fn swap_in(&self, whatever: bool) -> BoxFuture<'_, Result<bool, ModelError>> {
        Box::pin(async move { self.swap_in_now(whatever) })
    }
}
