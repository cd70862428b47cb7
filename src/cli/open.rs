//! From the place that `--store` names to an open store.

use std::path::Path;

use factlog::{Options, Store};

use super::{
    failure::Failure,
    output::{count, say},
};

/// Opens the store to append to it; it is created when there is none.
pub fn for_writing(place: &Path) -> Result<Store, Failure> {
    opened(Store::open(place)?)
}

/// Opens the store to read it; it must exist.
pub fn for_reading(place: &Path) -> Result<Store, Failure> {
    opened(Options::new().create(false).open(place)?)
}

fn opened(store: Store) -> Result<Store, Failure> {
    if store.dropped_bytes() > 0 {
        let bytes = count(store.dropped_bytes(), "byte");
        say(format_args!("factlog: dropped {bytes} behind the last event: remains of an append that was cut off"));
    }
    Ok(store)
}
