//! The store over PostgreSQL beside the same work written by hand against the driver: turn by turn on one server of its own.
//!
//! `cargo bench --features postgres --bench postgres [SECONDS A TURN] [ROUNDS]`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "this is a bench")]

#[path = "../tests/support/postgres.rs"]
mod server;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use factlog::{
    EventId, EventStore, EventType, ExpectedVersion, NewEvent, Position, ReadAll, ReadStream, StreamName, Subscribe,
    Version, backend::postgres::PostgresStore,
};
use tokio::runtime::Builder;
use tokio_postgres::NoTls;
use uuid::Uuid;

const PAYLOAD: &str = r#"{"orderId":"8f1c","status":"Paid","totalAmount":59.98,"paymentId":"payment-789","items":[{"productId":"p-1","quantity":2}]}"#;
const IN_STREAM: u64 = 10;

#[derive(Clone)]
struct ByHand(Pool);

impl ByHand {
    fn new(address: &str) -> ByHand {
        let managed = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(address.parse().unwrap(), NoTls, managed);
        ByHand(Pool::builder(manager).max_size(20).runtime(Runtime::Tokio1).build().unwrap())
    }

    /// The statement of the store, and nothing around it.
    async fn append(&self, stream: &str, expected: i64) {
        let client = self.0.get().await.unwrap();
        let statement = "SELECT first_position, versions FROM factlog_append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let statement = client.prepare_cached(statement).await.unwrap();
        let (streams, expected, counts, recent, owners) = (vec![stream], vec![expected], vec![1], 1000i64, vec![1]);
        let (ids, types, payloads) = (vec![EventId::generate().as_uuid()], vec!["Noted"], vec![PAYLOAD.as_bytes()]);
        let (metadatas, times): (_, Vec<Option<i64>>) = (vec![&b""[..]], vec![None]);
        let client: &tokio_postgres::Client = &client;
        let row = client
            .query_one(
                &statement,
                &[&streams, &expected, &counts, &recent, &owners, &ids, &types, &payloads, &metadatas, &times],
            )
            .await
            .unwrap();
        assert!(row.get::<_, Option<i64>>(0).is_some());
    }

    /// The statements of the guide: a transaction of four round trips.
    async fn append_in_steps(&self, stream: &str, expected: i64) {
        let mut client = self.0.get().await.unwrap();
        let transaction = client.transaction().await.unwrap();
        let newest = transaction.prepare_cached("SELECT coalesce(max(version), 0) FROM events WHERE stream_id = $1");
        let newest: i64 = transaction.query_one(&newest.await.unwrap(), &[&stream]).await.unwrap().get(0);
        assert_eq!(newest, expected);
        let insert = "INSERT INTO events (position, stream_id, version, event_id, event_type, event_data, metadata, created_at) \
            VALUES (nextval('commits') << 14, $1, $2, $3, 'Noted', $4, '', 0)";
        let insert = transaction.prepare_cached(insert).await.unwrap();
        let id = EventId::generate().as_uuid();
        transaction.execute(&insert, &[&stream, &(expected + 1), &id, &PAYLOAD.as_bytes()]).await.unwrap();
        transaction.commit().await.unwrap();
    }

    async fn read_stream(&self, stream: &str) -> usize {
        let client = self.0.get().await.unwrap();
        let read = "SELECT position, stream_id, version, event_id, event_type, event_data, metadata, created_at \
            FROM events WHERE stream_id = $1 ORDER BY version";
        let statement = client.prepare_cached(read).await.unwrap();
        let client: &tokio_postgres::Client = &client;
        let rows = client.query(&statement, &[&stream]).await.unwrap();
        rows.iter().map(sum).sum()
    }

    /// Pages of the log, one after the other.
    async fn read_all(&self, events: usize) -> usize {
        let client = self.0.get().await.unwrap();
        let read = "SELECT position, stream_id, version, event_id, event_type, event_data, metadata, created_at \
            FROM events WHERE position > $1 ORDER BY position LIMIT 1024";
        let statement = client.prepare_cached(read).await.unwrap();
        let client: &tokio_postgres::Client = &client;
        let (mut position, mut count, mut total) = (0i64, 0, 0);
        while count < events {
            let rows = client.query(&statement, &[&position]).await.unwrap();
            position = rows.last().unwrap().get(0);
            count += rows.len();
            total += rows.iter().map(sum).sum::<usize>();
        }
        std::hint::black_box(total);
        count
    }
}

fn sum(row: &tokio_postgres::Row) -> usize {
    let (stream, kind, payload): (&str, &str, &[u8]) = (row.get(1), row.get(4), row.get(5));
    let (id, time): (Uuid, i64) = (row.get(3), row.get(7));
    std::hint::black_box((id, time, row.get::<_, i64>(0), row.get::<_, i64>(2), row.get::<_, &[u8]>(6)));
    stream.len() + kind.len() + payload.len()
}

#[derive(Clone)]
enum Way {
    Store(PostgresStore),
    Hand(ByHand),
    Steps(ByHand),
}

impl Way {
    async fn append(&self, stream: &str, expected: u64) {
        match self {
            Way::Store(store) => {
                let name = StreamName::new(stream).unwrap();
                let event = NewEvent::new(EventType::new("Noted").unwrap(), PAYLOAD);
                let expected = ExpectedVersion::Exact(Version::new(expected));
                store.append(&name, expected, vec![event]).await.unwrap();
            }
            Way::Hand(hand) => hand.append(stream, expected as i64).await,
            Way::Steps(hand) => hand.append_in_steps(stream, expected as i64).await,
        }
    }

