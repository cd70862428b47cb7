//! The store over PostgreSQL, on servers of the tests' own: what the conformance suite cannot see.

#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

mod connections;
mod durable;
mod failing;
#[cfg(feature = "cli")]
mod import;
mod killed;
mod pages;
mod proxy;
mod schema;
mod server;
mod settled;
mod support;
#[cfg(feature = "cli")]
mod tls;
mod together;

#[path = "../support/disk.rs"]
mod disk;
#[path = "../support/disturbed.rs"]
mod disturbed;
#[cfg(feature = "cli")]
#[path = "../support/importing.rs"]
mod importing;
#[path = "../support/network.rs"]
mod network;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/two.rs"]
mod two;

/// Of the contract what depends on who does what, as two processes keep it, each of which knows nothing of what the other does.
mod two_processes {
    use factlog::testing::conformance::{self, Suite};

    use crate::{postgres::Postgres, support::patient, two::Two};

    macro_rules! checks {
        ($($check:ident)*) => {
            $(#[test]
            fn $check() {
                let address = Postgres::shared().database();
                conformance::$check(&Suite::new(Two::new(|| patient(&address))));
            })*
        };
    }

    checks! {
        a_cursor_goes_on_behind_what_was_acknowledged
        a_subscriber_that_catches_up_while_others_write_misses_nothing_and_sees_nothing_twice
        an_acknowledged_append_is_visible_at_once_with_everything_it_had
        of_the_same_append_sent_at_once_one_is_stored_and_all_get_its_answer
        of_writers_that_expect_one_version_exactly_one_gets_it
        repeated_appends_to_several_streams_are_recognised_as_a_whole_or_refused
        the_same_append_again_gets_the_first_answer_and_stores_nothing
        versions_have_no_gaps_and_positions_grow_whoever_writes
        what_a_subscription_gives_out_can_be_read
        writers_to_overlapping_streams_never_leave_a_half
    }
}
