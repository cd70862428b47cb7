//! The streams of JetStream that a log is made of: they are made at the first opening, and looked at, at each.
//!
//! ```text
//!   NAME                 the events: NAME.*.*, on disk, nothing ever deleted, headers published once more under NAME.stored.*.*
//!   KV_NAME_snapshots    $KV.NAME_snapshots.>, the newest of each key
//!   KV_NAME_cursors      $KV.NAME_cursors.>, likewise
//! ```

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    failure::{self, ApiError, Sorted},
    options::JetStreamOptions,
    stored::refused,
    wire::{Answer, Wire},
};
use crate::error::{Error, Result};

/// No such stream.
const NOT_FOUND: u64 = 10_059;
/// A stream of this name is there, with other settings.
const OTHER_SETTINGS: u64 = 10_058;
/// Two numbers of a version that has all that is needed: reading many messages at once from any replica.
const OLDEST: (u64, u64) = (2, 11);

#[derive(Deserialize)]
struct Reply {
    error: Option<ApiError>,
    config: Option<Config>,
}

/// Of a stream's settings, what must be as it is.
#[derive(Debug, Deserialize)]
struct Config {
    #[serde(default)]
    subjects: Vec<String>,
    storage: String,
    retention: String,
    #[serde(default)]
    max_age: i64,
    #[serde(default)]
    max_msgs: i64,
    #[serde(default)]
    max_bytes: i64,
    #[serde(default)]
    max_msgs_per_subject: i64,
    #[serde(default)]
    max_msg_size: i64,
    #[serde(default)]
    first_seq: u64,
    #[serde(default)]
    discard: String,
    #[serde(default)]
    allow_direct: bool,
    #[serde(default)]
    allow_atomic: bool,
    #[serde(default)]
    persist_mode: Option<String>,
    #[serde(default)]
    mirror: Option<Value>,
    #[serde(default)]
    sources: Option<Value>,
    #[serde(default)]
    subject_transform: Option<Value>,
    #[serde(default)]
    sealed: bool,
    #[serde(default)]
    no_ack: bool,
}

/// What the log can do, by its settings.
pub(super) struct Settled {
    pub(super) atomic_batches: bool,
}

impl Wire {
    /// Makes what is missing of a log, and looks at what is there.
    ///
    /// # Errors
    ///
    /// When JetStream is not enabled or too old, or when what is there under the name is no log.
    pub(super) async fn settle(&self, options: &JetStreamOptions) -> Result<Settled> {
        self.check_server().await?;
        let (name, clustered) = (&options.address.name, self.client.server_info().cluster.is_some());
        let replicas = options.replicas.unwrap_or(if clustered { 3 } else { 1 });
        let log = json!({
            "name": name, "description": "An event store: see factlog", "subjects": [format!("{name}.*.*")],
            "storage": "file", "retention": "limits", "discard": "new", "num_replicas": replicas,
            "max_bytes": options.max_bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
            "deny_delete": true, "deny_purge": true, "allow_direct": true, "allow_atomic": true,
            "republish": {
                "src": format!("{name}.*.*"), "headers_only": true,
                "dest": format!("{name}.stored.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}"),
            },
        });
        let found = self.make(name, log).await?;
        let expected = [format!("{name}.*.*")];
        found
            .check(&expected, true)
            .map_err(|fault| refused(&self.place, format!("stream {name} is no log: {fault}")))?;
        for bucket in ["snapshots", "cursors"] {
            let name = format!("{name}_{bucket}");
            let subjects = [format!("$KV.{name}.>")];
            let settings = json!({
                "name": format!("KV_{name}"), "subjects": subjects, "storage": "file", "retention": "limits",
                "discard": "new", "num_replicas": replicas, "max_msgs_per_subject": 1, "deny_delete": true,
                "allow_rollup_hdrs": true, "allow_direct": true,
            });
            let found = self.make(&format!("KV_{name}"), settings).await?;
            found.check(&subjects, false).map_err(|fault| refused(&self.place, format!("bucket {name}: {fault}")))?;
        }
        Ok(Settled { atomic_batches: found.allow_atomic })
    }

