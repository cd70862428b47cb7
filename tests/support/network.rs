//! A network between a client and a server that loses connections, answers, and everything.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

/// What the network does.
#[derive(Clone, Copy, PartialEq)]
pub enum Network {
    Whole,
    /// The next answer is lost with its connection, and then it is whole again.
    LosesOne,
    /// Every answer is lost with its connection.
    LosesAll,
    /// No answer comes through, and nothing is said about it.
    Silent,
    /// There are no connections, and no new ones can be made.
    Cut,
}

struct State {
    network: Network,
    /// Of each connection both ends.
    connections: Vec<[TcpStream; 2]>,
    /// What is sent on the first so many connections is on its way, and stays there.
    held: usize,
}

type Shared = Arc<(Mutex<State>, Condvar)>;

/// In front of a server on the loopback, at a port of its own.
pub struct Proxy {
    pub port: u16,
    shared: Shared,
}

impl Proxy {
    pub fn new(server: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State { network: Network::Whole, connections: Vec::new(), held: 0 };
        let shared: Shared = Arc::new((Mutex::new(state), Condvar::new()));
        let accepting = shared.clone();
        // It ends with the process.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut state = accepting.0.lock().unwrap();
                if state.network == Network::Cut {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                // A proxy must not be what makes small messages wait for each other.
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let number = state.connections.len();
                let back = [server.try_clone().unwrap(), client.try_clone().unwrap()];
                state.connections.push([server.try_clone().unwrap(), client.try_clone().unwrap()]);
                let (asks, answers) = (accepting.clone(), accepting.clone());
                thread::spawn(move || pump(client, server, || asked(&asks, number)));
                let [server, client] = back;
                thread::spawn(move || pump(server, client, || answered(&answers)));
            }
        });
        Proxy { port, shared }
    }

    /// Loses the network for so long.
    pub fn lose(&self, network: Network, time: Duration) {
        self.set(network);
        thread::sleep(time);
        self.set(Network::Whole);
    }

    /// Ways of losing it in the middle of appends, each for so long that everybody notices.
    pub fn losses(&self) -> Vec<Box<dyn FnMut() + '_>> {
        let lost = |network| Box::new(move || self.lose(network, Duration::from_millis(500))) as Box<dyn FnMut() + '_>;
        [Network::Cut, Network::LosesAll, Network::Silent].into_iter().map(lost).collect()
    }

    pub fn set(&self, network: Network) {
        let mut state = self.shared.0.lock().unwrap();
        state.network = network;
        if network == Network::Cut {
            state.connections.iter().flatten().for_each(|socket| {
                let _ = socket.shutdown(Shutdown::Both);
            });
        }
        self.shared.1.notify_all();
    }

    /// What clients send on the connections that are there now is on its way, until it is let go. Later connections are not slow.
    pub fn hold(&self) {
        let mut state = self.shared.0.lock().unwrap();
        state.held = state.connections.len();
    }

    /// From which ports it has connected to the server.
    pub fn ports(&self) -> Vec<u16> {
        let state = self.shared.0.lock().unwrap();
        state.connections.iter().filter_map(|[server, _]| Some(server.local_addr().ok()?.port())).collect()
    }

    pub fn let_go(&self) {
        self.shared.0.lock().unwrap().held = 0;
        self.shared.1.notify_all();
    }
}

/// Whether what a client sent comes through, which it does when it is let go.
fn asked((state, changed): &(Mutex<State>, Condvar), number: usize) -> bool {
    drop(changed.wait_while(state.lock().unwrap(), |state| number < state.held).unwrap());
    true
}

/// Whether an answer comes through.
fn answered((state, changed): &(Mutex<State>, Condvar)) -> bool {
    let mut state = changed.wait_while(state.lock().unwrap(), |state| state.network == Network::Silent).unwrap();
    match state.network {
        Network::LosesOne => {
            state.network = Network::Whole;
            false
        }
        Network::LosesAll | Network::Cut => false,
        Network::Whole | Network::Silent => true,
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, passes: impl Fn() -> bool) {
    let mut buffer = [0; 1 << 16];
    while let Ok(read) = from.read(&mut buffer)
        && read > 0
        && passes()
        && to.write_all(&buffer[..read]).is_ok()
    {}
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
