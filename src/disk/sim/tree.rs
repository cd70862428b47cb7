//! The files and directories of a simulated disk.
//!
//! A name is an entry of its directory, and has a fate of its own: a file can be synced and have no name after a power cut.
//! Each change of a directory's entries waits for a sync of that directory; a rename is one change.

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use xxhash_rust::xxh3::Xxh3;

use super::{chance::Chance, content::Content, tally::Tally};

/// All that is on the disk, and on its way there. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    files: BTreeMap<u64, Arc<Content>>,
    dirs: BTreeMap<PathBuf, Arc<Dir>>,
    /// Counts all changes.
    pub(super) changes: u64,
}

#[derive(Clone, Debug, Default)]
struct Dir {
    now: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
    pending: Vec<Link>,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Node {
    /// The file of this number.
    File(u64),
    /// The directory of this path.
    Dir,
}

/// A change of a directory's entries.
#[derive(Clone, Debug)]
enum Link {
    Put(String, Node),
    Move { to: String, node: Node },
    Remove(String, Node),
}

impl Link {
    fn change(&self, entries: &mut BTreeMap<String, Node>) {
        match self {
            Link::Put(name, node) => drop(entries.insert(name.clone(), *node)),
            Link::Remove(name, node) if entries.get(name) == Some(node) => drop(entries.remove(name)),
            Link::Remove(..) => {}
            // A file has one name: the old one goes, also if an earlier change of it is lost.
            Link::Move { to, node } => {
                entries.retain(|_, other| other != node);
                entries.insert(to.clone(), *node);
            }
        }
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

/// The directory of a path, and its name there.
fn split(path: &Path) -> io::Result<(&Path, String)> {
    match (path.parent(), path.file_name()) {
        (Some(dir), Some(name)) => Ok((dir, name.to_string_lossy().into_owned())),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

impl Tree {
    pub(super) fn new() -> Tree {
        let root = BTreeMap::from([(PathBuf::from("/"), Arc::default())]);
        Tree { files: BTreeMap::new(), dirs: root, changes: 0 }
    }

    fn dir(&self, path: &Path) -> io::Result<&Dir> {
        self.dirs.get(path).map(|dir| &**dir).ok_or_else(missing)
    }

    pub(super) fn node(&self, path: &Path) -> Option<Node> {
        if self.dirs.contains_key(path) {
            return Some(Node::Dir);
        }
        let (dir, name) = split(path).ok()?;
        self.dir(dir).ok()?.now.get(&name).copied()
    }

    pub(super) fn file(&self, path: &Path) -> io::Result<u64> {
        match self.node(path) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(missing()),
        }
    }

    pub(super) fn content(&self, file: u64) -> io::Result<&Content> {
        self.files.get(&file).map(|content| &**content).ok_or_else(missing)
    }

    pub(super) fn content_mut(&mut self, file: u64) -> io::Result<&mut Content> {
        self.changes += 1;
        self.files.get_mut(&file).map(Arc::make_mut).ok_or_else(missing)
    }

    pub(super) fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        Ok(self.dir(dir)?.now.keys().cloned().collect())
    }

    fn link(&mut self, dir: &Path, link: Link) -> io::Result<()> {
        self.changes += 1;
        let dir = self.dirs.get_mut(dir).map(Arc::make_mut).ok_or_else(missing)?;
        link.change(&mut dir.now);
        dir.pending.push(link);
        Ok(())
    }

    /// An empty file: a new one, or the one that has the name.
    pub(super) fn create(&mut self, path: &Path) -> io::Result<u64> {
        if let Some(Node::File(file)) = self.node(path) {
            let content = self.content_mut(file)?;
            if !content.cache.is_empty() {
                content.set_len(0);
            }
            return Ok(file);
        }
        let (dir, name) = split(path)?;
        let file = self.files.last_key_value().map_or(0, |(last, _)| last + 1);
        self.link(dir, Link::Put(name, Node::File(file)))?;
        self.files.insert(file, Arc::default());
        Ok(file)
    }

    pub(super) fn make_dir(&mut self, path: &Path) -> io::Result<()> {
        if self.dirs.contains_key(path) {
            return Ok(());
        }
        let (dir, name) = split(path)?;
        self.link(dir, Link::Put(name, Node::Dir))?;
        self.dirs.insert(path.to_owned(), Arc::default());
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = Node::File(self.file(from)?);
        let ((dir, _), (into, to)) = (split(from)?, split(to)?);
        if dir != into {
            // The engine has no need of it.
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        self.link(dir, Link::Move { to, node })
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let node = Node::File(self.file(path)?);
        let (dir, name) = split(path)?;
        self.link(dir, Link::Remove(name, node))
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        self.changes += 1;
        let dir = self.dirs.get_mut(path).map(Arc::make_mut).ok_or_else(missing)?;
        for link in dir.pending.drain(..) {
            link.change(&mut dir.durable);
        }
        Ok(())
    }

    /// How many changes are not durable.
    pub(super) fn pending(&self) -> usize {
        let files = self.files.values().map(|content| content.pending.len());
        files.chain(self.dirs.values().map(|dir| dir.pending.len())).sum()
    }

    /// What is there when the power comes back.
    pub(super) fn after_power_cut(&self, chance: &mut Chance, tally: &mut Tally) -> Tree {
        let mut after = Tree { files: BTreeMap::new(), dirs: BTreeMap::new(), changes: 0 };
        // Those above come before those below.
        for (path, dir) in &self.dirs {
            let is_there = path.parent().is_none_or(|above| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                after.dir(above).is_ok_and(|above| above.now.get(&*name) == Some(&Node::Dir))
            });
            if !is_there {
                continue;
            }
            let mut entries = dir.durable.clone();
            for link in &dir.pending {
                if chance.below(2) == 0 {
                    tally.names_kept += 1;
                    link.change(&mut entries);
                } else {
                    tally.names_lost += 1;
                }
            }
            for node in entries.values() {
                let Node::File(file) = node else { continue };
                if let (Some(content), false) = (self.files.get(file), after.files.contains_key(file)) {
                    let content = match content.is_settled() {
                        true => content.clone(),
                        false => Arc::new(content.after_power_cut(chance, tally)),
                    };
                    after.files.insert(*file, content);
                }
            }
            let dir = Dir { now: entries.clone(), durable: entries, pending: Vec::new() };
            after.dirs.insert(path.clone(), Arc::new(dir));
        }
        after
    }

    /// The paths of all files.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let in_dir = |(path, dir): (&PathBuf, &Arc<Dir>)| -> Vec<PathBuf> {
            let files = dir.now.iter().filter(|(_, node)| matches!(node, Node::File(_)));
            files.map(|(name, _)| path.join(name)).collect()
        };
        self.dirs.iter().flat_map(in_dir).collect()
    }

    /// Two trees with the same one hold the same.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = Xxh3::new();
        for (path, dir) in &self.dirs {
            path.hash(&mut hasher);
            for (name, node) in &dir.now {
                name.hash(&mut hasher);
                match node {
                    Node::Dir => hasher.write_u8(0),
                    Node::File(file) => self.files.get(file).map(|content| &content.cache).hash(&mut hasher),
                }
            }
        }
        hasher.finish()
    }
}
