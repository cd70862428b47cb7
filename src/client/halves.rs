//! The two directions of a socket, each with the runtime on its own: what comes wakes the runtime's thread only as long as there is a
//! [`ReadHalf`].

use std::{
    io::{self, IoSlice, Read, Write},
    net::{Shutdown, TcpStream},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, unix::AsyncFd};

/// Reads. Dropped, it leaves the connection as it is.
pub(super) struct ReadHalf(AsyncFd<Arc<TcpStream>>);

impl ReadHalf {
    /// Of a socket that never blocks. One at a time for each descriptor.
    #[expect(deprecated, reason = "the other one is unsafe for descriptors that change; this one's never does")]
    pub(super) fn new(stream: Arc<TcpStream>) -> io::Result<ReadHalf> {
        AsyncFd::with_interest(stream, Interest::READABLE).map(ReadHalf)
    }
}

impl AsyncRead for ReadHalf {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(context))?;
            let room = buffer.initialize_unfilled();
            if let Ok(read) = ready.try_io(|stream| (&**stream.get_ref()).read(room)) {
                return Poll::Ready(read.map(|bytes| buffer.advance(bytes)));
            }
        }
    }
}

/// Writes. The other side hears of the end when this is dropped.
pub(super) struct WriteHalf(AsyncFd<TcpStream>);

impl WriteHalf {
    /// Of a descriptor of its own of a socket that never blocks.
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
            if let Ok(written) = ready.try_io(|stream| stream.get_ref().write_vectored(pieces)) {
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
