//! A figure: what was measured in one case, and what it is held against.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Better {
    More,
    Less,
}

/// What factlog is to reach.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Target {
    None,
    /// At least so many times the limit.
    AtLeast(f64),
    /// At most so many times the limit.
    AtMost(f64),
    /// Below this value, in the unit of the case.
    Below(f64),
}

/// What one contestant reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    pub name: String,
    /// The median of all rounds.
    pub value: f64,
    /// Factlog's value by this one: the median of the ratios within the rounds.
    pub ratio: f64,
    /// Half of those ratios lie between these two.
    pub quartiles: (f64, f64),
    /// Refused attempts for each one that succeeded, where there were any.
    pub retries: Option<f64>,
}

impl Measured {
    /// A value that was counted rather than timed.
    pub fn counted(name: &str, value: f64, factlog: f64) -> Measured {
        Measured {
            name: name.to_owned(),
            value,
            ratio: factlog / value,
            quartiles: (factlog / value, factlog / value),
            retries: None,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    pub group: String,
    pub case: String,
    pub unit: String,
    pub better: Better,
    pub factlog: Measured,
    pub limit: Option<Measured>,
    pub peers: Vec<Measured>,
    pub target: Target,
    /// How many times the best peer is asked for.
    pub ahead: f64,
    pub note: String,
}

impl Figure {
    pub fn note(mut self, note: impl Into<String>) -> Figure {
        self.note = note.into();
        self
    }

    /// The ratio to the limit, if there is one.
    pub fn ratio(&self) -> Option<f64> {
        self.limit.as_ref().map(|limit| limit.ratio)
    }

    pub fn reached(&self) -> Option<bool> {
        match self.target {
            Target::None => None,
            Target::AtLeast(least) => self.ratio().map(|ratio| ratio >= least),
            Target::AtMost(most) => self.ratio().map(|ratio| ratio <= most),
            Target::Below(bound) => Some(self.factlog.value < bound),
        }
    }

    /// The peer that comes closest.
    pub fn best_peer(&self) -> Option<&Measured> {
        let better = |a: &&Measured, b: &&Measured| match self.better {
            Better::More => b.ratio.total_cmp(&a.ratio),
            Better::Less => a.ratio.total_cmp(&b.ratio),
        };
        self.peers.iter().max_by(better)
    }

    /// How many times better than this peer.
    pub fn ahead_of(&self, peer: &Measured) -> f64 {
        match self.better {
            Better::More => peer.ratio,
            Better::Less => 1.0 / peer.ratio,
        }
    }
}

/// The median; sorts the values for it.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}
