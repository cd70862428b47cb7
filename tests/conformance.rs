//! Every store of the crate keeps the contract of the trait.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

mod memory {
    use factlog::{
        MemoryStore,
        testing::conformance::{Suite, conformance_tests},
    };

    conformance_tests!(Suite::new(MemoryStore::new()));
}

mod embedded {
    use factlog::{
        Options,
        testing::conformance::{Suite, conformance_tests},
    };
    use tempfile::TempDir;

    /// Segments so small that they are begun and ended all the time.
    fn suite() -> Suite {
        let directory = TempDir::new().unwrap();
        let options = Options::new().first_segment_bytes(8 << 10).segment_bytes(32 << 10);
        Suite::new(options.open(directory.path()).unwrap()).keeping(directory)
    }

    conformance_tests!(suite());
}

#[cfg(all(feature = "server", feature = "client"))]
#[path = "support/serving.rs"]
mod serving;

#[cfg(feature = "postgres")]
#[path = "support/postgres.rs"]
mod postgres_server;

#[cfg(feature = "postgres")]
mod postgres {
    use factlog::{
        backend::postgres::PostgresStore,
        testing::conformance::{Suite, conformance_tests},
    };

    use super::postgres_server::Postgres;

    fn suite() -> Suite {
        Suite::new(PostgresStore::connect(&Postgres::shared().database()).unwrap())
    }

    conformance_tests!(suite());
}

#[cfg(all(feature = "server", feature = "client"))]
mod client {
    use factlog::{
        Options,
        testing::conformance::{Suite, conformance_tests},
    };
    use tempfile::TempDir;

    use super::serving::Serving;

    fn suite() -> Suite {
        let directory = TempDir::new().unwrap();
        let options = Options::new().first_segment_bytes(8 << 10).segment_bytes(32 << 10);
        let serving = Serving::new(options.open(directory.path()).unwrap());
        // The server ends before its directory is removed.
        Suite::new(serving.client()).keeping((serving, directory))
    }

    conformance_tests!(suite());
}

#[path = "support/altered.rs"]
mod altered;

/// A store that does less than the trait allows for, and says so.
mod narrowed {
    use factlog::{
        Capabilities,
        testing::conformance::{Suite, conformance_tests},
    };

    use super::altered::Altered;

    fn suite() -> Suite {
        let mut own = Capabilities::full();
        (own.dense_positions, own.append_streams, own.append_events) = (false, 1, 100);
        (own.event_bytes, own.append_bytes) = (2000, 20_000);
        (own.snapshot_bytes, own.stream_name_bytes) = (1000, 100);
        Suite::new(Altered { states: own, takes: own, gaps: true, ..Altered::new() })
    }

    conformance_tests!(suite());
}

/// A store that states what is not so is found out.
mod lying {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use factlog::{
        Capabilities,
        testing::conformance::{self as checks, Suite},
    };

    use super::altered::Altered;

    fn with(change: impl Fn(&mut Capabilities)) -> Capabilities {
        let mut capabilities = Capabilities::full();
        change(&mut capabilities);
        capabilities
    }

    #[track_caller]
    fn is_found(check: fn(&Suite), store: Altered) {
        let suite = Suite::new(store);
        catch_unwind(AssertUnwindSafe(|| check(&suite))).expect_err("the check sees no difference");
    }

    #[test]
    fn a_store_with_gaps_that_claims_to_have_none() {
        is_found(checks::positions_have_no_gaps_where_the_store_claims_it, Altered { gaps: true, ..Altered::new() });
    }

    #[test]
    fn a_store_that_takes_one_stream_and_claims_several() {
        let takes = with(|own| own.append_streams = 1);
        let store = || Altered { takes, ..Altered::new() };
        is_found(checks::an_append_has_as_many_streams_as_the_store_claims_and_is_refused_beyond, store());
        is_found(checks::an_append_to_several_streams_is_all_or_nothing_and_in_the_order_given, store());
    }

    #[test]
    fn a_store_that_claims_an_append_to_several_streams_and_makes_several_of_it() {
        let store = Altered { splits: true, ..Altered::new() };
        is_found(checks::an_append_to_several_streams_is_all_or_nothing_and_in_the_order_given, store);
    }

    #[test]
    fn a_store_that_takes_several_streams_and_claims_one() {
        let store = Altered { states: with(|own| own.append_streams = 1), ..Altered::new() };
        is_found(checks::an_append_has_as_many_streams_as_the_store_claims_and_is_refused_beyond, store);
    }

    #[test]
    fn a_store_whose_limits_are_narrower_or_wider_than_it_states() {
        let narrower: [fn(&mut Capabilities); 5] = [
            |own| own.append_events = 99,
            |own| own.append_bytes = 19_999,
            |own| own.event_bytes = 1999,
            |own| own.snapshot_bytes = 999,
            |own| own.stream_name_bytes = 99,
        ];
        let stated = with(|own| {
            (own.append_events, own.append_bytes, own.event_bytes) = (100, 20_000, 2000);
            (own.snapshot_bytes, own.stream_name_bytes) = (1000, 100);
        });
        for change in narrower {
            let mut takes = stated;
            change(&mut takes);
            let store = Altered { states: stated, takes, ..Altered::new() };
            is_found(checks::what_is_as_large_as_the_stores_own_limits_is_taken_and_comes_back, store);
            let store = Altered { states: takes, takes: stated, ..Altered::new() };
            is_found(checks::what_is_beyond_the_stores_own_limits_is_refused_and_stores_nothing, store);
        }
    }

    #[test]
    fn a_store_that_claims_more_than_there_is() {
        let store = Altered { states: with(|own| own.event_bytes += 1), ..Altered::new() };
        is_found(checks::a_store_claims_no_more_than_there_is_and_always_the_same, store);
    }
}
