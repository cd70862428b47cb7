//! What stands for a list in the index: 96 bits of a hash of its name.
//!
//! XXH3-128 of the name, seeded with the first eight bytes of the store's id, so that nobody who only chooses names can
//! make two of them collide. A billion streams have one chance in 10^11 of a collision; and if one happened, whatever is
//! read through the index is compared with the name that was asked for, so it would be an error, never a wrong event.

use std::hash::{BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::xxh3_128_with_seed;

/// The hash of a list's name in one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ListHash {
    /// Orders the streams of a run.
    pub(super) key: u64,
    /// Tells streams of the same key apart, and places them in the filter.
    pub(super) check: u32,
}

impl ListHash {
    /// The list of the first events of all streams.
    pub(crate) const FIRSTS: ListHash = ListHash { key: 0, check: 0 };

    /// The list of the events that are lost.
    pub(crate) const LOST: ListHash = ListHash { key: 0, check: 1 };

    /// The list of those of them whose streams nobody knows any more.
    pub(crate) const STREAMLESS: ListHash = ListHash { key: 0, check: 2 };

    /// The hash as it is kept in a record.
    pub(crate) fn parts(self) -> (u64, u32) {
        (self.key, self.check)
    }

    /// The stream's hash that was kept as these parts; `None` for what is no stream's.
    pub(crate) fn from_parts((key, check): (u64, u32)) -> Option<ListHash> {
        (key != 0).then_some(ListHash { key, check })
    }

    /// The list of the events of a type.
    pub(crate) fn of_type(store: &[u8; 16], event_type: &str) -> ListHash {
        ListHash::hashed(store, &["$type-", event_type])
    }

    /// The list of the events of a category.
    pub(crate) fn of_category(store: &[u8; 16], category: &str) -> ListHash {
        ListHash::hashed(store, &["$category-", category])
    }

    /// The list of the events of a stream.
    pub(crate) fn of_stream(store: &[u8; 16], name: &str) -> ListHash {
        ListHash::of_bytes(store, name.as_bytes())
    }

    fn of_bytes(store: &[u8; 16], name: &[u8]) -> ListHash {
        let [a, b, c, d, e, f, g, h, ..] = *store;
        let seed = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let hash = xxh3_128_with_seed(name, seed);
        // Those with key 0 are the lists that stand for no name.
        ListHash { key: (hash as u64).max(1), check: (hash >> 64) as u32 }
    }

    /// Stands for the list where 64 bits are enough.
    pub(crate) fn topic(self) -> u64 {
        self.key
    }

    /// Names that begin with `$` are no stream's.
    fn hashed(store: &[u8; 16], [prefix, name]: &[&str; 2]) -> ListHash {
        // Put together where it costs nothing: this is done for every event.
        let mut buffer = [0; PREFIXED_BYTES];
        let len = prefix.len() + name.len();
        match buffer.get_mut(..len) {
            Some(whole) => {
                let (front, back) = whole.split_at_mut(prefix.len());
                front.copy_from_slice(prefix.as_bytes());
                back.copy_from_slice(name.as_bytes());
                ListHash::of_bytes(store, whole)
            }
            None => ListHash::of_stream(store, &[*prefix, *name].concat()),
        }
    }
}

/// Most names have less, prefix included.
const PREFIXED_BYTES: usize = 128;

/// For maps whose keys are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AlreadyHashed(u64);

pub(super) type BuildAlreadyHashed = BuildHasherDefault<AlreadyHashed>;

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 ^= key;
    }

    // The check adds nothing: equal keys with different checks are rarer than rare.
    fn write_u32(&mut self, _check: u32) {}
}
