//! What another store has to do to be compared: append under an expected version, durably, and read in the same ways.

use super::data::Event;

/// An append to one stream.
#[derive(Clone, Debug)]
pub struct Append {
    pub stream: String,
    /// The version that the stream must have; 0 if it must not exist.
    pub expected: u64,
    pub events: Vec<Event>,
}

/// The version that the stream is at, when it is not the expected one.
pub type Answer = Result<(), u64>;

/// What has been read: how many events, and a sum over them, so that no part of the work can be left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub events: u64,
    pub sum: u64,
}

/// An event as a reader gets it, lent until it asks for the next one. `body` holds the payload, from `payload` on.
#[derive(Debug)]
pub struct Read<B> {
    pub version: u64,
    pub time: u64,
    pub id: [u8; 16],
    pub body: B,
    pub payload: usize,
}

impl Sum {
    pub fn add_read<B: AsRef<[u8]>>(&mut self, read: &Read<B>) {
        std::hint::black_box((read.time, read.id));
        self.add(read.version, &read.body.as_ref()[read.payload..]);
    }

    pub fn add(&mut self, version: u64, payload: &[u8]) {
        self.events += 1;
        self.sum = self.sum.wrapping_add(version + payload.len() as u64 + u64::from(payload[payload.len() / 2]));
    }
}

pub trait Peer: Send + Sync {
    fn name(&self) -> &'static str;

    /// Makes these appends in one transaction, which is on the disk when this returns; each is refused by itself if its stream is
    /// not at the expected version.
    fn commit(&self, appends: &[Append]) -> Vec<Answer>;

    /// From now on `commit` does not wait for the disk, until `sync`.
    fn relax(&self);

    /// Brings everything that was committed to the disk.
    fn sync(&self);

    fn read_stream(&self, stream: &str) -> Sum;

    /// All events, in order of position.
    fn read_all(&self, backwards: bool) -> Sum;

    fn read_type(&self, event_type: &str) -> Sum;

    fn read_category(&self, category: &str) -> Sum;
}
