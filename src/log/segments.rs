//! The segments of an open log, in order. One that ended is opened when it is first read.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use parking_lot::RwLock;

use super::{
    manifest::{Entry, Manifest},
    segment::{End, HEADER_PAGE, Segment, SegmentHeader},
};
use crate::{
    disk::{Access, Disk, DiskFile, Entry as Kind, no_file},
    error::{Damage, Error, Place, Result},
    version::Position,
};

/// The base position of a segment's predecessor, and how that ended.
pub(crate) type Previous = (Position, End);

/// All segments of a log.
#[derive(Debug)]
pub(crate) struct Segments {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    store: [u8; 16],
    /// In order of base position. Replaced as a whole, so that a reader can look at it without the lock.
    slots: RwLock<Arc<Vec<Arc<Slot>>>>,
}

/// The segments as they were at a moment, for one reader.
#[derive(Debug)]
pub(crate) struct SegmentView {
    slots: Arc<Vec<Arc<Slot>>>,
    /// Of the last one, if it is still written to: what of it was mapped.
    front: Bytes,
    /// The one that was asked for last: most often the next one asked for.
    near: usize,
}

static NOTHING: Bytes = Bytes::new();

/// A segment of a view.
pub(super) struct Held<'a> {
    pub(super) segment: &'a Arc<Segment>,
    /// What of it was mapped, if it is still written to.
    pub(super) front: &'a Bytes,
    /// The base position of the one behind it.
    pub(super) following: Option<Position>,
}

impl SegmentView {
    /// Which slot holds this position, which may well be the one at `near`.
    #[inline]
    fn slot_of(&self, position: Position, near: usize) -> Option<usize> {
        let from = |at: usize| self.slots.get(at).is_some_and(|slot| slot.base <= position);
        if from(near) && !from(near + 1) {
            return Some(near);
        }
        self.slots.partition_point(|slot| slot.base <= position).checked_sub(1)
    }

    /// The maps of the segments that hold these positions, as far as there are any already.
    pub(super) fn maps(&self, positions: impl Iterator<Item = Position>) -> impl Iterator<Item = Option<&Bytes>> {
        let mut near = self.near;
        positions.map(move |position| {
            near = self.slot_of(position, near)?;
            self.slots.get(near)?.segment.get()?.map().or((near + 1 == self.slots.len()).then_some(&self.front))
        })
    }
}

#[derive(Debug)]
struct Slot {
    base: Position,
    bytes: u64,
    /// What it must be when it is opened; `None` for the one that is written to.
    expected: Option<(Entry, Previous)>,
    segment: OnceLock<Arc<Segment>>,
}

impl Segments {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path, store: [u8; 16]) -> Segments {
        Segments { disk, dir: dir.to_owned(), store, slots: RwLock::default() }
    }

    /// Adds one that ended, and is opened when it is read.
    pub(super) fn push_ended(&self, entry: Entry, previous: Previous) {
        let (base, bytes) = (entry.base, entry.bytes);
        let expected = Some((entry, previous));
        let slot = Arc::new(Slot { base, bytes, expected, segment: OnceLock::new() });
        Arc::make_mut(&mut *self.slots.write()).push(slot);
    }

    /// Adds the one that is written to, in place of an ended one without records at the same base position.
    pub(super) fn push_open(&self, segment: Arc<Segment>) {
        let (base, bytes) = (segment.header.base, segment.header.bytes);
        let slot = Slot { base, bytes, expected: None, segment: OnceLock::from(segment) };
        let mut slots = self.slots.write();
        let slots = Arc::make_mut(&mut *slots);
        slots.retain(|other| other.base != base);
        slots.push(Arc::new(slot));
    }

    /// The segments as they are now.
    pub(super) fn view(&self) -> SegmentView {
        let slots = self.slots.read().clone();
        let last = slots.last().and_then(|slot| slot.segment.get());
        SegmentView { front: last.map(|segment| segment.front()).unwrap_or_default(), slots, near: 0 }
    }

    /// The segment that holds this position.
    #[inline]
    pub(super) fn holding<'a>(&self, view: &'a mut SegmentView, position: Position) -> Result<Held<'a>> {
        let at = view.slot_of(position, view.near);
        view.near = at.unwrap_or_default();
        let following = view.slots.get(at.map_or(0, |at| at + 1)).map(|slot| slot.base);
        let Some(slot) = at.and_then(|at| view.slots.get(at)) else {
            let place = Place { file: super::MANIFEST.into(), offset: 0, position };
            return Err(Damage { place, fault: "no segment holds this position".to_owned() }.into());
        };
        let front = if following.is_none() { &view.front } else { &NOTHING };
        Ok(Held { segment: self.opened(slot)?, front, following })
    }

    fn opened<'a>(&self, slot: &'a Slot) -> Result<&'a Arc<Segment>> {
        if let Some(segment) = slot.segment.get() {
            return Ok(segment);
        }
        let Some((entry, previous)) = &slot.expected else {
            let place = Place { file: Segment::name(slot.base), offset: 0, position: slot.base };
            return Err(Damage { place, fault: "the segment is not open".to_owned() }.into());
        };
        let opened = open_segment(&*self.disk, &self.dir, &self.store, entry, *previous, Access::Read, false)?;
        let (segment, bytes) = opened.map_err(|damage| Error::from(*damage))?;
        segment.complete_with(bytes);
        // Another reader may have been faster: then both have mapped the same bytes.
        Ok(slot.segment.get_or_init(|| Arc::new(segment)))
    }

    /// The number of segments and the size of their files in bytes.
    pub(super) fn size(&self) -> (u64, u64) {
        let slots = self.slots.read();
        (slots.len() as u64, slots.iter().map(|slot| slot.bytes).sum())
    }
}

