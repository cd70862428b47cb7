//! What the store makes in its database: versioned, each version once, whoever comes first.
//!
//! ```text
//!   factlog_schema   the versions that are there
//!   events           one row each; the unique key (stream_id, version) is what makes a check of the expected version hold
//!   snapshots        the newest of each stream
//!   cursors          what subscribers have acknowledged
//!   commits          a sequence: the number of the newest append
//!   factlog_append   an append, as one call and so in one round trip and one transaction
//! ```

use tokio_postgres::{Client, Error as SqlError};

/// Each brings the version of its place, counted from 1. One that was released never changes.
const MIGRATIONS: &[&str] = &[include_str!("schema_1.sql")];

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Schema {
    /// It is there now. The object id of the table of the events is what tells this store from others in the database.
    Ready { store: u32 },
    /// A later version of this crate made it.
    Newer { found: i32, known: usize },
}

/// Sees to it that the schema is there and of the version that is known.
pub(super) async fn prepare(client: &Client) -> Result<Schema, SqlError> {
    let mut found = version(client).await?;
    if found < MIGRATIONS.len() {
        // Others may be about to do the same.
        client.batch_execute("BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('factlog_schema', 0))").await?;
        let made = migrate(client).await;
        client.batch_execute(if made.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
        found = made?;
    }
    if found > MIGRATIONS.len() {
        return Ok(Schema::Newer { found: found as i32, known: MIGRATIONS.len() });
    }
    let store = client.query_one("SELECT 'events'::regclass::oid", &[]).await?;
    Ok(Schema::Ready { store: store.try_get(0)? })
}

async fn version(client: &Client) -> Result<usize, SqlError> {
    let there = client.query_one("SELECT to_regclass('factlog_schema') IS NOT NULL", &[]).await?;
    if !there.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    let newest = client.query_one("SELECT coalesce(max(version), 0) FROM factlog_schema", &[]).await?;
    Ok(newest.try_get::<_, i32>(0)?.max(0) as usize)
}

async fn migrate(client: &Client) -> Result<usize, SqlError> {
    client
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS factlog_schema (version int PRIMARY KEY, made_at timestamptz NOT NULL)",
        )
        .await?;
    let found = version(client).await?;
    for (number, migration) in (1i32..).zip(MIGRATIONS).skip(found) {
        client.batch_execute(migration).await?;
        client.execute("INSERT INTO factlog_schema VALUES ($1, now())", &[&number]).await?;
    }
    Ok(found.max(MIGRATIONS.len()))
}
