//! A store in a PostgreSQL database, 13 or later: tables `events` and `snapshots`, each append whole in one transaction, a pool of connections.
//!
//! ```text
//!   PostgresStore     what applications call: futures for any runtime
//!     together        appends that have to wait go together
//!     append          one call of a function of the database: checked, numbered and stored in one round trip
//!     read            pages, by the index that fits what is asked
//!     settled         up to which position no event can come any more
//!     tail            hears of new events, by LISTEN or by the clock, and wakes
//!     subscription    pages up to what is settled, and waits
//!     snapshot, cursor
//!     server          the pool; a lost connection is made again, and what was asked is asked again
//!     failure         errors of the driver and of the server, by what the caller does next
//!     schema          the tables, made by versions
//! ```
//!
//! Invariants:
//!
//! - two writers cannot pass the same check: the unique key (stream, version) lets one of them in;
//! - an append is in one statement, and so in one transaction, alone or with others that waited with it: none is ever left open while a
//!   client is away;
//! - a reader of the log is given an event only when no event with a lower position can come any more;
//! - an append whose answer was lost is made again with the same event ids, and recognised: it is stored once;
//! - what ends with [`crate::Error::Unavailable`] was not stored; what may have been ends with [`crate::Error::OutcomeUnknown`];
//! - a password is in no error and no `Debug`.
//!
//! ```no_run
//! use factlog::{EventStore, EventType, ExpectedVersion, NewEvent, StreamName, backend::postgres::PostgresStore, block_on};
//!
//! let store = PostgresStore::connect("postgres://shop:secret@localhost/shop")?;
//! let order = StreamName::new("order-17")?;
//! let placed = NewEvent::new(EventType::new("Placed")?, r#"{"total":59.98}"#);
//! block_on(store.append(&order, ExpectedVersion::NoStream, vec![placed]))?;
//! # Ok::<(), factlog::Error>(())
//! ```

mod append;
mod core;
mod cursor;
mod failure;
mod options;
mod read;
mod schema;
mod server;
mod settled;
mod snapshot;
mod store;
mod subscription;
mod tail;
mod together;

pub use options::PostgresOptions;
pub use store::PostgresStore;
