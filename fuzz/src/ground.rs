//! Where the store of a run lies, and what can happen to it there. The targets reach files by this module alone, so that
//! another ground, such as a simulated disk, can take the place of this one.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use arbitrary::Arbitrary;
use factlog::{Options, Result, Store};
use tempfile::TempDir;

/// A directory for a store, in memory where there is such a place: nothing here is about a power cut.
pub fn place() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
    made.unwrap_or_else(|error| panic!("no temporary directory: {error}"))
}

/// What happens to the files of a store that nobody has open.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Fault {
    /// A byte becomes another one.
    Flip { file: u8, at: u16, mask: u8 },
    /// A file ends here.
    Cut { file: u8, at: u16 },
    /// So many bytes become zero.
    Zero { file: u8, at: u16, len: u8 },
    /// A file is gone.
    Delete { file: u8 },
}

/// The files of one store.
#[derive(Debug)]
pub struct Ground {
    dir: TempDir,
}

impl Default for Ground {
    fn default() -> Self {
        Ground { dir: place() }
    }
}

impl Ground {
    /// Opens the store, with segments that are soon full.
    pub fn open(&self) -> Result<Store> {
        Options::new().first_segment_bytes(8 << 10).segment_bytes(16 << 10).open(self.dir.path())
    }

    /// Every fault that verifying names.
    pub fn verify(&self) -> Result<usize> {
        factlog::verify(self.dir.path(), &mut |_| {}).map(|verified| verified.faults.len())
    }

    /// The files as they are now, also while the store is open: what a kill would leave.
    pub fn copy(&self) -> Ground {
        let copy = Ground::default();
        for file in self.files() {
            let to = copy.dir.path().join(&file);
            let made = to.parent().map_or(Ok(()), fs::create_dir_all);
            match made.and_then(|()| fs::copy(self.dir.path().join(&file), to)) {
                Ok(_) => {}
                // It was renamed meanwhile: made beside the appends, and not needed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => panic!("{error}"),
            }
        }
        copy
    }

    /// Does this to the files; which file it changed, if any.
    pub fn harm(&self, fault: Fault) -> Option<PathBuf> {
        let (Fault::Flip { file, .. } | Fault::Cut { file, .. } | Fault::Zero { file, .. } | Fault::Delete { file }) =
            fault;
        let files = self.files();
        let name = files.get(usize::from(file) % files.len().max(1))?.clone();
        let path = self.dir.path().join(&name);
        let before = fs::read(&path).ok()?;
        let mut after = before.clone();
        match fault {
            Fault::Delete { .. } => fs::remove_file(path).ok()?,
            _ if before.is_empty() => return None,
            Fault::Flip { at, mask, .. } => after[usize::from(at) % before.len()] ^= mask,
            Fault::Cut { at, .. } => after.truncate(usize::from(at) % before.len()),
            Fault::Zero { at, len, .. } => {
                let at = usize::from(at) % before.len();
                let end = (at + 16 * usize::from(len)).min(before.len());
                after[at..end].fill(0);
            }
        }
        if let Fault::Delete { .. } = fault {
            return Some(name);
        }
        fs::write(self.dir.path().join(&name), &after).ok()?;
        (before != after).then_some(name)
    }

    /// All files, in order, by their paths in the store.
    fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut left = vec![self.dir.path().to_path_buf()];
        while let Some(dir) = left.pop() {
            for path in fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()) {
                if path.is_dir() {
                    left.push(path);
                } else if let Ok(name) = path.strip_prefix(self.dir.path()) {
                    found.push(name.to_path_buf());
                }
            }
        }
        found.retain(|name| name != Path::new("LOCK"));
        found.sort();
        found
    }
}
