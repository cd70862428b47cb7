//! The wire protocol as bytes: what a client and a server say to each other. No sockets; docs/protocol.md draws every byte.
//!
//! ```text
//!   preamble   magic and versions, once in each direction, before anything else
//!   frame      | length | checksum | request id | kind | body |      as many as there is to say
//!   request    what a client asks, as the body of a frame
//!   response   what a server answers, under the id of the request
//!   error      a code, what to do about it, words, and fields
//! ```
//!
//! Invariants:
//!
//! - no bytes make decoding panic; a length or count is compared with its limit, and with the bytes that are there, before
//!   anything is allocated for it;
//! - what a decoder does not know at the end of a body, it passes over, so that fields can be added;
//! - an event's name, type, metadata and payload are one piece of the frame, which is never copied: the sender takes it from where
//!   it lies, the receiver cuts it out of the frame.

mod error;
mod event;
mod fields;
mod frame;
#[cfg(all(feature = "server", feature = "client", any(test, fuzzing)))]
pub(crate) mod fuzzing;
mod invalid;
mod preamble;
mod request;
mod response;
mod secret;
mod snapshot;
#[cfg(test)]
mod tests;
mod words;

#[cfg(feature = "server")]
pub(crate) use error::INTERNAL;
pub(crate) use error::{MALFORMED, UNKNOWN_REQUEST, malformed};
pub(crate) use event::{EVENT_HEAD_BYTES, EventsFrame};
pub(crate) use frame::{Frame, HEADER_BYTES, Received, Taken, take};
pub(crate) use preamble::{ClientPreamble, PREAMBLE_BYTES, Refusal, ServerPreamble};
pub(crate) use request::{Flow, Request, Resume, breaks_protocol};
pub(crate) use response::{Response, Welcome};
pub(crate) use secret::Secret;
