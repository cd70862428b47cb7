//! Cursors: rows of their own, never ahead of the log.

use super::{core::Core, read::number, server::Kind};
use crate::{
    error::{Error, Result},
    event_store::CursorName,
    version::Position,
};

const LOAD: &str = "SELECT position FROM cursors WHERE name = $1";

const SAVE: &str = "INSERT INTO cursors (name, position) SELECT $1, $2::bigint WHERE $2 = 0 OR EXISTS (SELECT FROM events WHERE position >= $2) \
    ON CONFLICT (name) DO UPDATE SET position = excluded.position";

/// The position that was saved last.
pub(super) async fn load(core: &Core, name: &CursorName) -> Result<Position> {
    core.server
        .ask(Kind::Reads, |client| async move {
            let failed = |error| core.server.failed(&error);
            let statement = client.prepare_cached(LOAD).await.map_err(failed)?;
            let row = client.query_opt(&statement, &[&name.as_str()]).await.map_err(failed)?;
            let position = row.map_or(Ok(0), |row| row.try_get::<_, i64>(0)).map_err(failed)?;
            Ok(Position::new(position.unsigned_abs()))
        })
        .await
}

/// Saves a position, durably.
pub(super) async fn save(core: &Core, name: &CursorName, position: Position) -> Result<()> {
    core.server
        .ask(Kind::Changes, |client| async move {
            let failed = |error| core.server.failed(&error);
            let statement = client.prepare_cached(SAVE).await.map_err(failed)?;
            let saved = client.execute(&statement, &[&name.as_str(), &number(position.get())]).await.map_err(failed)?;
            if saved == 0 {
                let last = core.look(&client).await?.newest;
                return Err(Error::CursorAhead { cursor: name.to_string(), position, last }.into());
            }
            Ok(())
        })
        .await
}
