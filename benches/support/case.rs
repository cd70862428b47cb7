//! A case: contestants that do the same work, measured in turns.
//!
//! One measurement after the other would compare different moments of a machine that others use too. So each round lets
//! every contestant work for a short time, A B C, then C B A, and so on; a ratio is taken within its round, and the
//! figure is the median of those ratios. The quartiles stand beside it: they tell how much the machine wavered.

use std::time::Duration;

use criterion::Criterion;

use super::{
    figure::{Better, Figure, Measured, Target, median},
    place::settle,
};

/// Measures a case.
pub type Run = fn(&mut Criterion) -> Figure;

/// What a contestant is to the case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Factlog,
    /// What the machine can do at best.
    Limit,
    Peer,
}

/// What was done in one turn.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    pub operations: u64,
    pub elapsed: Duration,
    /// Attempts that were refused and made again.
    pub retries: u64,
}

impl Turn {
    pub fn new(operations: u64, elapsed: Duration) -> Turn {
        Turn { operations, elapsed, retries: 0 }
    }
}

/// Works for about the given time.
pub type Work<'a> = Box<dyn FnMut(Duration) -> Turn + 'a>;

struct Contestant<'a> {
    role: Role,
    name: String,
    work: Work<'a>,
    turns: Vec<Turn>,
}

impl Contestant<'_> {
    fn turn(&mut self, time: Duration) -> Turn {
        (self.work)(time)
    }
}

pub struct Case<'a> {
    group: &'static str,
    name: String,
    unit: &'static str,
    better: Better,
    target: Target,
    /// How many times the best peer is asked for.
    ahead: f64,
    rounds: usize,
    time: Duration,
    /// A turn is a long piece of work that is done as a whole.
    whole: bool,
    contestants: Vec<Contestant<'a>>,
}

impl<'a> Case<'a> {
    /// A case whose figure is a rate: more is better.
    pub fn rate(group: &'static str, name: impl Into<String>, unit: &'static str) -> Case<'a> {
        Case {
            group,
            name: name.into(),
            unit,
            better: Better::More,
            target: Target::None,
            ahead: 1.0,
            rounds: 9,
            time: Duration::from_millis(100),
            whole: false,
            contestants: Vec::new(),
        }
    }

    /// A case whose figure is the time of one operation in milliseconds: less is better.
    pub fn time(group: &'static str, name: impl Into<String>) -> Case<'a> {
        Case { better: Better::Less, ..Case::rate(group, name, "ms") }
    }

    pub fn target(mut self, target: Target) -> Case<'a> {
        self.target = target;
        self
    }

    pub fn ahead(mut self, times: f64) -> Case<'a> {
        self.ahead = times;
        self
    }

    pub fn rounds(mut self, rounds: usize, milliseconds: u64) -> Case<'a> {
        self.rounds = rounds;
        self.time = Duration::from_millis(milliseconds);
        self
    }

    /// A turn does some long piece of work, whatever time it is given: there is none to warm up, and none for criterion.
    pub fn whole(mut self, rounds: usize) -> Case<'a> {
        self.rounds = rounds;
        self.whole = true;
        self
    }

    pub fn contestant(
        mut self,
        role: Role,
        name: impl Into<String>,
        work: impl FnMut(Duration) -> Turn + 'a,
    ) -> Case<'a> {
        self.contestants.push(Contestant { role, name: name.into(), work: Box::new(work), turns: Vec::new() });
        self
    }

    /// Measures the contestants in turns, after a short turn that warms each of them up, and then factlog's own figure once
    /// more with criterion, which compares it with the run before.
    pub fn run(mut self, criterion: &mut Criterion) -> Figure {
        eprintln!("{}: {}", self.group, self.name);
        settle();
        for contestant in self.contestants.iter_mut().filter(|_| !self.whole) {
            contestant.turn(self.time / 4);
        }
        for _ in 0..self.rounds {
            for contestant in &mut self.contestants {
                let turn = contestant.turn(self.time);
                contestant.turns.push(turn);
            }
            self.contestants.reverse();
        }
        let figure = self.figure();
        if !self.whole {
            self.with_criterion(criterion);
        }
        figure
    }

    fn value(&self, turn: &Turn) -> f64 {
        let operations = turn.operations.max(1) as f64;
        match self.better {
            Better::More => operations / turn.elapsed.as_secs_f64(),
            Better::Less => turn.elapsed.as_secs_f64() * 1e3 / operations,
        }
    }

    fn values(&self, contestant: &Contestant) -> Vec<f64> {
        contestant.turns.iter().map(|turn| self.value(turn)).collect()
    }

    fn measured(&self, contestant: &Contestant, factlog: &[f64]) -> Measured {
        let mut values = self.values(contestant);
        let mut ratios: Vec<f64> = factlog.iter().zip(&values).map(|(own, other)| own / other).collect();
        let ratio = median(&mut ratios);
        // Sorted by now.
        let quartiles = (ratios[ratios.len() / 4], ratios[ratios.len() * 3 / 4]);
        let done: u64 = contestant.turns.iter().map(|turn| turn.operations).sum();
        let retries: u64 = contestant.turns.iter().map(|turn| turn.retries).sum();
        let retries = (retries > 0).then(|| retries as f64 / done.max(1) as f64);
        Measured { name: contestant.name.clone(), value: median(&mut values), ratio, quartiles, retries }
    }

    /// Of several limits, the one that allows least counts.
    fn lower(&self, a: Measured, b: Measured) -> Measured {
        let lower = match self.better {
            Better::More => b.ratio > a.ratio,
            Better::Less => b.ratio < a.ratio,
        };
        if lower { b } else { a }
    }

    fn figure(&self) -> Figure {
        // In the order in which they were named.
        let mut contestants: Vec<&Contestant> = self.contestants.iter().collect();
        if self.rounds % 2 == 1 {
            contestants.reverse();
        }
        let of = |role| contestants.iter().copied().filter(move |contestant| contestant.role == role);
        let factlog = of(Role::Factlog).next().expect("factlog takes part in each case");
        let own = self.values(factlog);
        Figure {
            group: self.group.to_owned(),
            case: self.name.clone(),
            unit: self.unit.to_owned(),
            better: self.better,
            factlog: self.measured(factlog, &own),
            limit: of(Role::Limit).map(|limit| self.measured(limit, &own)).reduce(|a, b| self.lower(a, b)),
            peers: of(Role::Peer).map(|peer| self.measured(peer, &own)).collect(),
            target: self.target,
            ahead: self.ahead,
            note: String::new(),
        }
    }

    fn with_criterion(&mut self, criterion: &mut Criterion) {
        let Some(factlog) = self.contestants.iter_mut().find(|contestant| contestant.role == Role::Factlog) else {
            return;
        };
        let mut group = criterion.benchmark_group(self.group);
        group.bench_function(&self.name, |bencher| {
            bencher.iter_custom(|iterations| {
                let (mut done, mut elapsed) = (0, Duration::ZERO);
                while done < iterations {
                    // A turn is of some length, or its ends would weigh too much.
                    let pace = if done == 0 { Duration::ZERO } else { elapsed / done as u32 };
                    let left = pace * u32::try_from(iterations - done).unwrap_or(u32::MAX);
                    let turn = (factlog.work)(left.clamp(Duration::from_millis(5), Duration::from_millis(100)));
                    done += turn.operations.max(1);
                    elapsed += turn.elapsed;
                }
                elapsed.mul_f64(iterations as f64 / done as f64)
            });
        });
        group.finish();
    }
}
