//! What nobody can know beforehand: drawn from a seed, or each possibility in its turn.

use std::time::Duration;

/// Decides what the disk may decide.
#[derive(Clone, Debug)]
pub struct Chance(Source);

#[derive(Clone, Debug)]
enum Source {
    Seed(u64),
    /// The decisions of this turn, each with the number of possibilities it had, and how many of them have been asked for.
    Turns(Vec<(u64, u64)>, usize),
}

impl Chance {
    /// The same decisions for the same seed.
    pub fn seeded(seed: u64) -> Chance {
        Chance(Source::Seed(seed))
    }

    /// Begins with the first possibility everywhere; [`Chance::next_turn`] goes on to the next combination.
    pub fn every() -> Chance {
        Chance(Source::Turns(Vec::new(), 0))
    }

    /// Whether each combination is taken in its turn.
    pub fn takes_turns(&self) -> bool {
        matches!(self.0, Source::Turns(..))
    }

    /// The next combination of all decisions; `false` when there is none that was not taken.
    pub fn next_turn(&mut self) -> bool {
        let Source::Turns(decisions, asked) = &mut self.0 else { return false };
        decisions.truncate(*asked);
        *asked = 0;
        while let Some((decision, possibilities)) = decisions.pop() {
            if decision + 1 < possibilities {
                decisions.push((decision + 1, possibilities));
                return true;
            }
        }
        false
    }

    /// A number below `possibilities`, which is not 0.
    pub fn below(&mut self, possibilities: u64) -> u64 {
        match &mut self.0 {
            Source::Seed(state) => next(state) % possibilities.max(1),
            Source::Turns(decisions, asked) => {
                if *asked == decisions.len() {
                    decisions.push((0, possibilities));
                }
                *asked += 1;
                decisions.get(*asked - 1).map_or(0, |(decision, _)| *decision)
            }
        }
    }

    /// Yes, once in so many times.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// So many microseconds at most.
    pub(super) fn micros_below(&mut self, most: u64) -> Duration {
        Duration::from_micros(self.below(most))
    }

    pub(super) fn bytes(&mut self) -> [u8; 16] {
        std::array::from_fn(|_| self.below(256) as u8)
    }
}

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_is_taken_once() {
        let mut chance = Chance::every();
        let mut seen = Vec::new();
        loop {
            // How many decisions there are depends on those before.
            let first = chance.below(3);
            let second = (first == 1).then(|| chance.below(2));
            seen.push((first, second));
            if !chance.next_turn() {
                break;
            }
        }
        assert_eq!(seen, [(0, None), (1, Some(0)), (1, Some(1)), (2, None)]);
    }
}
