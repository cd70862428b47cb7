//! `factlog serve`: the store over TCP, until SIGTERM, SIGHUP or Ctrl-C.

use std::{
    future::pending,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use factlog::server::ServeError;
use serde::Serialize;
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};
use tracing_subscriber::filter::LevelFilter;

use super::{
    failure::Failure,
    files, open,
    output::Output,
    place::Place,
    serve_settings::{LogForm, LogLevel, Settings},
};

/// Serve the store over TCP, until SIGTERM, SIGHUP or Ctrl-C. Each setting can also stand in an environment variable or in the
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
        // First, so that no store is made for a server that cannot be reached.
        let bound = options.bind(address).map_err(not_served)?;
        let store = open::directory_for_writing(directory)?;
        let failed = |error: io::Error| Failure::Failed(format!("cannot serve: {error}"));
        let runtime = Builder::new_multi_thread().thread_name("factlog-server").enable_all().build().map_err(failed)?;
        let served = runtime.block_on(async {
            let end = end().map_err(failed)?;
            let server = bound.listen(store.clone()).map_err(not_served)?;
            out.acknowledge(&Line { listening: server.address(), http: server.http_address() })?;
            server.run(end).await;
            Ok::<(), Failure>(())
        });
        // Whatever is left of what could not be waited for must let go of the store.
        runtime.shutdown_timeout(Duration::from_secs(5));
        served?;
        Ok(store.close()?)
    }
}

fn not_served(error: ServeError) -> Failure {
    match error {
        ServeError::Unprotected { .. } => Failure::BadInput(error.to_string()),
        _ => Failure::Failed(error.to_string()),
    }
}

/// Ready when the server is to end. From now on no signal that says so ends the process.
fn end() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // Who starts it with `nohup` wants it to go on.
    let mut hangup = if hangup_is_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
    Ok(async move {
        let hung_up = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hung_up => {}
        }
    })
}

/// Whether this process was started so that hangups do not reach it; where the system does not tell, they do.
fn hangup_is_ignored() -> bool {
    let status = files::text(Path::new("/proc/self/status")).unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
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
