//! The tests on PostgreSQL, and those of what only it has.

pub use crate::databases::Postgres as Place;
pub type Scene = crate::notes::Scene<Place>;

#[path = "consistency.rs"]
mod consistency;
#[path = "failing.rs"]
mod failing;
#[path = "kills.rs"]
mod kills;
#[path = "rebuilding.rs"]
mod rebuilding;
#[path = "running.rs"]
mod running;

#[path = "server.rs"]
mod server;
