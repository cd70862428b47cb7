//! Every store of the crate keeps the contract of the trait.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod memory {
    use factlog::{
        MemoryStore,
        testing::conformance::{Suite, conformance_tests},
    };

    conformance_tests!(Suite::new(MemoryStore::new()));
}

mod embedded {
    use factlog::{
        Options,
        testing::conformance::{Suite, conformance_tests},
    };
    use tempfile::TempDir;

    /// Segments so small that they are begun and ended all the time.
    fn suite() -> Suite {
        let directory = TempDir::new().unwrap();
        let options = Options::new().first_segment_bytes(8 << 10).segment_bytes(32 << 10);
        Suite::new(options.open(directory.path()).unwrap()).keeping(directory)
    }

    conformance_tests!(suite());
}

#[cfg(all(feature = "server", feature = "client"))]
mod client {
    use std::thread::{self, JoinHandle};

    use factlog::{
        Options,
        client::ClientOptions,
        server::{Server, ServerOptions},
        testing::conformance::{Suite, conformance_tests},
    };
    use tempfile::TempDir;
    use tokio::{runtime::Builder, sync::oneshot};

    /// A server in a thread of its own, for as long as this is there.
    struct Served {
        stop: Option<oneshot::Sender<()>>,
        thread: Option<JoinHandle<()>>,
        #[allow(dead_code, reason = "it is removed behind the server")]
        directory: TempDir,
    }

    impl Drop for Served {
        fn drop(&mut self) {
            drop(self.stop.take());
            self.thread.take().into_iter().for_each(|thread| thread.join().unwrap());
        }
    }

    fn suite() -> Suite {
        let directory = TempDir::new().unwrap();
        let options = Options::new().first_segment_bytes(8 << 10).segment_bytes(32 << 10);
        let store = options.open(directory.path()).unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let server = {
            let _inside = runtime.enter();
            Server::bind(store, "127.0.0.1:0".parse().unwrap(), ServerOptions::new()).unwrap()
        };
        let address = format!("tcp://{}", server.address());
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            runtime.block_on(server.run(async {
                let _ = stopped.await;
            }));
        });
        let served = Served { stop: Some(stop), thread: Some(thread), directory };
        Suite::new(ClientOptions::new(&address).unwrap().connect().unwrap()).keeping(served)
    }

    conformance_tests!(suite());
}
