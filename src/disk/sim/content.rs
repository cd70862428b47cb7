//! What a simulated file holds: in memory, on the medium, and on its way from one to the other.
//!
//! ```text
//!   cache     what reads find                    cut of the power: gone
//!   pending   writes and lengths since the sync  cut of the power: each sector of each is there or not
//!   durable   what a sync has put on the medium  stays
//! ```

use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::{chance::Chance, tally::Tally};

/// The unit that is written whole or not at all.
const SECTOR: usize = 512;

#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub(super) cache: Arc<Vec<u8>>,
    pub(super) durable: Arc<Vec<u8>>,
    pub(super) pending: Vec<Change>,
    /// What was mapped last, as long as somebody has it.
    mapped: Weak<Shown>,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { offset: usize, bytes: Arc<[u8]> },
    Len(usize),
}

/// What becomes of a write that was not synced.
enum Fate {
    Kept,
    Lost,
    /// The file has the length, but nothing of the bytes: zeros, or what lay there before.
    SizeOnly {
        garbage: bool,
    },
    /// Each sector for itself.
    Torn,
    /// The sectors before this one, of so many parts.
    Beginning(u64),
}

/// The bytes that a map shows, as long as there is the map.
#[derive(Debug)]
struct Shown(Arc<Vec<u8>>);

struct Map(Arc<Shown>);

impl AsRef<[u8]> for Map {
    fn as_ref(&self) -> &[u8] {
        &self.0.0
    }
}

impl Content {
    /// Writes; `false` if this changes bytes that somebody may have read through a map.
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) -> bool {
        let kept = self.mapped.upgrade().is_none_or(|mapped| {
            let before = mapped.0.get(offset..).unwrap_or_default();
            std::iter::zip(before, bytes).all(|(before, now)| *before == 0 || before == now)
        });
        put(Arc::make_mut(&mut self.cache), offset, bytes);
        self.pending.push(Change::Write { offset, bytes: bytes.into() });
        kept
    }

    /// Stores a word through shared memory: of all that were stored, the last may be on the medium.
    pub(super) fn store(&mut self, offset: usize, word: u64) {
        let place = offset;
        self.pending.retain(
            |change| !matches!(change, Change::Write { offset, bytes } if *offset == place && bytes.len() == size_of::<u64>()),
        );
        self.write(offset, &word.to_le_bytes());
    }

    pub(super) fn set_len(&mut self, len: usize) {
        Arc::make_mut(&mut self.cache).resize(len, 0);
        self.pending.push(Change::Len(len));
    }

    /// Zeros from here to the end, as far as it is not zero anyhow.
    pub(super) fn release(&mut self, offset: usize) {
        let rest = self.cache.get(offset..).unwrap_or_default();
        if rest.iter().any(|byte| *byte != 0) {
            self.write(offset, &vec![0; rest.len()]);
        }
    }

    pub(super) fn sync(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let durable = Arc::make_mut(&mut self.durable);
        for change in self.pending.drain(..) {
            match change {
                Change::Write { offset, bytes } => put(durable, offset, &bytes),
                Change::Len(len) => durable.resize(len, 0),
            }
        }
        if self.cache == self.durable {
            self.durable = self.cache.clone();
        }
    }

    /// A write that the system takes for done, and that reaches the medium elsewhere or not at all.
    pub(super) fn go_astray(&mut self, offset: usize, bytes: &[u8], elsewhere: Option<usize>) {
        put(Arc::make_mut(&mut self.cache), offset, bytes);
        if let Some(offset) = elsewhere {
            self.pending.push(Change::Write { offset, bytes: bytes.into() });
        }
    }

    /// A sync that fails: some of the changes are on the medium, and the system takes all of them for written.
    pub(super) fn fail_sync(&mut self, chance: &mut Chance, tally: &mut Tally) {
        self.durable = self.after_power_cut(chance, tally).durable;
        self.pending.clear();
    }

    /// The next reads come from the medium.
    pub(super) fn forget_cache(&mut self) {
        let mut medium = self.clone();
        medium.sync();
        self.cache = medium.durable;
    }

    pub(super) fn map(&mut self) -> Bytes {
        let shown = Arc::new(Shown(self.cache.clone()));
        self.mapped = Arc::downgrade(&shown);
        Bytes::from_owner(Map(shown))
    }

    /// Whether a power cut changes nothing.
    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_empty() && Arc::ptr_eq(&self.cache, &self.durable)
    }

    pub(super) fn after_power_cut(&self, chance: &mut Chance, tally: &mut Tally) -> Content {
        let mut medium = self.durable.clone();
        // Up to here every byte is one that was durable.
        let mut solid = medium.len();
        for change in &self.pending {
            match change {
                Change::Len(len) if chance.below(2) == 0 => {
                    Arc::make_mut(&mut medium).resize(*len, 0);
                    solid = solid.min(*len);
                }
                Change::Len(_) => tally.lost += 1,
                Change::Write { offset, bytes } => {
                    let fate = Fate::drawn(chance, offset + bytes.len() > medium.len());
                    fate.befall(Arc::make_mut(&mut medium), solid, *offset, bytes, chance, tally);
                }
            }
        }
        Content { cache: medium.clone(), durable: medium, ..Content::default() }
    }
}

