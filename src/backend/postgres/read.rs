//! Reads. Those of the log give out only what is settled: see `settled.rs`.

use std::{pin::pin, sync::atomic::Ordering};

use bytes::Bytes;
use futures_util::TryStreamExt;
use tokio_postgres::{
    Client, Row,
    types::{FromSqlOwned, ToSql},
};
use uuid::Uuid;

use super::{
    append,
    core::Core,
    failure::Failure,
    server::{Connection, Kind},
};
use crate::{
    error::{Damage, Error, Place, Result},
    event::{EventId, Recorded, RecordedEvent, StreamName, Timestamp},
    event_store::{ReadAll, ReadStream},
    version::{Position, Version},
};

/// How many events a read answers with at most.
const PAGE_EVENTS: usize = 4096;

/// An answer ends with the event that reaches so many bytes.
const PAGE_BYTES: usize = 8 << 20;

const COLUMNS: &str = "position, stream_id, version, event_id, event_type, event_data, metadata, created_at";

type Values = Vec<Box<dyn ToSql + Sync + Send>>;

/// What asks for a page.
struct Query {
    text: String,
    /// The database cuts it by its bytes.
    cuts: bool,
}

/// A number for the database, which has none above this.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The version of a stream.
pub(super) async fn version(core: &Core, stream: &StreamName) -> Result<Version> {
    let failed = |error| core.server.failed(&error);
    core.server
        .ask(Kind::Reads, |client| async move {
            let statement = client.prepare_cached(append::VERSION).await.map_err(failed)?;
            let row = client.query_one(&statement, &[&stream.as_str()]).await.map_err(failed)?;
            Ok(Version::new(row.try_get::<_, i64>(0).map_err(failed)?.unsigned_abs()))
        })
        .await
}

/// Reads the next events of a stream.
pub(super) async fn read_stream(core: &Core, read: &ReadStream) -> Result<Vec<RecordedEvent>> {
    let order = if read.backwards { "version DESC" } else { "version" };
    let from = "FROM events WHERE stream_id = $1 AND version >= $2 AND version <= $3";
    core.server
        .ask(Kind::Reads, |client| async move {
            let values: Values = vec![
                Box::new(read.stream.as_str().to_owned()),
                Box::new(number(read.from.get())),
                Box::new(number(read.to.get())),
                Box::new(read.limit.min(PAGE_EVENTS) as i64),
            ];
            rows(core, &client, &page(core, from, order, 4), &values).await
        })
        .await
}

/// Reads the next events of the log.
pub(super) async fn read_all(core: &Core, read: &ReadAll) -> Result<Vec<RecordedEvent>> {
    core.server
        .ask(Kind::Reads, |client| async move {
            if read.backwards {
                // What is not settled must not take the place of what is.
                let settled = core.look(&client).await?.settled;
                let mut read = read.clone();
                read.before = read.before.min(settled.next());
                return page_of(core, &client, &read).await;
            }
            let settled = core.settled();
            let events = page_of(core, &client, read).await?;
            if events.last().is_none_or(|last| last.position() <= settled) {
                return Ok(events);
            }
            // What is read behind the look is there, up to where the look says.
            let settled = core.look(&client).await?.settled;
            let mut events = page_of(core, &client, read).await?;
            events.truncate(events.partition_point(|event| event.position() <= settled));
            Ok(events)
        })
        .await
}

async fn page_of(core: &Core, client: &Connection, read: &ReadAll) -> Result<Vec<RecordedEvent>, Failure> {
    let (query, values) = query_all(core, read);
    rows(core, client, &query, &values).await
}

/// A query for a page of events, at most as many as the value `limit` says. Once the events turned out to be large, also not too many
/// bytes: what a reader does not take would be sent in vain. That costs the database more for each event.
fn page(core: &Core, from: &str, order: &str, limit: usize) -> Query {
    if !core.cut.load(Ordering::Relaxed) {
        return Query { text: format!("SELECT {COLUMNS} {from} ORDER BY {order} LIMIT ${limit}"), cuts: false };
    }
    let size = "(octet_length(event_data) + octet_length(metadata))";
    let text = format!(
        "SELECT {COLUMNS} FROM (SELECT *, sum({size}) OVER (ORDER BY {order} ROWS UNBOUNDED PRECEDING) - {size} AS ahead \
         FROM (SELECT {COLUMNS} {from} ORDER BY {order} LIMIT ${limit}) AS page) AS page \
         WHERE ahead < {PAGE_BYTES} ORDER BY {order}"
    );
    Query { text, cuts: true }
}

/// Events of the stream `?`, from where they lie on. Mostly `$1` is the position of one of them, or behind nearly all; and `$2`, when they are
/// read backwards, that of one.
const OF_STREAM: &str = " AND stream_id = ? AND version > coalesce(\
    (SELECT version FROM events WHERE position = $1 AND stream_id = ?), \
    (SELECT version FROM events WHERE stream_id = ? AND position < $1 AND $1 > 0 ORDER BY version DESC LIMIT 1), 0) \
    AND version < coalesce((SELECT version FROM events WHERE position = $2 AND stream_id = ?), 9223372036854775807)";

