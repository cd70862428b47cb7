//! The command `factlog`: arguments in, JSON Lines on standard output, words on standard error, an exit code.
//!
//! Invariants:
//!
//! - standard output carries data and nothing else, one JSON document a line;
//! - an acknowledgement is printed, and flushed, only after what it acknowledges is durable;
//! - a command that only reads never creates a store;
//! - every way to end has its exit code, and all of them are in [`failure`].
//!
//! A module for each command; what they share is in `event_line`, `failure`,
//! `domain`, `compare`, `engine`, `files`, `lines`, `load`, `open`, `output`, `pages`, `patience`, `place`, `progress`, `views` and
//! `warnings`.

mod append;
mod backup;
mod compare;
mod copy;
mod demo;
mod domain;
mod engine;
mod event_line;
mod export;
mod failure;
mod files;
mod import;
mod lines;
mod load;
mod olist;
mod open;
mod orders;
mod orders_import;
mod output;
mod pages;
mod patience;
mod place;
mod progress;
mod projections;
mod read;
mod repair;
mod root;
mod serve;
mod serve_settings;
mod stats;
mod streams;
mod users;
mod verify;
mod views;
mod warnings;

pub use root::run;
