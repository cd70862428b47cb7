//! The store on NATS JetStream, with real servers: one alone, and three in a cluster.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

#[path = "../support/disk.rs"]
mod disk;
#[cfg(feature = "cli")]
#[path = "../support/importing.rs"]
mod importing;
#[path = "../support/nats.rs"]
mod nats;
#[path = "../support/network.rs"]
mod proxy;
#[path = "../support/disturbed.rs"]
mod support;
#[path = "../support/two.rs"]
mod two;

mod cluster;
mod foreign;
#[cfg(feature = "cli")]
mod import;
mod network;
mod refusals;
mod room;
#[cfg(feature = "cli")]
mod tls;

/// Every promise of the contract.
mod contract {
    /// As two processes keep it, each of which knows nothing of what the other does.
    mod two_processes {
        use factlog::testing::conformance::{Suite, conformance_tests};

        use crate::{nats, two::Two};

        conformance_tests!(Suite::new(Two::new(|| nats::alone().open("contract"))));
    }

    mod cluster {
        use factlog::testing::conformance::{Suite, conformance_tests};

        use crate::nats;

        conformance_tests!(Suite::new(nats::cluster().open("contract")));
    }
}