    async fn read_stream(&self, stream: &str) -> usize {
        match self {
            Way::Store(store) => {
                let read = ReadStream::new(&StreamName::new(stream).unwrap());
                let events = store.read_stream(read).await.unwrap();
                events.iter().map(|event| event.payload_slice().len()).sum()
            }
            Way::Hand(hand) | Way::Steps(hand) => hand.read_stream(stream).await,
        }
    }
}

struct Turn {
    done: u64,
    elapsed: Duration,
    latencies: Vec<u64>,
}

/// Lets so many tasks work for this long.
async fn turn<F: Future<Output = ()> + Send>(
    writers: usize,
    time: Duration,
    work: impl Fn(usize, u64) -> F + Clone + Send + Sync + 'static,
) -> Turn {
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let begin = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let (stop, done, work) = (stop.clone(), done.clone(), work.clone());
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let begin = Instant::now();
                    work(writer, number).await;
                    latencies.push(begin.elapsed().as_micros() as u64);
                    done.fetch_add(1, Ordering::Relaxed);
                }
                latencies
            })
        })
        .collect();
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let (done, elapsed) = (done.load(Ordering::Relaxed), begin.elapsed());
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.unwrap());
    }
    Turn { done, elapsed, latencies }
}

fn report(what: &str, name: &str, turns: &mut [Turn]) -> f64 {
    let mut rates: Vec<f64> = turns.iter().map(|turn| turn.done as f64 / turn.elapsed.as_secs_f64()).collect();
    rates.sort_by(f64::total_cmp);
    let mut latencies: Vec<u64> = turns.iter_mut().flat_map(|turn| std::mem::take(&mut turn.latencies)).collect();
    latencies.sort_unstable();
    let at = |part: f64| latencies.get((latencies.len() as f64 * part) as usize).copied().unwrap_or_default();
    let median = rates[rates.len() / 2];
    println!("{what:<22} {name:<16} {median:>9.0}/s   p50 {:>6} us   p99 {:>6} us", at(0.5), at(0.99));
    median
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<f64>().ok());
    let time = Duration::from_secs_f64(arguments.next().unwrap_or(2.0));
    let rounds = arguments.next().unwrap_or(5.0) as usize;
    let server = server::Postgres::shared();
    let address = server.database();
    let store = PostgresStore::connect(&address).unwrap();
    let hand = ByHand::new(&address);
    let ways = [
        ("store", Way::Store(store.clone())),
        ("by hand", Way::Hand(hand.clone())),
        ("by hand, steps", Way::Steps(hand.clone())),
    ];
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for writers in [1, 16, 64] {
            let mut turns: Vec<Vec<Turn>> = ways.iter().map(|_| Vec::new()).collect();
            for round in 0..rounds {
                for (number, (_, way)) in ways.iter().enumerate() {
                    let (way, mark) = (way.clone(), format!("{writers}-{round}-{number}"));
                    let append = move |writer, count: u64| {
                        let (way, stream) = (way.clone(), format!("s-{mark}-{writer}-{}", count / IN_STREAM));
                        async move { way.append(&stream, count % IN_STREAM).await }
                    };
                    turns[number].push(turn(writers, time, append).await);
                }
            }
            compare(&format!("append, {writers} writers"), &ways, &mut turns);
        }
        let mut turns: Vec<Vec<Turn>> = ways.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds {
            for (number, (_, way)) in ways.iter().enumerate().take(2) {
                let way = way.clone();
                let read = move |_, count: u64| {
                    let (way, stream) = (way.clone(), format!("s-1-0-0-0-{}", count % 20));
                    async move { assert!(way.read_stream(&stream).await > 0) }
                };
                turns[number].push(turn(16, time, read).await);
            }
        }
        compare("stream read, 16", &ways[..2], &mut turns[..2]);
        catch_up(&store, &hand, rounds).await;
    });
}

fn compare(what: &str, ways: &[(&str, Way)], turns: &mut [Vec<Turn>]) {
    let rates: Vec<f64> = ways.iter().zip(turns).map(|((name, _), turns)| report(what, name, turns)).collect();
    println!("{what:<22} {:<16} {:>9.2}", "store / by hand", rates[0] / rates[1]);
}

/// The whole log, by a subscription and page by page.
async fn catch_up(store: &PostgresStore, hand: &ByHand, rounds: usize) {
    let mut stored = 0;
    let mut read = ReadAll::after(Position::START);
    loop {
        let page = store.read_all(read.clone()).await.unwrap();
        let Some(last) = page.last() else { break };
        (stored, read.after) = (stored + page.len(), last.position());
    }
    let (mut own, mut others): (Vec<Turn>, Vec<Turn>) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let begin = Instant::now();
        let mut subscription = store.subscribe(Subscribe::new()).await.unwrap();
        let mut total = 0;
        for _ in 0..stored {
            total += subscription.next().await.unwrap().payload_slice().len();
        }
        std::hint::black_box(total);
        own.push(Turn { done: stored as u64, elapsed: begin.elapsed(), latencies: Vec::new() });
        let begin = Instant::now();
        let done = hand.read_all(stored).await as u64;
        others.push(Turn { done, elapsed: begin.elapsed(), latencies: Vec::new() });
    }
    let rates = [report("catch up", "store", &mut own), report("catch up", "by hand", &mut others)];
    println!("{:<22} {:<16} {:>9.2}", "catch up", "store / by hand", rates[0] / rates[1]);
}
