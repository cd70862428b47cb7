//! How bytes are laid out: little-endian fields, and the seal that every small file and first page begins with.
//!
//! ```text
//!   fields   reading and writing fields within bounds
//!   seal     | magic | format | checksum of everything else | ...
//! ```

mod fields;
mod seal;

pub(crate) use fields::{Reader, Writer};
pub(crate) use seal::{FORMAT, SEAL_BYTES, newer_format, seal, unseal};
