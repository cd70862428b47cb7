//! `factlog serve`: the store over TCP, until SIGTERM or Ctrl-C.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use factlog::server::{ServeError, Server};
use serde::Serialize;
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};
use tracing_subscriber::filter::LevelFilter;

use super::{
    failure::Failure,
    open,
    output::Output,
    place::Place,
    serve_settings::{LogForm, LogLevel, Settings},
};

/// Serve the store over TCP, until SIGTERM or Ctrl-C. Each setting can also stand in an environment variable or in the
/// configuration file; arguments count before the environment, and the environment before the file
#[derive(Debug, Args)]
pub struct Serve {
    /// A configuration file, in TOML
    #[arg(long, value_name = "FILE", env = "FACTLOG_CONFIG")]
    config: Option<PathBuf>,

    #[command(flatten)]
    settings: Settings,
}

/// What is printed when clients can come.
#[derive(Serialize)]
struct Line {
    listening: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<SocketAddr>,
}

impl Serve {
    pub fn run(self, place: &Place, out: &mut Output) -> Result<(), Failure> {
        let of_file = self.config.as_deref().map(Settings::of_file).transpose()?.unwrap_or_default();
        let settings = self.settings.or(of_file);
        let options = settings.options()?;
        log(settings.log.unwrap_or_default(), settings.log_level.unwrap_or_default());
        let address = settings.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 4433)));
        let directory = match &settings.store {
            Some(store) if matches!(place, Place::Default) => store.as_path(),
            _ => place.directory("serve")?,
        };
        let store = open::directory_for_writing(directory)?;
        let failed = |error: std::io::Error| Failure::Failed(format!("cannot serve: {error}"));
        let runtime = Builder::new_multi_thread().thread_name("factlog-server").enable_all().build().map_err(failed)?;
        let served = runtime.block_on(async {
            let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            let server = match Server::bind(store.clone(), address, options) {
                Ok(server) => server,
                Err(error) => return Ok(Err(error)),
            };
            let line = Line { listening: server.address(), http: server.http_address() };
            if let Err(failure) = out.acknowledge(&line) {
                return Ok(Ok(Err(failure)));
            }
            server
                .run(async {
                    tokio::select! {
                        _ = terminate.recv() => {}
                        _ = interrupt.recv() => {}
                    }
                })
                .await;
            Ok(Ok(Ok(())))
        });
        // Whatever is left of what could not be waited for must let go of the store.
        runtime.shutdown_timeout(Duration::from_secs(5));
        let served: Result<Result<Result<(), Failure>, ServeError>, std::io::Error> = served;
        match served.map_err(failed)? {
            Ok(done) => done?,
            Err(error @ ServeError::Unprotected { .. }) => return Err(Failure::BadInput(error.to_string())),
            Err(error) => return Err(Failure::Failed(error.to_string())),
        }
        Ok(store.close()?)
    }
}

/// Begins to log on standard error.
fn log(form: LogForm, level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    // When nobody takes the log any more, it would be complained about there as well, and that is a panic.
    let log = log.log_internal_errors(false);
    // Somebody else's log in this process stays as it is.
    let _ = match form {
        LogForm::Human => log.try_init(),
        LogForm::Json => log.json().try_init(),
    };
}
