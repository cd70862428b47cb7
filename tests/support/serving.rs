//! A store behind a server in a thread of its own, for tests that run on every kind of store.

use std::thread::{self, JoinHandle};

use factlog::{
    Store,
    client::Client,
    server::{Server, ServerOptions},
};
use tokio::{runtime::Builder, sync::oneshot};

/// Serves a store for as long as it is there.
pub struct Serving {
    url: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    pub fn new(store: Store) -> Serving {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let server = {
            let _inside = runtime.enter();
            Server::bind(store, "127.0.0.1:0".parse().unwrap(), ServerOptions::new()).unwrap()
        };
        let url = format!("tcp://{}", server.address());
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            runtime.block_on(server.run(async {
                let _ = stopped.await;
            }));
        });
        Serving { url, stop: Some(stop), thread: Some(thread) }
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.url).unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().into_iter().for_each(|thread| thread.join().unwrap());
    }
}
