//! A store in memory that does less than the trait allows for, and states what it likes.

use factlog::{
    Appended, BoxFuture, Capabilities, EventStore, EventSubscription, ExpectedVersion, LoadedSnapshot, MemoryStore,
    NewEvent, Position, ReadAll, ReadStream, Recorded, RecordedEvent, Result, Snapshot, Start, StreamAppend,
    StreamName, Subscribe, Version,
};

#[derive(Clone)]
pub struct Altered {
    pub store: MemoryStore,
    pub states: Capabilities,
    /// What is beyond this is refused.
    pub takes: Capabilities,
    /// Every other position is left out.
    pub gaps: bool,
    /// An append to several streams is one append after the other.
    pub splits: bool,
}

impl Altered {
    pub fn new() -> Altered {
        let (store, full) = (MemoryStore::new(), Capabilities::full());
        Altered { store, states: full, takes: full, gaps: false, splits: false }
    }

    fn outside(&self, position: Position) -> Position {
        if self.gaps { Position::new(position.get().saturating_mul(2)) } else { position }
    }

    /// The last of the store's own positions up to this one.
    fn inside(&self, position: Position) -> Position {
        if self.gaps && position != Position::MAX { Position::new(position.get() / 2) } else { position }
    }

    fn appended(&self, appended: Appended) -> Appended {
        Appended { position: self.outside(appended.position), ..appended }
    }

    fn event(&self, event: RecordedEvent) -> RecordedEvent {
        let recorded = Recorded {
            position: self.outside(event.position()),
            version: event.version(),
            id: event.id(),
            timestamp: event.timestamp(),
        };
        RecordedEvent::new(recorded, &event.stream(), &event.event_type(), &event.metadata(), &event.payload())
    }
}

impl EventStore for Altered {
    fn capabilities(&self) -> Capabilities {
        self.states
    }

    fn append<'a>(
        &'a self,
        stream: &'a StreamName,
        expected: ExpectedVersion,
        events: Vec<NewEvent>,
    ) -> BoxFuture<'a, Result<Appended>> {
        Box::pin(async move {
            let append = StreamAppend::new(stream.clone(), expected, events);
            self.takes.check_append("The altered store", std::slice::from_ref(&append))?;
            Ok(self.appended(self.store.append(stream, expected, append.events).await?))
        })
    }

    fn append_streams(&self, appends: Vec<StreamAppend>) -> BoxFuture<'_, Result<Vec<Appended>>> {
        Box::pin(async move {
            self.takes.check_append("The altered store", &appends)?;
            if !self.splits {
                let appended = self.store.append_streams(appends).await?;
                return Ok(appended.into_iter().map(|appended| self.appended(appended)).collect());
            }
            let mut all = Vec::new();
            for StreamAppend { stream, expected, events } in appends {
                all.push(self.append(&stream, expected, events).await?);
            }
            Ok(all)
        })
    }

    fn read_stream(&self, read: ReadStream) -> BoxFuture<'_, Result<Vec<RecordedEvent>>> {
        Box::pin(async move {
            let events = self.store.read_stream(read).await?;
            Ok(events.into_iter().map(|event| self.event(event)).collect())
        })
    }

    fn read_all(&self, mut read: ReadAll) -> BoxFuture<'_, Result<Vec<RecordedEvent>>> {
        Box::pin(async move {
            read.after = self.inside(read.after);
            // The next of the store's own positions from this one on.
            read.before = self.inside(read.before.previous()).next();
            let events = self.store.read_all(read).await?;
            Ok(events.into_iter().map(|event| self.event(event)).collect())
        })
    }

    fn stream_version<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Result<Version>> {
        self.store.stream_version(stream)
    }

    fn last_position(&self) -> BoxFuture<'_, Result<Position>> {
        Box::pin(async move { Ok(self.outside(self.store.last_position().await?)) })
    }

    fn save_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.takes.check_snapshot(&snapshot)?;
            self.store.save_snapshot(snapshot).await
        })
    }

    fn load_snapshot<'a>(
        &'a self,
        stream: &'a StreamName,
        at_or_below: Version,
    ) -> BoxFuture<'a, Result<LoadedSnapshot>> {
        self.store.load_snapshot(stream, at_or_below)
    }

    fn subscribe(&self, mut subscribe: Subscribe) -> BoxFuture<'_, Result<Box<dyn EventSubscription>>> {
        Box::pin(async move {
            if let Start::After(position) = &mut subscribe.start {
                *position = self.inside(*position);
            }
            let subscription = self.store.subscribe(subscribe).await?;
            Ok(Box::new(Following { subscription, store: self.clone() }) as Box<dyn EventSubscription>)
        })
    }
}

struct Following {
    subscription: Box<dyn EventSubscription>,
    store: Altered,
}

impl EventSubscription for Following {
    fn next(&mut self) -> BoxFuture<'_, Result<RecordedEvent>> {
        Box::pin(async move { Ok(self.store.event(self.subscription.next().await?)) })
    }

    fn acknowledge(&mut self, position: Position) -> BoxFuture<'_, Result<()>> {
        self.subscription.acknowledge(self.store.inside(position))
    }

    fn position(&self) -> Position {
        self.store.outside(self.subscription.position())
    }
}
