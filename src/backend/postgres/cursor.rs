//! Cursors: rows of their own, never ahead of the log. One is put in place of what was there: a statement that comes to the server late, when
//! a newer one has been executed, changes nothing.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::types::ToSql;

use super::{core::Core, failure::Failure, read::number, server::Kind};
use crate::{
    error::{Error, Result},
    event_store::CursorName,
    version::Position,
};

const LOAD: &str = "SELECT position FROM cursors WHERE name = $1";

const SAVE: &str = "INSERT INTO cursors (name, position) SELECT $1, $2::bigint WHERE $2 = 0 OR EXISTS (SELECT FROM events WHERE position >= $2) \
    ON CONFLICT (name) DO UPDATE SET position = excluded.position WHERE cursors.position = $3";

/// The position that was saved last.
pub(super) async fn load(core: &Core, name: &CursorName) -> Result<Position> {
    core.server.ask(Kind::Reads, |client| async move { find(core, &client, name).await }).await
}

async fn find(core: &Core, client: &ClientWrapper, name: &CursorName) -> Result<Position, Failure> {
    let failed = |error| core.server.failed(&error);
    let statement = client.prepare_cached(LOAD).await.map_err(failed)?;
    let row = client.query_opt(&statement, &[&name.as_str()]).await.map_err(failed)?;
    let position = row.map_or(Ok(0), |row| row.try_get::<_, i64>(0)).map_err(failed)?;
    Ok(Position::new(position.unsigned_abs()))
}

/// Saves a position, durably. `before` is where the cursor may be.
pub(super) async fn save(core: &Core, name: &CursorName, position: Position, before: Position) -> Result<()> {
    core.server
        .ask(Kind::Changes, |client| async move {
            let failed = |error| core.server.failed(&error);
            let statement = client.prepare_cached(SAVE).await.map_err(failed)?;
            let mut before = before;
            loop {
                let values: [&(dyn ToSql + Sync); 3] = [&name.as_str(), &number(position.get()), &number(before.get())];
                if client.execute(&statement, &values).await.map_err(failed)? > 0 {
                    return Ok(());
                }
                // Another has moved it, or an attempt of which no answer came.
                let found = find(core, &client, name).await?;
                if found == before {
                    let last = core.look(&client).await?.newest;
                    return Err(Error::CursorAhead { cursor: name.to_string(), position, last }.into());
                }
                before = found;
            }
        })
        .await
}
