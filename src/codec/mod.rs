//! Turning values into bytes and back, for what an application keeps beside its events: the state in a snapshot.
//!
//! ```text
//!   value  --Codec::encode-->  bytes, kept beside the codec's id  --Codec::decode-->  value
//! ```
//!
//! Events are JSON or bytes of the application's own; nothing that must outlive this crate depends on a codec.
//!
//! Invariants:
//!
//! - the id of a codec, once used, means the same bytes for ever;
//! - decoding never panics, whatever the bytes, and takes memory in proportion to them, whatever lengths they claim;
//! - bytes left over behind a value are an error.

mod bincode;
mod json;

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

pub use self::{bincode::BincodeCodec, json::JsonCodec};

/// Which codec wrote some bytes. It is kept beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CodecId(u32);

impl CodecId {
    /// JSON: [`JsonCodec`].
    pub const JSON: CodecId = CodecId(1);
    /// bincode in its first layout: [`BincodeCodec`].
    pub const BINCODE: CodecId = CodecId(2);
    /// The first id that an application may give to a codec of its own. Those below belong to this crate.
    pub const FIRST_CUSTOM: CodecId = CodecId(1024);

    /// The codec with this number.
    pub const fn new(number: u32) -> CodecId {
        CodecId(number)
    }

    /// Its number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for CodecId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            CodecId::JSON => f.write_str("json"),
            CodecId::BINCODE => f.write_str("bincode"),
            CodecId(number) => number.fmt(f),
        }
    }
}

/// A way to write values as bytes.
pub trait Codec: Send + Sync {
    /// What is kept beside the bytes. A codec of an application has one from [`CodecId::FIRST_CUSTOM`] on.
    fn id(&self) -> CodecId;

    /// The bytes of a value.
    ///
    /// # Errors
    ///
    /// When the value cannot be written by this codec.
    fn encode<T: Serialize>(&self, value: &T) -> Result<Vec<u8>, CodecError>;

    /// The value of some bytes.
    ///
    /// # Errors
    ///
    /// When the bytes are no such value, or hold more than one.
    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, CodecError>;
}

/// A value that could not be written, or bytes that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("cannot {operation} with the codec {codec}: {reason}")]
pub struct CodecError {
    /// The codec.
    pub codec: CodecId,
    /// `encode` or `decode`.
    pub operation: &'static str,
    /// What was wrong.
    pub reason: String,
}

impl CodecError {
    /// A value that could not be written.
    pub fn encode(codec: CodecId, reason: impl fmt::Display) -> CodecError {
        CodecError { codec, operation: "encode", reason: reason.to_string() }
    }

    /// Bytes that could not be read.
    pub fn decode(codec: CodecId, reason: impl fmt::Display) -> CodecError {
        CodecError { codec, operation: "decode", reason: reason.to_string() }
    }
}
