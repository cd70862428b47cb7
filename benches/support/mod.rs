//! What the groups of cases are made with.

pub mod bare;
pub mod case;
pub mod data;
pub mod figure;
pub mod grouped;
pub mod library;
pub mod loopback;
pub mod peer;
pub mod peers;
pub mod place;
pub mod raw_log;
pub mod writers;
