//! How recent an answer must be.

use std::time::Duration;

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
