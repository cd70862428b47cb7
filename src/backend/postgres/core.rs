//! What handles, subscriptions and tasks of a store share.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use deadpool_postgres::ClientWrapper;
use tokio::sync::Notify;

use super::{
    failure::Failure,
    server::{Kind, Server},
    settled::{self, Looked},
    together::Door,
};
use crate::{error::Result, event_store::Watchers, version::Position};

pub(super) struct Core {
    pub(super) server: Arc<Server>,
    pub(super) door: Door,
    /// All up to here was settled when somebody looked, and stays so.
    settled: AtomicU64,
    /// A page was cut by its bytes: the database is to cut the next ones.
    pub(super) cut: AtomicBool,
    pub(super) watchers: Arc<Watchers>,
    /// Something was appended here: others are to be told.
    pub(super) appended: Notify,
    /// It is time to look at the log.
    pub(super) due: Notify,
    /// Somebody follows the log.
    pub(super) followed: AtomicBool,
}

impl Core {
    pub(super) fn new(server: Server, door: Door) -> Core {
        Core {
            server: Arc::new(server),
            door,
            settled: AtomicU64::new(0),
            cut: AtomicBool::new(false),
            watchers: Arc::default(),
            appended: Notify::new(),
            due: Notify::new(),
            followed: AtomicBool::new(false),
        }
    }

    pub(super) fn settled(&self) -> Position {
        Position::new(self.settled.load(Ordering::SeqCst))
    }

    /// As [`Core::look`], on any connection.
    pub(super) async fn looked(&self) -> Result<Looked> {
        self.server.ask(Kind::Reads, |client| async move { self.look(&client).await }).await
    }

    /// Looks how far the log is settled. What was settled once stays so, though a writer that has just begun may not know it.
    pub(super) async fn look(&self, client: &ClientWrapper) -> Result<Looked, Failure> {
        let looked = settled::look(client, self.server.store).await.map_err(|error| self.server.failed(&error))?;
        let before = self.settled.fetch_max(looked.settled.get(), Ordering::SeqCst);
        if before < looked.settled.get() {
            self.watchers.wake_all();
        }
        Ok(Looked { settled: looked.settled.max(Position::new(before)), ..looked })
    }
}
