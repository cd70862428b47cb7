//! Reads of many events: sent ahead by the server, as far as the window allows.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{
    feed::{Batch, Feed, Item, Next, Source},
    handle::Client,
};
use crate::{
    error::Result,
    event::{RecordedEvent, StreamName},
    event_store::{ReadAll, ReadStream, block_on},
    protocol::Request,
    version::Version,
};

/// What to read.
#[derive(Clone, Debug)]
pub enum Reading {
    /// Events of a stream.
    Stream(ReadStream),
    /// Events of the log.
    All(ReadAll),
}

impl From<ReadStream> for Reading {
    fn from(read: ReadStream) -> Reading {
        Reading::Stream(read)
    }
}

impl From<ReadAll> for Reading {
    fn from(read: ReadAll) -> Reading {
        Reading::All(read)
    }
}

impl From<&StreamName> for Reading {
    fn from(stream: &StreamName) -> Reading {
        Reading::Stream(stream.into())
    }
}

/// A feed and the client that it comes through.
pub(super) struct Open {
    pub(super) client: Client,
    feed: Arc<Feed>,
    pub(super) number: u64,
    /// What is being given out. The feed is not looked at for each item of it.
    batch: Option<Batch>,
}

impl Open {
    pub(super) fn new(client: Client, feed: Arc<Feed>, number: u64) -> Open {
        Open { client, feed, number, batch: None }
    }

    /// The next of the feed. What is taken may be sent anew.
    pub(super) fn poll_next(&mut self, context: &Context<'_>) -> Poll<Result<Next>> {
        if self.batch.is_none() {
            let Some(batch) = ready!(self.feed.poll_batch(context))? else { return Poll::Ready(Ok(Next::End)) };
            self.batch = Some(batch);
        }
        Poll::Ready(Ok(self.at_hand().unwrap_or(Next::End)))
    }

    /// The next that needs not be waited for, as long as the batch lasts.
    pub(super) fn at_hand(&mut self) -> Option<Next> {
        let batch = self.batch.as_mut()?;
        if let Some(item) = batch.items.next() {
            return Some(Next::Item(item));
        }
        let (position, bytes) = (batch.position, u32::try_from(batch.bytes).unwrap_or(u32::MAX));
        self.batch = None;
        self.feed.given();
        self.client.inner.table.tell(&Request::Credit { request: self.number, bytes });
        Some(Next::Taken { position })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.client.inner.table.cancel(self.number);
    }
}

/// Items of a read, up to its end or an error.
struct Items(Option<Open>);

impl Items {
    fn begin(client: &Client, source: Source) -> Items {
        let (feed, _) = Feed::new(source, client.inner.options.window);
        let feed = Arc::new(feed);
        let number = client.inner.table.begin(feed.clone());
        Items(Some(Open::new(client.clone(), feed, number)))
    }

    async fn next(&mut self) -> Option<Result<Item>> {
        loop {
            let open = self.0.as_mut()?;
            match poll_fn(|context| open.poll_next(context)).await {
                Ok(Next::Item(item)) => return Some(Ok(item)),
                Ok(Next::Taken { .. }) => {}
                Ok(Next::End) => self.0 = None,
                Err(error) => {
                    self.0 = None;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// The events of a read: see [`Client::read`]. As an iterator it blocks; after an error it ends.
pub struct ClientEvents(Items);

impl ClientEvents {
    pub(super) fn begin(client: &Client, source: Source) -> ClientEvents {
        ClientEvents(Items::begin(client, source))
    }

    /// The next event, for a task of any runtime; `None` behind the last.
    pub async fn next_async(&mut self) -> Option<Result<RecordedEvent>> {
        loop {
            match self.0.next().await? {
                Ok(Item::Event(event)) => return Some(Ok(event)),
                Ok(Item::Stream(..)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Iterator for ClientEvents {
    type Item = Result<RecordedEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.0.0.as_mut().and_then(Open::at_hand) {
            Some(Next::Item(Item::Event(event))) => Some(Ok(event)),
            _ => block_on(self.next_async()),
        }
    }
}

impl std::fmt::Debug for ClientEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientEvents")
    }
}

/// The streams of a store: see [`Client::streams`]. As an iterator it blocks; after an error it ends.
pub struct ClientStreams(Items);

impl ClientStreams {
    pub(super) fn begin(client: &Client, prefix: &str) -> ClientStreams {
        ClientStreams(Items::begin(client, Source::Streams(prefix.to_owned())))
    }
}

impl Iterator for ClientStreams {
    type Item = Result<(StreamName, Version)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match block_on(self.0.next())? {
                Ok(Item::Stream(stream, version)) => return Some(Ok((stream, version))),
                Ok(Item::Event(_)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl std::fmt::Debug for ClientStreams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientStreams")
    }
}
