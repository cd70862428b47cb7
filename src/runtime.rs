//! A runtime of one's own, for stores that are reached over a network: one thread that reads, writes and connects, so that their
//! futures can be awaited on any runtime, or none.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// A runtime that ends when this is dropped, without waiting for what it does.
#[derive(Debug)]
pub(crate) struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    /// Starts its thread, under this name.
    pub(crate) fn start(name: &'static str) -> io::Result<OwnRuntime> {
        Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(name)
            .enable_all()
            .build()
            .map(|runtime| OwnRuntime(Some(runtime)))
    }

    /// Begins a task that nobody waits for.
    #[cfg(any(feature = "client", feature = "jetstream"))]
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let OwnRuntime(Some(runtime)) = self {
            runtime.spawn(task);
        }
    }

    /// Begins a task now. What is returned can be awaited anywhere; dropping it does not end the task. `None` when the runtime has
    /// ended before the task did.
    #[cfg(any(feature = "postgres", feature = "jetstream"))]
    pub(crate) fn run<T, F>(&self, task: F) -> impl Future<Output = Option<T>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let running = self.0.as_ref().map(|runtime| runtime.spawn(task));
        async move { running?.await.ok() }
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
