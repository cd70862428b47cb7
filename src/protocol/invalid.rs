//! Refused input on the wire: a number for each rule, and its fields.

use bytes::BufMut;

use super::{
    fields::{Fields, put_id, put_text},
    words::word,
};
use crate::{error::Result, event::InvalidInput};

pub(super) fn put(body: &mut Vec<u8>, invalid: &InvalidInput) {
    let mut rule = |number: u16| body.put_u16_le(number);
    match invalid {
        InvalidInput::Empty { what } => {
            rule(1);
            put_text(body, what);
        }
        InvalidInput::TooLarge { what, unit, found, limit } => {
            rule(2);
            put_text(body, what);
            put_text(body, unit);
            body.put_u64_le(*found as u64);
            body.put_u64_le(*limit as u64);
        }
        InvalidInput::ControlCharacter { what, character, at } => {
            rule(3);
            put_text(body, what);
            body.put_u32_le(*character);
            body.put_u64_le(*at as u64);
        }
        InvalidInput::NotUtf8 { what } => {
            rule(4);
            put_text(body, what);
        }
        InvalidInput::ReservedStreamName => rule(5),
        InvalidInput::NoEvents => rule(6),
        InvalidInput::Time { text } => {
            rule(7);
            put_text(body, text);
        }
        InvalidInput::Json { what, reason } => {
            rule(8);
            put_text(body, what);
            put_text(body, reason);
        }
        InvalidInput::EmptySnapshot => rule(9),
        InvalidInput::State { reason } => {
            rule(10);
            put_text(body, reason);
        }
        InvalidInput::CursorName { character, at } => {
            rule(11);
            body.put_u32_le((*character).into());
            body.put_u64_le(*at as u64);
        }
        InvalidInput::StreamTwice { stream } => {
            rule(12);
            put_text(body, stream);
        }
        InvalidInput::IdTwice { stream, id } => {
            rule(13);
            put_text(body, stream);
            put_id(body, *id);
        }
        InvalidInput::NoCursor => rule(14),
        InvalidInput::NotGivenOut { position, given } => {
            rule(15);
            body.put_u64_le(position.get());
            body.put_u64_le(given.get());
        }
    }
}

/// `None` for a rule, or a word in it, that this version does not know.
pub(super) fn take(fields: &mut Fields) -> Result<Option<InvalidInput>> {
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Ok(Some(match fields.u16()? {
        1 => {
            let Some(what) = word(&fields.text()?) else { return Ok(None) };
            InvalidInput::Empty { what }
        }
        2 => {
            let (what, unit) = (word(&fields.text()?), word(&fields.text()?));
            let (found, limit) = (size(fields.u64()?), size(fields.u64()?));
            let (Some(what), Some(unit)) = (what, unit) else { return Ok(None) };
            InvalidInput::TooLarge { what, unit, found, limit }
        }
        3 => {
            let (what, character, at) = (word(&fields.text()?), fields.u32()?, size(fields.u64()?));
            let Some(what) = what else { return Ok(None) };
            InvalidInput::ControlCharacter { what, character, at }
        }
        4 => {
            let Some(what) = word(&fields.text()?) else { return Ok(None) };
            InvalidInput::NotUtf8 { what }
        }
        5 => InvalidInput::ReservedStreamName,
        6 => InvalidInput::NoEvents,
        7 => InvalidInput::Time { text: fields.text()? },
        8 => {
            let (what, reason) = (word(&fields.text()?), fields.text()?);
            let Some(what) = what else { return Ok(None) };
            InvalidInput::Json { what, reason }
        }
        9 => InvalidInput::EmptySnapshot,
        10 => InvalidInput::State { reason: fields.text()? },
        11 => {
            let (character, at) = (char::from_u32(fields.u32()?), size(fields.u64()?));
            let Some(character) = character else { return Ok(None) };
            InvalidInput::CursorName { character, at }
        }
        12 => InvalidInput::StreamTwice { stream: fields.text()? },
        13 => InvalidInput::IdTwice { stream: fields.text()?, id: fields.id()? },
        14 => InvalidInput::NoCursor,
        15 => InvalidInput::NotGivenOut { position: fields.position()?, given: fields.position()? },
        _ => return Ok(None),
    }))
}
