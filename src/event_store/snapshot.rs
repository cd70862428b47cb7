//! Snapshots: the folded state of a stream at a version, kept so that loading need not begin with the first event.
//!
//! ```text
//!   events    1  2  3 ... 100  101 ... 200  201  202
//!   snapshots             |            |                load: the state at 200, then the events 201 and 202
//!                         100          200
//! ```
//!
//! Invariants:
//!
//! - a snapshot saves work and holds no truth: one that cannot be used is passed over and reported, and the events tell the same;
//! - it is never ahead of the stream: its version is that of an event that is durable.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

use super::EventStore;
use crate::{
    codec::{Codec, CodecError, CodecId},
    error::{Damage, Error, Result},
    event::{InvalidInput, StreamName, Timestamp},
    limits,
    version::Version,
};

/// The state of a stream at a version, in the bytes of a codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The stream.
    pub stream: StreamName,
    /// The version of the last event that the state includes.
    pub version: Version,
    /// The codec that wrote the state.
    pub codec: CodecId,
    /// The version of the state's type: the application counts it up when old bytes must not be read as the new type.
    pub state_version: u32,
    /// The state.
    pub state: Bytes,
    /// When it was taken.
    pub timestamp: Timestamp,
}

impl Snapshot {
    /// A snapshot taken now.
    pub fn new(
        stream: &StreamName,
        version: Version,
        codec: CodecId,
        state_version: u32,
        state: impl Into<Bytes>,
    ) -> Snapshot {
        let timestamp = Timestamp::now();
        Snapshot { stream: stream.clone(), version, codec, state_version, state: state.into(), timestamp }
    }

    /// A snapshot of a typed state, taken now.
    ///
    /// # Errors
    ///
    /// When the codec cannot write the state.
    pub fn encode<T: Serialize>(
        stream: &StreamName,
        version: Version,
        codec: &impl Codec,
        state_version: u32,
        state: &T,
    ) -> Result<Snapshot, CodecError> {
        Ok(Snapshot::new(stream, version, codec.id(), state_version, codec.encode(state)?))
    }

    /// The typed state.
    ///
    /// # Errors
    ///
    /// When another codec or another version of the type wrote it, or its bytes are no such state.
    pub fn decode<T: DeserializeOwned>(&self, codec: &impl Codec, state_version: u32) -> Result<T, SkipReason> {
        if self.codec != codec.id() {
            return Err(SkipReason::Codec { found: self.codec, expected: codec.id() });
        }
        if self.state_version != state_version {
            return Err(SkipReason::StateVersion { found: self.state_version, expected: state_version });
        }
        codec.decode(&self.state).map_err(SkipReason::State)
    }

    /// Checks what can be checked without looking at the stream.
    pub(crate) fn check(&self) -> Result<(), InvalidInput> {
        if self.version == Version::NONE {
            return Err(InvalidInput::EmptySnapshot);
        }
        if self.state.len() > limits::SNAPSHOT_BYTES {
            let (found, limit) = (self.state.len(), limits::SNAPSHOT_BYTES);
            return Err(InvalidInput::TooLarge { what: "snapshot", unit: "bytes", found, limit });
        }
        Ok(())
    }

    /// Checks that it is not ahead of its stream, which is at version `actual`.
    pub(crate) fn check_not_ahead(&self, actual: Version) -> Result<()> {
        if self.version <= actual {
            return Ok(());
        }
        Err(Error::SnapshotAhead { stream: self.stream.clone(), version: self.version, actual })
    }
}

/// What loading a snapshot found.
#[derive(Clone, Debug, Default)]
pub struct LoadedSnapshot {
    /// The newest that can be used, if there is any.
    pub snapshot: Option<Snapshot>,
    /// Those newer ones that cannot, newest first. They were left as they are.
    pub skipped: Vec<SkippedSnapshot>,
}

