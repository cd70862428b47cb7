//! The preambles: the first bytes in each direction.
//!
//! ```text
//!  client  0         8        10       12         16
//!          +---------+--------+--------+----------+
//!          | magic   | lowest | newest | checksum |      the versions that it speaks
//!          +---------+--------+--------+----------+
//!  server  +---------+---------+-------+----------+
//!          | magic   | version | why   | checksum |      the version spoken from here on; 0: refused, and why
//!          +---------+---------+-------+----------+
//! ```
//!
//! The checksum is the CRC-32 (IEEE) of the twelve bytes before it.

use bytes::{Buf, BufMut};

use super::malformed;
use crate::error::Result;

/// The version of the protocol.
pub(crate) const VERSION: u16 = 1;

/// Bytes of a preamble.
pub(crate) const PREAMBLE_BYTES: usize = 16;

const MAGIC: &[u8; 8] = b"factwire";

/// What a client says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientPreamble {
    pub(crate) lowest: u16,
    pub(crate) newest: u16,
}

/// What a server says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerPreamble {
    /// This version is spoken.
    Version(u16),
    /// No: the connection ends.
    Refused(Refusal),
}

/// Why a server refuses a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NoCommonVersion,
    TooManyConnections,
    ShuttingDown,
    NotThisProtocol,
    /// One that this version does not know.
    Other(u16),
}

impl Refusal {
    fn code(self) -> u16 {
        match self {
            Refusal::NoCommonVersion => 1,
            Refusal::TooManyConnections => 2,
            Refusal::ShuttingDown => 3,
            Refusal::NotThisProtocol => 4,
            Refusal::Other(code) => code,
        }
    }

    fn of_code(code: u16) -> Refusal {
        match code {
            1 => Refusal::NoCommonVersion,
            2 => Refusal::TooManyConnections,
            3 => Refusal::ShuttingDown,
            4 => Refusal::NotThisProtocol,
            code => Refusal::Other(code),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::NoCommonVersion => f.write_str("it speaks no version of the protocol that this client speaks"),
            Refusal::TooManyConnections => f.write_str("it has as many connections as it may have"),
            Refusal::ShuttingDown => f.write_str("it is shutting down"),
            Refusal::NotThisProtocol => f.write_str("it takes this client for one of another protocol"),
            Refusal::Other(code) => write!(f, "it refuses the connection, with code {code}"),
        }
    }
}

impl ClientPreamble {
    /// What this version says.
    pub(crate) const OWN: ClientPreamble = ClientPreamble { lowest: VERSION, newest: VERSION };

    pub(crate) fn encode(self) -> [u8; PREAMBLE_BYTES] {
        encode(self.lowest, self.newest)
    }

    /// An error means that this is no client of this protocol.
    pub(crate) fn decode(bytes: &[u8; PREAMBLE_BYTES]) -> Result<ClientPreamble> {
        let (lowest, newest) = decode(bytes)?;
        Ok(ClientPreamble { lowest, newest })
    }

    /// What a server answers.
    pub(crate) fn answer(self) -> ServerPreamble {
        if (self.lowest..=self.newest).contains(&VERSION) {
            ServerPreamble::Version(VERSION)
        } else {
            ServerPreamble::Refused(Refusal::NoCommonVersion)
        }
    }
}

impl ServerPreamble {
    pub(crate) fn encode(self) -> [u8; PREAMBLE_BYTES] {
        match self {
            ServerPreamble::Version(version) => encode(version, 0),
            ServerPreamble::Refused(refusal) => encode(0, refusal.code()),
        }
    }

    /// An error means that this is no server of this protocol.
    pub(crate) fn decode(bytes: &[u8; PREAMBLE_BYTES]) -> Result<ServerPreamble> {
        match decode(bytes)? {
            (0, code) => Ok(ServerPreamble::Refused(Refusal::of_code(code))),
            (version, _) => Ok(ServerPreamble::Version(version)),
        }
    }
}

fn encode(first: u16, second: u16) -> [u8; PREAMBLE_BYTES] {
    let mut bytes = [0; PREAMBLE_BYTES];
    let mut fields = &mut bytes[..];
    fields.put_slice(MAGIC);
    fields.put_u16_le(first);
    fields.put_u16_le(second);
    let checksum = crc32fast::hash(&bytes[..12]);
    bytes[12..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; PREAMBLE_BYTES]) -> Result<(u16, u16)> {
    if bytes[..8] != *MAGIC {
        let found = bytes[..8].escape_ascii();
        return Err(malformed(format!("the other side does not speak this protocol: it begins with `{found}`")));
    }
    let mut fields = &bytes[8..];
    let (first, second, stored) = (fields.get_u16_le(), fields.get_u16_le(), fields.get_u32_le());
    let computed = crc32fast::hash(&bytes[..12]);
    if stored != computed {
        return Err(malformed(format!("the preamble's checksum is {stored:08x}, but its bytes have {computed:08x}")));
    }
    Ok((first, second))
}
