//! Following the log for all subscriptions of a store: one connection that listens, and a look at the log when it has heard something,
//! when something was appended here, and now and then.
//!
//! ```text
//!   append -> committed -> tell: NOTIFY, at most one at a time       another process: its connection hears it
//!                |                                                      |
//!                '----> look how far the log is settled <---------------' <---- and by the clock
//!                            '-> wake the subscriptions
//! ```
//!
//! The notification is no part of the append's transaction: those that notify commit one after the other, each with its own sync. If it
//! is lost with its process, the clock makes up for it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{sleep, timeout};

use super::{
    core::Core,
    server::{Kind, Server},
};

/// Others are told of appends once in so long, at most.
const TELL: Duration = Duration::from_millis(5);

/// The pause between looks while appends are under way, which grows up to the time between polls.
const UNSETTLED: Duration = Duration::from_millis(1);

/// The pause before another connection is made to listen on.
const AGAIN: Duration = Duration::from_millis(250);

/// Notifications of other stores in the same database are not for us.
fn channel(server: &Server) -> String {
    format!("factlog_{}", server.store)
}

/// Tells other processes that something was appended, for as long as the store is there.
pub(super) async fn tell(core: Arc<Core>) {
    let (core, statement) = (&*core, &*format!("NOTIFY {}", channel(&core.server)));
    loop {
        core.appended.notified().await;
        if core.followed.load(Ordering::SeqCst) {
            core.due.notify_one();
        }
        let told = core.server.ask(Kind::Reads, |client| async move {
            client.batch_execute(statement).await.map_err(|error| core.server.failed(&error))
        });
        // Those who are not told look by themselves.
        let _ = told.await;
        sleep(TELL).await;
    }
}

/// Keeps a connection that listens.
pub(super) async fn listen(core: Arc<Core>) {
    let channel = channel(&core.server);
    loop {
        let _ = core.server.listen(&channel, || core.due.notify_one()).await;
        sleep(AGAIN).await;
    }
}

/// Looks at the log whenever it may have grown.
pub(super) async fn follow(core: Arc<Core>) {
    let poll = core.server.options.poll_time;
    let mut pause = Duration::ZERO;
    loop {
        let _ = timeout(pause, core.due.notified()).await;
        pause = match core.looked().await {
            Ok(looked) if looked.settled < looked.newest => (pause * 2).clamp(UNSETTLED, poll),
            _ => poll,
        };
    }
}
