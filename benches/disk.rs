//! Disk use: all files of a store, in proportion to what the application gave it.

use std::path::Path;

use crate::support::{
    data::segments,
    figure::{Better, Figure, Measured, Target},
    library::Shelf,
    peers,
    place::bytes_on_disk,
};

/// The bytes of names, types, ids, metadata and payloads are the limit; the segment prepared ahead does not count.
pub fn use_of(shelf: &Shelf) -> Figure {
    eprintln!("disk: use");
    let segments = segments(&shelf.factlog()).len();
    assert!(segments >= 10, "{segments} segments are too few");
    let content = shelf.content_bytes() as f64;
    let times = |dir: &Path| bytes_on_disk(dir, &|name| name == "prepared") as f64 / content;
    let own = times(&shelf.factlog());
    let peer = |name: &&str| Measured::counted(name, times(&shelf.path().join(name)), own);
    Figure {
        group: "disk".to_owned(),
        case: "use".to_owned(),
        unit: "x content".to_owned(),
        better: Better::Less,
        factlog: Measured::counted("factlog", own, own),
        limit: Some(Measured::counted("content", 1.0, own)),
        peers: peers::NAMES.iter().map(peer).collect(),
        target: Target::AtMost(1.35),
        ahead: 1.0,
        note: format!("{segments} segments"),
    }
}
