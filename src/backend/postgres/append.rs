//! Appends: one call of the function `factlog_append`, which is one transaction. What it refuses is judged by what the streams hold.

use deadpool_postgres::ClientWrapper;
use tokio::time::Instant;
use tokio_postgres::Client;
use uuid::Uuid;

use super::{
    failure::Failure,
    read,
    server::{Kind, Server},
};
use crate::{
    error::Result,
    event::{RecordedEvent, StreamName},
    event_store::{Appended, StreamAppend, judge},
    limits,
    version::{ExpectedVersion, Position, Version},
};

const APPEND: &str = "SELECT first_position, versions FROM factlog_append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

/// Those events of a stream that have one of these ids, and its version before them.
const SAME_IDS: &str = "SELECT position, stream_id, version, event_id, event_type, event_data, metadata, created_at \
    FROM events WHERE event_id = ANY ($2) AND stream_id = $1 ORDER BY version";

pub(super) const VERSION: &str = "SELECT coalesce(max(version), 0) FROM events WHERE stream_id = $1";

/// Appends, all or nothing, until the deadline.
pub(super) async fn append(
    server: &Server,
    kind: Kind,
    deadline: Instant,
    appends: &[StreamAppend],
) -> Result<Vec<Appended>> {
    server
        .ask_until(kind, deadline, |client| async move {
            if let Some(appended) = store(server, &client, appends).await? {
                return Ok(appended);
            }
            // It was refused, unless what refused it is over by now.
            let first_answers = look(server, &client, appends).await?;
            first_answers.ok_or_else(|| Failure::Crossed("others append to the same streams all the time".into()))
        })
        .await
}

/// Appends, all or nothing; none, if one of them was refused.
pub(super) async fn store_all(
    server: &Server,
    deadline: Instant,
    appends: &[StreamAppend],
) -> Result<Option<Vec<Appended>>> {
    server.ask_until(Kind::Changes, deadline, |client| async move { store(server, &client, appends).await }).await
}

/// Stores the events if each stream is as expected and none of them may be there.
async fn store(
    server: &Server,
    client: &ClientWrapper,
    appends: &[StreamAppend],
) -> Result<Option<Vec<Appended>>, Failure> {
    let failed = |error| server.failed(&error);
    let statement = client.prepare_cached(APPEND).await.map_err(failed)?;
    let streams: Vec<&str> = appends.iter().map(|append| append.stream.as_str()).collect();
    let expected: Vec<i64> = appends.iter().map(|append| condition(append.expected)).collect();
    let counts: Vec<i32> = appends.iter().map(|append| append.events.len() as i32).collect();
    let events = || appends.iter().flat_map(|append| &append.events);
    let owners: Vec<i32> =
        (1..).zip(&counts).flat_map(|(number, count)| std::iter::repeat_n(number, *count as usize)).collect();
    let ids: Vec<Uuid> = events().map(|event| event.id.as_uuid()).collect();
    let types: Vec<&str> = events().map(|event| event.event_type.as_str()).collect();
    let payloads: Vec<&[u8]> = events().map(|event| &event.payload[..]).collect();
    let metadatas: Vec<&[u8]> = events().map(|event| &event.metadata[..]).collect();
    let times: Vec<Option<i64>> = events().map(|event| event.timestamp.map(|time| time.as_micros())).collect();
    let recent = limits::RECENT_EVENTS as i64;
    let client: &Client = client;
    let row = client
        .query_one(
            &statement,
            &[&streams, &expected, &counts, &recent, &owners, &ids, &types, &payloads, &metadatas, &times],
        )
        .await
        .map_err(failed)?;
    let Some(first) = row.try_get::<_, Option<i64>>(0).map_err(failed)? else { return Ok(None) };
    let versions: Vec<i64> = row.try_get(1).map_err(failed)?;
    let mut next = first.unsigned_abs();
    let appended = appends.iter().zip(versions).map(|(append, version)| {
        let count = append.events.len() as u64;
        next += count;
        let version = Version::new(version.unsigned_abs());
        Appended { first_version: version.next(), version: version.plus(count), position: Position::new(next - 1) }
    });
    Ok(Some(appended.collect()))
}

/// What `factlog_append` calls a condition.
fn condition(expected: ExpectedVersion) -> i64 {
    match expected {
        ExpectedVersion::Any => -1,
        ExpectedVersion::StreamExists => -2,
        ExpectedVersion::NoStream => 0,
        ExpectedVersion::Exact(version) => read::number(version.get()),
    }
}

/// The first answers, if it was stored before; none, if there is nothing against it.
async fn look(
    server: &Server,
    client: &ClientWrapper,
    appends: &[StreamAppend],
) -> Result<Option<Vec<Appended>>, Failure> {
    let failed = |error| server.failed(&error);
    let newest = client.prepare_cached(VERSION).await.map_err(failed)?;
    let same_ids = client.prepare_cached(SAME_IDS).await.map_err(failed)?;
    let mut found: Vec<(&StreamName, Version, Vec<RecordedEvent>)> = Vec::with_capacity(appends.len());
    let client: &Client = client;
    for append in appends {
        let version = client.query_one(&newest, &[&append.stream.as_str()]).await.map_err(failed)?;
        let version = Version::new(version.try_get::<_, i64>(0).map_err(failed)?.unsigned_abs());
        let ids: Vec<Uuid> = append.events.iter().map(|event| event.id.as_uuid()).collect();
        let rows = client.query(&same_ids, &[&append.stream.as_str(), &ids]).await.map_err(failed)?;
        found.push((&append.stream, version, read::events(&rows)?));
    }
    let of = |append: &StreamAppend| found.iter().find(|(stream, ..)| **stream == append.stream);
    // Of what is there only the events with the ids of the append decide.
    let judged = judge(
        appends,
        |append| Ok(of(append).map_or(Version::NONE, |(_, version, _)| *version)),
        |append, from, to| {
            let stored = of(append).map_or(&[][..], |(.., events)| events);
            Ok(stored.iter().filter(|event| event.version() >= from && event.version() <= to).cloned().collect())
        },
    );
    Ok(judged?)
}