/// What asks for a page of the log, by the index that fits.
fn query_all(core: &Core, read: &ReadAll) -> (Query, Values) {
    // In a stream the versions have the order of the positions, and an index.
    let by = if read.stream.is_some() { "version" } else { "position" };
    let order = if read.backwards { format!("{by} DESC") } else { by.to_owned() };
    let limit = read.limit.min(PAGE_EVENTS) as i64;
    let mut values: Values =
        vec![Box::new(number(read.after.get())), Box::new(number(read.before.get())), Box::new(limit)];
    let mut conditions = "position > $1 AND position < $2".to_owned();
    let mut and = |condition: &str, value: Box<dyn ToSql + Sync + Send>| {
        values.push(value);
        conditions += &condition.replace('?', &format!("${}", values.len()));
    };
    if let Some(stream) = &read.stream {
        and(OF_STREAM, Box::new(stream.as_str().to_owned()));
    }
    if let Some(category) = &read.category {
        and(" AND split_part(stream_id, '-', 1) = ?", Box::new(category.clone()));
    }
    if let Some(since) = read.since {
        and(" AND created_at >= ?", Box::new(since.as_micros()));
    }
    let mut types: Vec<String> = read.types.iter().map(ToString::to_string).collect();
    types.sort_unstable();
    types.dedup();
    let from = if types.is_empty() {
        format!("FROM events WHERE {conditions}")
    } else if read.stream.is_some() {
        and(" AND event_type = ANY (?)", Box::new(types));
        format!("FROM events WHERE {conditions}")
    } else {
        // Each type has its order in the index; together they have none.
        values.push(Box::new(types));
        let number = values.len();
        format!(
            "FROM unnest(${number}::text[]) AS of_type, LATERAL (SELECT {COLUMNS} FROM events \
             WHERE event_type = of_type AND {conditions} ORDER BY {order} LIMIT $3) AS events"
        )
    };
    (page(core, &from, &order, 3), values)
}

/// The rows of a page, up to the one that reaches so many bytes.
async fn rows(
    core: &Core,
    connection: &Connection,
    query: &Query,
    values: &Values,
) -> Result<Vec<RecordedEvent>, Failure> {
    let failed = |error| core.server.failed(&error);
    let statement = connection.prepare_cached(&query.text).await.map_err(failed)?;
    let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
    let client: &Client = connection;
    let mut coming = pin!(client.query_raw(&statement, values).await.map_err(failed)?);
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = coming.try_next().await.map_err(failed)? {
        bytes += row.raw_size_bytes();
        rows.push(row);
        if bytes >= PAGE_BYTES && !query.cuts {
            core.cut.store(true, Ordering::Relaxed);
            connection.close();
            break;
        }
    }
    Ok(events(&rows)?)
}

/// Events from rows of [`COLUMNS`], all in one buffer.
pub(super) fn events(rows: &[Row]) -> Result<Vec<RecordedEvent>> {
    let mut buffer = Vec::with_capacity(rows.iter().map(Row::raw_size_bytes).sum());
    let mut places = Vec::with_capacity(rows.len());
    for row in rows {
        let start = buffer.len();
        let parts: [&[u8]; 4] = [
            text(row, 1)?.as_bytes(),
            text(row, 4)?.as_bytes(),
            row.try_get(6).map_err(|error| not_ours(row, &error))?,
            row.try_get(5).map_err(|error| not_ours(row, &error))?,
        ];
        parts.iter().for_each(|part| buffer.extend_from_slice(part));
        places.push((start..buffer.len(), [parts[0].len(), parts[1].len(), parts[2].len()]));
    }
    let buffer = Bytes::from(buffer);
    let event = |(row, (within, lengths)): (&Row, (std::ops::Range<usize>, [usize; 3]))| {
        let recorded = Recorded {
            position: Position::new(value::<i64>(row, 0)?.unsigned_abs()),
            version: Version::new(value::<i64>(row, 2)?.unsigned_abs()),
            id: EventId::from(value::<Uuid>(row, 3)?),
            timestamp: Timestamp::from_micros(value(row, 7)?),
        };
        let mut event = RecordedEvent::none();
        event.become_body(recorded, &buffer, within, lengths).map_err(|error| not_ours(row, &error))?;
        Ok(event)
    };
    rows.iter().zip(places).map(event).collect()
}

fn text(row: &Row, column: usize) -> Result<&str> {
    row.try_get(column).map_err(|error| not_ours(row, &error))
}

fn value<T: FromSqlOwned>(row: &Row, column: usize) -> Result<T> {
    row.try_get(column).map_err(|error| not_ours(row, &error))
}

/// A row that the store did not write like that.
fn not_ours(row: &Row, fault: &impl std::fmt::Display) -> Error {
    let position = Position::new(row.try_get::<_, i64>(0).unwrap_or_default().unsigned_abs());
    let place = Place { file: "the table `events`".into(), offset: 0, position };
    Damage { place, fault: fault.to_string() }.into()
}