/// Checks that a segment's file is there, in its full length.
pub(super) fn glance(disk: &dyn Disk, dir: &Path, entry: &Entry) -> Result<Result<(), Box<Damage>>> {
    let name = Segment::name(entry.base);
    let found = disk.file_len(&dir.join(&name)).map_err(|error| Error::io("look at", &name, error))?;
    let fault = match found {
        None => match disk.entry(&dir.join(&name)).map_err(|error| Error::io("look at", &name, error))? {
            None | Some(Kind::File) => "the segment is missing".to_owned(),
            Some(kind) => no_file(kind),
        },
        Some(found) if found != entry.bytes => {
            format!("the file has {found} bytes; {} belong here", entry.bytes)
        }
        Some(_) => return Ok(Ok(())),
    };
    let place = Place { file: name, offset: 0, position: entry.base };
    Ok(Err(Box::new(Damage { place, fault })))
}

/// Makes durable what will be given out: a writer that was killed may have left it in memory only.
fn sync_first(file: &dyn DiskFile, access: Access) -> io::Result<()> {
    match (file.sync(), access) {
        // Where nothing can be written, nothing is waiting to be.
        (Err(error), Access::Read) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
        (synced, Access::Read) => synced,
        (synced, Access::ReadWrite) => {
            synced?;
            // After a failed sync the page cache may hold what the disk does not.
            file.forget_cache()
        }
    }
}

/// The entry of the last segment, as it is now: a crash may have come between giving its name to a new file, in place of one
/// without records, and writing that down.
pub(super) fn last_entry(
    disk: &dyn Disk,
    dir: &Path,
    manifest: &Manifest,
    entry: Entry,
    previous: Previous,
) -> Result<Entry> {
    let without_records = entry.base > manifest.durable && entry.end.is_none_or(|end| end.offset == HEADER_PAGE);
    let path = dir.join(Segment::name(entry.base));
    let io = |error| Error::io("look at", &path, error);
    let Some(bytes) = disk.file_len(&path).map_err(io)? else { return Ok(entry) };
    if !without_records || (bytes == entry.bytes && entry.end.is_none()) {
        return Ok(entry);
    }
    let content = disk.open(&path, Access::Read).and_then(|file| file.map()).map_err(io)?;
    let Some((page, rest)) = content.split_at_checked(HEADER_PAGE as usize) else { return Ok(entry) };
    let begun = Entry { base: entry.base, bytes, end: None, torn: 0 };
    let meant = |header: SegmentHeader| {
        let expected = SegmentHeader { store: manifest.store, base: entry.base, bytes, previous, ..header };
        header == expected && rest.iter().all(|byte| *byte == 0)
    };
    Ok(if SegmentHeader::decode(page).is_ok_and(meant) { begun } else { entry })
}

/// Opens a segment, and checks that it is the one that the manifest means. `dirty`: its writer may have been killed.
pub(super) fn open_segment(
    disk: &dyn Disk,
    dir: &Path,
    store: &[u8; 16],
    entry: &Entry,
    previous: Previous,
    access: Access,
    dirty: bool,
) -> Result<Result<(Segment, Bytes), Box<Damage>>> {
    if let Err(damage) = glance(disk, dir, entry)? {
        return Ok(Err(damage));
    }
    let name = Segment::name(entry.base);
    let io = |error| Error::io("open", dir.join(&name), error);
    // Only the segment that may be appended to is opened for writing: ended ones may well be read-only.
    let access = if entry.end.is_none() { access } else { Access::Read };
    let file = disk.open(&dir.join(&name), access).map_err(io)?;
    let bytes = if dirty {
        sync_first(&*file, access).and_then(|()| file.map_in_order()).map_err(io)?
    } else {
        file.map().map_err(io)?
    };
    let fault = |fault: String| {
        let place = Place { file: name.clone(), offset: 0, position: entry.base };
        Ok(Err(Box::new(Damage { place, fault })))
    };
    let header = match SegmentHeader::decode(bytes.get(..HEADER_PAGE as usize).unwrap_or(&bytes)) {
        Ok(header) => header,
        Err(text) => return fault(text),
    };
    let expected = SegmentHeader { store: *store, base: entry.base, bytes: entry.bytes, previous, ..header };
    if header != expected {
        return fault(format!("the header is of {header}; that of {expected} belongs here"));
    }
    Ok(Ok((Segment::new(header, file), bytes)))
}
