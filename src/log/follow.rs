//! Reading on in a log that another process writes: from where the last reading ended, from segment to segment.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    manifest::Manifest,
    open::Log,
    record::Read,
    segment::{HEADER_PAGE, Segment},
    segments::open_segment,
};
use crate::{
    disk::Access,
    error::{Error, Result},
    version::Position,
};

/// How far a log has been read that another process writes.
#[derive(Debug)]
pub(crate) struct Following {
    /// The segment that was being written to when it was last looked at; `None` before the first.
    segment: Option<Arc<Segment>>,
    /// Where in it the next record will lie.
    offset: u64,
    next: Position,
}

/// What to do with each record: the segment, the offset in it, the record.
pub(crate) type Each<'a> = dyn FnMut(&Segment, u64, &Read<'_>) -> Result<()> + 'a;

/// What was published is not in the log: one of the two is wrong.
fn not_there(error: Error, published: Position) -> Error {
    match error {
        Error::Damaged(mut damage) => {
            damage
                .fault
                .push_str(&format!("; position {published} was published in `POSITION`, which may be what is wrong"));
            Error::Damaged(damage)
        }
        other => other,
    }
}

impl Log {
    /// Begins to follow where the log ended when it was opened.
    pub(crate) fn follow(&self) -> Following {
        let sequencer = self.commit.look();
        let active = sequencer.active.as_ref();
        Following {
            segment: active.map(|active| active.segment.clone()),
            offset: active.map_or(HEADER_PAGE, |active| active.end.offset),
            next: sequencer.next,
        }
    }

    /// Reads all records up to `last`, which is known to be durable, and makes them visible. Whether a segment has ended
    /// meanwhile.
    pub(crate) fn read_on(
        &self,
        following: &mut Following,
        last: Position,
        manifest: &dyn Fn() -> Result<Manifest>,
        each: &mut Each<'_>,
    ) -> Result<bool> {
        let mut ended = false;
        let (none, mut buffer) = (Bytes::new(), Bytes::new());
        while following.next <= last {
            let Following { segment, offset, next } = following;
            let read = segment.as_ref().map(|segment| (segment, segment.record(*offset, *next, &none, &mut buffer)));
            match read {
                Some((segment, Ok(record))) => {
                    each(segment, *offset, &record)?;
                    *offset += record.footprint();
                    *next = next.next();
                }
                // Nothing valid lies here: the segment has ended, or something is wrong.
                other => {
                    let error = other.and_then(|(_, record)| record.err()).map(|error| not_there(error, last));
                    self.next_segment(following, &manifest()?, error)?;
                    ended = true;
                }
            }
        }
        self.commit.follow_to(last);
        Ok(ended)
    }

    /// Goes on to the segment that begins with the next position; without one, what was read in its place was wrong.
    fn next_segment(&self, following: &mut Following, manifest: &Manifest, error: Option<Error>) -> Result<()> {
        let at = manifest.segments.iter().position(|entry| entry.base == following.next);
        let newer = |base: Position| following.segment.as_ref().is_none_or(|segment| segment.header.base != base);
        let Some((at, entry)) = at.map(|at| (at, manifest.segments[at])).filter(|(_, entry)| newer(entry.base)) else {
            return Err(error.unwrap_or_else(|| {
                let fault = format!("no segment begins with position {}, which was published", following.next);
                super::manifest::damage(fault).into()
            }));
        };
        let previous = at.checked_sub(1).map(|before| &manifest.segments[before]);
        let previous = previous.map(|entry| (entry.base, entry.end.unwrap_or_default())).unwrap_or_default();
        let opened = open_segment(&*self.disk, &self.dir, &manifest.store, &entry, previous, Access::Read, false)?;
        let (segment, _) = opened.map_err(|damage| Error::from(*damage))?;
        let segment = Arc::new(segment);
        if let Some(ended) = &following.segment {
            ended.complete()?;
        }
        self.segments.push_open(segment.clone());
        following.segment = Some(segment);
        following.offset = HEADER_PAGE;
        Ok(())
    }
}
