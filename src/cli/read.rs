//! `factlog read`: the events of one stream, of a category, of types, or of the whole log, in order; and, if asked for, those
//! that come.
//!
//! ```text
//!   what is there  ----------------------->|  what comes  ----------------->
//!   read by the index, as far as it goes   the place   subscribed to from there on
//! ```
//!
//! Everything up to the place where following begins was read before, and nothing behind it: no event is lost or printed
//! twice between the two.

use std::{iter, time::Duration};

use clap::Args;
use factlog::{EventType, Position, ReadAll, ReadStream, RecordedEvent, StreamName, Subscribe, Timestamp, Version};

use super::{
    event_line,
    failure::Failure,
    open::{self, Items, Opened},
    output::{self, Output},
    place::Place,
};

/// How long nothing comes before it is looked whether anyone still reads.
const PATIENCE: Duration = Duration::from_secs(1);

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

    /// Only events of streams of this category: the part of their names before the first `-`
    #[arg(long, value_name = "CATEGORY", value_parser = category, conflicts_with_all = ["stream", "from"])]
    category: Option<String>,

    /// Only events of this type; given more than once, of any of these types
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<EventType>,

    /// Only events of this time (RFC 3339) and later ones
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<Timestamp>,

    /// From the newest to the oldest
    #[arg(long)]
    backwards: bool,

    /// Then wait for more, and print each event as it comes, until interrupted or at the limit
    #[arg(long, conflicts_with = "backwards")]
    follow: bool,

    /// Go on behind events that are lost, and say so on standard error, instead of ending there
    #[arg(long)]
    skip_lost: bool,

    /// At most so many events
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// A category is the beginning of a name, up to a `-` or the whole of it.
fn category(text: &str) -> Result<String, String> {
    match text.parse::<StreamName>() {
        _ if text.contains('-') => Err("a category ends before the first `-` of a stream's name".to_owned()),
        Err(error) if !text.is_empty() => Err(error.to_string()),
        _ => Ok(text.to_owned()),
    }
}

/// What was read; `None` for lost events that are to be passed over.
pub fn past_lost<T>(read: factlog::Result<T>, skip: bool) -> Result<Option<T>, Failure> {
    match read {
        Err(factlog::Error::Lost(lost)) if skip => {
            output::say(format_args!("factlog: {lost}"));
            Ok(None)
        }
        read => Ok(Some(read?)),
    }
}

impl Read {
    pub fn run(self, store: &Place, out: &mut Output) -> Result<(), Failure> {
        let store = open::for_reading(store)?;
        let mut left = self.limit.unwrap_or(usize::MAX);
        // What is read then goes at least as far, and may go further.
        let mut done = store.last_position()?.max(Position::new(self.after));
        for event in self.stored(&store)? {
            let Some(event) = past_lost(event, self.skip_lost)? else { continue };
            event_line::print(&event, out)?;
            done = done.max(event.position());
            left -= 1;
        }
        if self.follow { self.print_coming(&store, done, left, out) } else { Ok(()) }
    }

    /// What is there.
    fn stored<'a>(&self, store: &'a Opened) -> Result<Items<'a, RecordedEvent>, Failure> {
        let limit = self.limit.unwrap_or(usize::MAX);
        let mut read = ReadAll::after(Position::new(self.after)).limit(limit);
        if let Some(stream) = &self.stream {
            let from = self.from.map_or(Version::FIRST, Version::new);
            if self.after == 0 && self.types.is_empty() && self.since.is_none() {
                let read = ReadStream { backwards: self.backwards, ..ReadStream::new(stream).from(from).limit(limit) };
                return Ok(store.read_stream(read));
            }
            if from > Version::FIRST {
                let before = from.previous();
                match store.read_stream(ReadStream::new(stream).from(before).to(before)).next() {
                    Some(event) => read.after = read.after.max(event?.position()),
                    // The stream does not reach so far.
                    None => return Ok(Box::new(iter::empty())),
                }
            }
        }
        read.stream.clone_from(&self.stream);
        read.category.clone_from(&self.category);
        read.types.clone_from(&self.types);
        read.since = self.since;
        read.backwards = self.backwards;
        Ok(store.read_all(read))
    }

    /// What comes behind a position, at most so many events of it.
    fn print_coming(&self, store: &Opened, after: Position, mut left: usize, out: &mut Output) -> Result<(), Failure> {
        let mut subscribe = Subscribe::new().after(after);
        subscribe.stream.clone_from(&self.stream);
        subscribe.category.clone_from(&self.category);
        subscribe.types.clone_from(&self.types);
        let mut subscription = store.subscribe(subscribe)?;
        while left > 0 {
            let event = match past_lost(subscription.try_next(), self.skip_lost)? {
                Some(Some(event)) => event,
                Some(None) => {
                    // Nothing more is at hand: whoever reads sees all of it now.
                    out.flush()?;
                    match past_lost(subscription.next_within(PATIENCE), self.skip_lost)?.flatten() {
                        Some(event) => event,
                        None if output::nobody_reads() => return Err(Failure::ClosedPipe),
                        None => continue,
                    }
                }
                None => continue,
            };
            if self.wants(&event) {
                event_line::print(&event, out)?;
                left -= 1;
            }
        }
        Ok(())
    }

    /// Whether an event that came is wanted, as far as the subscription does not see to it.
    fn wants(&self, event: &RecordedEvent) -> bool {
        self.from.is_none_or(|from| event.version() >= Version::new(from))
            && self.since.is_none_or(|since| event.timestamp() >= since)
    }
}
