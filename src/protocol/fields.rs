//! Fields of a body: taken from a piece of a frame without copying, and put behind each other.

use bytes::{Buf, BufMut, Bytes};

use super::malformed;
use crate::{
    error::Result,
    event::{EventId, EventType, StreamName, Timestamp},
    version::{Position, Version},
};

/// Takes fields from the front of a body.
#[derive(Debug)]
pub(super) struct Fields {
    rest: Bytes,
}

/// Numbers of a size that the protocol has.
macro_rules! numbers {
    ($($name:ident: $type:ty = $take:ident),*) => {$(
        pub(super) fn $name(&mut self) -> Result<$type> {
            self.rest.$take().map_err(|_| short(stringify!($type)))
        }
    )*};
}

fn short(what: &str) -> crate::error::Error {
    malformed(format!("the frame ends within a field ({what})"))
}

impl Fields {
    pub(super) fn new(body: Bytes) -> Fields {
        Fields { rest: body }
    }

    numbers!(u8: u8 = try_get_u8, u16: u16 = try_get_u16_le, u32: u32 = try_get_u32_le, u64: u64 = try_get_u64_le, i64: i64 = try_get_i64_le);

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// All that is left.
    pub(super) fn rest(&self) -> &Bytes {
        &self.rest
    }

    /// Leaves out so many bytes.
    pub(super) fn skip(&mut self, len: usize) -> Result<()> {
        self.check(len)?;
        self.rest.advance(len);
        Ok(())
    }

    fn check(&self, len: usize) -> Result<()> {
        if len > self.rest.len() {
            return Err(malformed(format!("a field of {len} bytes, where {} are left", self.rest.len())));
        }
        Ok(())
    }

    /// So many bytes, as a view of the frame.
    pub(super) fn bytes(&mut self, len: usize) -> Result<Bytes> {
        self.check(len)?;
        Ok(self.rest.split_to(len))
    }

    /// A head of fixed size, to be taken apart where all of it is at hand.
    pub(super) fn head<const N: usize>(&mut self) -> Result<[u8; N]> {
        let head = *self.rest.first_chunk::<N>().ok_or_else(|| short("head"))?;
        self.rest.advance(N);
        Ok(head)
    }

    pub(super) fn bool(&mut self) -> Result<bool> {
        Ok(self.u8()? != 0)
    }

    pub(super) fn version(&mut self) -> Result<Version> {
        self.u64().map(Version::new)
    }

    pub(super) fn position(&mut self) -> Result<Position> {
        self.u64().map(Position::new)
    }

    pub(super) fn timestamp(&mut self) -> Result<Timestamp> {
        self.i64().map(Timestamp::from_micros)
    }

    pub(super) fn id(&mut self) -> Result<EventId> {
        self.head().map(|id| uuid::Uuid::from_bytes(id).into())
    }

    /// UTF-8 behind its length in two bytes.
    pub(super) fn text(&mut self) -> Result<String> {
        let len = self.u16()?.into();
        let bytes = self.bytes(len)?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(malformed("a text is not UTF-8")),
        }
    }

    pub(super) fn stream(&mut self) -> Result<StreamName> {
        let len = self.u16()?.into();
        Ok(StreamName::from_bytes(self.bytes(len)?)?)
    }

    pub(super) fn event_type(&mut self) -> Result<EventType> {
        let len = self.u16()?.into();
        Ok(EventType::from_bytes(self.bytes(len)?)?)
    }

    /// A count of things that have at least so many bytes each: no more than can be there, and no more than the limit.
    pub(super) fn count(&self, count: impl TryInto<usize>, each: usize, limit: usize) -> Result<usize> {
        let count = count.try_into().unwrap_or(usize::MAX);
        let room = self.left() / each.max(1);
        if count > room.min(limit) {
            return Err(malformed(format!("a count of {count}; {room} fit into the frame, {limit} are allowed")));
        }
        Ok(count)
    }

    /// What a byte before it says is there or not.
    pub(super) fn optional<T>(&mut self, field: impl FnOnce(&mut Fields) -> Result<T>) -> Result<Option<T>> {
        if self.bool()? { field(self).map(Some) } else { Ok(None) }
    }
}

/// Puts UTF-8 behind its length in two bytes; what is longer is cut off.
pub(super) fn put_text(body: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(u16::MAX.into());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    body.put_u16_le(text.len() as u16);
    body.put_slice(text.as_bytes());
}

/// Puts a field that may be missing behind a byte that says whether it is there.
pub(super) fn put_optional<T>(body: &mut Vec<u8>, field: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    body.put_u8(field.is_some().into());
    if let Some(field) = field {
        put(body, field);
    }
}

pub(super) fn put_id(body: &mut Vec<u8>, id: EventId) {
    body.put_slice(id.as_uuid().as_bytes());
}
