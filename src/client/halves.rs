//! The two directions of a socket, each with the runtime on its own: what comes wakes the runtime's thread only as long as there is a
//! [`ReadHalf`].

use std::{
    io::{self, IoSlice},
    net::{Shutdown, TcpStream},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, unix::AsyncFd};

/// How much is read at once, at least and at most: as much has to be filled with zeros before.
const LEAST_READ: usize = 4 << 10;
const MOST_READ: usize = 64 << 10;

/// Reads. Dropped, it leaves the connection as it is.
pub(super) struct ReadHalf {
    socket: AsyncFd<Arc<TcpStream>>,
    /// How much is read at once.
    step: usize,
}

impl ReadHalf {
    /// One at a time for each descriptor. Reading does not block, whatever the socket does for others.
    #[expect(deprecated, reason = "the other one is unsafe for descriptors that change; this one's never does")]
    pub(super) fn new(stream: Arc<TcpStream>) -> io::Result<ReadHalf> {
        AsyncFd::with_interest(stream, Interest::READABLE).map(|socket| ReadHalf { socket, step: LEAST_READ })
    }
}

impl AsyncRead for ReadHalf {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let ReadHalf { socket, step } = &mut *self;
        loop {
            let mut ready = ready!(socket.poll_read_ready(context))?;
            let room = buffer.remaining().min(*step);
            let unfilled = buffer.initialize_unfilled_to(room);
            match recv(&**ready.get_inner(), unfilled, RecvFlags::DONTWAIT) {
                Ok((read, _)) => {
                    if read < room {
                        // That was all: the next look would find nothing.
                        ready.clear_ready();
                    } else {
                        *step = (*step * 4).min(MOST_READ);
                    }
                    if read < room / 4 {
                        *step = (*step / 2).max(LEAST_READ);
                    }
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

/// Writes as much as there is room for, without blocking, whatever the socket does for others.
pub(super) fn write_now(stream: &TcpStream, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    match pieces {
        // A system call that does less.
        [piece] => Ok(send(stream, piece, flags)?),
        pieces => Ok(sendmsg(stream, pieces, &mut SendAncillaryBuffer::default(), flags)?),
    }
}

/// Writes. The other side hears of the end when this is dropped.
pub(super) struct WriteHalf(AsyncFd<TcpStream>);

impl WriteHalf {
    /// Of a descriptor of its own.
    #[expect(deprecated, reason = "as above")]
    pub(super) fn new(stream: TcpStream) -> io::Result<WriteHalf> {
        AsyncFd::with_interest(stream, Interest::WRITABLE).map(WriteHalf)
    }
}

impl AsyncWrite for WriteHalf {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.0.poll_write_ready(context))?;
            if let Ok(written) = ready.try_io(|stream| write_now(stream.get_ref(), pieces)) {
                return Poll::Ready(written);
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.get_ref().shutdown(Shutdown::Write))
    }
}

impl Drop for WriteHalf {
    fn drop(&mut self) {
        let _ = self.0.get_ref().shutdown(Shutdown::Write);
    }
}
