//! What `--store` names: a directory, a server, or an engine that runs elsewhere.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use factlog::client::{Client, ClientOptions};

use super::{engine::Engine, failure::Failure, files, patience::connecting};

const DEFAULT: &str = "./factlog-data";

/// The environment variable with a token.
pub const TOKEN: &str = "FACTLOG_TOKEN";

/// Where the store is.
#[derive(Debug)]
pub enum Place {
    /// In the directory that is taken when none is named.
    Default,
    /// In a directory.
    Directory(PathBuf),
    /// Behind a server.
    Server(Server),
    /// In another engine.
    Engine(Engine),
}

/// How to come to a server.
#[derive(Debug)]
pub struct Server {
    url: String,
    access: Access,
}

/// With what to come to a store that is not in a directory.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// A file with a token or a password.
    pub token_file: Option<PathBuf>,
    /// A file with certificates to trust.
    pub trust: Option<PathBuf>,
    /// Whether a server may acknowledge before it syncs.
    #[cfg_attr(not(any(feature = "postgres", feature = "jetstream")), allow(dead_code, reason = "only engines ask"))]
    pub accept_unsynced: bool,
}

impl Access {
    /// The token or password, from the file or the environment.
    pub fn token(&self) -> Result<Option<String>, Failure> {
        match &self.token_file {
            Some(file) => Ok(Some(files::text(file)?.trim().to_owned())),
            None => Ok(std::env::var(TOKEN).ok()),
        }
    }
}

impl Place {
    /// What the arguments say.
    pub fn new(store: Option<String>, access: Access) -> Place {
        let Some(store) = store else { return Place::Default };
        if store.starts_with("tcp://") || store.starts_with("tls://") {
            return Place::Server(Server { url: store, access });
        }
        match Engine::of(&store, access) {
            Some(engine) => Place::Engine(engine),
            None => Place::Directory(store.into()),
        }
    }

    /// The directory, for a command that works on files.
    pub fn directory(&self, command: &str) -> Result<&Path, Failure> {
        let elsewhere = |place: &str| {
            let named = format!("`{command}` works on the files of a store: give it their directory, and not {place}");
            Err(Failure::BadInput(named))
        };
        match self {
            Place::Default => Ok(Path::new(DEFAULT)),
            Place::Directory(directory) => Ok(directory),
            Place::Server(server) => elsewhere(&server.url),
            Place::Engine(engine) => elsewhere(&engine.shown()),
        }
    }

    /// A file in the directory; for a store elsewhere, where the command was started.
    pub fn file(&self, name: &str) -> PathBuf {
        match self {
            Place::Default => Path::new(DEFAULT).join(name),
            Place::Directory(directory) => directory.join(name),
            Place::Server(_) | Place::Engine(_) => name.into(),
        }
    }
}

impl Server {
    /// Connects. With patience every request takes its time, this one too, when the server is away.
    pub fn connect(&self, patience: Option<Duration>) -> Result<Client, Failure> {
        let mut options = ClientOptions::new(&self.url)?;
        if let Some(token) = self.access.token()? {
            options = options.token(token);
        }
        if let Some(trust) = &self.access.trust {
            options = options.certificates(files::text(trust)?.as_bytes())?;
        }
        if let Some(patience) = patience {
            options = options.request_time(patience);
        }
        Ok(connecting(patience, || options.clone().connect())?)
    }
}
