//! Choosing events by several lists at once.

use super::matches::{Direction, Matches};
use crate::{error::Result, version::Position};

/// The events that are in any of some lists.
#[derive(Debug)]
pub(crate) struct Union {
    lists: Vec<Matches>,
    direction: Direction,
}

impl Union {
    pub(crate) fn new(mut lists: Vec<Matches>, direction: Direction) -> Union {
        // One that is left alone needs no comparing: most categories have no stream of their very name beside them.
        lists.retain(|list| !list.is_empty());
        Union { lists, direction }
    }

    /// The next position, and which list it is in.
    fn peek(&mut self) -> Result<Option<(Position, usize)>> {
        let mut best: Option<(Position, usize)> = None;
        for (index, list) in self.lists.iter_mut().enumerate() {
            let Some(position) = list.peek()? else { continue };
            let better = best.is_none_or(|(best, _)| match self.direction {
                Direction::Forwards => position < best,
                Direction::Backwards => position > best,
            });
            if better {
                best = Some((position, index));
            }
        }
        Ok(best)
    }

    fn take(&mut self, index: usize) -> Result<Option<Position>> {
        match self.lists.get_mut(index) {
            Some(list) => list.next(),
            None => Ok(None),
        }
    }

    fn seek(&mut self, position: Position) -> Result<()> {
        self.lists.iter_mut().try_for_each(|list| list.seek(position))
    }
}

/// The events that are in one union and, if there is another, in that as well.
#[derive(Debug)]
pub(crate) struct Selection {
    one: Union,
    other: Option<Union>,
}

impl Selection {
    pub(crate) fn new(one: Union, other: Option<Union>) -> Selection {
        Selection { one, other }
    }

    /// The next event.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Position>> {
        while let Some((position, index)) = self.one.peek()? {
            let Some(other) = &mut self.other else { return self.one.take(index) };
            other.seek(position)?;
            match other.peek()? {
                None => return Ok(None),
                Some((there, _)) if there == position => return self.one.take(index),
                Some((there, _)) => self.one.seek(there)?,
            }
        }
        Ok(None)
    }

    /// Adds the positions of the next events, until there are so many or no more.
    pub(crate) fn take(&mut self, most: usize, positions: &mut Vec<Position>) -> Result<()> {
        if let (None, [list]) = (&self.other, &mut self.one.lists[..]) {
            return list.take(most, positions);
        }
        while positions.len() < most
            && let Some(position) = self.next()?
        {
            positions.push(position);
        }
        Ok(())
    }

    /// A position that is not behind the next event's.
    pub(crate) fn peek(&mut self) -> Result<Option<Position>> {
        Ok(self.one.peek()?.map(|(position, _)| position))
    }

    /// Passes over everything that comes before this position.
    pub(crate) fn seek(&mut self, position: Position) -> Result<()> {
        self.one.seek(position)
    }
}
