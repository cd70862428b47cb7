//! The news that the server shuts down, for everybody who has to end.

use tokio::sync::watch;

/// Who spreads the news.
#[derive(Debug)]
pub(super) struct ShutDown(watch::Sender<bool>);

/// Who waits for it.
#[derive(Clone, Debug)]
pub(super) struct Shutdown(watch::Receiver<bool>);

/// Both ends.
pub(super) fn channel() -> (ShutDown, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (ShutDown(sender), Shutdown(receiver))
}

impl ShutDown {
    pub(super) fn now(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Whether it does.
    pub(super) fn is_now(&self) -> bool {
        *self.0.borrow()
    }

    /// Ready when the server shuts down, or is gone.
    pub(super) async fn wait(&mut self) {
        let _ = self.0.wait_for(|down| *down).await;
    }
}
