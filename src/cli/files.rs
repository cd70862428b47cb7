//! The files that a command reads and writes itself: exports, imports. None of them is part of a store, whose files
//! only the engine touches.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    sync::Arc,
};

use super::failure::Failure;

const BUFFER_BYTES: usize = 256 << 10;

/// The argument that stands for standard input or output.
const STANDARD: &str = "-";

/// Whether an optional file argument means standard input or output.
pub fn is_standard(file: Option<&Path>) -> bool {
    file.is_none_or(|path| path.as_os_str() == STANDARD)
}

/// Something to read.
pub struct Input {
    /// Its content.
    pub reader: Box<dyn BufRead>,
    /// Its length in bytes, where that is known beforehand.
    pub length: Option<u64>,
}

/// Opens a file, or standard input, to read it.
pub fn input(file: Option<&Path>) -> Result<Input, Failure> {
    let Some(path) = file.filter(|_| !is_standard(file)) else {
        let reader = Box::new(BufReader::with_capacity(BUFFER_BYTES, io::stdin().lock()));
        return Ok(Input { reader, length: None });
    };
    let cannot = |error: io::Error| Failure::BadInput(format!("cannot open {}: {error}", path.display()));
    let opened = File::open(path).map_err(cannot)?;
    let metadata = opened.metadata().map_err(cannot)?;
    if metadata.is_dir() {
        return Err(cannot(io::ErrorKind::IsADirectory.into()));
    }
    let length = metadata.is_file().then_some(metadata.len());
    Ok(Input { reader: Box::new(BufReader::with_capacity(BUFFER_BYTES, opened)), length })
}

/// Creates a file, or empties the one that is there, to write to it.
pub fn create(path: &Path) -> Result<Arc<File>, Failure> {
    File::create(path)
        .map(Arc::new)
        .map_err(|error| Failure::BadInput(format!("cannot create {}: {error}", path.display())))
}

/// Waits until a file is on the disk; what is no regular file, such as a pipe, has no place there.
pub fn sync(file: &File, path: &Path) -> Result<(), Failure> {
    let synced = file.metadata().and_then(|metadata| if metadata.is_file() { file.sync_all() } else { Ok(()) });
    synced.map_err(|error| Failure::Failed(format!("cannot sync {}: {error}", path.display())))
}

/// A small file of text as a whole: a configuration, a token, a certificate.
pub fn text(path: &Path) -> Result<String, Failure> {
    /// A file that is larger is another than was meant.
    const MOST: u64 = 1 << 20;

    let cannot = |error: io::Error| Failure::BadInput(format!("cannot read {}: {error}", path.display()));
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(MOST).read_to_string(&mut text)).map_err(cannot)?;
    Ok(text)
}