impl Fate {
    fn drawn(chance: &mut Chance, extends: bool) -> Fate {
        if chance.takes_turns() {
            return match chance.below(if extends { 3 } else { 2 }) {
                0 => Fate::Kept,
                1 => Fate::Lost,
                _ => Fate::SizeOnly { garbage: false },
            };
        }
        match chance.below(8) {
            0 | 1 => Fate::Kept,
            2 | 3 => Fate::Lost,
            4 | 5 => Fate::Torn,
            6 if extends => Fate::SizeOnly { garbage: chance.one_in(2) },
            _ => Fate::Beginning(chance.below(8)),
        }
    }

    fn befall(
        self,
        medium: &mut Vec<u8>,
        solid: usize,
        offset: usize,
        bytes: &[u8],
        chance: &mut Chance,
        tally: &mut Tally,
    ) {
        match self {
            Fate::Kept => {
                tally.kept += 1;
                put(medium, offset, bytes);
            }
            Fate::Lost => tally.lost += 1,
            Fate::SizeOnly { garbage } => {
                tally.sizes_without_data += 1;
                let from = medium.len().max(solid);
                medium.resize(medium.len().max(offset + bytes.len()), 0);
                if garbage {
                    tally.garbage += 1;
                    medium[from..].iter_mut().for_each(|byte| *byte = chance.below(256) as u8);
                }
            }
            Fate::Torn | Fate::Beginning(_) => {
                let keeps = |index: u64, chance: &mut Chance| match self {
                    Fate::Beginning(until) => index < until,
                    _ => chance.one_in(2),
                };
                let (mut at, mut index) = (0, 0);
                while at < bytes.len() {
                    // Up to the end of the sector.
                    let end = bytes.len().min(at + SECTOR - (offset + at) % SECTOR);
                    if keeps(index, chance) {
                        put(medium, offset + at, &bytes[at..end]);
                    } else {
                        tally.torn_sectors += 1;
                    }
                    (at, index) = (end, index + 1);
                }
            }
        }
    }
}

fn put(into: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if into.len() < end {
        into.resize(end, 0);
    }
    into[offset..end].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_power_cut_each_unsynced_sector_is_old_or_new_and_all_else_as_it_was() {
        let mut content = Content::default();
        content.write(0, &[1; 2048]);
        content.sync();
        content.write(512, &[2; 1024]);
        content.write(1024, &[3; 512]);
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let after = content.after_power_cut(&mut Chance::seeded(seed), &mut Tally::default());
            let sectors: Vec<u8> = after
                .durable
                .chunks(512)
                .map(|sector| {
                    assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is whole");
                    sector[0]
                })
                .collect();
            assert_eq!((sectors.len(), sectors[0], sectors[3]), (4, 1, 1));
            seen.insert((sectors[1], sectors[2]));
        }
        let all = [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)];
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), all, "lost, kept, torn and out of order");
    }

    #[test]
    fn a_failed_sync_drops_what_the_next_one_then_says_is_there() {
        let mut content = Content::default();
        content.write(0, &[1; 512]);
        content.sync();
        content.write(0, &[2; 512]);
        let lost = (0..100).any(|seed| {
            let mut content = content.clone();
            content.fail_sync(&mut Chance::seeded(seed), &mut Tally::default());
            assert_eq!(content.cache[0], 2, "reads find it nevertheless");
            content.sync();
            let after = content.after_power_cut(&mut Chance::seeded(seed), &mut Tally::default());
            content.forget_cache();
            assert_eq!(content.cache, after.cache, "what a reader finds that asks the medium");
            after.durable[0] == 1
        });
        assert!(lost);
    }

    #[test]
    fn a_write_over_bytes_that_a_map_has_shown_is_noticed() {
        let mut content = Content::default();
        assert!(content.write(0, b"shown"));
        let map = content.map();
        assert!(content.write(0, b"shown, and more"), "the same bytes again");
        assert!(!content.write(0, b"other"));
        assert_eq!(map, &b"shown"[..]);
        drop(map);
        content.sync();
        assert!(content.write(0, b"again"), "nobody can read the old ones");
        drop(content.map());
        assert!(content.write(0, b"and again"), "nor these");
    }
}
