//! From the place that `--store` names to an open store.

use std::path::Path;

use factlog::{Options, Store};

use super::failure::Failure;

/// Opens the store to append to it; it is created when there is none.
pub fn for_writing(place: &Path) -> Result<Store, Failure> {
    Ok(Store::open(place)?)
}

/// Opens the store to read it; it must exist.
pub fn for_reading(place: &Path) -> Result<Store, Failure> {
    Ok(Options::new().create(false).open(place)?)
}
