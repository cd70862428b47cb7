//! Cursors: how far each subscriber has come, kept in the store.
//!
//! ```text
//!   log       1  2  3  4  5  6  7 (durable)  8  9
//!   cursor             ^ saved: 4            after a restart its subscriber goes on with 5
//! ```
//!
//! Invariants:
//!
//! - a cursor is never ahead of the durable log: one that was, would make its subscriber miss events;
//! - it is on the disk when saving returns; an older one only makes its subscriber repeat work;
//! - a cursor that is not what this store would write for this name and history is an error that names its file: it is never
//!   taken for the start of the log.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use xxhash_rust::xxh3::xxh3_128;

use super::{
    Store,
    cursor_file::{CURSORS, CursorFile, FILE_BYTES},
    stripes::Stripes,
};
use crate::{
    disk::{Content, Disk, create_dir, names, planted, read_file, replace_file},
    error::{Damage, Error, Place, Result},
    event_store::CursorName,
    version::Position,
};

/// The files of the cursors.
#[derive(Debug)]
pub(super) struct Cursors {
    disk: Arc<dyn Disk>,
    /// Of the store.
    dir: PathBuf,
    store: [u8; 16],
    /// Whether the directory is known to be there, and its name to be durable.
    made: AtomicBool,
    /// Held while a cursor's file is changed, by the hash of its name.
    changing: Stripes,
}

impl Cursors {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path, store: [u8; 16]) -> Cursors {
        Cursors { disk, dir: dir.to_owned(), store, made: AtomicBool::new(false), changing: Stripes::default() }
    }

    fn save(&self, file: &CursorFile) -> Result<()> {
        let _changing = self.changing.lock(hash(&file.name));
        self.make_dir()?;
        replace_file(&*self.disk, &self.dir.join(CursorFile::path(&file.name)), &file.encode())?;
        Ok(())
    }

    fn make_dir(&self) -> Result<()> {
        if !self.made.load(Ordering::Acquire) {
            let dir = self.dir.join(CURSORS);
            create_dir(&*self.disk, &dir).map_err(|error| Error::io("create", &dir, error))?;
            self.made.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Reads a cursor and checks it as far as it goes without the log.
    fn read(&self, name: &CursorName) -> Result<Option<CursorFile>> {
        let bytes = match read_file(&*self.disk, &self.dir.join(CursorFile::path(name)), FILE_BYTES)? {
            Content::Missing => return Ok(None),
            Content::Whole(bytes) => bytes,
            Content::Unfit(fault) => return Err(damage(name, Position::START, fault).into()),
        };
        let file = CursorFile::decode(&bytes).and_then(|file| file.check_place(self.store, name).map(|()| file));
        file.map(Some).map_err(|fault| damage(name, Position::START, fault).into())
    }

    fn list(&self) -> Result<Vec<CursorName>> {
        let names = names(&*self.disk, &self.dir.join(CURSORS))?;
        Ok(names.iter().filter_map(|name| CursorFile::name_in_file(name)).collect())
    }

    fn delete(&self, name: &CursorName) -> Result<bool> {
        let _changing = self.changing.lock(hash(name));
        let path = self.dir.join(CursorFile::path(name));
        match self.disk.remove(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Error::io("remove", path, error)),
        }
        let dir = self.dir.join(CURSORS);
        self.disk.sync_dir(&dir).map_err(|error| Error::io("sync", dir, error))?;
        Ok(true)
    }
}

fn hash(name: &CursorName) -> u128 {
    xxh3_128(name.as_str().as_bytes())
}

/// A fault of a cursor's file.
fn damage(name: &CursorName, position: Position, fault: String) -> Damage {
    Damage { place: Place { file: CursorFile::path(name), offset: 0, position }, fault }
}

/// The durable place of a subscriber in a store: see [`Store::cursor`]. It keeps the store open.
#[derive(Clone, Debug)]
pub struct Cursor {
    store: Store,
    name: CursorName,
    position: Position,
}

impl Cursor {
    /// Its name.
    pub fn name(&self) -> &CursorName {
        &self.name
    }

    /// The position that was saved last: everything up to it is done. [`Position::START`] if nothing ever was.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Saves a position, also one before the present one, from where work is to be repeated. It is on the disk when this
    /// returns.
    ///
    /// # Errors
    ///
    /// As those of [`Store::save_cursor`]; the position is the old one then.
    pub fn save(&mut self, position: Position) -> Result<()> {
        self.store.save_cursor(&self.name, position)?;
        self.position = position;
        Ok(())
    }
}

impl Store {
    /// The cursor of this name. One that was never saved is at the start; nothing is written until it is saved.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`], with the file's name, when the file is not as it was written, or belongs to another cursor, store or
    /// history, or is ahead of the log. [`Store::save_cursor`] and [`Store::delete_cursor`] get over it, once it is clear where to go
    /// on. [`Error::Io`] for what the system refuses.
    pub fn cursor(&self, name: &CursorName) -> Result<Cursor> {
        let position = match self.inner.cursors.read(name)? {
            Some(file) => self.check_cursor(&file)?,
            None => Position::START,
        };
        Ok(Cursor { store: self.clone(), name: name.clone(), position })
    }

    /// Saves a cursor's position, whatever was saved before, as [`Cursor::save`] does.
    ///
    /// # Errors
    ///
    /// - [`Error::CursorAhead`]: the log has not durably reached the position;
    /// - [`Error::Damaged`]: the event at the position cannot be read;
    /// - [`Error::NoSpace`] and [`Error::Io`] for what the system refuses.
    pub fn save_cursor(&self, name: &CursorName, position: Position) -> Result<()> {
        self.inner.check_writable()?;
        let event = match self.event_of_position(position) {
            Ok(Some(event)) => event.id(),
            Ok(None) if position == Position::START => uuid::Uuid::nil().into(),
            Err(Error::Lost(_)) => uuid::Uuid::nil().into(),
            Err(error) => return Err(error),
            Ok(None) => {
                let (cursor, last) = (name.to_string(), self.last_position());
                return Err(Error::CursorAhead { cursor, position, last });
            }
        };
        if !planted!(CursorAhead) {
            self.make_durable(position)?;
        }
        let inner = &self.inner;
        let (store, timestamp) = (inner.cursors.store, inner.disk.now());
        inner.cursors.save(&CursorFile { store, position, event, timestamp, name: name.clone() })
    }

    /// The names of the cursors that were saved, in order.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the system refuses to list them.
    pub fn cursors(&self) -> Result<Vec<CursorName>> {
        self.inner.cursors.list()
    }

    /// Deletes a cursor, and says whether there was one. Durable when this returns. A [`Cursor`] of that name that
    /// someone still has makes it anew when it is saved.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the system refuses to remove it.
    pub fn delete_cursor(&self, name: &CursorName) -> Result<bool> {
        self.inner.check_writable()?;
        self.inner.cursors.delete(name)
    }

    /// Checks a cursor against the log, and gives its position.
    fn check_cursor(&self, file: &CursorFile) -> Result<Position> {
        let position = file.position;
        if position == Position::START {
            return Ok(position);
        }
        let fault = match self.event_of_position(position) {
            // A position is never given twice: what it was saved at is what is lost.
            Err(Error::Lost(_)) => return Ok(position),
            Err(error) => return Err(error),
            Ok(Some(event)) if event.id() == file.event => return Ok(position),
            Ok(Some(_)) => "it was saved in another history: the event at its position is another".to_owned(),
            Ok(None) => format!("it is ahead of the log, whose last position is {}", self.last_position()),
        };
        Err(damage(&file.name, position, fault).into())
    }
}
