//! A network that loses connections, answers, and everything.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

use factlog::{
    Error, EventStore, ExpectedVersion, NewEvent,
    backend::postgres::{PostgresOptions, PostgresStore},
    block_on,
};

use crate::{
    postgres::Postgres,
    support::{LONG, append, event, patient, stream, subscribe, text, whole_log},
};

/// What the network does with what the server says.
#[derive(Clone, Copy, PartialEq)]
enum Network {
    Whole,
    /// The next answer is lost with its connection, and then it is whole again.
    LosesOne,
    /// Every answer is lost with its connection.
    LosesAll,
    /// Nothing comes through, and nothing is said about it.
    Silent,
}

struct Proxy {
    address: String,
    network: Arc<(Mutex<Network>, Condvar)>,
}

impl Proxy {
    /// In front of the server of this database.
    fn new(database: &str, server: &Postgres) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, behind) = (listener.local_addr().unwrap().port(), server.port());
        let network = Arc::new((Mutex::new(Network::Whole), Condvar::new()));
        let modes = network.clone();
        // It ends with the process.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", behind)) else { continue };
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let modes = modes.clone();
                thread::spawn(move || pump(client, server, |_| true));
                thread::spawn(move || pump(back.0, back.1, |_| said(&modes)));
            }
        });
        Proxy { address: database.replace(&format!(":{behind}/"), &format!(":{port}/")), network }
    }

    fn set(&self, network: Network) {
        *self.network.0.lock().unwrap() = network;
        self.network.1.notify_all();
    }

    fn store(&self, time: Duration) -> PostgresStore {
        PostgresOptions::new(&self.address).unwrap().connect_time(LONG).request_time(time).connect().unwrap()
    }
}

/// Whether an answer comes through.
fn said((network, changed): &(Mutex<Network>, Condvar)) -> bool {
    let mut network = changed.wait_while(network.lock().unwrap(), |network| *network == Network::Silent).unwrap();
    match *network {
        Network::LosesOne => {
            *network = Network::Whole;
            false
        }
        Network::LosesAll => false,
        Network::Whole | Network::Silent => true,
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, passes: impl Fn(&[u8]) -> bool) {
    let mut buffer = [0; 1 << 16];
    while let Ok(read) = from.read(&mut buffer)
        && read > 0
        && passes(&buffer[..read])
        && to.write_all(&buffer[..read]).is_ok()
    {}
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn again(store: &PostgresStore, events: &[NewEvent]) -> factlog::Result<factlog::Appended> {
    block_on(store.append(&stream("a"), ExpectedVersion::Any, events.to_vec()))
}

#[test]
fn an_append_whose_answer_was_lost_is_made_again_and_stored_once() {
    let server = Postgres::shared();
    let proxy = Proxy::new(&server.database(), server);
    let store = proxy.store(LONG);
    append(&store, "a", "first").unwrap();
    for round in 0..10 {
        proxy.set(Network::LosesOne);
        let appended = append(&store, "a", &round.to_string()).unwrap();
        assert_eq!(appended.version.get(), round + 2);
    }
    assert_eq!(whole_log(&store).len(), 11);
}

#[test]
fn an_append_that_is_never_answered_is_unknown_and_the_same_again_finds_out() {
    let server = Postgres::shared();
    let database = server.database();
    let proxy = Proxy::new(&database, server);
    let beside = patient(&database);
    let mut heard = subscribe(&beside);
    for network in [Network::LosesAll, Network::Silent] {
        let events = [event("x")];
        // The connection may be lost before the append is on its way: then nothing was stored.
        loop {
            let store = proxy.store(Duration::from_secs(2));
            let before = append(&store, "a", "before").unwrap().version;
            // Others are told of it behind its answer, over the connection that is to be lost only with the next append.
            while block_on(heard.next()).unwrap().version() < before {}
            proxy.set(network);
            let error = again(&store, &events).unwrap_err();
            let read = block_on(store.stream_version(&stream("a"))).unwrap_err();
            assert!(matches!(&read, Error::Unavailable { .. }), "{read}");
            proxy.set(Network::Whole);
            match error {
                Error::OutcomeUnknown { .. } => break,
                Error::Unavailable { .. } => {
                    assert_eq!(block_on(beside.stream_version(&stream("a"))).unwrap(), before);
                }
                other => panic!("{other}"),
            }
        }
        let first_answer = again(&beside, &events).unwrap();
        assert_eq!(again(&proxy.store(LONG), &events).unwrap(), first_answer);
        let stored = crate::support::events(&beside, "a");
        assert_eq!(stored.iter().filter(|stored| stored.id() == events[0].id).count(), 1);
    }
}

#[test]
fn a_subscription_goes_on_over_as_many_connections_as_it_takes() {
    let server = Postgres::shared();
    let database = server.database();
    let proxy = Proxy::new(&database, server);
    let (store, beside) = (proxy.store(LONG), patient(&database));
    let mut subscription = subscribe(&store);
    for round in 0..20 {
        let payload = round.to_string();
        proxy.set([Network::LosesOne, Network::Whole][round % 2]);
        append(&beside, "a", &payload).unwrap();
        assert_eq!(text(&block_on(subscription.next()).unwrap()), payload);
    }
}
