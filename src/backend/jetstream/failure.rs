//! What servers answer instead of what was asked for, as errors of a store.

use std::{io, sync::Arc};

use serde::Deserialize;

use crate::error::{Damage, Error, Place};

/// The stream of a subject has moved on.
const WRONG_LAST_SEQUENCE: &[u64] = &[10_071, 10_164];
/// No room: of the account, of the server, of the log.
const NO_ROOM: &[u64] = &[10_002, 10_023, 10_028, 10_047, 10_077, 10_115, 10_120, 10_122];
/// JetStream itself is not there, or not for this account.
const NOT_ENABLED: &[u64] = &[10_076, 10_039, 10_035];
/// No leader at the moment, or none that can be asked.
const LATER: &[u64] = &[10_008, 10_009, 10_041, 10_100, 10_101, 10_176, 10_199, 10_201];
pub(super) const NO_MESSAGE: u64 = 10_037;

/// An error as JetStream words it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ApiError {
    #[serde(default)]
    pub(super) code: u64,
    #[serde(default)]
    pub(super) err_code: u64,
    #[serde(default)]
    pub(super) description: String,
}

/// What an [`ApiError`] leaves to do.
pub(super) enum Sorted {
    /// A condition was not met.
    Moved,
    /// It may go better soon.
    Later(String),
    Final(Error),
}

impl ApiError {
    /// Sorts it. `place` is the log's address.
    pub(super) fn sort(&self, place: &str) -> Sorted {
        let ApiError { code, err_code, description } = self;
        let is = |codes: &[u64]| codes.contains(err_code);
        if is(WRONG_LAST_SEQUENCE) {
            return Sorted::Moved;
        }
        let full = ["maximum bytes", "no space", "insufficient", "resources", "maximum messages"];
        if is(NO_ROOM) && full.iter().any(|words| description.contains(words)) {
            let said = format!("{description}: give the log or the servers more room");
            let source = Arc::new(io::Error::new(io::ErrorKind::StorageFull, said));
            return Sorted::Final(Error::NoSpace { path: place.into(), source });
        }
        if is(NOT_ENABLED) {
            return Sorted::Final(not_enabled(place));
        }
        if is(LATER) || *code == 503 || *code == 408 {
            return Sorted::Later(description.clone());
        }
        let reason = format!("JetStream refused: {description} ({err_code})");
        Sorted::Final(Error::NotAStore { path: place.into(), reason })
    }
}

/// A server without JetStream.
pub(super) fn not_enabled(place: &str) -> Error {
    let reason = "JetStream is not enabled there: start nats-server with -js, or enable it for the account".to_owned();
    Error::NotAStore { path: place.into(), reason }
}

/// A message that the store did not write like that.
pub(super) fn damaged(place: &str, sequence: u64, fault: String) -> Error {
    let place = Place { file: place.into(), offset: 0, position: super::place::last_of(sequence) };
    Damage { place, fault: format!("message {sequence}: {fault}") }.into()
}
