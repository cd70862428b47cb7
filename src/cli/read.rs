//! `factlog read`: the events of one stream, or of the whole log, in order.

use std::path::Path;

use clap::Args;
use factlog::{EventStore, Position, ReadAll, ReadStream, RecordedEvent, StreamName, Version, block_on};

use super::{event_line, failure::Failure, open, output::Output};

/// Print events, one line of JSON each: those of one stream, or of the whole log
#[derive(Debug, Args)]
pub struct Read {
    /// The stream; the whole log when it is left out
    stream: Option<StreamName>,

    /// Only events of this version of the stream and later ones
    #[arg(long, value_name = "VERSION", requires = "stream")]
    from: Option<u64>,

    /// Only events behind this position of the log
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    after: u64,

    /// At most so many events
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

impl Read {
    pub fn run(self, store: &Path, out: &mut Output) -> Result<(), Failure> {
        let store = open::for_reading(store)?;
        let after = Position::new(self.after);
        let limit = self.limit.unwrap_or(usize::MAX);
        let mut left = limit;
        let mut print = |event: &RecordedEvent| {
            if left > 0 && event.position() > after {
                event_line::print(event, out)?;
                left -= 1;
            }
            Ok(left > 0)
        };
        match &self.stream {
            Some(stream) => {
                let from = self.from.map_or(Version::FIRST, Version::new);
                // Events that lie before the position do not count, so the limit is no measure of a page then.
                let page = if after == Position::START { limit } else { usize::MAX };
                each_of_stream(&store, ReadStream::new(stream).from(from).limit(page), &mut print)
            }
            None => each_of_log(&store, ReadAll::after(after).limit(limit), &mut print),
        }
    }
}

/// Called with each event; answers whether it wants the next one.
pub type Visit<'a> = dyn FnMut(&RecordedEvent) -> Result<bool, Failure> + 'a;

/// Visits the events of a stream, a page of them in memory at a time.
pub fn each_of_stream(store: &dyn EventStore, mut read: ReadStream, visit: &mut Visit) -> Result<(), Failure> {
    loop {
        let page = block_on(store.read_stream(read.clone()))?;
        let Some(last) = page.last() else { return Ok(()) };
        read.from = last.version().next();
        for event in &page {
            if !visit(event)? {
                return Ok(());
            }
        }
    }
}

/// Visits the events of the whole log, a page of them in memory at a time.
pub fn each_of_log(store: &dyn EventStore, mut read: ReadAll, visit: &mut Visit) -> Result<(), Failure> {
    loop {
        let page = block_on(store.read_all(read.clone()))?;
        let Some(last) = page.last() else { return Ok(()) };
        read.after = last.position();
        for event in &page {
            if !visit(event)? {
                return Ok(());
            }
        }
    }
}
