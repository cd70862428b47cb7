//! Where the files of a case lie.

use std::{env, fs, os::unix::fs::MetadataExt, path::Path, thread, time::Duration};

use tempfile::TempDir;

/// A directory of its own, which goes away with this: where `FACTLOG_BENCH_DIR` says, or under `target`.
pub fn place() -> TempDir {
    let root = env::var("FACTLOG_BENCH_DIR").unwrap_or_else(|_| env!("CARGO_TARGET_TMPDIR").to_owned());
    tempfile::Builder::new().prefix("figures-").tempdir_in(root).expect("a directory for the files of the figures")
}

/// Lets the disk finish what the files of earlier cases, made and removed, left it to do.
pub fn settle() {
    rustix::fs::sync();
    thread::sleep(Duration::from_millis(500));
}

/// Whether the large sizes were asked for.
pub fn full() -> bool {
    env::var_os("FACTLOG_BENCH_FULL").is_some_and(|value| value != "0")
}

/// What the files in a directory take up on the disk, those left out whose name `skip` accepts.
pub fn bytes_on_disk(dir: &Path, skip: &dyn Fn(&str) -> bool) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            bytes += bytes_on_disk(&entry.path(), skip);
        } else if !skip(&entry.file_name().to_string_lossy()) {
            bytes += metadata.blocks() * 512;
        }
    }
    bytes
}

/// Copies a directory with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
