//! The client's own runtime: one thread that reads, writes and connects, so that its futures can be awaited on any runtime, or
//! none.

use tokio::runtime::{Builder, Runtime};

use super::address::Address;
use crate::error::{Error, Result};

/// A runtime that ends when this is dropped, without waiting for what it does.
#[derive(Debug)]
pub(super) struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    pub(super) fn start(address: &Address) -> Result<OwnRuntime> {
        let started = Builder::new_multi_thread().worker_threads(1).thread_name("factlog-client").enable_all().build();
        match started {
            Ok(runtime) => Ok(OwnRuntime(Some(runtime))),
            Err(error) => Err(Error::Unavailable {
                server: address.to_string(),
                reason: format!("cannot start a thread for the client: {error}"),
            }),
        }
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let OwnRuntime(Some(runtime)) = self {
            runtime.spawn(task);
        }
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        // It may be dropped by a task of another runtime, which must not wait.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
