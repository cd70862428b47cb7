//! Operations that fail, or do something else than they say.

use std::io;

/// What a disk is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    MakeDir,
    List,
    Look,
    Open,
    Create,
    Rename,
    Remove,
    SyncDir,
    Lock,
    Word,
    Spawn,
    Read,
    Write,
    Allocate,
    Release,
    Sync,
    Forget,
    Map,
}

impl Op {
    /// Whether it may change what is on the disk.
    pub(super) fn changes(self) -> bool {
        use Op::{Allocate, Create, MakeDir, Release, Remove, Rename, Sync, SyncDir, Write};
        matches!(self, MakeDir | Create | Rename | Remove | SyncDir | Write | Allocate | Release | Sync)
    }
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Any operation: the medium has an error (EIO). A sync that fails so drops some of its data, and the next one succeeds
    /// nevertheless.
    Io,
    /// What needs room: there is none (ENOSPC).
    NoSpace,
    /// A write: half of it is done, and then there is no room.
    ShortWrite,
    /// What opens something: there are too many open files (EMFILE).
    NoDescriptors,
    /// A sync of a file, as with [`FaultKind::Io`].
    FailedSync,
    /// A write that never reaches the medium, though it and its sync succeed.
    LostWrite,
    /// A write that reaches the medium in another place of the file.
    MisdirectedWrite,
}

impl FaultKind {
    /// The kinds of which the engine hears.
    pub const ERRORS: [FaultKind; 5] =
        [FaultKind::Io, FaultKind::NoSpace, FaultKind::ShortWrite, FaultKind::NoDescriptors, FaultKind::FailedSync];

    fn concerns(self, op: Op) -> bool {
        use Op::{Allocate, Create, List, Lock, MakeDir, Open, Rename, Sync, SyncDir, Word, Write};
        match self {
            FaultKind::Io => true,
            FaultKind::NoSpace => matches!(op, MakeDir | Create | Rename | Write | Allocate),
            FaultKind::NoDescriptors => matches!(op, Create | Open | SyncDir | List | Lock | Word),
            FaultKind::FailedSync => op == Sync,
            FaultKind::ShortWrite | FaultKind::LostWrite | FaultKind::MisdirectedWrite => op == Write,
        }
    }

    pub(super) fn error(self) -> io::Error {
        io::Error::from_raw_os_error(match self {
            FaultKind::NoSpace | FaultKind::ShortWrite => 28,
            FaultKind::NoDescriptors => 24,
            _ => 5,
        })
    }
}

/// One operation that goes wrong, or all from one on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// How.
    pub kind: FaultKind,
    /// Which: so many of the operations that it concerns succeed before.
    pub after: u64,
    /// Whether all later ones fail as well.
    pub for_ever: bool,
}

/// A fault, and how far it has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Armed {
    pub(super) fault: Fault,
    seen: u64,
}

impl Armed {
    pub(super) fn new(fault: Fault) -> Armed {
        Armed { fault, seen: 0 }
    }

    /// Whether this operation goes wrong.
    pub(super) fn strikes(&mut self, op: Op) -> bool {
        if !self.fault.kind.concerns(op) {
            return false;
        }
        let Fault { after, for_ever, .. } = self.fault;
        self.seen += 1;
        if for_ever { self.seen > after } else { self.seen == after + 1 }
    }
}
