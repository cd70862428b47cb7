//! The socket of a connection without TLS: with the runtime, or in the hands of the thread that serves its client alone.
//!
//! ```text
//!   runtime --a lone append--> thread --nothing came for a while, something else is under way, or it takes no more--> runtime
//! ```
//!
//! As long as a thread has it, the runtime hears nothing of it: no other thread is woken for what comes.

use std::{
    io::{self, IoSlice, Read, Write},
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// How much a thread reads at once at most.
const READ: usize = 64 << 10;

/// Whose the socket is. Both directions, and whoever moves it, are one task.
#[derive(Clone)]
pub(super) struct Line(Arc<Mutex<Hands>>);

enum Hands {
    Runtime(TcpStream),
    /// It never blocks either. `heard`: something has come since it was waited for.
    Thread {
        stream: std::net::TcpStream,
        heard: bool,
    },
    /// The system would not let it change hands.
    Lost(io::ErrorKind),
}

impl Line {
    pub(super) fn new(stream: TcpStream) -> Line {
        Line(Arc::new(Mutex::new(Hands::Runtime(stream))))
    }

    /// Waits on this thread until something comes, for so long at most. `false` when nothing did, or when what had come before has not been read.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let mut hands = self.0.lock();
        hands.pass_to_thread();
        let Hands::Thread { stream, heard } = &mut *hands else { return false };
        std::mem::take(heard) && readable(stream, time)
    }

    /// Gives it to the runtime. To be called on a thread of the runtime; who waits for it has to be polled again.
    pub(super) fn to_runtime(&self) {
        self.0.lock().pass_to_runtime();
    }
}

#[cfg(unix)]
fn readable(stream: &std::net::TcpStream, time: Duration) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
    poll(&mut [PollFd::new(stream, PollFlags::IN)], Some(&time)).is_ok_and(|ready| ready > 0)
}

#[cfg(not(unix))]
fn readable(_: &std::net::TcpStream, _: Duration) -> bool {
    false
}

impl Hands {
    fn pass_to_thread(&mut self) {
        self.pass(|hands| match hands {
            Hands::Runtime(stream) => stream.into_std().map(|stream| Hands::Thread { stream, heard: true }),
            other => Ok(other),
        });
    }

    fn pass_to_runtime(&mut self) {
        self.pass(|hands| match hands {
            Hands::Thread { stream, .. } => TcpStream::from_std(stream).map(Hands::Runtime),
            other => Ok(other),
        });
    }

    fn pass(&mut self, pass: impl FnOnce(Hands) -> io::Result<Hands>) {
        let hands = std::mem::replace(self, Hands::Lost(io::ErrorKind::NotConnected));
        *self = pass(hands).unwrap_or_else(|error| Hands::Lost(error.kind()));
    }

    /// Writes, on the thread as far as there is room, and else where it can be waited for.
    fn poll_write<T>(
        &mut self,
        context: &mut Context<'_>,
        here: impl FnOnce(&mut std::net::TcpStream) -> io::Result<T>,
        runtime: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Hands::Thread { stream, .. } = self {
            match here(stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.pass_to_runtime(),
                written => return Poll::Ready(written),
            }
        }
        match self {
            Hands::Runtime(stream) => runtime(Pin::new(stream), context),
            Hands::Lost(kind) => Poll::Ready(Err((*kind).into())),
            Hands::Thread { .. } => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncRead for Line {
    /// What is not there yet, the thread that has it waits for.
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self.0.lock() {
            Hands::Runtime(stream) => Pin::new(stream).poll_read(context, buffer),
            Hands::Thread { stream, heard } => {
                let room = buffer.remaining().min(READ);
                match stream.read(buffer.initialize_unfilled_to(room)) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                    read => {
                        *heard = true;
                        Poll::Ready(read.map(|bytes| buffer.advance(bytes)))
                    }
                }
            }
            Hands::Lost(kind) => Poll::Ready(Err((*kind).into())),
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().poll_write(
            context,
            |stream| stream.write(bytes),
            |stream, context| stream.poll_write(context, bytes),
        )
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().poll_write(
            context,
            |stream| stream.write_vectored(pieces),
            |stream, context| stream.poll_write_vectored(context, pieces),
        )
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().poll_write(
            context,
            |stream| stream.shutdown(Shutdown::Write),
            |stream, context| stream.poll_shutdown(context),
        )
    }
}
