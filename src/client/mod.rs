//! The TCP client: a store in another process, by the same trait.
//!
//! ```text
//!   Client        what applications call: futures for any runtime, and functions that block
//!     table       what is asked and not yet answered: it outlives connections
//!     link        one connection at a time, made again when it is lost: with pauses that grow, and what is unanswered sent again
//!     socket      the connection in the hands of a thread that is alone with its request
//!     feed        the events of a subscription or a long read, as far as they have come
//! ```
//!
//! Invariants:
//!
//! - an append whose answer was lost is sent again with the same event ids, which the server answers as it did the first time: it is
//!   stored once;
//! - what ends with [`crate::Error::Unavailable`] was not stored; what may have been ends with [`crate::Error::OutcomeUnknown`];
//! - a subscription gives out each event once, in order, however many connections it takes;
//! - a feed holds as many bytes as its window, and one frame; the server sends no more until they have been taken.
//!
//! ```no_run
//! use factlog::{EventType, ExpectedVersion, NewEvent, StreamName, client::Client};
//!
//! let client = Client::connect("tcp://127.0.0.1:4433")?;
//! let order = StreamName::new("order-17")?;
//! let placed = NewEvent::new(EventType::new("Placed")?, r#"{"total":59.98}"#);
//! client.append(&order, ExpectedVersion::NoStream, vec![placed])?;
//! # Ok::<(), factlog::Error>(())
//! ```

mod address;
mod events;
mod feed;
#[cfg(unix)]
mod halves;
mod handle;
mod link;
mod options;
mod socket;
mod store;
mod subscription;
mod table;
mod tls;

pub use events::{ClientEvents, ClientStreams, Reading};
pub use handle::Client;
pub use options::ClientOptions;
pub use subscription::ClientSubscription;
#[cfg(all(test, feature = "server"))]
pub(crate) use {
    link::{Network, Sink, Source},
    socket::Socket,
};
