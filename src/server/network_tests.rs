//! Server and client over a simulated network, by [turmoil](https://docs.rs/turmoil): time is simulated, messages take as long as chance says,
//! and links are cut, held and repaired. A segment that is lost is never sent again there, so a cut leaves connections that nobody has closed
//! and on which nothing comes any more.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};
use turmoil::{
    Builder, Sim,
    net::{TcpListener, TcpStream},
};

use super::{
    line::Line,
    listener::{common, serve_all},
    network::{Incoming, Transport},
    options::ServerOptions,
    reader::Source,
    writer::Sink,
};
use crate::{
    client::{self, Client, ClientOptions, Network},
    disk::sim::{Chance, SimDisk},
    error::Error,
    event::{EventType, NewEvent, StreamName},
    event_store::{CursorName, EventStore, EventSubscription, ReadAll, ReadStream, Subscribe},
    store::{Options, Store},
    version::{ExpectedVersion, Position, Version},
};

const PORT: u16 = 4433;

struct Simulated;

impl Transport for TcpStream {
    fn halves(self) -> (Source, Sink, Option<Line>) {
        let (source, sink) = self.into_split();
        (Box::new(source), Box::new(sink), None)
    }
}

impl Incoming for TcpListener {
    type Transport = TcpStream;

    async fn next(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.accept().await
    }
}

impl Network for Simulated {
    type Transport = TcpStream;

    async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        TcpStream::connect((host, port)).await
    }

    fn halves(stream: TcpStream) -> io::Result<(client::Source, client::Sink, Option<client::Socket>)> {
        let (source, sink) = stream.into_split();
        Ok((Box::new(source), Box::new(sink), None))
    }
}

/// A client that finds out within a second that nothing comes any more.
fn options() -> ClientOptions {
    let pauses = (Duration::from_millis(10), Duration::from_millis(200));
    let options = ClientOptions::new(&format!("tcp://server:{PORT}")).unwrap().pauses(pauses.0, pauses.1);
    options.ping_time(Duration::from_millis(300)).connect_time(Duration::from_secs(1)).window(2_000)
}

fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

fn event(number: u64) -> NewEvent {
    NewEvent::new(EventType::new("Noted").unwrap(), number.to_string().into_bytes())
}

fn store() -> Store {
    Options::new().open_on(Arc::new(SimDisk::with_threads()), Path::new("/store")).unwrap()
}

/// A simulation in which a host `server` serves this store. It can be crashed and begun again.
fn simulation<'a>(seed: u64, store: &Store, options: ServerOptions) -> Sim<'a> {
    let mut sim = Builder::new()
        .rng_seed(seed)
        .simulation_duration(Duration::from_secs(3600))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(40))
        .tcp_capacity(4096)
        .build();
    let store = store.clone();
    sim.host("server", move || {
        let (store, options) = (store.clone(), options.clone());
        async move {
            let address = SocketAddr::from(([0, 0, 0, 0], PORT));
            let (common, down) = common(store, address, options);
            let listener = TcpListener::bind(address).await?;
            serve_all(listener, &common, down, std::future::pending()).await;
            Ok(())
        }
    });
    sim
}

