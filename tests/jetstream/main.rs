//! The store on NATS JetStream, with real servers: one alone, and three in a cluster.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

#[path = "../support/nats.rs"]
mod nats;
#[path = "../support/network.rs"]
mod proxy;
#[path = "../support/disturbed.rs"]
mod support;

mod cluster;
mod foreign;
#[cfg(feature = "cli")]
mod import;
mod network;
mod refusals;

/// Every promise of the contract.
mod contract {
    mod alone {
        use factlog::testing::conformance::{Suite, conformance_tests};

        use crate::nats;

        conformance_tests!(Suite::new(nats::alone().open("contract")));
    }

    mod cluster {
        use factlog::testing::conformance::{Suite, conformance_tests};

        use crate::nats;

        conformance_tests!(Suite::new(nats::cluster().open("contract")));
    }
}
