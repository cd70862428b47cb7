//! From the place that `--store` names to an open store.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use factlog::{
    Appended, BoxFuture, Capabilities, EventStore, EventSubscription, ExpectedVersion, NewEvent, Options, Pending,
    Position, ReadAll, ReadStream, RecordedEvent, Store, StreamName, Subscribe, Version, block_on, block_on_for,
    client::Client,
};

use super::{
    failure::Failure,
    output::{count, say},
    pages::Pages,
    patience::PATIENCE,
    place::Place,
    progress::{Progress, Unit},
};

/// Opening that takes longer shows how far it has come. It does when the index is made anew from the log.
const QUIET: Duration = Duration::from_millis(300);

/// A store that a command works with.
#[derive(Clone)]
pub enum Opened {
    /// In this process.
    Local(Store),
    /// Behind a server.
    Remote(Client),
    /// In another engine, reached through the trait alone.
    Engine(Arc<dyn EventStore>),
}

/// Things of a store, in the order that was asked for.
pub type Items<'a, T> = Box<dyn Iterator<Item = factlog::Result<T>> + 'a>;

/// Opens the store to append to it; in a directory it is created when there is none.
pub fn for_writing(place: &Place) -> Result<Opened, Failure> {
    opened(Options::new(), place, None)
}

/// As [`for_writing`], for work so long that it waits when the store is away for a while.
pub fn for_writing_patiently(place: &Place) -> Result<Opened, Failure> {
    opened(Options::new(), place, Some(PATIENCE))
}

/// Opens the store to append to what it has; it must exist.
pub fn for_changing(place: &Place) -> Result<Opened, Failure> {
    opened(Options::new().create(false), place, None)
}

/// Opens the store to read it, also beside a process that writes it; it must exist. Every command that only reads events
/// comes by here, also those whose answer is in a read model, which is no part of the store.
pub fn for_reading(place: &Place) -> Result<Opened, Failure> {
    opened(Options::new().read_only(true), place, None)
}

/// As [`for_reading`], for work so long that it waits when the store is away for a while.
pub fn for_reading_patiently(place: &Place) -> Result<Opened, Failure> {
    opened(Options::new().read_only(true), place, Some(PATIENCE))
}

fn opened(options: Options, place: &Place, patience: Option<Duration>) -> Result<Opened, Failure> {
    match place {
        Place::Server(server) => server.connect(patience).map(Opened::Remote),
        Place::Engine(engine) => engine.connect(patience).map(Opened::Engine),
        // Every command but those that say so themselves works with all.
        Place::Default | Place::Directory(_) => directory_opened(options, place.directory("this")?).map(Opened::Local),
    }
}

/// Opens the store in a directory to append to it.
pub fn directory_for_writing(directory: &Path) -> Result<Store, Failure> {
    directory_opened(Options::new(), directory)
}

/// Opens the store in a directory to read it.
pub fn directory_for_reading(directory: &Path) -> Result<Store, Failure> {
    directory_opened(Options::new().read_only(true), directory)
}

fn directory_opened(options: Options, directory: &Path) -> Result<Store, Failure> {
    let (started, bar) = (Instant::now(), OnceLock::new());
    // Gone, and the bar with it, when the store is open.
    let options = options.progress(move |so_far| {
        if bar.get().is_some() || started.elapsed() > QUIET {
            bar.get_or_init(|| Progress::new(Unit::Bytes, Some(so_far.total_bytes))).set(so_far.bytes);
        }
    });
    let store = options.open(directory)?;
    drop(options);
    if store.dropped_bytes() > 0 {
        let bytes = count(store.dropped_bytes(), "byte");
        say(format_args!("factlog: dropped {bytes} behind the last event: remains of an append that was cut off"));
    }
    Ok(store)
}

impl Opened {
    /// The store as what every store is.
    pub fn shared(&self) -> Arc<dyn EventStore> {
        match self {
            Opened::Local(store) => Arc::new(store.clone()),
            Opened::Remote(client) => Arc::new(client.clone()),
            Opened::Engine(store) => Arc::clone(store),
        }
    }

