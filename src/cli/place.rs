//! What `--store` names: a directory, or a server.

use std::path::{Path, PathBuf};

use factlog::client::{Client, ClientOptions};

use super::{failure::Failure, files};

const DEFAULT: &str = "./factlog-data";

/// The environment variable with a token.
const TOKEN: &str = "FACTLOG_TOKEN";

/// Where the store is.
#[derive(Debug)]
pub enum Place {
    /// In the directory that is taken when none is named.
    Default,
    /// In a directory.
    Directory(PathBuf),
    /// Behind a server.
    Server(Server),
}

/// How to come to a server.
#[derive(Debug)]
pub struct Server {
    url: String,
    token_file: Option<PathBuf>,
    trust: Option<PathBuf>,
}

impl Place {
    /// What the arguments say.
    pub fn new(store: Option<String>, token_file: Option<PathBuf>, trust: Option<PathBuf>) -> Place {
        let Some(store) = store else { return Place::Default };
        if store.starts_with("tcp://") || store.starts_with("tls://") {
            return Place::Server(Server { url: store, token_file, trust });
        }
        Place::Directory(store.into())
    }

    /// The directory, for a command that works on files.
    pub fn directory(&self, command: &str) -> Result<&Path, Failure> {
        match self {
            Place::Default => Ok(Path::new(DEFAULT)),
            Place::Directory(directory) => Ok(directory),
            Place::Server(server) => Err(Failure::BadInput(format!(
                "`{command}` works on the files of a store: give it their directory, and not {}",
                server.url
            ))),
        }
    }

    /// A file in the directory; for a store behind a server, where the command was started.
    pub fn file(&self, name: &str) -> PathBuf {
        match self {
            Place::Default => Path::new(DEFAULT).join(name),
            Place::Directory(directory) => directory.join(name),
            Place::Server(_) => name.into(),
        }
    }
}

impl Server {
    /// Connects.
    pub fn connect(&self) -> Result<Client, Failure> {
        let mut options = ClientOptions::new(&self.url)?;
        let token = match &self.token_file {
            Some(file) => Some(files::text(file)?.trim().to_owned()),
            None => std::env::var(TOKEN).ok(),
        };
        if let Some(token) = token {
            options = options.token(token);
        }
        if let Some(trust) = &self.trust {
            options = options.certificates(files::text(trust)?.as_bytes())?;
        }
        Ok(options.connect()?)
    }
}
