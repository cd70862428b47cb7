//! Errors on the wire.
//!
//! ```text
//!  0      2        3
//!  +------+--------+---------+- - - - - - - - - - - - - +
//!  | code | action | message | fields of the code       |
//!  +------+--------+---------+- - - - - - - - - - - - - +
//! ```
//!
//! Code and action are numbers for ever; the message is the error in words. Who does not know a code, or a value in its fields, acts by
//! the action and shows the message: [`Error::Remote`].

use std::{io, path::PathBuf, sync::Arc};

use bytes::BufMut;

use super::{
    fields::{Fields, put_id, put_text},
    invalid,
    words::word,
};
use crate::{
    error::{Action, Damage, Error, Holder, Lost, Place, Result},
    version::{ExpectedVersion, Version},
};

/// The code for bytes that are no frame or no request.
pub(crate) const MALFORMED: u16 = 1000;

/// The code for a kind of request that the server does not know.
pub(crate) const UNKNOWN_REQUEST: u16 = 1001;

/// The code for a fault of the server.
#[cfg(feature = "server")]
pub(crate) const INTERNAL: u16 = 1002;

/// Bytes that break the protocol.
pub(crate) fn malformed(message: impl Into<String>) -> Error {
    Error::Remote { code: MALFORMED, action: Action::FixInput, message: message.into() }
}

fn action_code(action: Action) -> u8 {
    match action {
        Action::DecideAgain => 1,
        Action::FixInput => 2,
        Action::Retry => 3,
        Action::Reopen => 4,
        Action::Restore => 5,
        Action::ReadOn => 6,
    }
}

/// An action that this version does not know is not repeated blindly.
fn action_of_code(code: u8) -> Action {
    match code {
        1 => Action::DecideAgain,
        3 => Action::Retry,
        4 => Action::Reopen,
        5 => Action::Restore,
        6 => Action::ReadOn,
        _ => Action::FixInput,
    }
}

/// The last of the codes that have fields of their own, from 1 on.
const LAST_CODE: u16 = 18;

/// An error of one of these codes whose fields were not understood, when it is passed on.
const PASSED_ON: u16 = 0;

/// The code of an error: a number for ever.
pub(super) fn code(error: &Error) -> u16 {
    match error {
        Error::WrongExpectedVersion { .. } => 1,
        Error::DuplicateEventId { .. } => 2,
        Error::Invalid(_) => 3,
        Error::NoSpace { .. } => 4,
        Error::InUse { .. } => 5,
        Error::SnapshotAhead { .. } => 6,
        Error::CursorAhead { .. } => 7,
        Error::ReadOnly { .. } => 8,
        Error::NotAStore { .. } => 9,
        Error::NotWritable { .. } => 10,
        Error::Damaged(_) => 11,
        Error::OutcomeUnknown { .. } => 12,
        Error::Io { .. } => 13,
        Error::Unavailable { .. } => 14,
        Error::Unauthorized { .. } => 15,
        Error::Lost(Lost::Positions { .. }) => 16,
        Error::Lost(Lost::Version { .. }) => 17,
        Error::Unsupported { .. } => LAST_CODE,
        // The fields that belong to a known code are not there.
        Error::Remote { code: 1..=LAST_CODE, .. } => PASSED_ON,
        Error::Remote { code, .. } => *code,
    }
}

pub(super) fn put(body: &mut Vec<u8>, error: &Error) {
    body.put_u16_le(code(error));
    body.put_u8(action_code(error.action()));
    put_text(body, &error.to_string());
    match error {
        Error::WrongExpectedVersion { stream, expected, actual } => {
            put_text(body, stream.as_str());
            put_expected(body, *expected);
            body.put_u64_le(actual.get());
        }
        Error::DuplicateEventId { stream, id, version } => {
            put_text(body, stream.as_str());
            put_id(body, *id);
            body.put_u64_le(version.get());
        }
        Error::Invalid(invalid) => invalid::put(body, invalid),
        Error::NoSpace { path, source } | Error::NotWritable { path, source } => {
            put_path(body, path);
            put_text(body, &source.to_string());
        }
        Error::InUse { path, holder } => {
            put_path(body, path);
            body.put_u32_le(match holder {
                Holder::Process(id) => *id,
                Holder::Unknown => 0,
            });
        }
        Error::SnapshotAhead { stream, version, actual } => {
            put_text(body, stream.as_str());
            body.put_u64_le(version.get());
            body.put_u64_le(actual.get());
        }
        Error::CursorAhead { cursor, position, last } => {
            put_text(body, cursor);
            body.put_u64_le(position.get());
            body.put_u64_le(last.get());
        }
        Error::ReadOnly { path } => put_path(body, path),
        Error::NotAStore { path, reason } => {
            put_path(body, path);
            put_text(body, reason);
        }
        Error::Damaged(damage) => put_damage(body, damage),
        Error::OutcomeUnknown { reason } => put_text(body, reason),
        Error::Io { operation, path, source } => {
            put_text(body, operation);
            put_path(body, path);
            put_text(body, &source.to_string());
        }
        Error::Unavailable { server, reason } => {
            put_text(body, server);
            put_text(body, reason);
        }
        Error::Unauthorized { reason } => put_text(body, reason),
        Error::Lost(Lost::Positions { first, last }) => {
            body.put_u64_le(first.get());
            body.put_u64_le(last.get());
        }
        Error::Lost(Lost::Version { stream, version }) => {
            put_text(body, stream.as_str());
            body.put_u64_le(version.get());
        }
        Error::Unsupported { store, what } => {
            put_text(body, store);
            put_text(body, what);
        }
        Error::Remote { .. } => {}
    }
}

