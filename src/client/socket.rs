//! A connection as the thread of an application uses it that has nothing else to wait for.
//!
//! A change of threads takes about as long as a round trip over loopback. So whoever is alone with their request writes it to the
//! socket themselves, and reads until the answer is there. At all other times the connection's task reads and writes.
//!
//! ```text
//!   nobody reads --asked by a thread, alone--> that thread --answered, nobody else waits--> nobody reads
//!        |                                         | somebody else waits
//!        | asked by a task, or unused for a time   v
//!        '--------------------------------> the connection's task --answered a thread, nobody else waits--> nobody reads
//! ```
//!
//! The runtime is told of what comes only while the connection's task reads: else each answer that a thread reads would wake the
//! runtime's thread as well, for nothing.

use std::{
    io::{self, IoSlice, Read, Write},
    net::{Shutdown, TcpStream},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::table::Table;
use crate::{
    limits,
    protocol::{Frame, Taken, take},
};

/// How long a thread reads at most before it leaves that to the connection's task.
const TURN: Duration = Duration::from_millis(100);

/// How much is read at once, at least and at most.
const LEAST_READ: usize = 4 << 10;
const MOST_READ: usize = 256 << 10;

/// Most pieces of one write.
const PIECES: usize = 64;

/// The socket of a connection without TLS, which never blocks.
pub(crate) struct Socket {
    stream: std::sync::Arc<TcpStream>,
    /// What has come and is no whole frame yet. Only who reads at the time looks at it.
    received: Mutex<BytesMut>,
    /// Why a thread that read it ended the connection.
    ended: Mutex<Option<String>>,
    /// Tells the connection's task that it is to read.
    task: Notify,
    /// Frames that the connection's task has been given and has not written.
    pub(super) unsent: AtomicUsize,
}

impl Socket {
    #[cfg(unix)]
    pub(super) fn new(stream: TcpStream) -> Socket {
        Socket {
            stream: std::sync::Arc::new(stream),
            received: Mutex::default(),
            ended: Mutex::default(),
            task: Notify::new(),
            unsent: AtomicUsize::new(0),
        }
    }

    /// What the connection's task reads from. As long as it is there, the runtime hears of all that comes.
    #[cfg(unix)]
    pub(super) fn source(&self) -> io::Result<super::link::Source> {
        Ok(Box::new(super::halves::ReadHalf::new(self.stream.clone())?))
    }

    #[cfg(not(unix))]
    pub(super) fn source(&self) -> io::Result<super::link::Source> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Has the connection's task read.
    pub(super) fn to_task(&self) {
        self.task.notify_one();
    }

    /// Waits until the connection's task is to read. Gives what has come of the next frame.
    pub(super) async fn task_turn(&self) -> io::Result<BytesMut> {
        self.task.notified().await;
        match self.ended.lock().take() {
            Some(reason) => Err(io::Error::other(reason)),
            None => Ok(std::mem::take(&mut *self.received.lock())),
        }
    }

    /// Ends the connection: whoever reads it, finds its end.
    pub(super) fn end(&self, reason: Option<String>) {
        *self.ended.lock() = reason;
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Writes a frame, as far as there is room. `None` when the server has ended the connection: then nothing was written.
    pub(super) fn write(&self, frame: &Frame) -> Option<usize> {
        if self.unsent.load(Ordering::Acquire) > 0 {
            return Some(0);
        }
        match self.stream.peek(&mut [0]) {
            Ok(0) => return None,
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return None,
            _ => {}
        }
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let count = Frame::pieces(std::iter::once(frame), 0, &mut pieces);
        match (&*self.stream).write_vectored(&pieces[..count]) {
            Ok(written) => Some(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(0),
            Err(_) => None,
        }
    }

    /// Waits until something comes, for so long at most. `false` when nothing did.
    #[cfg(unix)]
    fn wait(&self, time: Duration) -> io::Result<bool> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&*self.stream, PollFlags::IN)], Some(&time)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(unix))]
    fn wait(&self, _: Duration) -> io::Result<bool> {
        Ok(false)
    }
}

/// The time in which a thread reads the connection, as it waits for the answer to its request.
pub(super) struct Turn<'a> {
    table: &'a Table,
    socket: std::sync::Arc<Socket>,
    request: u64,
}

impl<'a> Turn<'a> {
    pub(super) fn new(table: &'a Table, socket: std::sync::Arc<Socket>, request: u64) -> Turn<'a> {
        Turn { table, socket, request }
    }

    /// Reads until the answer is there; or until its end, as the connection or the time is over.
    pub(super) fn read(self) {
        let mut received = self.socket.received.lock();
        if let Err(error) = self.read_into(&mut received) {
            // The connection's task finds it ended, and connects anew.
            self.socket.end(Some(error.to_string()));
        }
    }

    fn read_into(&self, received: &mut BytesMut) -> io::Result<()> {
        let end = Instant::now() + TURN;
        while self.table.awaits(self.request) {
            match take(received, limits::FRAME_BYTES).map_err(io::Error::other)? {
                Taken::Frame(frame) => {
                    self.table.answered(frame).map_err(io::Error::other)?;
                }
                Taken::Missing(missing) => {
                    if !self.socket.wait(end.saturating_duration_since(Instant::now()))? {
                        return Ok(());
                    }
                    let kept = received.len();
                    received.resize(kept + missing.clamp(LEAST_READ, MOST_READ), 0);
                    let read = (&*self.socket.stream).read(&mut received[kept..]);
                    received.truncate(kept + read.as_ref().copied().unwrap_or_default());
                    match read {
                        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                        Err(error) if !again(&error) => return Err(error),
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }
}

fn again(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.table.ends_turn(&self.socket);
    }
}
