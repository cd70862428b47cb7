//! A runtime of one's own, for stores that are reached over a network: one thread that reads, writes and connects, so that their
//! futures can be awaited on any runtime, or none.

use std::io;
#[cfg(any(feature = "jetstream", feature = "postgres"))]
use std::{
    pin::Pin,
    task::{Context, Poll},
};

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
    #[cfg(any(feature = "client", feature = "postgres"))]
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let OwnRuntime(Some(runtime)) = self {
            runtime.spawn(task);
        }
    }

    /// The same future, polled as if this runtime did: no thread but the caller's has to be woken for it.
    #[cfg(any(feature = "jetstream", feature = "postgres"))]
    pub(crate) fn within<'a, T>(&'a self, future: impl Future<Output = T> + Send + 'a) -> Within<'a, T> {
        Within { runtime: self, future: Box::pin(future) }
    }

    /// Begins a task now. What is returned can be awaited anywhere; dropping it does not end the task. `None` when the runtime has
    /// ended before the task did.
    #[cfg(feature = "postgres")]
    pub(crate) fn run<T, F>(&self, task: F) -> impl Future<Output = Option<T>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let running = self.0.as_ref().map(|runtime| runtime.spawn(task));
        async move { running?.await.ok() }
    }
}

/// A future of this runtime, which uses its timers and sockets wherever it is polled.
#[cfg(any(feature = "jetstream", feature = "postgres"))]
pub(crate) struct Within<'a, T> {
    runtime: &'a OwnRuntime,
    future: Pin<Box<dyn Future<Output = T> + Send + 'a>>,
}

#[cfg(any(feature = "jetstream", feature = "postgres"))]
impl<T> Future for Within<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let runtime = self.runtime;
        let _inside = runtime.0.as_ref().map(Runtime::enter);
        self.future.as_mut().poll(context)
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
