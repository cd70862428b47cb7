//! The index: where the events of each stream, type and category lie, and where each position lies.
//!
//! ```text
//!   positions:  1 ......................................... n ................ m ............ newest
//!               | run | run | run |         run             | part, frozen     | part         |
//!               |  on disk, mapped, never changed           | in memory, being | in memory,   |
//!               |                                           | written as a run | growing      |
//! ```
//!
//! Invariants:
//!
//! - runs and parts follow each other without a gap, and together hold every event that was sequenced;
//! - it holds nothing that the log does not: deleting its files loses nothing, they are made anew at the next opening;
//! - a run holds durable events only; a part may know of others, and whoever reads through it says up to which position it may
//!   look;
//! - what it needs in memory does not grow with the number of events or streams: the parts cover a bounded piece of the log.

mod evidence;
mod filter;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod hash;
mod heads;
mod matches;
mod merge;
mod pages;
mod part;
mod postings;
mod run;
mod select;
mod set;
mod worker;

pub(crate) use evidence::{Evidence, RunFile};
pub(crate) use hash::ListHash;
pub(crate) use matches::{Direction, Matches};
pub(crate) use part::Indexed;
pub(crate) use run::INDEX;
pub(crate) use select::{Selection, Union};
pub(crate) use set::{Found, FoundWhole, Index, IndexOptions, Looked};

#[cfg(test)]
mod tests;
