//! Frames: how everything behind the preambles is framed.
//!
//! ```text
//!  0        4          8            16     18
//!  +--------+----------+------------+------+- - - -
//!  | length | checksum | request id | kind | body
//!  +--------+----------+------------+------+- - - -
//! ```
//!
//! - `length`: bytes behind this field, so 14 and those of the body;
//! - `checksum`: CRC-32 (IEEE) of the length's four bytes and of everything behind the checksum.

use std::io::IoSlice;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::malformed;
use crate::error::Result;

/// Bytes before the body.
pub(crate) const HEADER_BYTES: usize = 18;

/// Bytes of the field `length`, which it does not count.
const LENGTH_BYTES: usize = 4;

/// Where the part begins that the checksum covers, but for the length.
const CHECKED_FROM: usize = 8;

/// The length of a frame without a body.
pub(crate) const LEAST_LENGTH: usize = HEADER_BYTES - LENGTH_BYTES;

/// A frame that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) request: u64,
    pub(crate) kind: u16,
    pub(crate) body: Bytes,
}

/// What stands at the front of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Frame(Received),
    /// The beginning of a frame, or nothing: so many bytes more are needed to know more, or to have all of it.
    Missing(usize),
}

/// Takes a frame from the front of a buffer. A length beyond `limit` is refused as soon as it is there.
///
/// An error means that the bytes are no frames: nothing that follows can be made sense of.
pub(crate) fn take(buffer: &mut BytesMut, limit: usize) -> Result<Taken> {
    let Some(length) = buffer.first_chunk::<LENGTH_BYTES>() else {
        return Ok(Taken::Missing(HEADER_BYTES - buffer.len()));
    };
    let length = u32::from_le_bytes(*length) as usize;
    if !(LEAST_LENGTH..=limit).contains(&length) {
        return Err(malformed(format!("a frame of {length} bytes; {LEAST_LENGTH} to {limit} are allowed")));
    }
    let whole = LENGTH_BYTES + length;
    if buffer.len() < whole {
        return Ok(Taken::Missing(whole - buffer.len()));
    }
    let mut body = buffer.split_to(whole).freeze();
    let computed = checksum([&body[..LENGTH_BYTES], &body[CHECKED_FROM..]].into_iter());
    body.advance(LENGTH_BYTES);
    let stored = body.get_u32_le();
    if stored != computed {
        return Err(malformed(format!("a frame's checksum is {stored:08x}, but its bytes have {computed:08x}")));
    }
    let (request, kind) = (body.get_u64_le(), body.get_u16_le());
    Ok(Taken::Frame(Received { request, kind, body }))
}

fn checksum<'a>(parts: impl Iterator<Item = &'a [u8]>) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    parts.for_each(|part| hasher.update(part));
    hasher.finalize()
}

/// A frame that goes out: bytes of its own, and between them pieces that stay where they are.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// Header and fields.
    own: Vec<u8>,
    /// Pieces, and how many of the bytes of its own come before each.
    pieces: Vec<(usize, Bytes)>,
    pieces_bytes: usize,
}

impl Frame {
    /// A frame with room for a body of this size; its header is filled in when it is sealed.
    pub(crate) fn with_capacity(body: usize, pieces: usize) -> Frame {
        let mut own = Vec::with_capacity(HEADER_BYTES + body);
        own.resize(HEADER_BYTES, 0);
        Frame { own, pieces: Vec::with_capacity(pieces), pieces_bytes: 0 }
    }

    /// A frame with room for a small body.
    pub(crate) fn new() -> Frame {
        Frame::with_capacity(64 - HEADER_BYTES, 0)
    }

    /// Makes room for so many bytes and pieces more.
    pub(crate) fn reserve(&mut self, bytes: usize, pieces: usize) {
        self.own.reserve_exact(bytes);
        self.pieces.reserve_exact(pieces);
    }

    /// Where fields are put.
    pub(crate) fn body(&mut self) -> &mut Vec<u8> {
        &mut self.own
    }

    /// Puts a piece behind what is there, without copying it.
    pub(crate) fn piece(&mut self, piece: Bytes) {
        self.pieces_bytes += piece.len();
        self.pieces.push((self.own.len(), piece));
    }

    /// Fills in the header. To be called once, when the body is complete.
    pub(crate) fn seal(mut self, request: u64, kind: u16) -> Frame {
        let length = u32::try_from(self.len() - LENGTH_BYTES).unwrap_or(u32::MAX);
        let mut header = &mut self.own[..HEADER_BYTES];
        header.put_u32_le(length);
        header.put_u32_le(0);
        header.put_u64_le(request);
        header.put_u16_le(kind);
        let checksum = {
            let mut parts = self.chunks();
            let first = parts.next().unwrap_or_default();
            checksum([&first[..LENGTH_BYTES], &first[CHECKED_FROM..]].into_iter().chain(parts))
        };
        self.own[LENGTH_BYTES..CHECKED_FROM].copy_from_slice(&checksum.to_le_bytes());
        self
    }

    /// Bytes of the whole frame.
    pub(crate) fn len(&self) -> usize {
        self.own.len() + self.pieces_bytes
    }

    /// The bytes, in order. The first chunk holds the whole header.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.pieces.iter().map(|(before, _)| *before));
        let ends = self.pieces.iter().map(|(before, _)| *before).chain(std::iter::once(self.own.len()));
        let pieces = self.pieces.iter().map(|(_, piece)| &piece[..]).chain(std::iter::once(&[][..]));
        let own = starts.zip(ends).map(|(start, end)| &self.own[start..end]);
        own.zip(pieces).flat_map(|(own, piece)| [own, piece]).filter(|chunk| !chunk.is_empty())
    }

    /// The bytes of frames that go out one behind the other, without the first `skip`: as many pieces as there is room for. Returns
    /// how many there are.
    pub(crate) fn pieces<'a>(
        frames: impl Iterator<Item = &'a Frame>,
        mut skip: usize,
        pieces: &mut [IoSlice<'a>],
    ) -> usize {
        let mut count = 0;
        for chunk in frames.flat_map(Frame::chunks) {
            if skip >= chunk.len() {
                skip -= chunk.len();
                continue;
            }
            let Some(piece) = pieces.get_mut(count) else { break };
            *piece = IoSlice::new(&chunk[skip..]);
            (count, skip) = (count + 1, 0);
        }
        count
    }

    /// All bytes in one piece.
    #[cfg(test)]
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.chunks().flatten().copied().collect()
    }
}