pub(super) fn take(fields: &mut Fields) -> Result<Error> {
    let (code, action, message) = (fields.u16()?, action_of_code(fields.u8()?), fields.text()?);
    let known = take_known(code, fields)?;
    Ok(known.unwrap_or(Error::Remote { code, action, message }))
}

/// `None` for a code, or a value in its fields, that this version does not know.
fn take_known(code: u16, fields: &mut Fields) -> Result<Option<Error>> {
    Ok(Some(match code {
        1 => {
            let (stream, expected) = (fields.stream()?, take_expected(fields)?);
            Error::WrongExpectedVersion { stream, expected, actual: fields.version()? }
        }
        2 => Error::DuplicateEventId { stream: fields.stream()?, id: fields.id()?, version: fields.version()? },
        3 => return Ok(invalid::take(fields)?.map(Error::Invalid)),
        4 => Error::NoSpace { path: take_path(fields)?, source: take_source(fields, io::ErrorKind::StorageFull)? },
        5 => {
            let path = take_path(fields)?;
            let holder = match fields.u32()? {
                0 => Holder::Unknown,
                id => Holder::Process(id),
            };
            Error::InUse { path, holder }
        }
        6 => {
            let (stream, version) = (fields.stream()?, fields.version()?);
            Error::SnapshotAhead { stream, version, actual: fields.version()? }
        }
        7 => {
            let (cursor, position) = (fields.text()?, fields.position()?);
            Error::CursorAhead { cursor, position, last: fields.position()? }
        }
        8 => Error::ReadOnly { path: take_path(fields)? },
        9 => Error::NotAStore { path: take_path(fields)?, reason: fields.text()? },
        10 => {
            let path = take_path(fields)?;
            Error::NotWritable { path, source: take_source(fields, io::ErrorKind::PermissionDenied)? }
        }
        11 => take_damage(fields)?.into(),
        12 => Error::OutcomeUnknown { reason: fields.text()?.into() },
        13 => {
            let (operation, path) = (word(&fields.text()?), take_path(fields)?);
            let source = take_source(fields, io::ErrorKind::Other)?;
            let Some(operation) = operation else { return Ok(None) };
            Error::Io { operation, path, source }
        }
        14 => Error::Unavailable { server: fields.text()?, reason: fields.text()? },
        15 => Error::Unauthorized { reason: fields.text()? },
        16 => Lost::Positions { first: fields.position()?, last: fields.position()? }.into(),
        17 => Lost::Version { stream: fields.stream()?, version: fields.version()? }.into(),
        LAST_CODE => Error::Unsupported { store: fields.text()?, what: fields.text()? },
        _ => return Ok(None),
    }))
}

fn put_path(body: &mut Vec<u8>, path: &std::path::Path) {
    put_text(body, &path.to_string_lossy());
}

fn take_path(fields: &mut Fields) -> Result<PathBuf> {
    fields.text().map(PathBuf::from)
}

fn take_source(fields: &mut Fields, kind: io::ErrorKind) -> Result<Arc<io::Error>> {
    Ok(Arc::new(io::Error::new(kind, fields.text()?)))
}

pub(super) fn put_damage(body: &mut Vec<u8>, damage: &Damage) {
    put_path(body, &damage.place.file);
    body.put_u64_le(damage.place.offset);
    body.put_u64_le(damage.place.position.get());
    put_text(body, &damage.fault);
}

pub(super) fn take_damage(fields: &mut Fields) -> Result<Damage> {
    let (file, offset, position) = (take_path(fields)?, fields.u64()?, fields.position()?);
    Ok(Damage { place: Place { file, offset, position }, fault: fields.text()? })
}

/// What an append expects: a number for the condition, and a version that only the last of them has.
pub(super) fn put_expected(body: &mut Vec<u8>, expected: ExpectedVersion) {
    let (condition, version) = match expected {
        ExpectedVersion::Any => (0, Version::NONE),
        ExpectedVersion::NoStream => (1, Version::NONE),
        ExpectedVersion::StreamExists => (2, Version::NONE),
        ExpectedVersion::Exact(version) => (3, version),
    };
    body.put_u8(condition);
    body.put_u64_le(version.get());
}

pub(super) fn take_expected(fields: &mut Fields) -> Result<ExpectedVersion> {
    let (condition, version) = (fields.u8()?, fields.version()?);
    match condition {
        0 => Ok(ExpectedVersion::Any),
        1 => Ok(ExpectedVersion::NoStream),
        2 => Ok(ExpectedVersion::StreamExists),
        3 => Ok(ExpectedVersion::Exact(version)),
        other => Err(malformed(format!("{other} is no condition of an append"))),
    }
}