/// Connects, however often it takes.
async fn connected(options: ClientOptions) -> Client {
    loop {
        match Client::simulated(Simulated, options.clone()).await {
            Ok(client) => return client,
            Err(Error::Unavailable { .. }) => sleep(Duration::from_millis(50)).await,
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Appends so many events, one behind the other, each until it is acknowledged.
async fn write(name: &'static str, count: u64, acknowledged: Arc<AtomicU64>) -> turmoil::Result {
    let client = connected(options().request_time(Duration::from_secs(3))).await;
    for number in 0..count {
        let events = vec![event(number)];
        // With and without a condition.
        let expected = if number % 2 == 0 { ExpectedVersion::Any } else { Version::new(number).into() };
        let appended = loop {
            match EventStore::append(&client, &stream(name), expected, events.clone()).await {
                Ok(appended) => break appended,
                // The same again, under the same ids.
                Err(Error::OutcomeUnknown { .. } | Error::Unavailable { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        };
        assert_eq!(appended.version, Version::new(number + 1));
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Takes so many events of a subscription, and acknowledges some of them: each once, in order, whatever happens to connections.
async fn follow(count: u64, seen: Arc<AtomicU64>) -> turmoil::Result {
    let client = connected(options()).await;
    let mailer = || Subscribe::new().cursor(CursorName::new("mailer").unwrap());
    let mut subscription = loop {
        match client.subscribe_async(mailer()).await {
            Ok(subscription) => break subscription,
            Err(Error::Unavailable { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    };
    for number in 1..=count {
        let event = EventSubscription::next(&mut subscription).await?;
        assert_eq!(event.position(), Position::new(number));
        seen.fetch_add(1, Ordering::Relaxed);
        if number % 7 == 0 {
            // Not acknowledged for lack of a connection: a later one is.
            let _ = subscription.acknowledge_async(event.position()).await;
        }
    }
    while subscription.acknowledge_async(Position::new(count)).await.is_err() {}
    Ok(())
}

const HOSTS: [&str; 4] = ["writer-1", "writer-2", "writer-3", "subscriber"];
const EVENTS: u64 = 100;

/// What is done to the links, and how often each was.
#[derive(Debug, Default)]
struct Done {
    cut: u64,
    cut_one_way: u64,
    held: u64,
    crashed: u64,
}

/// Lets writers and a subscriber work while links fail, and holds what the store has against what they know.
fn disturbed(seed: u64) -> Done {
    let store = store();
    let mut sim = simulation(seed, &store, ServerOptions::new().idle_time(Duration::from_secs(5)));
    let (acknowledged, seen) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    for name in &HOSTS[..3] {
        sim.client(*name, write(name, EVENTS, acknowledged.clone()));
    }
    sim.client(HOSTS[3], follow(3 * EVENTS, seen.clone()));
    let (mut chance, mut done) = (Chance::seeded(seed), Done::default());
    let mut next = Duration::ZERO;
    while !sim.step().unwrap() {
        if sim.elapsed() < next {
            continue;
        }
        // All is well for a while, then one link or all of them are not.
        let host = HOSTS[chance.below(4) as usize];
        match (next == Duration::ZERO, chance.below(6)) {
            (true, _) => {}
            (_, 0 | 1) => {
                sim.partition(host, "server");
                done.cut += 1;
            }
            (_, 2) => {
                sim.partition_oneway("server", host);
                done.cut_one_way += 1;
            }
            (_, 3) => {
                sim.hold(host, "server");
                done.held += 1;
            }
            (_, 4) => {
                sim.crash("server");
                sim.bounce("server");
                done.crashed += 1;
            }
            _ => {
                HOSTS.iter().for_each(|host| sim.partition(*host, "server"));
                done.cut += 1;
            }
        }
        let until = sim.elapsed() + Duration::from_millis(50 + chance.below(2_000));
        while sim.elapsed() < until {
            if sim.step().unwrap() {
                break;
            }
        }
        for host in HOSTS {
            sim.repair(host, "server");
            sim.release(host, "server");
        }
        next = sim.elapsed() + Duration::from_millis(50 + chance.below(500));
    }
    assert_eq!(acknowledged.load(Ordering::Relaxed), 3 * EVENTS);
    assert_eq!(seen.load(Ordering::Relaxed), 3 * EVENTS);
    for name in &HOSTS[..3] {
        let payloads: Vec<_> = store.read_stream(&stream(name)).map(|event| event.unwrap().payload()).collect();
        let expected: Vec<_> = (0..EVENTS).map(|number| number.to_string()).collect();
        assert_eq!(payloads, expected, "{name}");
    }
    assert_eq!(store.last_position(), Position::new(3 * EVENTS));
    assert_eq!(store.cursor(&CursorName::new("mailer").unwrap()).unwrap().position(), Position::new(3 * EVENTS));
    done
}

#[test]
fn whatever_happens_to_links_each_acknowledged_append_is_there_once_and_a_subscriber_misses_nothing() {
    let first = std::env::var("NETWORK_SEED").map_or(1, |seed| seed.parse().unwrap());
    let runs = std::env::var("NETWORK_RUNS").map_or(5, |runs| runs.parse().unwrap());
    let mut all = Done::default();
    for seed in first..first + runs {
        println!("seed {seed}");
        let done = disturbed(seed);
        all.cut += done.cut;
        all.cut_one_way += done.cut_one_way;
        all.held += done.held;
        all.crashed += done.crashed;
    }
    println!("{runs} runs: {all:?}");
    // Fewer would show little.
    assert!(all.cut >= runs && all.cut_one_way + all.held + all.crashed >= runs, "{all:?}");
}

#[test]
fn without_a_way_to_the_server_everything_ends_within_its_time() {
    let store = store();
    store.append(&stream("a"), ExpectedVersion::Any, vec![event(1)]).unwrap();
    let mut sim = simulation(7, &store, ServerOptions::new());
    sim.client("writer-1", async {
        let limit = Duration::from_secs(4);
        let client = connected(options().request_time(limit)).await;
        EventStore::last_position(&client).await?;
        turmoil::partition("writer-1", "server");
        let begun = Instant::now();
        let appended = EventStore::append(&client, &stream("a"), ExpectedVersion::Any, vec![event(2)]).await;
        assert!(matches!(appended, Err(Error::OutcomeUnknown { .. })), "{appended:?}");
        assert!(begun.elapsed() < limit * 2, "{:?}", begun.elapsed());
        // The loss is known by now: what is asked from here on is not sent, and is not stored.
        let begun = Instant::now();
        let appended = EventStore::append(&client, &stream("a"), ExpectedVersion::Any, vec![event(3)]).await;
        assert!(matches!(appended, Err(Error::Unavailable { .. })), "{appended:?}");
        let read = EventStore::read_stream(&client, ReadStream::new(&stream("a"))).await;
        assert!(matches!(read, Err(Error::Unavailable { .. })), "{read:?}");
        let many = client.read(ReadAll::after(Position::START)).next_async().await;
        assert!(matches!(many, Some(Err(Error::Unavailable { .. }))), "{many:?}");
        let subscribed = client.subscribe_async(Subscribe::new()).await;
        assert!(matches!(subscribed, Err(Error::Unavailable { .. })), "{subscribed:?}");
        assert!(begun.elapsed() < limit * 5, "{:?}", begun.elapsed());
        let begun = Instant::now();
        let another = Client::simulated(Simulated, options()).await;
        assert!(matches!(another, Err(Error::Unavailable { .. })));
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        Ok(())
    });
    sim.run().unwrap();
    assert!(store.last_position() <= Position::new(2));
}

#[test]
fn a_read_of_which_nothing_comes_any_more_ends_within_its_time_though_the_server_is_there() {
    let store = store();
    let large = || NewEvent::new(EventType::new("Noted").unwrap(), vec![0; 400 << 10]);
    store.append(&stream("a"), ExpectedVersion::Any, (0..8).map(|_| large()).collect()).unwrap();
    let mut sim = simulation(7, &store, ServerOptions::new());
    sim.client("reader", async {
        // It takes the silence for one of the server's only much later.
        let limit = Duration::from_secs(4);
        let client = connected(options().request_time(limit).ping_time(Duration::from_secs(600))).await;
        let mut read = client.read(ReadAll::after(Position::START));
        read.next_async().await.unwrap()?;
        turmoil::partition_oneway("server", "reader");
        let begun = Instant::now();
        let error = loop {
            match read.next_async().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break error,
                None => panic!("all of it came"),
            }
        };
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        assert!(begun.elapsed() >= limit / 2 && begun.elapsed() < limit * 2, "{:?}", begun.elapsed());
        Ok(())
    });
    sim.run().unwrap();
}

#[test]
fn connections_that_nobody_closed_are_given_up_by_the_server_within_its_time() {
    let store = store();
    let metrics = Arc::new(super::metrics::Metrics::new());
    let mut sim = Builder::new().rng_seed(3).simulation_duration(Duration::from_secs(600)).build();
    let (served, counting) = (store.clone(), metrics.clone());
    sim.host("server", move || {
        let (store, metrics) = (served.clone(), counting.clone());
        async move {
            let address = SocketAddr::from(([0, 0, 0, 0], PORT));
            let options =
                ServerOptions::new().handshake_time(Duration::from_secs(2)).idle_time(Duration::from_secs(20));
            let (mut common, down) = common(store, address, options);
            common.metrics = metrics;
            let listener = TcpListener::bind(address).await?;
            serve_all(listener, &common, down, std::future::pending()).await;
            Ok(())
        }
    });
    let seen = metrics.clone();
    sim.client("client", async move {
        let silent = TcpStream::connect(("server", PORT)).await?;
        let client = connected(options().ping_time(Duration::from_secs(600))).await;
        EventStore::last_position(&client).await?;
        assert_eq!(seen.connections.get(), 2);
        turmoil::partition("client", "server");
        sleep(Duration::from_secs(5)).await;
        assert_eq!(seen.connections.get(), 1, "the one without a hello");
        sleep(Duration::from_secs(25)).await;
        assert_eq!(seen.connections.get(), 0);
        drop((silent, client));
        Ok(())
    });
    sim.run().unwrap();
}
