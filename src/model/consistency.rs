//! How recent an answer must be.

use std::time::Duration;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll};

#[cfg(any(feature = "postgres", feature = "sqlite"))]
use super::{ModelError, Sleep, Timer};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use crate::event_store::{BoxFuture, Watchers};
use crate::version::Position;

/// How long a query waits for a projection unless it says otherwise.
const PATIENCE: Duration = Duration::from_secs(5);

/// How recent the answer to a query must be, as it chooses.
///
/// A command answers with the position that it wrote. A query that asks for at least this position sees what the command
/// did: it waits until the projection has come so far. One that does not reads what is there, and waits for nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// What is there.
    #[default]
    AsIs,
    /// What is there once the projection has come to this position.
    AtLeast {
        /// The position.
        position: Position,
        /// How long to wait for it.
        within: Duration,
    },
}

impl Consistency {
    /// What is there once the projection has come to this position, within five seconds.
    pub const fn at_least(position: Position) -> Consistency {
        Consistency::AtLeast { position, within: PATIENCE }
    }

    /// The same, within another time.
    pub const fn within(self, within: Duration) -> Consistency {
        match self {
            Consistency::AsIs => Consistency::AsIs,
            Consistency::AtLeast { position, .. } => Consistency::AtLeast { position, within },
        }
    }
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl Consistency {
    /// Waits until a projection is as recent as this. `reached` says how far it has come; what this process writes wakes
    /// `waiting`, and what others write is looked for this often.
    pub(in crate::model) async fn wait<'a>(
        self,
        projection: &str,
        waiting: &Arc<Watchers>,
        often: Duration,
        reached: impl Fn() -> BoxFuture<'a, Result<Position, ModelError>>,
    ) -> Result<(), ModelError> {
        let Consistency::AtLeast { position: wanted, within } = self else { return Ok(()) };
        let watcher = waiting.register(Vec::new());
        // What is there needs no time.
        let mut last = reached().await?;
        let coming = async {
            while last < wanted {
                before(poll_fn(|context| watcher.poll(context)), Timer.sleep(often)).await;
                watcher.clear();
                last = reached().await?;
            }
            Ok(())
        };
        match before(coming, Timer.sleep(within)).await {
            Some(done) => done,
            None => {
                let projection = projection.to_owned();
                Err(ModelError::NotYetProjected { projection, wanted, reached: last, waited: within })
            }
        }
    }
}

/// Whether a future is ready before another one, which is then dropped: `None` when the other was first.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
async fn before<T>(future: impl Future<Output = T>, other: impl Future<Output = ()>) -> Option<T> {
    let (mut future, mut other) = (pin!(future), pin!(other));
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => other.as_mut().poll(context).map(|()| None),
    })
    .await
}
