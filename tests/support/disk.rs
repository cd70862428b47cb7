//! A disk that is soon full.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// A small disk, for as long as it is there.
pub struct Disk {
    place: PathBuf,
    _directory: Option<TempDir>,
}

impl Disk {
    /// None, and a sentence, where this process may not mount one.
    pub fn new(size: &str) -> Option<Disk> {
        let directory = tempfile::tempdir().unwrap();
        let mut disk = Disk::at(directory.path(), size)?;
        disk._directory = Some(directory);
        Some(disk)
    }

    /// The same at a directory that is there.
    pub fn at(place: &Path, size: &str) -> Option<Disk> {
        let size = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(place).output();
        if !mounted.is_ok_and(|mounted| mounted.status.success()) {
            eprintln!("skipped: this process may not mount a small disk");
            return None;
        }
        Some(Disk { place: place.to_owned(), _directory: None })
    }

    pub fn path(&self) -> &Path {
        &self.place
    }

    fn ballast(&self) -> PathBuf {
        self.place.join("ballast")
    }

    /// Leaves so many bytes, or some less.
    pub fn fill_but(&self, left: usize) {
        let mut ballast = fs::File::create(self.ballast()).unwrap();
        let mut bytes = 0;
        while let Ok(written) = ballast.write(&[0; 1 << 16])
            && written > 0
        {
            bytes += written as u64;
        }
        ballast.set_len(bytes.saturating_sub(left as u64)).unwrap();
    }

    pub fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.place).status();
    }
}
