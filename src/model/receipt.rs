//! What an application answers to a request.

use serde::{Deserialize, Serialize};

use super::command::Committed;

/// The answer to a request that was carried out, durably: a plain type for whoever asks from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The aggregate's stream.
    pub stream: String,
    /// Its version now.
    pub version: u64,
    /// The position of what was stored: who asks for a read model that has come this far sees it.
    pub position: u64,
}

impl From<Committed> for Receipt {
    fn from(committed: Committed) -> Receipt {
        let Committed { stream, version, position, .. } = committed;
        Receipt { stream: stream.to_string(), version: version.get(), position: position.get() }
    }
}
