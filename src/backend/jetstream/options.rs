//! How to open a store on JetStream.

use std::{fmt, time::Duration};

use super::{address::Address, store::JetStreamStore};
use crate::{error::Result, event_store::block_on};

/// How a server knows who asks.
#[derive(Clone)]
pub(super) enum Login {
    Nobody,
    User(String, String),
    Token(String),
    /// The content of a credentials file: a JWT and its key.
    Credentials(String),
}

/// How to open a store on NATS JetStream.
#[derive(Clone)]
pub struct JetStreamOptions {
    pub(super) address: Address,
    pub(super) login: Login,
    pub(super) accept_unsynced: bool,
    pub(super) replicas: Option<usize>,
    pub(super) max_bytes: Option<u64>,
    pub(super) connect_time: Duration,
    pub(super) request_time: Duration,
}

/// Without what is secret.
impl fmt::Debug for JetStreamOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JetStreamOptions").field("address", &self.address).finish_non_exhaustive()
    }
}

impl JetStreamOptions {
    /// For the log at `nats://HOST:PORT,HOST:PORT/NAME?monitor=http://HOST:PORT,http://HOST:PORT`: some or all servers of a cluster,
    /// and the monitoring address of every one. The port is 4222 and the name `factlog` where none is given. `replicas=N`,
    /// `accept-unsynced` and `tls` may stand behind the `?` too, with `&` between them, and `USER:PASSWORD@` before the first server.
    ///
    /// # Errors
    ///
    /// [`crate::Error::NotAStore`] when the text is no such address.
    pub fn new(address: &str) -> Result<JetStreamOptions> {
        let mut address = Address::parse(address)?;
        let login = address.user.take().map_or(Login::Nobody, |(user, password)| Login::User(user, password));
        Ok(JetStreamOptions {
            login,
            accept_unsynced: address.accept_unsynced,
            replicas: address.replicas,
            max_bytes: None,
            connect_time: Duration::from_secs(5),
            request_time: Duration::from_secs(30),
            address,
        })
    }

    /// Says who this is, by name and password.
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> JetStreamOptions {
        self.login = Login::User(name.into(), password.into());
        self
    }

    /// Says who this is, by a token.
    pub fn token(mut self, token: impl Into<String>) -> JetStreamOptions {
        self.login = Login::Token(token.into());
        self
    }

    /// Says who this is, by the content of a credentials file.
    pub fn credentials(mut self, content: impl Into<String>) -> JetStreamOptions {
        self.login = Login::Credentials(content.into());
        self
    }

    /// Takes a server that acknowledges before it syncs, or of which nobody knows: a power cut may then take acknowledged events
    /// back.
    pub fn accept_unsynced(mut self, accept: bool) -> JetStreamOptions {
        self.accept_unsynced = accept;
        self
    }

    /// On how many servers each event is to be, from 1 to 5; 3 by default in a cluster, and 1 on a server that is alone. A log that
    /// is there keeps its number.
    pub fn replicas(mut self, replicas: usize) -> JetStreamOptions {
        self.replicas = Some(replicas);
        self
    }

    /// How large a new log may become, in bytes; without a limit by default. A full one refuses appends with [`crate::Error::NoSpace`].
    pub fn max_bytes(mut self, bytes: u64) -> JetStreamOptions {
        self.max_bytes = Some(bytes);
        self
    }

    /// How long one attempt to connect may take; 5 seconds by default.
    pub fn connect_time(mut self, time: Duration) -> JetStreamOptions {
        self.connect_time = time;
        self
    }

    /// How long a call may take, with all that is tried again for it; 30 seconds by default. Electing a new leader takes some 5 seconds.
    pub fn request_time(mut self, time: Duration) -> JetStreamOptions {
        self.request_time = time;
        self
    }

    /// Opens the log, or begins it. Later, a connection that is lost is made again, to any server of the cluster.
    ///
    /// # Errors
    ///
    /// - [`crate::Error::Unavailable`] when no server can be reached;
    /// - [`crate::Error::Unauthorized`] when it does not know who asks;
    /// - [`crate::Error::NotAStore`] when the server has no JetStream, is too old, or would acknowledge before it syncs; or when what
    ///   is there under the name is no log.
    pub fn connect(self) -> Result<JetStreamStore> {
        block_on(self.connect_async())
    }

    /// As [`JetStreamOptions::connect`], for a task of any runtime.
    ///
    /// # Errors
    ///
    /// As for [`JetStreamOptions::connect`].
    pub async fn connect_async(self) -> Result<JetStreamStore> {
        JetStreamStore::open(self).await
    }
}