    /// Whether the server has JetStream, and is new enough.
    async fn check_server(&self) -> Result<()> {
        let server = self.client.server_info();
        let mut numbers = server.version.split(['.', '-']).map_while(|part| part.parse::<u64>().ok());
        if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < OLDEST {
            let (major, minor) = OLDEST;
            let reason =
                format!("the server is of version {}, and {major}.{minor} is the oldest that will do", server.version);
            return Err(refused(&self.place, reason));
        }
        let mut trying = self.trying();
        loop {
            let time = trying.attempt();
            let said = match self.ask("$JS.API.INFO".to_owned(), None, Bytes::new(), time).await {
                Answer::Message(message) => match serde_json::from_slice::<Reply>(&message.payload) {
                    Ok(Reply { error: None, .. }) => return Ok(()),
                    Ok(Reply { error: Some(error), .. }) => match error.sort(&self.place) {
                        Sorted::Final(error) => return Err(error),
                        Sorted::Later(_) | Sorted::Moved => error.description,
                    },
                    Err(error) => error.to_string(),
                },
                Answer::NotTaken(_) if !server.jetstream => return Err(failure::not_enabled(&self.place)),
                Answer::NotTaken(said) | Answer::Unheard(said) => said,
            };
            trying.pause(said).await?;
        }
    }

    /// The settings of a stream, which is made if it is not there.
    async fn make(&self, name: &str, settings: Value) -> Result<Config> {
        let mut trying = self.trying();
        let (info, create) = (format!("$JS.API.STREAM.INFO.{name}"), format!("$JS.API.STREAM.CREATE.{name}"));
        let settings = Bytes::from(settings.to_string());
        let mut making = false;
        loop {
            let time = trying.attempt();
            let asked = if making {
                self.ask(create.clone(), None, settings.clone(), time).await
            } else {
                self.ask(info.clone(), None, Bytes::new(), time).await
            };
            let said = match asked {
                Answer::NotTaken(said) | Answer::Unheard(said) => said,
                Answer::Message(message) => match serde_json::from_slice::<Reply>(&message.payload) {
                    Ok(Reply { error: None, config: Some(config) }) => return Ok(config),
                    Ok(Reply { error: Some(error), .. }) => match error.err_code {
                        NOT_FOUND if !making => {
                            making = true;
                            continue;
                        }
                        // Another was faster.
                        OTHER_SETTINGS if making => {
                            making = false;
                            error.description
                        }
                        _ => match error.sort(&self.place) {
                            Sorted::Final(error) => return Err(with_advice(error)),
                            Sorted::Later(_) | Sorted::Moved => error.description,
                        },
                    },
                    Ok(_) => "an answer without settings".to_owned(),
                    Err(error) => error.to_string(),
                },
            };
            trying.pause(said).await?;
        }
    }
}

/// What to do about servers that are too few.
fn with_advice(error: Error) -> Error {
    match error {
        Error::NotAStore { path, reason } if reason.contains("replicas") || reason.contains("peers") => {
            let reason = format!("{reason}; with fewer servers than replicas, say replicas=N in the address");
            Error::NotAStore { path, reason }
        }
        other => other,
    }
}

impl Config {
    /// What is not as it must be.
    fn check(&self, subjects: &[String], log: bool) -> Result<(), String> {
        let unlimited = self.max_age == 0 && self.max_msgs <= 0 && (!log || self.max_msgs_per_subject <= 0);
        let wrong = if self.subjects != subjects {
            Some(format!("its subjects are {:?} instead of {subjects:?}", self.subjects))
        } else if self.storage != "file" {
            Some(format!("its storage is {} instead of file", self.storage))
        } else if self.retention != "limits" || !unlimited || (self.max_bytes > 0 && self.discard != "new") {
            Some("it deletes messages by itself".to_owned())
        } else if self.no_ack || self.persist_mode.as_deref().is_some_and(|mode| mode != "default") {
            Some("it acknowledges before it stores".to_owned())
        } else if !self.allow_direct || self.mirror.is_some() {
            Some("its messages cannot be read directly, or it is a mirror".to_owned())
        } else if self.sources.is_some() || self.subject_transform.is_some() {
            Some("it takes messages from elsewhere, or gives them other subjects".to_owned())
        } else if self.sealed || self.max_msg_size > 0 {
            Some("it takes no more messages, or none that are large".to_owned())
        } else if self.first_seq > 1 {
            Some(format!("it begins with message {} instead of 1", self.first_seq))
        } else {
            None
        };
        wrong.map_or(Ok(()), Err)
    }
}
