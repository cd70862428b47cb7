//! Every way in which a command can end other than well, and the exit code of each.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done; also when the reader of standard output went away |
//! | 1 | failed, not found, or refused by a rule of the domain |
//! | 2 | bad input or usage |
//! | 3 | wrong expected version |
//! | 4 | damaged store |
//! | 5 | store in use |
//! | 130 | interrupted by Ctrl-C |

use std::io;

use factlog::Error;

/// Why a command did not do what it was asked to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nobody reads standard output any more: the end of the work, and no error.
    ClosedPipe,
    /// The system refused something, what was asked for does not exist, or a rule of the domain forbids it.
    Failed(String),
    /// Arguments or input that cannot be what was meant.
    BadInput(String),
    /// A stream is not at the version that was expected.
    WrongVersion(String),
    /// The store's files are damaged.
    Damaged(String),
    /// Another process has the store open.
    InUse(String),
}

impl Failure {
    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::ClosedPipe => 0,
            Failure::Failed(_) => 1,
            Failure::BadInput(_) => 2,
            Failure::WrongVersion(_) => 3,
            Failure::Damaged(_) => 4,
            Failure::InUse(_) => 5,
        }
    }

    /// What to tell the user, if there is anything to tell.
    pub fn message(&self) -> Option<&str> {
        match self {
            Failure::ClosedPipe => None,
            Failure::Failed(message)
            | Failure::BadInput(message)
            | Failure::WrongVersion(message)
            | Failure::Damaged(message)
            | Failure::InUse(message) => Some(message),
        }
    }

    /// The same failure, its message beginning with `place`, such as the line of the input that led to it.
    pub fn at(self, place: impl std::fmt::Display) -> Failure {
        let named = |message| format!("{place}: {message}");
        match self {
            Failure::ClosedPipe => Failure::ClosedPipe,
            Failure::Failed(message) => Failure::Failed(named(message)),
            Failure::BadInput(message) => Failure::BadInput(named(message)),
            Failure::WrongVersion(message) => Failure::WrongVersion(named(message)),
            Failure::Damaged(message) => Failure::Damaged(named(message)),
            Failure::InUse(message) => Failure::InUse(named(message)),
        }
    }

    /// A failure to write standard output.
    pub fn writing(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ClosedPipe,
            _ => Failure::Failed(format!("cannot write the output: {error}")),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::WrongExpectedVersion { .. } => Failure::WrongVersion(message),
            Error::Invalid(_) | Error::Unsupported { .. } | Error::NotAStore { .. } | Error::NotWritable { .. } => {
                Failure::BadInput(message)
            }
            Error::InUse { .. } => Failure::InUse(message),
            Error::Damaged(_) | Error::Lost(_) => Failure::Damaged(message),
            _ => Failure::Failed(message),
        }
    }
}

impl From<factlog::InvalidInput> for Failure {
    fn from(error: factlog::InvalidInput) -> Self {
        Failure::BadInput(error.to_string())
    }
}

impl From<factlog::model::ModelError> for Failure {
    fn from(error: factlog::model::ModelError) -> Self {
        use factlog::model::ModelError;

        let message = error.to_string();
        match error {
            ModelError::Concurrency(_) => Failure::WrongVersion(message),
            ModelError::Store(error) => error.into(),
            ModelError::ForeignViews { .. } | ModelError::InvalidField(_) => Failure::BadInput(message),
            _ => Failure::Failed(message),
        }
    }
}
