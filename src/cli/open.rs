//! From the place that `--store` names to an open store.

use std::{
    path::Path,
    sync::OnceLock,
    time::{Duration, Instant},
};

use factlog::{Options, Store};

use super::{
    failure::Failure,
    output::{count, say},
    progress::{Progress, Unit},
};

/// Opening that takes longer shows how far it has come. It does when the index is made anew from the log.
const PATIENCE: Duration = Duration::from_millis(300);

/// Opens the store to append to it; it is created when there is none.
pub fn for_writing(place: &Path) -> Result<Store, Failure> {
    opened(Options::new(), place)
}

/// Opens the store to read it, also beside a process that writes it; it must exist. Every command that only reads events
/// comes by here, also those whose answer is in a read model, which is no part of the store.
pub fn for_reading(place: &Path) -> Result<Store, Failure> {
    opened(Options::new().read_only(true), place)
}

fn opened(options: Options, place: &Path) -> Result<Store, Failure> {
    let (started, bar) = (Instant::now(), OnceLock::new());
    // Gone, and the bar with it, when the store is open.
    let options = options.progress(move |so_far| {
        if bar.get().is_some() || started.elapsed() > PATIENCE {
            bar.get_or_init(|| Progress::new(Unit::Bytes, Some(so_far.total_bytes))).set(so_far.bytes);
        }
    });
    let store = options.open(place)?;
    drop(options);
    if store.dropped_bytes() > 0 {
        let bytes = count(store.dropped_bytes(), "byte");
        say(format_args!("factlog: dropped {bytes} behind the last event: remains of an append that was cut off"));
    }
    Ok(store)
}
