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
    io::{self, IoSlice, Read},
    net::{Shutdown, TcpStream},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::table::Table;
use crate::{
    limits,
    protocol::{Frame, Taken, take},
};

/// How long a thread waits for something to come before it leaves that to the connection's task.
const TURN: Duration = Duration::from_millis(100);

/// How much is read at once, at least and at most.
const LEAST_READ: usize = 4 << 10;
const MOST_READ: usize = 256 << 10;

/// Most pieces of one write.
const PIECES: usize = 64;

/// The socket of a connection without TLS. It blocks only who reads it as a thread that is alone.
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
    /// Of a connection that was made by a runtime.
    #[cfg(unix)]
    pub(super) fn new(stream: TcpStream) -> io::Result<Socket> {
        // A thread that reads it waits for what comes in the same call.
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(TURN))?;
        Ok(Socket {
            stream: std::sync::Arc::new(stream),
            received: Mutex::default(),
            ended: Mutex::default(),
            task: Notify::new(),
            unsent: AtomicUsize::new(0),
        })
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
        if self.has_ended() {
            return None;
        }
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let count = Frame::pieces(std::iter::once(frame), 0, &mut pieces);
        match self.write_now(&pieces[..count]) {
            Ok(written) => Some(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(0),
            Err(_) => None,
        }
    }

    /// Whether the server has closed the connection, or it broke.
    #[cfg(unix)]
    fn has_ended(&self) -> bool {
        use rustix::{
            io::Errno,
            net::{RecvFlags, recv},
        };
        let looked = recv(&*self.stream, &mut [0], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        !matches!(looked, Ok((1.., _)) | Err(Errno::AGAIN))
    }

    #[cfg(not(unix))]
    fn has_ended(&self) -> bool {
        true
    }

    #[cfg(unix)]
    fn write_now(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        super::halves::write_now(&self.stream, pieces)
    }

    #[cfg(not(unix))]
    fn write_now(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
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
        while self.table.awaits(self.request) {
            match take(received, limits::FRAME_BYTES).map_err(io::Error::other)? {
                Taken::Frame(frame) => {
                    self.table.answered(frame).map_err(io::Error::other)?;
                }
                Taken::Missing(missing) => {
                    let kept = received.len();
                    received.resize(kept + missing.clamp(LEAST_READ, MOST_READ), 0);
                    let read = (&*self.socket.stream).read(&mut received[kept..]);
                    received.truncate(kept + read.as_ref().copied().unwrap_or_default());
                    match read {
                        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                        Ok(_) => {}
                        // Nothing has come for the time of a turn.
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(())
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.table.ends_turn(&self.socket);
    }
}
