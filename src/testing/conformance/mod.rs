//! The contract of [`EventStore`](crate::EventStore), as checks that any store can be held to.
//!
//! Each check is a promise, and named by it. [`conformance_tests!`] makes a test of each:
//!
//! ```no_run
//! mod memory {
//!     use factlog::{MemoryStore, testing::conformance::{Suite, conformance_tests}};
//!
//!     conformance_tests!(Suite::new(MemoryStore::new()));
//! }
//! # fn main() {}
//! ```
//!
//! A store that does less than the trait allows for says so in its [`Capabilities`](crate::Capabilities). Then the checks ask only for
//! what it claims, at its own limits, and see that it refuses the rest with a typed error. So another engine is brought in three
//! steps: implement the trait, state what it does, and make these tests of it. What it refuses to do can be left to
//! [`Capabilities::check_append`](crate::Capabilities::check_append) and
//! [`Capabilities::check_snapshot`](crate::Capabilities::check_snapshot).
//!
//! The checks of a suite use names of their own, so that they may run on a store that others write to, and side by side.
//! What they cannot see is what a power cut leaves: that acknowledged events are durable is for the store's own tests.

mod appends;
mod capabilities;
mod racing;
mod reads;
mod repeats;
mod snapshots;
mod subscriptions;
mod suite;

pub use self::{
    appends::{
        a_condition_that_is_not_met_is_refused_with_both_versions_and_stores_nothing,
        an_acknowledged_append_is_visible_at_once_with_everything_it_had,
        an_append_to_several_streams_is_all_or_nothing_and_in_the_order_given,
        input_that_breaks_a_rule_is_refused_and_stores_nothing,
    },
    capabilities::{
        a_store_claims_no_more_than_there_is_and_always_the_same,
        an_append_has_as_many_streams_as_the_store_claims_and_is_refused_beyond,
        names_that_differ_are_different_streams_and_come_back_as_they_were,
        positions_have_no_gaps_where_the_store_claims_it,
        what_is_as_large_as_the_stores_own_limits_is_taken_and_comes_back,
        what_is_beyond_the_stores_own_limits_is_refused_and_stores_nothing,
    },
    racing::{
        of_the_same_append_sent_at_once_one_is_stored_and_all_get_its_answer,
        of_writers_that_expect_one_version_exactly_one_gets_it,
        versions_have_no_gaps_and_positions_grow_whoever_writes, writers_to_overlapping_streams_never_leave_a_half,
    },
    reads::{
        a_long_stream_is_read_page_by_page_without_a_gap,
        a_stream_is_read_between_versions_in_both_directions_up_to_a_limit,
        a_stream_without_events_reads_as_empty_and_is_at_version_0,
        the_log_is_read_between_positions_in_both_directions_up_to_a_limit,
        the_log_is_read_by_stream_category_type_and_time,
    },
    repeats::{
        a_long_append_of_which_only_the_end_is_new_enough_is_recognised_whole,
        an_id_that_is_taken_by_another_event_is_refused, an_id_twice_in_one_append_is_refused,
        repeated_appends_to_several_streams_are_recognised_as_a_whole_or_refused,
        the_same_append_again_gets_the_first_answer_and_stores_nothing,
        without_a_version_the_newest_thousand_ids_count_and_with_one_those_behind_it_for_ever,
    },
    snapshots::{
        a_snapshot_ahead_of_its_stream_or_of_nothing_is_refused,
        a_snapshot_replaces_the_one_of_its_version_and_the_newest_is_kept,
        a_typed_state_of_another_codec_or_version_is_skipped_and_reported,
        the_newest_snapshot_at_or_below_a_version_comes_back,
    },
    subscriptions::{
        a_cursor_goes_on_behind_what_was_acknowledged, a_narrowed_subscription_gives_out_only_what_was_asked_for,
        a_subscriber_that_catches_up_while_others_write_misses_nothing_and_sees_nothing_twice,
        a_subscription_waits_for_what_comes_and_loses_nothing_when_it_stops_waiting,
        what_a_subscription_gives_out_can_be_read,
    },
    suite::Suite,
};

/// Makes a test of each check of the conformance suite. The expression makes a [`Suite`], once for each test.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($suite:expr) => {
        $crate::testing::conformance::conformance_tests! { @each $suite;
            a_store_claims_no_more_than_there_is_and_always_the_same
            an_append_has_as_many_streams_as_the_store_claims_and_is_refused_beyond
            names_that_differ_are_different_streams_and_come_back_as_they_were
            positions_have_no_gaps_where_the_store_claims_it
            what_is_as_large_as_the_stores_own_limits_is_taken_and_comes_back
            what_is_beyond_the_stores_own_limits_is_refused_and_stores_nothing
            an_acknowledged_append_is_visible_at_once_with_everything_it_had
            a_condition_that_is_not_met_is_refused_with_both_versions_and_stores_nothing
            input_that_breaks_a_rule_is_refused_and_stores_nothing
            an_append_to_several_streams_is_all_or_nothing_and_in_the_order_given
            the_same_append_again_gets_the_first_answer_and_stores_nothing
            an_id_that_is_taken_by_another_event_is_refused
            an_id_twice_in_one_append_is_refused
            without_a_version_the_newest_thousand_ids_count_and_with_one_those_behind_it_for_ever
            a_long_append_of_which_only_the_end_is_new_enough_is_recognised_whole
            repeated_appends_to_several_streams_are_recognised_as_a_whole_or_refused
            of_writers_that_expect_one_version_exactly_one_gets_it
            of_the_same_append_sent_at_once_one_is_stored_and_all_get_its_answer
            writers_to_overlapping_streams_never_leave_a_half
            versions_have_no_gaps_and_positions_grow_whoever_writes
            a_stream_without_events_reads_as_empty_and_is_at_version_0
            a_stream_is_read_between_versions_in_both_directions_up_to_a_limit
            a_long_stream_is_read_page_by_page_without_a_gap
            the_log_is_read_between_positions_in_both_directions_up_to_a_limit
            the_log_is_read_by_stream_category_type_and_time
            the_newest_snapshot_at_or_below_a_version_comes_back
            a_snapshot_replaces_the_one_of_its_version_and_the_newest_is_kept
            a_snapshot_ahead_of_its_stream_or_of_nothing_is_refused
            a_typed_state_of_another_codec_or_version_is_skipped_and_reported
            a_subscriber_that_catches_up_while_others_write_misses_nothing_and_sees_nothing_twice
            a_narrowed_subscription_gives_out_only_what_was_asked_for
            a_subscription_waits_for_what_comes_and_loses_nothing_when_it_stops_waiting
            a_cursor_goes_on_behind_what_was_acknowledged
            what_a_subscription_gives_out_can_be_read
        }
    };
    (@each $suite:expr; $($check:ident)*) => {
        $(
            #[test]
            fn $check() {
                $crate::testing::conformance::$check(&$suite);
            }
        )*
    };
}

#[doc(inline)]
pub use __conformance_tests as conformance_tests;