/// A typed state: see [`load_state`].
#[derive(Clone, Debug)]
pub struct LoadedState<T> {
    /// The newest state that can be used, and the version of the last event that it includes.
    pub state: Option<(Version, T)>,
    /// Those newer ones that cannot, newest first. They were left as they are.
    pub skipped: Vec<SkippedSnapshot>,
}

/// A snapshot that was passed over.
#[derive(Clone, Debug, Error)]
#[error("skipped the snapshot of stream `{stream}` at version {version}: {reason}")]
pub struct SkippedSnapshot {
    /// The stream that was asked for.
    pub stream: StreamName,
    /// The version that it is kept under.
    pub version: Version,
    /// Why it cannot be used.
    pub reason: SkipReason,
}

/// Why a snapshot cannot be used.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum SkipReason {
    /// Its bytes are not as they were written.
    #[error("{}: {}", .0.place, .0.fault)]
    Damaged(Damage),
    /// It is whole, but does not belong here: it is of another store, stream or version, or of a history of the stream that
    /// this store does not have.
    #[error("{}: {}", .0.place, .0.fault)]
    Misplaced(Damage),
    /// It is of a version that the stream has not reached.
    #[error("the stream is at version {actual} only")]
    Ahead {
        /// The version of the stream.
        actual: Version,
    },
    /// The system refused to read it.
    #[error(transparent)]
    Unreadable(Error),
    /// Another codec wrote it.
    #[error("the codec {found} wrote it, not {expected}")]
    Codec {
        /// The codec that wrote it.
        found: CodecId,
        /// The codec that was to read it.
        expected: CodecId,
    },
    /// It holds another version of the state's type.
    #[error("it holds version {found} of the state, not {expected}")]
    StateVersion {
        /// The version that it holds.
        found: u32,
        /// The version that was wanted.
        expected: u32,
    },
    /// Its state is no value of the type that was wanted.
    #[error(transparent)]
    State(CodecError),
}

/// Loads the newest usable state of a stream at or below a version, [`Version::MAX`] for the newest of all. Snapshots of
/// another codec or another state version, and those that the store passes over, are skipped and reported.
///
/// # Errors
///
/// When the store cannot be read. A snapshot that cannot be used is no error.
pub async fn load_state<T: DeserializeOwned>(
    store: &(impl EventStore + ?Sized),
    stream: &StreamName,
    at_or_below: Version,
    codec: &impl Codec,
    state_version: u32,
) -> Result<LoadedState<T>> {
    let mut loaded = LoadedState { state: None, skipped: Vec::new() };
    let mut below = at_or_below;
    loop {
        let found = store.load_snapshot(stream, below).await?;
        loaded.skipped.extend(found.skipped);
        let Some(snapshot) = found.snapshot else { return Ok(loaded) };
        let version = snapshot.version;
        match snapshot.decode(codec, state_version) {
            Ok(state) => {
                loaded.state = Some((version, state));
                return Ok(loaded);
            }
            Err(reason) => loaded.skipped.push(SkippedSnapshot { stream: stream.clone(), version, reason }),
        }
        below = version.previous();
        if below == Version::NONE {
            return Ok(loaded);
        }
    }
}

/// Saves a typed state as the snapshot of a stream at a version.
///
/// # Errors
///
/// - [`Error::Invalid`] when the codec cannot write the state or it is larger than [`limits::SNAPSHOT_BYTES`];
/// - [`Error::SnapshotAhead`] when the stream has not reached the version;
/// - what the store cannot write.
pub async fn save_state<T: Serialize>(
    store: &(impl EventStore + ?Sized),
    stream: &StreamName,
    version: Version,
    codec: &impl Codec,
    state_version: u32,
    state: &T,
) -> Result<()> {
    let snapshot = Snapshot::encode(stream, version, codec, state_version, state);
    let snapshot = snapshot.map_err(|error| InvalidInput::State { reason: error.to_string() })?;
    store.save_snapshot(snapshot).await
}
