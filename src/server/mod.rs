//! The TCP server over a store.
//!
//! ```text
//!   listener     accepts, counts, refuses                                  tls
//!     connection   one task each: preambles, hello, then three loops
//!       reader       bytes -> frames, within the budgets -> session
//!       session      what a request is allowed to do, and who does it
//!         appends      sequenced at once, in the order in which they arrive; they share the commits of all
//!         reads        pages, those of one connection together: here as long as they come from memory, else on threads that may block
//!         streamed     long reads and subscriptions, a task each, as far as there is credit
//!       writer       what is ready -> vectored writes, straight from where the events lie
//!     alone        all of that by one thread, line in hand, as long as nobody else appends
//!   network      what connections are: the system's, or simulated ones
//!   http         metrics, health and readiness, on a port of their own
//! ```
//!
//! Invariants:
//!
//! - nothing is allocated for a length that was not compared with its limit, and nothing is kept that no budget was asked for;
//! - who does not read what was sent to them stops their own connection and no other, and is cut off after a time;
//! - before it has said who it is, a client can do nothing but say that; what its token does not allow, it neither does nor sees;
//! - no payload and no secret is in any log;
//! - a panic ends the connection that it happens in, or only the request;
//! - on the way from the store to the socket no payload is copied.

mod access;
mod alone;
mod budget;
mod connection;
#[cfg(test)]
#[cfg(feature = "client")]
mod fault_tests;
#[cfg(all(feature = "client", any(test, fuzzing)))]
pub(crate) mod fuzzing;
mod http;
mod line;
mod listener;
mod memory;
mod metrics;
mod network;
#[cfg(test)]
#[cfg(feature = "client")]
mod network_tests;
mod options;
mod page;
mod reader;
mod session;
mod shutdown;
mod streamed;
mod subscription;
mod tls;
mod writer;

pub use access::{Role, Token};
pub use listener::{Bound, Server};
pub use options::{ServeError, ServerOptions};
