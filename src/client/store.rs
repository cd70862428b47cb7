//! The client as an [`EventStore`].

use super::handle::{Client, appended, one, position, unexpected, version};
use crate::{
    error::Result,
    event::{NewEvent, RecordedEvent, StreamName},
    event_store::{
        Appended, BoxFuture, Capabilities, EventStore, EventSubscription, LoadedSnapshot, ReadAll, ReadStream,
        Snapshot, StreamAppend, Subscribe,
    },
    protocol::{Flow, Request, Response},
    version::{ExpectedVersion, Position, Version},
};

impl Client {
    async fn append_all(&self, appends: Vec<StreamAppend>) -> Result<Vec<Appended>> {
        // What is beyond a limit may not fit into a frame.
        StreamAppend::check(&appends)?;
        appended(self.inner.ask(Request::Append(appends)).await?)
    }

    async fn page(&self, request: Request) -> Result<Vec<RecordedEvent>> {
        match self.inner.ask(request).await? {
            Response::Events { events, .. } => Ok(events),
            other => Err(unexpected(&other)),
        }
    }
}

/// The futures can be awaited on any runtime, or driven by [`crate::block_on`].
impl EventStore for Client {
    fn capabilities(&self) -> Capabilities {
        Capabilities::full()
    }

    fn append<'a>(
        &'a self,
        stream: &'a StreamName,
        expected: ExpectedVersion,
        events: Vec<NewEvent>,
    ) -> BoxFuture<'a, Result<Appended>> {
        Box::pin(async move { one(self.append_all(vec![StreamAppend::new(stream.clone(), expected, events)]).await?) })
    }

    fn append_streams(&self, appends: Vec<StreamAppend>) -> BoxFuture<'_, Result<Vec<Appended>>> {
        Box::pin(self.append_all(appends))
    }

    fn read_stream(&self, read: ReadStream) -> BoxFuture<'_, Result<Vec<RecordedEvent>>> {
        Box::pin(self.page(Request::ReadStream(read, Flow::Page)))
    }

    fn read_all(&self, read: ReadAll) -> BoxFuture<'_, Result<Vec<RecordedEvent>>> {
        Box::pin(self.page(Request::ReadAll(read, Flow::Page)))
    }

    fn stream_version<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Result<Version>> {
        Box::pin(async move { version(self.inner.ask(Request::StreamVersion(stream.clone())).await?) })
    }

    fn last_position(&self) -> BoxFuture<'_, Result<Position>> {
        Box::pin(async move { position(self.inner.ask(Request::LastPosition).await?) })
    }

    fn save_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            snapshot.check()?;
            match self.inner.ask(Request::SaveSnapshot(snapshot)).await? {
                Response::Done => Ok(()),
                other => Err(unexpected(&other)),
            }
        })
    }

    fn load_snapshot<'a>(
        &'a self,
        stream: &'a StreamName,
        at_or_below: Version,
    ) -> BoxFuture<'a, Result<LoadedSnapshot>> {
        Box::pin(async move {
            match self.inner.ask(Request::LoadSnapshot { stream: stream.clone(), at_or_below }).await? {
                Response::Snapshot(loaded) => Ok(loaded),
                other => Err(unexpected(&other)),
            }
        })
    }

    fn subscribe(&self, subscribe: Subscribe) -> BoxFuture<'_, Result<Box<dyn EventSubscription>>> {
        Box::pin(async move {
            let subscription = self.subscribe_async(subscribe).await?;
            Ok(Box::new(subscription) as Box<dyn EventSubscription>)
        })
    }
}
