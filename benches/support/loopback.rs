//! Servers on loopback: factlog's, and bare ones that answer so many bytes with so many.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
};

use factlog::{
    Store,
    client::Client,
    server::{Server, ServerOptions},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::{Builder, Runtime},
    sync::oneshot,
};

fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// A runtime like the one that `factlog serve` runs on.
fn runtime() -> Runtime {
    Builder::new_multi_thread().enable_all().build().unwrap()
}

/// A store that is served by a runtime of its own.
pub struct Served {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Served {
    pub fn new(store: &Store) -> Served {
        let runtime = runtime();
        let (stop, stopped) = oneshot::channel();
        let server = {
            let _inside = runtime.enter();
            Server::bind(store.clone(), any_port(), ServerOptions::new()).unwrap()
        };
        let address = server.address();
        let run = move || {
            runtime.block_on(server.run(async {
                let _ = stopped.await;
            }));
        };
        Served { address, stop: Some(stop), thread: Some(thread::spawn(run)) }
    }

    pub fn client(&self) -> Client {
        Client::connect(&format!("tcp://{}", self.address)).unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().unwrap().join();
    }
}

/// How many bytes a request has, and how many its answer.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub request: usize,
    pub answer: usize,
}

/// A server that answers each request's bytes with as many as an answer has, by a task for each connection. Ends with the runtime.
pub struct Echo {
    address: SocketAddr,
    sizes: Sizes,
    _runtime: Runtime,
}

impl Echo {
    pub fn new(sizes: Sizes) -> Echo {
        let runtime = runtime();
        let listener = runtime.block_on(tokio::net::TcpListener::bind(any_port())).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(echo(stream, sizes));
            }
        });
        Echo { address, sizes, _runtime: runtime }
    }

    pub fn connect(&self) -> Rounds {
        Rounds::new(TcpStream::connect(self.address).unwrap(), self.sizes)
    }
}

async fn echo(mut stream: tokio::net::TcpStream, sizes: Sizes) {
    stream.set_nodelay(true).unwrap();
    let (mut buffer, mut answers, mut rest) = (vec![0; 64 << 10], Vec::new(), 0);
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        rest += read;
        answers.resize(rest / sizes.request * sizes.answer, 7);
        rest %= sizes.request;
        if stream.write_all(&answers).await.is_err() {
            return;
        }
    }
}

/// The same by a thread, for one connection: nothing answers a lone request sooner.
pub fn lone_echo(sizes: Sizes) -> Rounds {
    let listener = TcpListener::bind(any_port()).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.set_nodelay(true).unwrap();
        let (mut request, answer) = (vec![0; sizes.request], vec![7; sizes.answer]);
        while stream.read_exact(&mut request).is_ok() && stream.write_all(&answer).is_ok() {}
    });
    Rounds::new(TcpStream::connect(address).unwrap(), sizes)
}

/// A connection to a bare server.
pub struct Rounds {
    stream: TcpStream,
    sizes: Sizes,
    requests: Vec<u8>,
    answers: Vec<u8>,
    /// Bytes of an answer that has come in part.
    rest: usize,
}

impl Rounds {
    fn new(stream: TcpStream, sizes: Sizes) -> Rounds {
        stream.set_nodelay(true).unwrap();
        Rounds { stream, sizes, requests: Vec::new(), answers: vec![0; 64 << 10], rest: 0 }
    }

    /// Sends so many requests at once.
    pub fn send(&mut self, requests: usize) {
        self.requests.resize(requests * self.sizes.request, 7);
        self.stream.write_all(&self.requests).unwrap();
    }

    /// Takes the answers that are there, one at least.
    pub fn receive(&mut self) -> usize {
        while self.rest < self.sizes.answer {
            let read = self.stream.read(&mut self.answers).unwrap();
            assert_ne!(read, 0, "the server is there as long as its clients");
            self.rest += read;
        }
        let answers = self.rest / self.sizes.answer;
        self.rest %= self.sizes.answer;
        answers
    }

    /// One there and back.
    pub fn round(&mut self) {
        self.send(1);
        assert_eq!(self.receive(), 1);
    }
}

/// Copies so many bytes over loopback, in pieces of 64 KiB, and is there when the last has come.
pub fn copy(bytes: usize) {
    const PIECE: usize = 64 << 10;
    let listener = TcpListener::bind(any_port()).unwrap();
    let address = listener.local_addr().unwrap();
    let sending = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let piece = vec![7; PIECE];
        let mut left = bytes;
        while left > 0 {
            let some = left.min(PIECE);
            stream.write_all(&piece[..some]).unwrap();
            left -= some;
        }
    });
    let (mut stream, mut piece, mut left) = (TcpStream::connect(address).unwrap(), vec![0; PIECE], bytes);
    while left > 0 {
        left -= stream.read(&mut piece).unwrap();
    }
    sending.join().unwrap();
}
