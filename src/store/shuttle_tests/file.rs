//! A file of the disk in memory.

use std::{fmt, io, panic::resume_unwind, path::PathBuf, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;

use super::disk::{ModelDisk, PLANNED, Strike};
use crate::disk::DiskFile;

#[derive(Default)]
pub(super) struct Content {
    bytes: Vec<u8>,
    pub(super) len: u64,
    /// Of which a sync has returned.
    pub(super) synced: Vec<u8>,
}

pub(super) struct ModelFile {
    pub(super) disk: ModelDisk,
    pub(super) path: PathBuf,
    pub(super) content: Arc<Mutex<Content>>,
}

impl fmt::Debug for ModelFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ModelFile")
    }
}

impl ModelFile {
    fn is_segment(&self) -> bool {
        // What got its name after it was opened.
        self.disk.is_content_of_segment(&self.content)
    }
}

impl DiskFile for ModelFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.content.lock().len)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let content = self.content.lock();
        let (from, to) = (offset as usize, offset as usize + buffer.len());
        if to as u64 > content.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let there = content.bytes.get(from..content.bytes.len().min(to)).unwrap_or_default();
        buffer[..there.len()].copy_from_slice(there);
        buffer[there.len()..].fill(0);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.point_at(&self.path);
        if self.is_segment() && self.disk.strikes(true).is_some() {
            return Err(io::ErrorKind::Other.into());
        }
        let mut content = self.content.lock();
        let end = offset as usize + bytes.len();
        content.len = content.len.max(end as u64);
        // Zeros at the end need no memory.
        if bytes.iter().any(|byte| *byte != 0) || end <= content.bytes.len() {
            let len = content.bytes.len().max(end);
            content.bytes.resize(len, 0);
            content.bytes[offset as usize..end].copy_from_slice(bytes);
        }
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut content = self.content.lock();
        content.len = content.len.max(len);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        // What is written meanwhile is none of this sync's.
        let bytes = self.content.lock().bytes.clone();
        self.disk.point_at(&self.path);
        let segment = self.is_segment();
        match segment.then(|| self.disk.strikes(false)).flatten() {
            None => {}
            // The hook that reports panics is not called: this one is planned.
            Some(Strike::Panic) => resume_unwind(Box::new(PLANNED)),
            Some(_) => return Err(io::ErrorKind::Other.into()),
        }
        if !(segment && self.disk.lies()) {
            self.content.lock().synced = bytes;
        }
        self.disk.point_at(&self.path);
        Ok(())
    }

    fn forget_cache(&self) -> io::Result<()> {
        Ok(())
    }

    fn read_ahead(&self) -> io::Result<()> {
        Ok(())
    }

    fn map(&self) -> io::Result<Bytes> {
        let mut bytes = vec![0; self.len()? as usize];
        self.read_at(&mut bytes, 0)?;
        Ok(bytes.into())
    }
}
