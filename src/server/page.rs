//! Pages: what is read of the store at a time. Made on a thread that may block, and short by what they are bounded to.

use super::access::Access;
use crate::{
    error::Result,
    event::{RecordedEvent, StreamName},
    event_store::{ReadAll, ReadStream},
    protocol::{EVENT_HEAD_BYTES, EventsFrame, Frame, Response},
    store::Store,
    version::{Position, Version},
};

/// Most events or streams of a page.
const PAGE_ITEMS: usize = 1024;

/// Bytes beyond which a page takes no further event.
const PAGE_BYTES: usize = 512 << 10;

/// Events that a page has room for before it is known that there are more.
const FIRST_ROOM: usize = 16;

/// Most events that are looked at for a page, wanted or not.
const PAGE_LOOKS: usize = 16 * PAGE_ITEMS;

/// What is still to be read.
#[derive(Clone, Debug)]
pub(super) enum Reading {
    Stream(ReadStream),
    All(ReadAll),
    /// Streams whose names begin with this, behind the position of a first event.
    Streams {
        prefix: String,
        after: Position,
    },
}

/// A part of what was asked for.
pub(super) struct Page {
    content: Content,
    /// More may be there.
    pub(super) more: bool,
}

enum Content {
    Events(EventsFrame),
    Streams(Vec<(StreamName, Version)>),
}

impl Page {
    pub(super) fn is_empty(&self) -> bool {
        self.items() == 0
    }

    /// How many events or streams it has.
    pub(super) fn items(&self) -> u64 {
        match &self.content {
            Content::Events(events) => events.events().into(),
            Content::Streams(streams) => streams.len() as u64,
        }
    }

    /// The page as an answer.
    pub(super) fn seal(self, request: u64, last: bool, position: Position) -> Frame {
        match self.content {
            Content::Events(events) => events.seal(request, last, position),
            Content::Streams(streams) => Response::Streams { last, streams }.encode(request),
        }
    }
}

impl Reading {
    /// Reads the next page, and remembers where the one after it begins.
    pub(super) fn page(&mut self, store: &Store, access: &Access) -> Result<Page> {
        match self {
            Reading::Stream(read) => stream_page(read, store),
            Reading::All(read) => all_page(read, store, access),
            Reading::Streams { prefix, after } => streams_page(prefix, after, store, access),
        }
    }
}

/// A page of events that is being made.
struct Filling<'a> {
    frame: EventsFrame,
    /// How many more are wanted in all.
    limit: &'a mut usize,
    looks: usize,
    more: bool,
}

impl<'a> Filling<'a> {
    fn new(limit: &'a mut usize) -> Filling<'a> {
        Filling { frame: EventsFrame::with_capacity((*limit).min(FIRST_ROOM)), limit, looks: 0, more: false }
    }

    /// Takes an event, if it is wanted. `false` when the page is full.
    fn take(&mut self, event: &RecordedEvent, wanted: bool) -> bool {
        self.looks += 1;
        if wanted {
            self.frame.push(event);
            *self.limit -= 1;
            if self.frame.events() as usize == FIRST_ROOM {
                // There are many: as many as these tell will fill the page, and some more, as not all are alike.
                let like_these = PAGE_BYTES * FIRST_ROOM / self.frame.len().max(1);
                let more = (like_these + like_these / 8).min(PAGE_ITEMS).saturating_sub(FIRST_ROOM);
                self.frame.reserve(more.min(*self.limit));
            }
        }
        let full = self.frame.events() as usize >= PAGE_ITEMS || self.frame.len() >= PAGE_BYTES;
        self.more = (full || self.looks >= PAGE_LOOKS) && *self.limit > 0;
        *self.limit > 0 && !self.more
    }

    /// The next event, if there is one. An error behind events waits: it comes again with the page behind this one.
    fn go_on<'e>(&mut self, next: Result<Option<&'e RecordedEvent>>) -> Result<Option<&'e RecordedEvent>> {
        match next {
            Err(_) if self.frame.events() > 0 => {
                self.more = true;
                Ok(None)
            }
            next => next,
        }
    }

    fn page(self) -> Page {
        Page { content: Content::Events(self.frame), more: self.more }
    }
}

fn stream_page(read: &mut ReadStream, store: &Store) -> Result<Page> {
    let mut events = store.read_stream(read.clone());
    let ReadStream { from, to, limit, backwards, .. } = read;
    let mut filling = Filling::new(limit);
    while let Some(event) = filling.go_on(events.lend())? {
        if *backwards {
            *to = event.version().previous();
        } else {
            *from = event.version().next();
        }
        if !filling.take(event, true) {
            break;
        }
    }
    let mut page = filling.page();
    page.more &= from <= to && *to > Version::NONE;
    Ok(page)
}

fn all_page(read: &mut ReadAll, store: &Store, access: &Access) -> Result<Page> {
    // The limit is of those that are seen.
    let all = if read.limit == 0 { 0 } else { usize::MAX };
    let mut events = store.read_all(read.clone().limit(all));
    let ReadAll { after, before, limit, backwards, .. } = read;
    let mut filling = Filling::new(limit);
    while let Some(event) = filling.go_on(events.lend())? {
        *(if *backwards { &mut *before } else { &mut *after }) = event.position();
        if !filling.take(event, access.sees(event)) {
            break;
        }
    }
    Ok(filling.page())
}

fn streams_page(prefix: &str, after: &mut Position, store: &Store, access: &Access) -> Result<Page> {
    let (mut found, mut more) = (Vec::new(), false);
    let mut streams = store.streams_after(*after);
    for _ in 0..PAGE_LOOKS {
        more = false;
        let Some(stream) = streams.next() else { break };
        let (stream, version) = stream?;
        if stream.as_str().starts_with(prefix) && access.sees_stream(&stream) {
            found.push((stream, version));
        }
        more = true;
        if found.len() == PAGE_ITEMS {
            break;
        }
    }
    *after = streams.position();
    Ok(Page { content: Content::Streams(found), more })
}

const _: () = assert!(PAGE_ITEMS * EVENT_HEAD_BYTES < PAGE_BYTES);
