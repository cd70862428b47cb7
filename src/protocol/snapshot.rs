//! Snapshots on the wire, and why some of them were passed over.
//!
//! ```text
//!  | stream | version | codec | state version | timestamp | state length | state |
//! ```

use bytes::BufMut;

use super::{
    Frame, error,
    fields::{Fields, put_text},
    malformed,
    words::word,
};
use crate::{
    codec::{CodecError, CodecId},
    error::{Action, Error, Result},
    event::InvalidInput,
    event_store::{LoadedSnapshot, SkipReason, SkippedSnapshot, Snapshot},
    limits,
};

/// Bytes of a skipped snapshot at least.
const LEAST_SKIPPED: usize = 11;

/// Most skipped snapshots in an answer, the newest first.
const SKIPPED: usize = 100;

pub(super) fn put(frame: &mut Frame, snapshot: &Snapshot) {
    let own = frame.body();
    put_text(own, snapshot.stream.as_str());
    own.put_u64_le(snapshot.version.get());
    own.put_u32_le(snapshot.codec.get());
    own.put_u32_le(snapshot.state_version);
    own.put_i64_le(snapshot.timestamp.as_micros());
    own.put_u32_le(snapshot.state.len() as u32);
    frame.piece(snapshot.state.clone());
}

pub(super) fn take(fields: &mut Fields) -> Result<Snapshot> {
    let (stream, version) = (fields.stream()?, fields.version()?);
    let (codec, state_version) = (CodecId::new(fields.u32()?), fields.u32()?);
    let (timestamp, len) = (fields.timestamp()?, fields.u32()? as usize);
    if len > limits::SNAPSHOT_BYTES {
        let (what, unit) = ("snapshot", "bytes");
        return Err(InvalidInput::TooLarge { what, unit, found: len, limit: limits::SNAPSHOT_BYTES }.into());
    }
    let state = fields.bytes(len)?;
    Ok(Snapshot { stream, version, codec, state_version, state, timestamp })
}

/// The skipped ones first, so that the state is the last piece of the frame.
pub(super) fn put_loaded(frame: &mut Frame, loaded: &LoadedSnapshot) {
    let skipped = &loaded.skipped[..loaded.skipped.len().min(SKIPPED)];
    let own = frame.body();
    own.put_u32_le(skipped.len() as u32);
    for skipped in skipped {
        put_text(own, skipped.stream.as_str());
        own.put_u64_le(skipped.version.get());
        put_reason(own, &skipped.reason);
    }
    own.put_u8(loaded.snapshot.is_some().into());
    if let Some(snapshot) = &loaded.snapshot {
        put(frame, snapshot);
    }
}

pub(super) fn take_loaded(fields: &mut Fields) -> Result<LoadedSnapshot> {
    let count = fields.u32()?;
    let count = fields.count(count, LEAST_SKIPPED, SKIPPED)?;
    let mut skipped = Vec::with_capacity(count);
    for _ in 0..count {
        let (stream, version) = (fields.stream()?, fields.version()?);
        skipped.push(SkippedSnapshot { stream, version, reason: take_reason(fields)? });
    }
    Ok(LoadedSnapshot { snapshot: fields.optional(take)?, skipped })
}

fn put_reason(body: &mut Vec<u8>, reason: &SkipReason) {
    match reason {
        SkipReason::Damaged(damage) => {
            body.put_u8(1);
            error::put_damage(body, damage);
        }
        SkipReason::Misplaced(damage) => {
            body.put_u8(2);
            error::put_damage(body, damage);
        }
        SkipReason::Ahead { actual } => {
            body.put_u8(3);
            body.put_u64_le(actual.get());
        }
        SkipReason::Unreadable(unreadable) => {
            body.put_u8(4);
            error::put(body, unreadable);
        }
        SkipReason::Codec { found, expected } => {
            body.put_u8(5);
            body.put_u32_le(found.get());
            body.put_u32_le(expected.get());
        }
        SkipReason::StateVersion { found, expected } => {
            body.put_u8(6);
            body.put_u32_le(*found);
            body.put_u32_le(*expected);
        }
        SkipReason::State(CodecError { codec, operation, reason }) => {
            body.put_u8(7);
            body.put_u32_le(codec.get());
            put_text(body, operation);
            put_text(body, reason);
        }
    }
}

fn take_reason(fields: &mut Fields) -> Result<SkipReason> {
    Ok(match fields.u8()? {
        1 => SkipReason::Damaged(error::take_damage(fields)?),
        2 => SkipReason::Misplaced(error::take_damage(fields)?),
        3 => SkipReason::Ahead { actual: fields.version()? },
        4 => SkipReason::Unreadable(error::take(fields)?),
        5 => SkipReason::Codec { found: CodecId::new(fields.u32()?), expected: CodecId::new(fields.u32()?) },
        6 => SkipReason::StateVersion { found: fields.u32()?, expected: fields.u32()? },
        7 => {
            let (codec, operation, reason) = (CodecId::new(fields.u32()?), word(&fields.text()?), fields.text()?);
            match operation {
                Some(operation) => SkipReason::State(CodecError { codec, operation, reason }),
                None => SkipReason::Unreadable(Error::Remote {
                    code: super::MALFORMED,
                    action: Action::FixInput,
                    message: reason,
                }),
            }
        }
        // Its fields cannot be told from what follows.
        other => return Err(malformed(format!("{other} is no reason to skip a snapshot"))),
    })
}
