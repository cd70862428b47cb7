//! Walking along one list of the index, from run to run and through memory, in either direction.

use std::{collections::VecDeque, sync::Arc};

use super::{
    postings::{BLOCK, Postings},
    run::{ListPlace, Run},
};
use crate::{error::Result, version::Position};

/// The order of a walk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the oldest to the newest.
    #[default]
    Forwards,
    /// From the newest to the oldest.
    Backwards,
}

/// The events of a list, as far as they were asked for.
#[derive(Debug)]
pub(crate) struct Matches {
    /// In the order of the walk.
    pieces: VecDeque<Piece>,
    direction: Direction,
}

#[derive(Debug)]
pub(super) struct Piece {
    source: Source,
    /// What is left of the list in this piece: indices from `low` up to, but without, `high`.
    low: usize,
    high: usize,
    /// The block that was decoded last.
    block: Vec<u32>,
    block_number: Option<usize>,
}

#[derive(Debug)]
enum Source {
    Run(Arc<Run>, ListPlace),
    /// Places counted from a position.
    Memory(Position, Vec<u32>),
}

impl Piece {
    pub(super) fn of_run(run: Arc<Run>, list: ListPlace) -> Result<Piece> {
        let high = run.postings(&list)?.len();
        Ok(Piece { source: Source::Run(run, list), low: 0, high, block: Vec::new(), block_number: None })
    }

    pub(super) fn of_memory(from: Position, places: Vec<u32>) -> Piece {
        let high = places.len();
        Piece { source: Source::Memory(from, places), low: 0, high, block: Vec::new(), block_number: None }
    }

    /// The number of positions that are left.
    pub(super) fn len(&self) -> usize {
        self.high.saturating_sub(self.low)
    }

    /// Keeps only the indices within these.
    pub(super) fn narrow(&mut self, low: usize, high: usize) {
        self.low = self.low.max(low);
        self.high = self.high.min(high);
    }

    fn base(&self) -> Position {
        match &self.source {
            Source::Run(run, _) => run.first,
            Source::Memory(from, _) => *from,
        }
    }

    /// The index of the first position that is not before this one.
    pub(super) fn lower_bound(&mut self, position: Position) -> Result<usize> {
        let Some(place) = position.get().checked_sub(self.base().get()) else { return Ok(0) };
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        match &self.source {
            Source::Memory(_, places) => Ok(places.partition_point(|other| *other < place)),
            Source::Run(run, list) => {
                let number = run.postings(list)?.block_of(place);
                self.load(number)?;
                Ok(number * BLOCK + self.block.partition_point(|other| *other < place))
            }
        }
    }

    #[inline]
    fn load(&mut self, number: usize) -> Result<()> {
        if self.block_number == Some(number) { Ok(()) } else { self.load_other(number) }
    }

    fn load_other(&mut self, number: usize) -> Result<()> {
        if let Source::Run(run, list) = &self.source {
            let postings: Postings<'_> = run.postings(list)?;
            if number * BLOCK < postings.len() {
                postings.block(number, &mut self.block).ok_or_else(|| run.bad_postings())?;
            } else {
                self.block.clear();
            }
            self.block_number = Some(number);
        }
        Ok(())
    }

    /// Adds the first positions that are left, at least one and so many at most.
    fn take(&mut self, most: usize, positions: &mut Vec<Position>) -> Result<()> {
        self.load(self.low / BLOCK)?;
        let (base, most) = (self.base(), most.min(self.len()));
        let (places, low) = match &self.source {
            Source::Memory(_, places) => (&places[..], self.low),
            Source::Run(..) => (&self.block[..], self.low % BLOCK),
        };
        match places.get(low..places.len().min(low + most)) {
            Some(places) if !places.is_empty() => {
                positions.extend(places.iter().map(|place| base.plus((*place).into())));
                self.low += places.len();
                Ok(())
            }
            // The bytes hold fewer than they say.
            _ => self.position(self.low).map(|_| self.low = self.high),
        }
    }

    /// The position at an index of the list.
    #[inline]
    pub(super) fn position(&mut self, index: usize) -> Result<Position> {
        self.load(index / BLOCK)?;
        let place = match &self.source {
            Source::Memory(_, places) => places.get(index).copied().unwrap_or_default(),
            Source::Run(run, _) => *self.block.get(index % BLOCK).ok_or_else(|| run.bad_postings())?,
        };
        Ok(self.base().plus(place.into()))
    }
}

impl Matches {
    /// A walk over these pieces, given from the oldest to the newest.
    pub(super) fn new(pieces: impl DoubleEndedIterator<Item = Piece>, direction: Direction) -> Matches {
        let pieces = match direction {
            Direction::Forwards => pieces.collect(),
            Direction::Backwards => pieces.rev().collect(),
        };
        Matches { pieces, direction }
    }

    /// Whether there is nothing to walk along.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Where the walk stands next, without going there.
    pub(crate) fn peek(&mut self) -> Result<Option<Position>> {
        self.drop_empty();
        let direction = self.direction;
        let Some(piece) = self.pieces.front_mut() else { return Ok(None) };
        let index = match direction {
            Direction::Forwards => piece.low,
            Direction::Backwards => piece.high - 1,
        };
        piece.position(index).map(Some)
    }

    /// The position of the next event of the list.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Position>> {
        self.drop_empty();
        let direction = self.direction;
        let Some(piece) = self.pieces.front_mut() else { return Ok(None) };
        let index = match direction {
            Direction::Forwards => {
                piece.low += 1;
                piece.low - 1
            }
            Direction::Backwards => {
                piece.high -= 1;
                piece.high
            }
        };
        piece.position(index).map(Some)
    }

    /// Adds the positions of the next events of the list, until there are so many or no more.
    pub(crate) fn take(&mut self, most: usize, positions: &mut Vec<Position>) -> Result<()> {
        while positions.len() < most {
            self.drop_empty();
            match (self.direction, self.pieces.front_mut()) {
                (_, None) => break,
                (Direction::Forwards, Some(piece)) => piece.take(most - positions.len(), positions)?,
                (Direction::Backwards, Some(_)) => positions.extend(self.next()?),
            }
        }
        Ok(())
    }

    /// Passes over everything that the walk meets before this position.
    pub(crate) fn seek(&mut self, position: Position) -> Result<()> {
        loop {
            self.drop_empty();
            let Some(piece) = self.pieces.front_mut() else { return Ok(()) };
            match self.direction {
                Direction::Forwards => piece.low = piece.low.max(piece.lower_bound(position)?),
                Direction::Backwards => piece.high = piece.high.min(piece.lower_bound(position.next())?),
            }
            if piece.len() > 0 {
                return Ok(());
            }
        }
    }

    #[inline]
    fn drop_empty(&mut self) {
        while self.pieces.front().is_some_and(|piece| piece.len() == 0) {
            self.pieces.pop_front();
        }
    }
}
