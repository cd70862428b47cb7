//! The simulated disk as the engine sees it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    super::{Access, Disk, DiskFile, DiskLock, DiskThread, Entry, OsDisk, SharedWord, Step},
    Inner, Shared, SimDisk,
    fault::{FaultKind, Op},
    thread::SimThread,
    tree::Node,
};
use crate::{error::Holder, event::Timestamp};

impl Shared {
    /// An operation: others may come first, it is counted, the power may be cut, it may fail.
    fn operate<T>(
        &self,
        op: Op,
        path: &Path,
        body: impl FnOnce(&mut Inner, Option<FaultKind>) -> io::Result<T>,
    ) -> io::Result<T> {
        // A thread may be started while a lock is held that the steps of others need.
        if op != Op::Spawn {
            self.let_others();
        }
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        if inner.cut.is_some() {
            return Err(FaultKind::Io.error());
        }
        inner.operations += 1;
        if op.changes() {
            self.note(inner, op, path);
        }
        if inner.cut_at == Some(inner.operations) {
            inner.cut = Some(self.moment(inner, &format!("{op:?} {}", path.display())));
            return Err(FaultKind::Io.error());
        }
        let struck = inner.faults.iter_mut().filter_map(|armed| armed.strikes(op).then_some(armed.fault.kind)).last();
        inner.struck += u64::from(struck.is_some());
        match struck {
            Some(FaultKind::ShortWrite | FaultKind::LostWrite | FaultKind::MisdirectedWrite) => body(inner, struck),
            Some(kind) if op == Op::Sync => {
                let _ = body(inner, struck);
                Err(kind.error())
            }
            Some(kind) => Err(kind.error()),
            None => body(inner, None),
        }
    }

