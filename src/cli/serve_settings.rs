//! What `serve` can be told, and where it is told. The same names everywhere; of several places the first in this list counts:
//!
//! | place | form |
//! |---|---|
//! | argument | `--idle-seconds 60` |
//! | environment variable | `FACTLOG_IDLE_SECONDS=60` |
//! | configuration file, named by `--config` or `FACTLOG_CONFIG` | `idle-seconds = 60` |
//! | default | |

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use factlog::server::{Role, ServerOptions, Token};
use serde::Deserialize;

use super::{failure::Failure, files};

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogForm {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// What the server could not do.
    Error,
    /// And what clients did wrong.
    Warn,
    /// And every connection.
    #[default]
    Info,
    /// And why each ended.
    Debug,
}

/// All settings but the store. What is missing is looked for in the next place.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// Where the store is; only in the configuration file. The argument is `--store`
    #[arg(skip)]
    pub store: Option<PathBuf>,

    /// Where to listen [default: 127.0.0.1:4433]
    #[arg(long, value_name = "ADDRESS", env = "FACTLOG_LISTEN")]
    pub listen: Option<SocketAddr>,

    /// A file with the chain of certificates, in PEM: TLS is spoken
    #[arg(long, value_name = "FILE", env = "FACTLOG_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,

    /// A file with the certificate's key, in PEM
    #[arg(long, value_name = "FILE", env = "FACTLOG_TLS_KEY")]
    pub tls_key: Option<PathBuf>,

    /// A file with tokens: only who has one is let in
    #[arg(long, value_name = "FILE", env = "FACTLOG_TOKENS")]
    pub tokens: Option<PathBuf>,

    /// Listen on any address without TLS or tokens
    #[arg(long, env = "FACTLOG_INSECURE", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub insecure: Option<bool>,

    /// Where to answer /metrics, /health and /ready over HTTP [default: nowhere]
    #[arg(long, value_name = "ADDRESS", env = "FACTLOG_HTTP")]
    pub http: Option<SocketAddr>,

    /// How the log on standard error is written [default: human]
    #[arg(long, value_name = "FORM", env = "FACTLOG_LOG")]
    pub log: Option<LogForm>,

    /// How much is logged [default: info]
    #[arg(long, value_name = "LEVEL", env = "FACTLOG_LOG_LEVEL")]
    pub log_level: Option<LogLevel>,

    /// Most connections at a time [default: 12000]
    #[arg(long, value_name = "N", env = "FACTLOG_CONNECTIONS")]
    pub connections: Option<usize>,

    /// Most bytes in flight of one connection [default: 96 MiB]
    #[arg(long, value_name = "BYTES", env = "FACTLOG_CONNECTION_BYTES")]
    pub connection_bytes: Option<usize>,

    /// Most bytes in flight of all connections [default: 512 MiB]
    #[arg(long, value_name = "BYTES", env = "FACTLOG_TOTAL_BYTES")]
    pub total_bytes: Option<usize>,

    /// How long a client may take to say who it is [default: 2]
    #[arg(long, value_name = "SECONDS", env = "FACTLOG_HANDSHAKE_SECONDS")]
    pub handshake_seconds: Option<u64>,

    /// How long a client may say nothing [default: 300]
    #[arg(long, value_name = "SECONDS", env = "FACTLOG_IDLE_SECONDS")]
    pub idle_seconds: Option<u64>,

    /// How long a client may take for one frame [default: 30]
    #[arg(long, value_name = "SECONDS", env = "FACTLOG_FRAME_SECONDS")]
    pub frame_seconds: Option<u64>,

    /// How long a client may take nothing of what is sent to it [default: 30]
    #[arg(long, value_name = "SECONDS", env = "FACTLOG_WRITE_SECONDS")]
    pub write_seconds: Option<u64>,

    /// How long a shutdown waits for what is under way [default: 10]
    #[arg(long, value_name = "SECONDS", env = "FACTLOG_SHUTDOWN_SECONDS")]
    pub shutdown_seconds: Option<u64>,
}

/// What puts a value into the options.
type Set<T> = fn(ServerOptions, T) -> ServerOptions;

/// The first of two places that has a value.
macro_rules! first {
    ($one:ident, $other:ident, $($name:ident),*) => {
        Settings { $($name: $one.$name.or($other.$name)),* }
    };
}

impl Settings {
    /// The settings of a configuration file.
    pub fn of_file(file: &std::path::Path) -> Result<Settings, Failure> {
        toml::from_str(&files::text(file)?).map_err(|error| Failure::BadInput(format!("{}: {error}", file.display())))
    }

