//! Reading ahead along the index.
//!
//! Where the events lie that were asked for is found out for some of them at once, and their records are looked at before the
//! first one is given out. One after the other each would wait for memory several times: for its place in the index, then for its
//! record.

use crate::{
    error::{Error, Result},
    index::Found,
    log::{LOOKED_AT, Log, SegmentView},
};

/// The places of the events that come next.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// In the order in which they come.
    found: Vec<Found>,
    given: usize,
    /// Why none comes behind them.
    failed: Option<Error>,
}

impl Ahead {
    /// The place of the next event, taken from `more` when there is none ahead, and then `limit` at most.
    #[inline]
    pub(super) fn next(
        &mut self,
        log: &Log,
        view: &SegmentView,
        limit: usize,
        more: impl FnMut() -> Result<Option<Found>>,
    ) -> Result<Option<Found>> {
        if self.given == self.found.len() {
            self.fill(limit, more)?;
            log.look_at(view, self.found.iter().map(|found| (found.position, found.offset)));
        }
        let next = self.found.get(self.given).copied();
        self.given += usize::from(next.is_some());
        Ok(next)
    }

    fn fill(&mut self, limit: usize, mut more: impl FnMut() -> Result<Option<Found>>) -> Result<()> {
        self.found.clear();
        self.given = 0;
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        while self.found.len() < limit.min(LOOKED_AT) {
            match more() {
                Ok(Some(found)) => self.found.push(found),
                Ok(None) => break,
                // What was found before it comes first.
                Err(error) if !self.found.is_empty() => {
                    self.failed = Some(error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