    fn note(&self, inner: &mut Inner, op: Op, path: &Path) {
        let mark = self.mark.load(std::sync::atomic::Ordering::Relaxed);
        let known = |moment: &super::Moment| moment.image.0.changes == inner.tree.changes && moment.mark == mark;
        let is_new = |moments: &Vec<super::Moment>| !moments.last().is_some_and(known);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if inner.moments.as_ref().is_some_and(is_new) {
            let moment = self.moment(inner, &format!("{op:?} {}", path.display()));
            inner.moments.get_or_insert_default().push(moment);
        }
        inner.trace.push(format!("{op:?} {name}"));
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    path: PathBuf,
    file: u64,
    access: Access,
}

impl SimFile {
    fn operate<T>(&self, op: Op, body: impl FnOnce(&mut Inner, Option<FaultKind>) -> io::Result<T>) -> io::Result<T> {
        self.disk.0.operate(op, &self.path, body)
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.operate(Op::Look, |inner, _| Ok(inner.tree.content(self.file)?.cache.len() as u64))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk.0.gate.read();
        self.operate(Op::Read, |inner, _| {
            let content = inner.tree.content(self.file)?;
            let found = content.cache.get(offset as usize..).and_then(|bytes| bytes.get(..buffer.len()));
            buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.access == Access::Read {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.operate(Op::Write, |inner, struck| {
            let at = offset as usize;
            let sectors = (inner.tree.content(self.file)?.cache.len() / 512).max(1) as u64;
            let elsewhere = inner.chance.below(sectors) as usize * 512;
            let content = inner.tree.content_mut(self.file)?;
            let kept = match struck {
                Some(FaultKind::LostWrite) => {
                    content.go_astray(at, bytes, None);
                    true
                }
                Some(FaultKind::MisdirectedWrite) => {
                    content.go_astray(at, bytes, Some(elsewhere));
                    true
                }
                Some(_) => content.write(at, &bytes[..bytes.len() / 2]),
                None => content.write(at, bytes),
            };
            if !kept {
                let violation = format!("{} changes at {offset} where a map has shown it", self.path.display());
                inner.violations.push(violation);
            }
            match struck {
                Some(FaultKind::ShortWrite) => Err(FaultKind::ShortWrite.error()),
                _ => Ok(()),
            }
        })
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.operate(Op::Allocate, |inner, _| {
            let content = inner.tree.content_mut(self.file)?;
            content.set_len(content.cache.len().max(len as usize));
            Ok(())
        })
    }

    fn release(&self, offset: u64) -> io::Result<()> {
        self.operate(Op::Release, |inner, _| {
            inner.tree.content_mut(self.file)?.release(offset as usize);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        let sync = || {
            self.operate(Op::Sync, |inner, struck| {
                // It takes some time.
                inner.clock += inner.chance.micros_below(200);
                let Inner { tree, chance, tally, .. } = inner;
                match struck {
                    Some(_) => tree.content_mut(self.file)?.fail_sync(chance, tally),
                    None => tree.content_mut(self.file)?.sync(),
                }
                Ok(())
            })
        };
        self.disk.0.gate.pass(&self.path, sync)
    }

    fn forget_cache(&self) -> io::Result<()> {
        self.operate(Op::Forget, |inner, _| {
            inner.tree.content_mut(self.file)?.forget_cache();
            Ok(())
        })
    }

    fn read_ahead(&self) -> io::Result<()> {
        Ok(())
    }

    fn map(&self) -> io::Result<Bytes> {
        self.operate(Op::Map, |inner, _| Ok(inner.tree.content_mut(self.file)?.map()))
    }
}

impl Disk for SimDisk {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.operate(Op::MakeDir, dir, |inner, _| inner.tree.make_dir(dir))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.operate(Op::List, dir, |inner, _| inner.tree.names(dir))
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        self.0.operate(Op::Look, path, |inner, _| {
            Ok(inner.tree.node(path).map(|node| if node == Node::Dir { Entry::Directory } else { Entry::File }))
        })
    }

    fn file_len(&self, file: &Path) -> io::Result<Option<u64>> {
        self.0.operate(Op::Look, file, |inner, _| match inner.tree.node(file) {
            Some(Node::File(file)) => Ok(Some(inner.tree.content(file)?.cache.len() as u64)),
            _ => Ok(None),
        })
    }

    fn open(&self, file: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let found = self.0.operate(Op::Open, file, |inner, _| inner.tree.file(file))?;
        Ok(Arc::new(SimFile { disk: self.clone(), path: file.to_owned(), file: found, access }))
    }

    fn create(&self, file: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let made = self.0.operate(Op::Create, file, |inner, _| inner.tree.create(file))?;
        Ok(Arc::new(SimFile { disk: self.clone(), path: file.to_owned(), file: made, access: Access::ReadWrite }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.operate(Op::Rename, from, |inner, _| inner.tree.rename(from, to))
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        self.0.operate(Op::Remove, file, |inner, _| inner.tree.remove(file))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.operate(Op::SyncDir, dir, |inner, _| inner.tree.sync_dir(dir))
    }

    fn lock(&self, file: &Path) -> io::Result<Result<Box<dyn DiskLock>, Holder>> {
        self.0.operate(Op::Lock, file, |inner, _| {
            if !inner.locks.insert(file.to_owned()) {
                return Ok(Err(Holder::Unknown));
            }
            let found = inner.tree.file(file).or_else(|_| inner.tree.create(file))?;
            let content = inner.tree.content_mut(found)?;
            content.set_len(0);
            content.write(0, b"1\n");
            let held: Box<dyn DiskLock> = Box::new(SimLock { disk: self.clone(), path: file.to_owned(), file: found });
            Ok(Ok(held))
        })
    }

    fn lock_shared(&self, file: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.0.operate(Op::Lock, file, |inner, _| {
            let free: Box<dyn DiskLock> = Box::new(SharedLock);
            Ok((!inner.locks.contains(file)).then_some(free))
        })
    }

    fn shared_word(&self, file: &Path, offset: u64, _: Access) -> io::Result<Arc<dyn SharedWord>> {
        let offset = offset as usize;
        self.0
            .operate(Op::Word, file, |inner, _| {
                let found = inner.tree.file(file)?;
                match inner.tree.content(found)?.cache.len() {
                    len if offset + size_of::<u64>() <= len => Ok(found),
                    _ => Err(io::ErrorKind::UnexpectedEof.into()),
                }
            })
            .map(|found| -> Arc<dyn SharedWord> { Arc::new(SimWord { disk: self.clone(), file: found, offset }) })
    }

    fn now(&self) -> Timestamp {
        let mut inner = self.0.inner.lock();
        inner.wall += inner.chance.below(1000) as i64;
        if inner.jumps && inner.chance.one_in(16) {
            inner.wall += inner.chance.below(2_000_000_000_000) as i64 - 1_000_000_000_000;
        }
        Timestamp::from_micros(inner.wall)
    }

    fn monotonic(&self) -> Duration {
        if self.0.free {
            return OsDisk.monotonic();
        }
        let mut inner = self.0.inner.lock();
        inner.clock = inner.clock + Duration::from_micros(1) + inner.chance.micros_below(20);
        inner.clock
    }

    fn random(&self) -> [u8; 16] {
        self.0.inner.lock().chance.bytes()
    }

    fn spawn(&self, name: &str, step: Step) -> io::Result<Arc<dyn DiskThread>> {
        if self.0.free {
            return OsDisk.spawn(name, step);
        }
        self.0.operate(Op::Spawn, Path::new(name), |_, _| Ok(()))?;
        let thread = Arc::new(SimThread {
            disk: Arc::downgrade(&self.0),
            name: name.to_owned(),
            step: Mutex::new(Some(step)),
            asked: AtomicBool::new(false),
            patience: AtomicU64::new(0),
            due: Mutex::new(None),
        });
        self.0.threads.lock().push(thread.clone());
        Ok(thread)
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    file: u64,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut inner = self.disk.0.inner.lock();
        inner.locks.remove(&self.path);
        if inner.cut.is_none()
            && let Ok(content) = inner.tree.content_mut(self.file)
        {
            content.set_len(0);
        }
    }
}

/// Of a reader: it is there for a moment only.
#[derive(Debug)]
struct SharedLock;

impl DiskLock for SharedLock {}

#[derive(Debug)]
struct SimWord {
    disk: SimDisk,
    file: u64,
    offset: usize,
}

impl SharedWord for SimWord {
    fn load(&self) -> u64 {
        let inner = self.disk.0.inner.lock();
        let content = inner.tree.content(self.file).ok();
        let bytes = content.and_then(|content| content.cache.get(self.offset..)?.first_chunk().copied());
        u64::from_le_bytes(bytes.unwrap_or_default())
    }

    fn store(&self, word: u64) {
        let mut inner = self.disk.0.inner.lock();
        if inner.cut.is_none()
            && let Ok(content) = inner.tree.content_mut(self.file)
        {
            content.store(self.offset, word);
        }
    }
}
