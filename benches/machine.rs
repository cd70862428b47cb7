//! What the figures were measured with.

use std::{fs, path::Path, thread};

/// Each as a name and what is to be said of it.
pub fn description(dir: &Path) -> Vec<(String, String)> {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let mut lines = vec![
        ("processor".to_owned(), format!("{}, {cores} cores", field("/proc/cpuinfo", "model name"))),
        ("memory".to_owned(), field("/proc/meminfo", "MemTotal")),
        ("kernel".to_owned(), read("/proc/sys/kernel/osrelease")),
        ("disk".to_owned(), mount(dir)),
        ("SQLite".to_owned(), rusqlite::version().to_owned()),
    ];
    lines.extend(["redb", "fjall"].map(|name| (name.to_owned(), locked(name))));
    lines
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

fn field(path: &str, name: &str) -> String {
    let text = read(path);
    let line = text.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(':'));
    line.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
}

/// Device and file system of the mount that a directory lies on.
fn mount(dir: &Path) -> String {
    let mounts = read("/proc/self/mounts");
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let under = fields.filter(|fields| fields.len() > 3 && dir.starts_with(fields[1]));
    under
        .max_by_key(|fields| fields[1].len())
        .map_or_else(|| "unknown".to_owned(), |fields| format!("{}, {} ({})", fields[0], fields[2], fields[3]))
}

/// The version of a crate in the lock file.
fn locked(name: &str) -> String {
    let lock = include_str!("../Cargo.lock");
    let entry = format!("name = \"{name}\"\nversion = \"");
    let version = lock.split(&entry).nth(1).and_then(|rest| rest.split('"').next());
    version.unwrap_or("unknown").to_owned()
}
