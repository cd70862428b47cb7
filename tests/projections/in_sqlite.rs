//! The tests on SQLite, and those of what only it has.

pub use crate::databases::Sqlite as Place;
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

#[path = "queries.rs"]
mod queries;
#[path = "tables.rs"]
mod tables;
