//! A server on a loopback port of its own, and sockets that speak raw bytes to it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread::JoinHandle,
    time::Duration,
};

use factlog::{
    EventType, NewEvent, Store, StreamName,
    client::{Client, ClientOptions},
    server::{Server, ServerOptions},
};
use tempfile::TempDir;
use tokio::{runtime::Builder, sync::oneshot};

/// Longer than anything here takes: a test that waits so long fails.
pub const LONG: Duration = Duration::from_secs(60);

/// A store that is served by a thread of this process.
pub struct Served {
    pub store: Store,
    pub address: SocketAddr,
    pub http: Option<SocketAddr>,
    pub directory: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Options with time enough for a machine that is busy, and an HTTP port.
pub fn patient() -> ServerOptions {
    ServerOptions::new().handshake_time(LONG).http("127.0.0.1:0".parse().unwrap())
}

/// Status and body of what is answered over HTTP.
pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

impl Served {
    pub fn new() -> Served {
        Served::with(patient())
    }

    pub fn with(options: ServerOptions) -> Served {
        let directory = TempDir::new().unwrap();
        let store = Store::open(directory.path()).unwrap();
        Served::store(store, directory, options, "127.0.0.1:0".parse().unwrap(), || {})
    }

    /// Serves a store at an address; `begun` is called by each thread of the server.
    pub fn store(
        store: Store,
        directory: TempDir,
        options: ServerOptions,
        address: SocketAddr,
        begun: impl Fn() + Send + Sync + 'static,
    ) -> Served {
        let runtime =
            Builder::new_multi_thread().worker_threads(2).on_thread_start(begun).enable_all().build().unwrap();
        let (stop, stopped) = oneshot::channel();
        let server = {
            let _inside = runtime.enter();
            Server::bind(store.clone(), address, options).unwrap()
        };
        let (address, http) = (server.address(), server.http_address());
        let thread = std::thread::spawn(move || {
            runtime.block_on(server.run(async {
                let _ = stopped.await;
            }));
        });
        Served { store, address, http, directory, stop: Some(stop), thread: Some(thread) }
    }

    /// Shuts the server down, and gives the store back.
    pub fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    /// Begins to shut the server down.
    pub fn begin_to_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Serves the same store at the same address again.
    pub fn again(mut self, options: ServerOptions) -> Served {
        self.stop();
        let (store, address) = (self.store.clone(), self.address);
        let directory = std::mem::replace(&mut self.directory, TempDir::new().unwrap());
        Served::store(store, directory, options, address, || {})
    }

    pub fn url(&self) -> String {
        format!("tcp://{}", self.address)
    }

    pub fn options(&self) -> ClientOptions {
        let pauses = (Duration::from_millis(1), Duration::from_millis(20));
        ClientOptions::new(&self.url()).unwrap().pauses(pauses.0, pauses.1).request_time(LONG)
    }

    pub fn client(&self) -> Client {
        self.options().connect().unwrap()
    }

    /// A number that `/metrics` shows.
    pub fn metric(&self, name: &str) -> f64 {
        let (_, text) = get(self.http.unwrap(), "/metrics");
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// How many connections the server has.
    pub fn connections(&self) -> usize {
        self.metric("factlog_connections") as usize
    }

    /// A socket on which nothing was said.
    pub fn socket(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        socket.set_write_timeout(Some(LONG)).unwrap();
        socket
    }

    /// A socket that has said hello.
    pub fn greeted(&self) -> Raw {
        let mut raw = Raw(self.socket());
        raw.send(&preamble());
        raw.send(&frame(1, 1, &text("")));
        let mut answer = [0; 16];
        raw.0.read_exact(&mut answer).unwrap();
        assert_eq!(answer[8..12], [1, 0, 0, 0]);
        let (request, kind, _) = raw.receive().unwrap();
        assert_eq!((request, kind), (1, 0x8001));
        raw
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A socket and the frames on it, written from docs/protocol.md.
pub struct Raw(pub TcpStream);

impl Raw {
    pub fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// Request, kind and body of the next frame; `None` when the connection is closed.
    pub fn receive(&mut self) -> Option<(u64, u16, Vec<u8>)> {
        let mut length = [0; 4];
        if self.0.read_exact(&mut length).is_err() {
            return None;
        }
        let mut rest = vec![0; u32::from_le_bytes(length) as usize];
        self.0.read_exact(&mut rest).ok()?;
        let checksum = u32::from_le_bytes(rest[..4].try_into().unwrap());
        assert_eq!(checksum, crc32fast::hash(&[&length[..], &rest[4..]].concat()));
        let request = u64::from_le_bytes(rest[4..12].try_into().unwrap());
        let kind = u16::from_le_bytes(rest[12..14].try_into().unwrap());
        Some((request, kind, rest[14..].to_vec()))
    }

    /// The code of the error that comes next.
    pub fn error(&mut self) -> Option<(u64, u16)> {
        let (request, kind, body) = self.receive()?;
        assert_eq!(kind, 0x80ff, "{body:?}");
        Some((request, u16::from_le_bytes(body[..2].try_into().unwrap())))
    }

    /// Whether the other side has closed, with everything read that it said.
    pub fn is_closed(&mut self) -> bool {
        while let Some(frame) = self.receive() {
            assert_eq!(frame.1, 0x80ff, "{frame:?}");
        }
        true
    }
}

pub fn preamble() -> Vec<u8> {
    preamble_of(1, 1)
}

pub fn preamble_of(lowest: u16, newest: u16) -> Vec<u8> {
    let mut bytes = b"factwire".to_vec();
    bytes.extend(lowest.to_le_bytes());
    bytes.extend(newest.to_le_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

pub fn frame(request: u64, kind: u16, body: &[u8]) -> Vec<u8> {
    let rest = [&request.to_le_bytes()[..], &kind.to_le_bytes(), body].concat();
    let length = (rest.len() as u32 + 4).to_le_bytes();
    let checksum = crc32fast::hash(&[&length[..], &rest].concat());
    [&length[..], &checksum.to_le_bytes(), &rest].concat()
}

pub fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat()
}

/// The body of an append of one event to a stream, under any condition.
pub fn append_body(stream: &str, event: u128, payload: &[u8]) -> Vec<u8> {
    let mut body = 1u16.to_le_bytes().to_vec();
    body.extend(text(stream));
    body.extend([0; 9]);
    body.extend(1u16.to_le_bytes());
    body.extend(event.to_be_bytes());
    body.extend([0; 9]);
    body.extend(1u16.to_le_bytes());
    body.extend(0u32.to_le_bytes());
    body.extend((payload.len() as u32).to_le_bytes());
    body.extend(b"T");
    body.extend(payload);
    body
}

pub fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

pub fn event(payload: impl Into<Vec<u8>>) -> NewEvent {
    NewEvent::new(EventType::new("Noted").unwrap(), payload.into())
}

/// Waits until something is so. A test that waits too long fails.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + LONG;
    while !so() {
        assert!(std::time::Instant::now() < end, "never: {what}");
        std::thread::yield_now();
    }
}