    pub fn capabilities(&self) -> Capabilities {
        self.shared().capabilities()
    }

    pub fn last_position(&self) -> Result<Position, Failure> {
        Ok(block_on(self.shared().last_position())?)
    }

    pub fn stream_version(&self, stream: &StreamName) -> Result<Version, Failure> {
        Ok(block_on(self.shared().stream_version(stream))?)
    }

    pub fn read_stream(&self, read: ReadStream) -> Items<'_, RecordedEvent> {
        match self {
            Opened::Local(store) => Box::new(store.read_stream(read)),
            Opened::Remote(client) => Box::new(client.read(read)),
            Opened::Engine(store) => Box::new(Pages::of_stream(store, read)),
        }
    }

    pub fn read_all(&self, read: ReadAll) -> Items<'_, RecordedEvent> {
        match self {
            Opened::Local(store) => Box::new(store.read_all(read)),
            Opened::Remote(client) => Box::new(client.read(read)),
            Opened::Engine(store) => Box::new(Pages::of_log(store, read)),
        }
    }

    /// Follows the log.
    pub fn subscribe(&self, subscribe: Subscribe) -> Result<Following, Failure> {
        Ok(Following(block_on(self.shared().subscribe(subscribe))?))
    }

    /// Sends an append on its way without waiting for it. Appends are taken in the order in which they are submitted.
    pub fn submit(
        &self,
        stream: &StreamName,
        expected: ExpectedVersion,
        events: Vec<NewEvent>,
    ) -> Result<OnItsWay, Failure> {
        match self {
            Opened::Local(store) => Ok(OnItsWay::Local(store.submit(stream, expected, events)?)),
            Opened::Remote(client) => {
                let (client, stream) = (client.clone(), stream.clone());
                let mut sent: BoxFuture<'static, _> =
                    Box::pin(async move { EventStore::append(&client, &stream, expected, events).await });
                // The first poll sends it.
                match sent.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(answered) => answered.map(|_| OnItsWay::Done).map_err(Failure::from),
                    Poll::Pending => Ok(OnItsWay::Remote(sent)),
                }
            }
            // Nothing promises that two which are on their way are stored in order.
            Opened::Engine(store) => {
                block_on(store.append(stream, expected, events))?;
                Ok(OnItsWay::Done)
            }
        }
    }

    /// Closes the store in a directory when all is done; connections just end. What was acknowledged stands whether the store
    /// can be closed or not, so what keeps it from being closed is a warning and no failure.
    pub fn close(self) {
        let Opened::Local(store) = self else { return };
        if let Err(error) = store.close() {
            say(format_args!(
                "factlog: warning: everything that was acknowledged is on the disk, but the store was not closed as it should be, \
                 and its end is looked for when it is next opened: {error}"
            ));
        }
    }
}

/// An append that is on its way.
pub enum OnItsWay {
    Local(Pending),
    Remote(BoxFuture<'static, factlog::Result<Appended>>),
    Done,
}

impl OnItsWay {
    /// Waits until it is acknowledged.
    pub fn wait(self) -> Result<(), Failure> {
        match self {
            OnItsWay::Local(pending) => pending.wait()?,
            OnItsWay::Remote(sent) => block_on(sent)?,
            OnItsWay::Done => return Ok(()),
        };
        Ok(())
    }
}

/// A subscription to a store.
pub struct Following(Box<dyn EventSubscription>);

impl Following {
    /// The next event, if it is there already.
    pub fn try_next(&mut self) -> factlog::Result<Option<RecordedEvent>> {
        match self.0.next().as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(event) => event.map(Some),
            Poll::Pending => Ok(None),
        }
    }

    /// The next event, if it comes within this time.
    pub fn next_within(&mut self, time: Duration) -> factlog::Result<Option<RecordedEvent>> {
        block_on_for(self.0.next(), time).transpose()
    }
}