    /// What is missing here, from there.
    pub fn or(self, other: Settings) -> Settings {
        first!(
            self,
            other,
            store,
            listen,
            tls_cert,
            tls_key,
            tokens,
            insecure,
            http,
            log,
            log_level,
            connections,
            connection_bytes,
            total_bytes,
            handshake_seconds,
            idle_seconds,
            frame_seconds,
            write_seconds,
            shutdown_seconds
        )
    }

    /// The server's options, with what is in the files that are named.
    pub fn options(&self) -> Result<ServerOptions, Failure> {
        let mut options = ServerOptions::new().insecure(self.insecure.unwrap_or_default());
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificates), Some(key)) => {
                let (certificates, key) = (files::text(certificates)?, files::text(key)?);
                let tls = options.tls(certificates.as_bytes(), key.as_bytes());
                options = tls.map_err(|error| Failure::BadInput(error.to_string()))?;
            }
            (None, None) => {}
            _ => return Err(Failure::BadInput("TLS takes both `tls-cert` and `tls-key`".to_owned())),
        }
        if let Some(file) = &self.tokens {
            let tokens = tokens(&files::text(file)?);
            options =
                options.tokens(tokens.map_err(|reason| Failure::BadInput(format!("{}: {reason}", file.display())))?);
        }
        if let Some(http) = self.http {
            options = options.http(http);
        }
        let numbers: [(Option<usize>, Set<usize>); 3] = [
            (self.connections, ServerOptions::connections),
            (self.connection_bytes, ServerOptions::connection_bytes),
            (self.total_bytes, ServerOptions::total_bytes),
        ];
        for (number, set) in numbers {
            options = if let Some(number) = number { set(options, number) } else { options };
        }
        let times: [(Option<u64>, Set<Duration>); 5] = [
            (self.handshake_seconds, ServerOptions::handshake_time),
            (self.idle_seconds, ServerOptions::idle_time),
            (self.frame_seconds, ServerOptions::frame_time),
            (self.write_seconds, ServerOptions::write_time),
            (self.shutdown_seconds, ServerOptions::shutdown_time),
        ];
        for (seconds, set) in times {
            options = if let Some(seconds) = seconds { set(options, Duration::from_secs(seconds)) } else { options };
        }
        Ok(options)
    }
}

/// The tokens of a file: `[[token]]` with `name`, `secret`, `role`, and `streams`, beginnings of the names that it is for.
fn tokens(text: &str) -> Result<Vec<Token>, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        token: Vec<Given>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Given {
        name: String,
        secret: String,
        role: String,
        #[serde(default)]
        streams: Vec<String>,
    }
    // What the parser says shows the line, and so perhaps a secret.
    let file: File = toml::from_str(text).map_err(|error: toml::de::Error| error.message().to_owned())?;
    if file.token.is_empty() {
        return Err("there is no token in it".to_owned());
    }
    let token = |given: Given| {
        let role: Role = given.role.parse()?;
        Token::new(given.name, given.secret, role, given.streams)
    };
    file.token.into_iter().map(token).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_places_the_first_that_says_something_counts() {
        let arguments = Settings { idle_seconds: Some(1), ..Settings::default() };
        let file: Settings =
            toml::from_str("idle-seconds = 2\nwrite-seconds = 3\nlisten = \"127.0.0.1:9\"\nlog = \"json\"").unwrap();
        let settings = arguments.or(file);
        assert_eq!((settings.idle_seconds, settings.write_seconds), (Some(1), Some(3)));
        assert_eq!((settings.log, settings.listen), (Some(LogForm::Json), Some("127.0.0.1:9".parse().unwrap())));
        assert!(toml::from_str::<Settings>("idle_seconds = 2").is_err(), "a name that does not exist");
    }

    #[test]
    fn a_file_of_tokens_is_read_and_a_wrong_one_is_refused_without_a_word_of_its_secrets() {
        let good =
            "[[token]]\nname = \"shop\"\nsecret = \"0123456789abcdef\"\nrole = \"append\"\nstreams = [\"order-\"]\n";
        assert_eq!(tokens(good).unwrap().len(), 1);
        for (bad, reason) in [
            ("", "missing field `token`"),
            ("token = []", "there is no token in it"),
            (&good.replace("append", "owner"), "`owner` is no role"),
            (&good.replace("89abcdef", ""), "shorter than 16 bytes"),
            (&good.replace("role", "rule"), "unknown field `rule`"),
            (&good.replace("\"0123456789abcdef\"", "0123456789abcdef"), ""),
        ] {
            let error = tokens(bad).unwrap_err();
            assert!(error.contains(reason) && !error.contains("01234567"), "{error}");
        }
    }
}
