//! From a command or a query to its handler, by its type.
//!
//! ```text
//!   dispatch(command) --> first middleware --> ... --> last middleware --> handler
//!                 <-- the answer of the command's own type <--
//! ```
//!
//! Invariants:
//!
//! - a type of command or query has one handler, and what it answers has the type that the command names;
//! - middleware runs in the order in which it was given: the first is the first to see a command and the last to see
//!   its end;
//! - no handler runs without metadata.

mod buses;
mod handlers;
mod logging;
mod middleware;

pub use buses::{CommandBus, QueryBus};
pub use logging::Logging;
pub use middleware::{Call, Middleware, Next, Retry, Validation};

#[cfg(test)]
mod tests;
