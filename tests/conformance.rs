//! Every store of the crate keeps the contract of the trait.

#![allow(clippy::unwrap_used, reason = "these are tests")]

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
