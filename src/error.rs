//! Everything that can go wrong, sorted by what the caller does next: see [`Error::action`].
//!
//! Invariants:
//!
//! - what was refused ([`Error::WrongExpectedVersion`], [`Error::Invalid`], [`Error::NoSpace`], [`Error::SnapshotAhead`],
//!   [`Error::CursorAhead`]) stored nothing;
//! - an append that ended with [`Error::OutcomeUnknown`] may or may not be there when the store is opened again; the same append,
//!   with the same event ids, is stored once however often it is sent;
//! - damage names its place ([`Place`]) down to the byte.

use std::{fmt, io, path::PathBuf, sync::Arc};

use thiserror::Error;

use crate::{
    event::{EventId, InvalidInput, StreamName},
    version::{ExpectedVersion, Position, Version},
};

/// The result of an operation on a store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation on a store failed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The stream is not at the version that the append expected. Nothing was stored; `actual` is durable.
    #[error("Expected version {expected}, but current version is {actual} (stream `{stream}`)")]
    WrongExpectedVersion {
        /// The stream.
        stream: StreamName,
        /// The condition of the append.
        expected: ExpectedVersion,
        /// The version that the stream is at.
        actual: Version,
    },

    /// An event of the append has the id of an event that is in the stream, and is another; or only a part of the append is
    /// there. Nothing was stored.
    #[error("the id {id} is taken: version {version} of stream `{stream}` has it, and the appends differ")]
    DuplicateEventId {
        /// The stream.
        stream: StreamName,
        /// The id.
        id: EventId,
        /// The version of the event that has it.
        version: Version,
    },

    /// The input breaks a rule. Nothing was stored.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),

    /// There is no room for a new segment. Nothing was stored; reads go on, and so do appends as soon as there is room.
    #[error("no space left for {path} ({source})", path = path.display())]
    NoSpace {
        /// The file that found no room.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },

    /// Another process, or another handle in this one, has the directory open.
    #[error("the store in {path} is in use by {holder}", path = path.display())]
    InUse {
        /// The store's directory.
        path: PathBuf,
        /// Who holds it.
        holder: Holder,
    },

    /// A snapshot of a version that its stream has not durably reached. Nothing was stored.
    #[error("cannot save a snapshot of stream `{stream}` at version {version}: the stream is at version {actual}")]
    SnapshotAhead {
        /// The stream.
        stream: StreamName,
        /// The version of the snapshot.
        version: Version,
        /// The version that the stream is durably at.
        actual: Version,
    },

    /// A cursor at a position that the log has not durably reached. Nothing was stored.
    #[error("cannot save cursor `{cursor}` at position {position}: the last position is {last}")]
    CursorAhead {
        /// The cursor's name.
        cursor: String,
        /// The position that was to be saved.
        position: Position,
        /// The last durable position.
        last: Position,
    },

    /// The store was opened only to be read. Nothing was stored.
    #[error("the store in {path} is open for reading only", path = path.display())]
    ReadOnly {
        /// The store's directory.
        path: PathBuf,
    },

    /// A directory that is no store, or none that this version can open; or a store that does not exist.
    #[error("{path}: {reason}", path = path.display())]
    NotAStore {
        /// The path given.
        path: PathBuf,
        /// Why it cannot be opened.
        reason: String,
    },

    /// A directory in which this process may not write. To read a store there, open it only to be read.
    #[error("cannot write in {path}: {source}", path = path.display())]
    NotWritable {
        /// The path given.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },

    /// The files of the store are damaged. Nothing was changed. A repair keeps every event that can be proved good; a backup
    /// has them all.
    #[error("{0}; `factlog repair --dry-run` shows what can be kept, and a backup has all of it")]
    Damaged(Box<Damage>),

    /// Events that were asked for are lost: damage took them, and a repair has marked their places. What lies behind them is
    /// there.
    #[error("{0}")]
    Lost(Lost),

    /// A write or a sync failed, now or earlier. The append may or may not be on the disk, and nothing more is
    /// accepted until the store is opened again. Reads go on. From a client also: its server has not answered.
    #[error("outcome unknown: {reason}; open the store again to find out")]
    OutcomeUnknown {
        /// The operation that failed, its file, and what the system said.
        reason: Arc<str>,
    },

    /// Something that stores of this kind do not do: see [`crate::EventStore::capabilities`]. Nothing was stored.
    #[error("{store} does not support {what}")]
    Unsupported {
        /// The kind of store.
        store: String,
        /// What was asked for.
        what: String,
    },

    /// The server that has the store cannot be reached, or takes no more work now. Nothing was stored.
    #[error("{server} is not available: {reason}")]
    Unavailable {
        /// Its address, as `tcp://HOST:PORT` or `tls://HOST:PORT`.
        server: String,
        /// What was tried, and how it ended.
        reason: String,
    },

    /// The server does not know who asks, or does not let them do this. Nothing was stored.
    #[error("not allowed: {reason}")]
    Unauthorized {
        /// What is missing.
        reason: String,
    },

    /// The server answered with an error that this version has no name for.
    #[error("{message}")]
    Remote {
        /// The code of the error in the protocol.
        code: u16,
        /// What the server says that the caller can do.
        action: Action,
        /// The error in the server's words.
        message: String,
    },

    /// The system refused an operation; nothing was stored.
    #[error("cannot {operation} {path}: {source}", path = path.display())]
    Io {
        /// What was to be done.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
}

/// What the caller can do about an [`enum@Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Load the stream again and decide again.
    DecideAgain,
    /// Mend the input, or the path.
    FixInput,
    /// Try the same again, later or when the cause is gone: nothing was stored.
    Retry,
    /// Open the store again; then look whether the append is there, or append the same events again.
    Reopen,
    /// Repair the store, or restore it from a backup.
    Restore,
    /// Read on behind the events that are lost, or restore a backup that has them.
    ReadOn,
}

impl Error {
    /// What the caller can do next.
    pub fn action(&self) -> Action {
        match self {
            Error::WrongExpectedVersion { .. } => Action::DecideAgain,
            Error::Invalid(_)
            | Error::DuplicateEventId { .. }
            | Error::SnapshotAhead { .. }
            | Error::CursorAhead { .. }
            | Error::NotAStore { .. }
            | Error::NotWritable { .. }
            | Error::ReadOnly { .. }
            | Error::Unsupported { .. }
            | Error::Unauthorized { .. } => Action::FixInput,
            Error::NoSpace { .. } | Error::InUse { .. } | Error::Io { .. } | Error::Unavailable { .. } => Action::Retry,
            Error::Remote { action, .. } => *action,
            Error::OutcomeUnknown { .. } => Action::Reopen,
            Error::Damaged(_) => Action::Restore,
            Error::Lost(_) => Action::ReadOn,
        }
    }

    /// An error of the system in making or locking what a store needs at `path`.
    pub(crate) fn not_writable(operation: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Error::NotWritable { path: path.into(), source: Arc::new(source) }
            }
            _ => Error::io(operation, path, source),
        }
    }

    /// An error of the system at `path`; a full disk becomes [`Error::NoSpace`].
    pub(crate) fn io(operation: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Error {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Error::NoSpace { path, source: Arc::new(source) }
            }
            _ => Error::Io { operation, path, source: Arc::new(source) },
        }
    }
}

