//! Snapshots: the newest rows of each stream.

use bytes::Bytes;

use super::{append, core::Core, failure::Failure, read::number, server::Kind};
use crate::{
    codec::CodecId,
    error::Result,
    event::{StreamName, Timestamp},
    event_store::{LoadedSnapshot, Snapshot},
    limits,
    version::Version,
};

/// In place of one of the same version, if the stream has that version.
const SAVE: &str = "INSERT INTO snapshots (stream_id, version, codec, state_version, snapshot_data, created_at) \
    SELECT $1, $2, $3, $4, $5, $6 WHERE EXISTS (SELECT FROM events WHERE stream_id = $1 AND version >= $2) \
    ON CONFLICT (stream_id, version) DO UPDATE SET codec = excluded.codec, state_version = excluded.state_version, \
    snapshot_data = excluded.snapshot_data, created_at = excluded.created_at";

const FORGET: &str = "DELETE FROM snapshots WHERE stream_id = $1 AND version < \
    (SELECT version FROM snapshots WHERE stream_id = $1 ORDER BY version DESC OFFSET $2 LIMIT 1)";

const LOAD: &str = "SELECT version, codec, state_version, snapshot_data, created_at FROM snapshots \
    WHERE stream_id = $1 AND version <= $2 ORDER BY version DESC LIMIT 1";

/// Keeps a snapshot, and forgets those that are too old.
pub(super) async fn save(core: &Core, snapshot: &Snapshot) -> Result<()> {
    snapshot.check()?;
    let failed = |error| core.server.failed(&error);
    let Snapshot { stream, version, codec, state_version, state, timestamp } = snapshot;
    let (stream, number) = (stream.as_str(), number(version.get()));
    core.server
        .ask(Kind::Changes, |client| async move {
            let save = client.prepare_cached(SAVE).await.map_err(failed)?;
            let forget = client.prepare_cached(FORGET).await.map_err(failed)?;
            let (codec, state_version) = (i64::from(codec.get()), i64::from(*state_version));
            let saved = client
                .execute(&save, &[&stream, &number, &codec, &state_version, &&state[..], &timestamp.as_micros()])
                .await
                .map_err(failed)?;
            if saved == 0 {
                let actual = client.prepare_cached(append::VERSION).await.map_err(failed)?;
                let actual = client.query_one(&actual, &[&stream]).await.map_err(failed)?;
                let actual = Version::new(actual.try_get::<_, i64>(0).map_err(failed)?.unsigned_abs());
                snapshot.check_not_ahead(actual)?;
                return Err(Failure::Crossed("the stream has only now reached the snapshot's version".into()));
            }
            let others = limits::SNAPSHOTS_KEPT as i64 - 1;
            client.execute(&forget, &[&stream, &others]).await.map_err(failed)?;
            Ok(())
        })
        .await
}

/// The newest at or below a version.
pub(super) async fn load(core: &Core, stream: &StreamName, at_or_below: Version) -> Result<LoadedSnapshot> {
    let failed = |error| core.server.failed(&error);
    core.server
        .ask(Kind::Reads, |client| async move {
            let load = client.prepare_cached(LOAD).await.map_err(failed)?;
            let found = client.query_opt(&load, &[&stream.as_str(), &number(at_or_below.get())]).await;
            let Some(row) = found.map_err(failed)? else { return Ok(LoadedSnapshot::default()) };
            let long = |column| row.try_get::<_, i64>(column).map_err(failed);
            let state: &[u8] = row.try_get(3).map_err(failed)?;
            let snapshot = Snapshot {
                stream: stream.clone(),
                version: Version::new(long(0)?.unsigned_abs()),
                codec: CodecId::new(long(1)? as u32),
                state_version: long(2)? as u32,
                state: Bytes::copy_from_slice(state),
                timestamp: Timestamp::from_micros(long(4)?),
            };
            Ok(LoadedSnapshot { snapshot: Some(snapshot), skipped: Vec::new() })
        })
        .await
}
