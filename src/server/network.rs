//! Where connections come from, and what they are: those of the system, or of a simulated network in the tests.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

use super::{reader::Source, writer::Sink};

/// Bytes in both directions.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The two directions, each for itself.
    fn halves(self) -> (Source, Sink);
}

/// Gives out connections.
pub(super) trait Incoming: Send {
    type Transport: Transport;

    /// The next connection, and where it comes from.
    fn next(&self) -> impl Future<Output = io::Result<(Self::Transport, SocketAddr)>> + Send;
}

impl Transport for TcpStream {
    fn halves(self) -> (Source, Sink) {
        let (source, sink) = self.into_split();
        (Box::new(source), Box::new(sink))
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
