//! When an append is acknowledged.

use std::time::Duration;

/// When an append is acknowledged and its events can be read: the one setting that trades safety for speed.
///
/// With the relaxed levels an append is acknowledged when it has been handed to the operating system. Such events
/// survive the end of the process, however it ends, but not that of the system: a power cut or a crash of the kernel can
/// take back what was acknowledged, and what readers have seen, since the last sync. What remains is whole: a
/// beginning of the log, with no append in part and none missing in between, as far as the disk keeps its own
/// promises. Events that were synced are as safe as with [`Durability::Always`]. A refused append is only told of durable events
/// with each of the levels, and so syncs first if it must.
///
/// The relaxed levels are for loads that can be done again from the start, such as an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// When it is on the disk. Nothing that was acknowledged or read is ever lost. The default.
    #[default]
    Always,
    /// When it is written. It is on the disk after the next [`crate::Store::sync`] and after [`crate::Store::close`]; the store
    /// syncs earlier when much has been written.
    OnDemand,
    /// As [`Durability::OnDemand`], and the store syncs by itself: so long after the first write that was not synced. How long
    /// a sync takes comes on top.
    Every(Duration),
}
