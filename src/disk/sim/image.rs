//! The state of a simulated disk at a moment, and what becomes of it.

use std::path::{Path, PathBuf};

use super::{Chance, SimDisk, Tally, tree::Tree};

/// All that a disk holds, and what is on its way there. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Image(pub(super) Tree);

/// The state of a disk before an operation.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Which operation it was, counted from 1.
    pub operation: u64,
    /// How far whoever drives the simulation had come: see [`SimDisk::mark`].
    pub mark: u64,
    /// The operation.
    pub before: String,
    /// The state.
    pub image: Image,
}

impl Image {
    /// A disk with this on it: what is found after a kill. The same seed makes the same things happen.
    pub fn disk(&self, seed: u64) -> SimDisk {
        SimDisk::with(self.0.clone(), seed, false)
    }

    /// What is there when the power comes back.
    pub fn after_power_cut(&self, chance: &mut Chance, tally: &mut Tally) -> Image {
        Image(self.0.after_power_cut(chance, tally))
    }

    /// How many changes were waiting for a sync.
    pub fn pending(&self) -> usize {
        self.0.pending()
    }

    /// Images with the same one hold the same files.
    pub fn fingerprint(&self) -> u64 {
        self.0.fingerprint()
    }

    /// The files.
    pub fn files(&self) -> Vec<PathBuf> {
        self.0.paths()
    }

    /// The bytes of a file; empty when there is none.
    pub fn bytes(&self, file: &Path) -> Vec<u8> {
        let content = self.0.file(file).and_then(|file| self.0.content(file));
        content.map(|content| content.cache.to_vec()).unwrap_or_default()
    }

    /// The same with this in place of a file's bytes, all of it durable.
    pub fn with_bytes(&self, file: &Path, bytes: &[u8]) -> Image {
        let mut tree = self.0.clone();
        if let Ok(content) = tree.file(file).and_then(|file| tree.content_mut(file)) {
            content.set_len(0);
            content.write(0, bytes);
            content.sync();
        }
        Image(tree)
    }
}
