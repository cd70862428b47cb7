//! How a client connects.

use std::{sync::Arc, time::Duration};

use tokio_rustls::rustls::ClientConfig;

use super::{address::Address, handle::Client, tls};
use crate::{error::Result, event_store::block_on, protocol::Secret};

/// How to connect to a server.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    pub(super) address: Address,
    pub(super) token: Secret,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) connect_time: Duration,
    pub(super) request_time: Duration,
    pub(super) ping_time: Duration,
    pub(super) first_pause: Duration,
    pub(super) longest_pause: Duration,
    pub(super) window: u32,
}

impl ClientOptions {
    /// For a server at `tcp://HOST:PORT`, or `tls://HOST:PORT` with TLS and the certificate authorities that the system trusts.
    ///
    /// # Errors
    ///
    /// [`crate::Error::NotAStore`] when the text is no such address.
    pub fn new(address: &str) -> Result<ClientOptions> {
        Ok(ClientOptions {
            address: Address::parse(address)?,
            token: Secret::default(),
            tls: None,
            connect_time: Duration::from_secs(5),
            request_time: Duration::from_secs(30),
            ping_time: Duration::from_secs(20),
            first_pause: Duration::from_millis(20),
            longest_pause: Duration::from_secs(2),
            window: 1 << 20,
        })
    }

    /// Says who this client is.
    pub fn token(mut self, secret: impl Into<String>) -> ClientOptions {
        self.token = Secret::new(secret);
        self
    }

    /// Trusts the certificates in this PEM, and those that they have signed, instead of those that the system trusts.
    ///
    /// # Errors
    ///
    /// [`crate::Error::NotAStore`] when there are none in it.
    pub fn certificates(mut self, pem: &[u8]) -> Result<ClientOptions> {
        self.tls = Some(tls::trusting(pem, &self.address)?);
        Ok(self)
    }

    /// How long one attempt to connect may take; 5 seconds by default.
    pub fn connect_time(mut self, time: Duration) -> ClientOptions {
        self.connect_time = time;
        self
    }

    /// How long a request may take, with all connections that are made for it; 30 seconds by default.
    pub fn request_time(mut self, time: Duration) -> ClientOptions {
        self.request_time = time;
        self
    }

    /// How often the server is asked whether it is there; 20 seconds by default. Silence three times as long ends the connection.
    pub fn ping_time(mut self, time: Duration) -> ClientOptions {
        self.ping_time = time;
        self
    }

    /// The pause behind the first lost connection, 20 ms by default, and the longest, 2 seconds by default. Each pause is up to twice as long as the one
    /// before, by chance.
    pub fn pauses(mut self, first: Duration, longest: Duration) -> ClientOptions {
        (self.first_pause, self.longest_pause) = (first, longest.max(first));
        self
    }

    /// How many bytes of a subscription, or of a read of many events, are sent ahead; 1 MiB by default.
    pub fn window(mut self, bytes: u32) -> ClientOptions {
        self.window = bytes.max(1);
        self
    }

    /// Connects. Later, a connection that is lost is made again.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Unavailable`] when the server cannot be reached, [`crate::Error::Unauthorized`] when it does not know the token.
    pub fn connect(self) -> Result<Client> {
        block_on(self.connect_async())
    }

    /// As [`ClientOptions::connect`], for a task of any runtime.
    ///
    /// # Errors
    ///
    /// As for [`ClientOptions::connect`].
    pub async fn connect_async(self) -> Result<Client> {
        Client::open(self).await
    }
}
