//! A store on NATS JetStream: a replicated log with optimistic concurrency, on one server or on a cluster.
//!
//! ```text
//!   append   -> | look, judge | -> message on the stream's subject, if its newest message is still the one that was looked at
//!   read     -> | pages from any replica | where they end, the leader is asked whether they do |
//!   follow   -> reads, and is told to look again by what the leader has stored
//!
//!   names        streams as subjects, and back
//!   place        positions from sequence numbers
//!   message      the events of an append to one stream, as bytes
//!   wire         requests, and trying them again            stored    messages as servers hold them
//!   heads        what is known of the newest messages       append, read, subscription
//!   keep         snapshots and cursors                      setup, synced    what the servers must be like
//!                                                           monitor          what they say of themselves
//! ```
//!
//! Invariants:
//!
//! - an append to one stream is one message, one to several is an atomic batch of one message each: it is there whole or not at all;
//! - a message is published on the condition that its subject's newest message is the one that was looked at; so of two appends that rely
//!   on the same one is stored, and an append that is sent again without knowing how the first attempt ended is stored once;
//! - positions come from the sequence numbers that the servers give, in the order in which they store;
//! - what ends with [`crate::Error::Unavailable`] was not stored; what may have been ends with [`crate::Error::OutcomeUnknown`];
//! - nothing is read past a gap: it is an error that names the events that are lost;
//! - servers that acknowledge before they sync, or of which that is not known, are refused unless they are accepted knowingly.
//!
//! Reads see every append that was acknowledged before, to whomever: a leader answers for it. A leader that was cut off from all others may
//! answer for some seconds as if it were one still; a store never goes back behind the stream's message that it has seen itself.
//!
//! ```no_run
//! use factlog::{EventStore, EventType, ExpectedVersion, NewEvent, StreamName, backend::jetstream::JetStreamStore, block_on};
//!
//! let store = JetStreamStore::connect("nats://127.0.0.1:4222/orders?monitor=http://127.0.0.1:8222")?;
//! let order = StreamName::new("order-17")?;
//! let placed = NewEvent::new(EventType::new("Placed")?, r#"{"total":59.98}"#);
//! block_on(store.append(&order, ExpectedVersion::NoStream, vec![placed]))?;
//! # Ok::<(), factlog::Error>(())
//! ```

mod address;
mod append;
mod failure;
mod heads;
mod keep;
mod message;
mod monitor;
mod names;
mod options;
mod place;
mod read;
mod setup;
mod store;
mod stored;
mod subscription;
mod synced;
mod wire;

pub use options::JetStreamOptions;
pub use store::JetStreamStore;
pub use subscription::JetStreamSubscription;