/// Who holds a store open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The process with this id.
    Process(u32),
    /// A process that has not written its id yet, or whose id cannot be read.
    Unknown,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Process(id) => write!(f, "process {id}"),
            Holder::Unknown => f.write_str("another process"),
        }
    }
}

/// A place in the files of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, relative to the store's directory.
    pub file: PathBuf,
    /// The offset in the file, in bytes.
    pub offset: u64,
    /// The position of the event that lies there, or should; [`Position::START`] where none can be named.
    pub position: Position,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { file, offset, position } = self;
        write!(f, "{}, offset {offset}, position {position}", file.display())
    }
}

/// Something in the files of a store that the store did not write like that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where it is.
    pub place: Place,
    /// What is wrong, with the value expected and the value found.
    pub fault: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "damaged store: {}: {}", self.place, self.fault)
    }
}

/// Events that are lost, as [`Error::Lost`] names them. Positions and versions stay taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// All events of these positions.
    Positions {
        /// The first.
        first: Position,
        /// The last.
        last: Position,
    },
    /// An event of a stream.
    Version {
        /// The stream.
        stream: StreamName,
        /// The version that it had.
        version: Version,
    },
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Positions { first, last } if first == last => write!(f, "the event at position {first} is lost")?,
            Lost::Positions { first, last } => write!(f, "the events from position {first} to {last} are lost")?,
            Lost::Version { stream, version } => write!(f, "version {version} of stream `{stream}` is lost")?,
        }
        f.write_str(": the store was damaged, and repaired")
    }
}

impl From<Lost> for Error {
    fn from(lost: Lost) -> Self {
        Error::Lost(lost)
    }
}

impl From<Damage> for Error {
    fn from(damage: Damage) -> Self {
        Error::Damaged(Box::new(damage))
    }
}
