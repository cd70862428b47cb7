//! A whole session of a server on a real store: a client that sends anything, with and without a token.
#![no_main]

use std::cell::RefCell;

use factlog::{Store, fuzzing};
use factlog_fuzz::ground::place;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// After so many inputs a new store is begun, so that it does not grow without end.
const INPUTS: usize = 5_000;

struct Served {
    runtime: Runtime,
    store: Store,
    left: usize,
    _directory: TempDir,
}

fn served() -> Served {
    let runtime = Builder::new_current_thread().enable_time().build();
    let directory = place();
    let store = Store::open(directory.path());
    match (runtime, store) {
        (Ok(runtime), Ok(store)) => Served { runtime, store, left: INPUTS, _directory: directory },
        (runtime, store) => panic!("{:?} {:?}", runtime.err(), store.err()),
    }
}

thread_local! {
    static SERVED: RefCell<Served> = RefCell::new(served());
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    SERVED.with_borrow_mut(|served| {
        served.left -= 1;
        if served.left == 0 {
            *served = self::served();
        }
        served.runtime.block_on(fuzzing::session(&served.store, bytes));
    });
});
