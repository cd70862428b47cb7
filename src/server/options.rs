//! How a store is served.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use thiserror::Error;
use tokio_rustls::rustls::ServerConfig;

use super::{
    access::{Token, Tokens},
    tls,
};
use crate::limits;

/// How to serve a store.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) tokens: Tokens,
    pub(super) has_tokens: bool,
    pub(super) insecure: bool,
    pub(super) http: Option<SocketAddr>,
    pub(super) connections: usize,
    pub(super) connection_bytes: usize,
    pub(super) total_bytes: usize,
    pub(super) requests: usize,
    pub(super) handshake_time: Duration,
    pub(super) idle_time: Duration,
    pub(super) frame_time: Duration,
    pub(super) write_time: Duration,
    pub(super) shutdown_time: Duration,
}

/// Why a store cannot be served.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The address can be reached from other machines, and nothing protects the store from them.
    #[error("{address} can be reached from other machines: that takes TLS and tokens, or `insecure`")]
    Unprotected {
        /// The address.
        address: SocketAddr,
    },
    /// The certificate or the key cannot be used.
    #[error("TLS: {reason}")]
    Tls {
        /// Why.
        reason: String,
    },
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions::new()
    }
}

impl ServerOptions {
    /// Neither TLS nor tokens, so for a loopback address only.
    pub fn new() -> ServerOptions {
        ServerOptions {
            tls: None,
            tokens: Tokens::default(),
            has_tokens: false,
            insecure: false,
            http: None,
            connections: 12_000,
            connection_bytes: limits::FRAME_BYTES + (16 << 20),
            total_bytes: 512 << 20,
            requests: 1024,
            handshake_time: Duration::from_secs(2),
            idle_time: Duration::from_secs(300),
            frame_time: Duration::from_secs(30),
            write_time: Duration::from_secs(30),
            shutdown_time: Duration::from_secs(10),
        }
    }

    /// Speaks TLS, with this chain of certificates and this key, both in PEM.
    ///
    /// # Errors
    ///
    /// [`ServeError::Tls`] when they cannot be used.
    pub fn tls(mut self, certificates: &[u8], key: &[u8]) -> Result<ServerOptions, ServeError> {
        self.tls = Some(tls::config(certificates, key)?);
        Ok(self)
    }

    /// Lets in only those who know the secret of one of these tokens.
    pub fn tokens(mut self, tokens: Vec<Token>) -> ServerOptions {
        self.has_tokens = !tokens.is_empty();
        self.tokens = Tokens::new(tokens);
        self
    }

    /// Serves on any address without TLS or tokens: whoever reaches it may do everything, and whoever is between sees everything.
    pub fn insecure(mut self, insecure: bool) -> ServerOptions {
        self.insecure = insecure;
        self
    }

    /// Where to answer `/metrics`, `/health` and `/ready` over HTTP; nowhere by default.
    pub fn http(mut self, address: SocketAddr) -> ServerOptions {
        self.http = Some(address);
        self
    }

    /// Most connections at a time; 12,000 by default. One more is refused.
    pub fn connections(mut self, most: usize) -> ServerOptions {
        self.connections = most;
        self
    }

    /// Most bytes of requests, and as many of responses, that one connection has in flight; 96 MiB by default, and no less than one
    /// frame of [`limits::FRAME_BYTES`] takes.
    pub fn connection_bytes(mut self, most: usize) -> ServerOptions {
        self.connection_bytes = most.max(limits::FRAME_BYTES + 4);
        self
    }

    /// Most bytes of requests, and as many of responses, that all connections together have in flight; 512 MiB by default.
    pub fn total_bytes(mut self, most: usize) -> ServerOptions {
        self.total_bytes = most.max(limits::FRAME_BYTES + 4);
        self
    }

    /// Most requests of one connection that are worked on at a time; 1,024 by default. The next is read when one is answered.
    pub fn requests(mut self, most: usize) -> ServerOptions {
        self.requests = most.max(1);
        self
    }

    /// How long a client may take until it has said who it is, TLS included; 2 seconds by default.
    pub fn handshake_time(mut self, time: Duration) -> ServerOptions {
        self.handshake_time = time;
        self
    }

    /// How long a client may say nothing; 5 minutes by default.
    pub fn idle_time(mut self, time: Duration) -> ServerOptions {
        self.idle_time = time;
        self
    }

    /// How long a client may take for one frame, from its first byte; 30 seconds by default.
    pub fn frame_time(mut self, time: Duration) -> ServerOptions {
        self.frame_time = time;
        self
    }

    /// How long a client may take nothing of what is sent to it; 30 seconds by default.
    pub fn write_time(mut self, time: Duration) -> ServerOptions {
        self.write_time = time;
        self
    }

    /// How long a shutdown waits for what is under way; 10 seconds by default.
    pub fn shutdown_time(mut self, time: Duration) -> ServerOptions {
        self.shutdown_time = time;
        self
    }

    /// Refuses an address that others can reach without being asked who they are.
    pub(super) fn check(&self, address: SocketAddr) -> Result<(), ServeError> {
        let protected = self.tls.is_some() && self.has_tokens;
        if protected || self.insecure || address.ip().is_loopback() {
            return Ok(());
        }
        Err(ServeError::Unprotected { address })
    }
}
