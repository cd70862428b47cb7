//! Reading ahead along the index.
//!
//! Where the events lie that were asked for is found out for some of them at once, and their records are looked at before the
//! first one is given out. One after the other each would wait for memory several times: for its place in the index, then for its
//! record.

use super::Store;
use crate::{
    error::{Error, Result},
    index::{Found, FoundWhole, Index},
    log::{LOOKED_AT, SegmentView},
    version::Position,
};

/// Steps of so many events the processor still foresees.
const NEAR: u64 = 16;

/// The places of the events that come next.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// In the order in which they come.
    found: Vec<FoundWhole>,
    given: usize,
    /// Why none comes behind them.
    failed: Option<Error>,
}

impl Ahead {
    /// The place of the next event. When there is none ahead, `more` is to add positions until there are so many, or no more of
    /// them: `limit` at most.
    #[inline]
    pub(super) fn next(
        &mut self,
        store: &Store,
        view: &mut SegmentView,
        limit: usize,
        more: impl FnMut(usize, &mut Vec<Position>) -> Result<()>,
    ) -> Result<Option<Found>> {
        if self.given == self.found.len() {
            self.fill(&store.inner.index, limit, more)?;
            if !self.are_foreseen() {
                view.look_at(self.found.iter().map(|(found, bytes)| (found.position, found.offset, *bytes)));
            }
        }
        let next = self.known();
        self.pass();
        Ok(next)
    }

    /// The place of the next event, if it has been found out already.
    #[inline]
    pub(super) fn known(&self) -> Option<Found> {
        self.found.get(self.given).map(|(found, _)| *found)
    }

    /// Passes over that event.
    #[inline]
    pub(super) fn pass(&mut self) {
        self.given = self.found.len().min(self.given + 1);
    }

    /// Whether they lie near one another and at equal distances: then the processor looks ahead by itself, and faster.
    fn are_foreseen(&self) -> bool {
        let mut steps = self.found.windows(2).map(|pair| pair[0].0.position.get().abs_diff(pair[1].0.position.get()));
        let first = steps.next().unwrap_or_default();
        first <= NEAR && steps.all(|step| step == first)
    }

    fn fill(
        &mut self,
        index: &Index,
        limit: usize,
        mut more: impl FnMut(usize, &mut Vec<Position>) -> Result<()>,
    ) -> Result<()> {
        self.given = 0;
        self.found.clear();
        let mut positions = Vec::with_capacity(LOOKED_AT);
        let mut failed = self.failed.take();
        if failed.is_none() {
            failed = more(limit.min(LOOKED_AT), &mut positions).err();
        }
        if let Err(error) = index.locate(&positions, &mut self.found) {
            failed = Some(error);
        }
        // What lies before an error comes first.
        match failed {
            Some(error) if self.found.is_empty() => Err(error),
            failed => {
                self.failed = failed;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::{
        event::{EventType, NewEvent, StreamName},
        version::ExpectedVersion,
    };

    #[test]
    fn what_lies_before_an_error_comes_before_it() {
        let dir = TempDir::new().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let events = (0..3).map(|_| NewEvent::new(EventType::new("A").unwrap(), "")).collect();
        store.append(&StreamName::new("s-1").unwrap(), ExpectedVersion::Any, events).unwrap();
        let mut view = store.inner.log.view();
        let error = || Error::io("read", "a file", std::io::ErrorKind::UnexpectedEof.into());
        let mut positions = [Ok(Some(Position::FIRST)), Ok(Some(Position::new(2))), Err(error())].into_iter();
        let mut ahead = Ahead::default();
        let mut next = || {
            let more = |most: usize, into: &mut Vec<Position>| {
                while into.len() < most
                    && let Some(position) = positions.next().unwrap_or(Ok(None))?
                {
                    into.push(position);
                }
                Ok(())
            };
            ahead.next(&store, &mut view, usize::MAX, more).map(|found| found.map(|found| found.position.get()))
        };
        assert_eq!(next().unwrap(), Some(1));
        assert_eq!(next().unwrap(), Some(2));
        assert!(next().is_err());
        assert_eq!(next().unwrap(), None);
    }
}
