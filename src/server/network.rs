//! Where connections come from, and what they are: those of the system, or of a simulated network in the tests.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

use super::{line::Line, reader::Source, writer::Sink};

/// Bytes in both directions.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The two directions, each for itself; and the same connection for a thread that serves it alone.
    fn halves(self) -> (Source, Sink, Option<Line>);
}

/// Gives out connections.
pub(super) trait Incoming: Send {
    type Transport: Transport;

    /// The next connection, and where it comes from.
    fn next(&self) -> impl Future<Output = io::Result<(Self::Transport, SocketAddr)>> + Send;
}

impl Transport for TcpStream {
    fn halves(self) -> (Source, Sink, Option<Line>) {
        let line = Line::new(self);
        (Box::new(line.clone()), Box::new(line.clone()), Some(line))
    }
}

impl Incoming for TcpListener {
    type Transport = TcpStream;

    async fn next(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.accept().await?;
        // An answer is not to wait for the next.
        let _ = stream.set_nodelay(true);
        Ok((stream, peer))
    }
}
