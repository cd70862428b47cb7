//! The read model beside a store: which projections there are, and how recent their answers are.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
#[cfg(feature = "postgres")]
use factlog::model::{PostgresViews, RetryPolicy};
use factlog::{
    Position, block_on,
    model::{Consistency, ModelError, OnFailure, ProjectionStatus, ReadModel, Runner, SqliteViews, Views},
    orders::OrderProjection,
    users::UserProjection,
};

use super::{
    failure::Failure,
    open::Opened,
    output::{count, say},
    place::Place,
    progress::{Progress, Unit},
};

/// The read model's file in the store's directory.
const VIEWS_FILE: &str = "views.sqlite";

/// Where the read model is.
#[derive(Clone, Debug, Args)]
pub struct ViewsPlace {
    /// The read model: a file, or a PostgreSQL database such as postgres://user@host/database, its password in PGPASSWORD
    /// [default: views.sqlite in the store's directory, or here for a store behind a server]
    #[arg(long = "views", value_name = "FILE|URL", global = true, env = "FACTLOG_VIEWS", hide_env_values = true)]
    named: Option<String>,
}

/// The projections of the sample domains.
#[derive(Clone, Copy, Debug)]
pub enum Sample {
    Orders,
    Users,
}

/// An open read model.
#[derive(Clone, Debug)]
pub enum ReadModels {
    Sqlite(SqliteViews),
    #[cfg(feature = "postgres")]
    Postgres(PostgresViews),
}

impl ViewsPlace {
    /// The one in the store's directory.
    pub fn beside_store() -> ViewsPlace {
        ViewsPlace { named: None }
    }

    /// Opens the one that was named, or the one in the store's directory.
    pub fn open(&self, place: &Place) -> Result<ReadModels, Failure> {
        match &self.named {
            Some(address) if address.starts_with("postgres://") || address.starts_with("postgresql://") => {
                in_postgres(address)
            }
            Some(file) => in_file(PathBuf::from(file)),
            None => in_file(place.file(VIEWS_FILE)),
        }
    }
}

/// What keeps the file from being opened names it, and what else can be done.
fn in_file(file: PathBuf) -> Result<ReadModels, Failure> {
    SqliteViews::open(&file).map(ReadModels::Sqlite).map_err(|error| match error {
        ModelError::Sqlite(error) => Failure::Failed(format!(
            "cannot open the read model {}: {error}; name a file that can be written with --views FILE",
            file.display()
        )),
        other => other.into(),
    })
}

#[cfg(feature = "postgres")]
fn in_postgres(address: &str) -> Result<ReadModels, Failure> {
    Ok(ReadModels::Postgres(block_on(PostgresViews::connect(address))?))
}

#[cfg(not(feature = "postgres"))]
fn in_postgres(_: &str) -> Result<ReadModels, Failure> {
    Err(Failure::BadInput("this `factlog` has no PostgreSQL: build it with `--features postgres`".to_owned()))
}

impl ReadModels {
    /// A projection with its tables there.
    fn project(&self, sample: Sample) -> Result<Arc<dyn ReadModel>, Failure> {
        Ok(match (self, sample) {
            (ReadModels::Sqlite(views), Sample::Orders) => Arc::new(views.project(OrderProjection)?),
            (ReadModels::Sqlite(views), Sample::Users) => Arc::new(views.project(UserProjection)?),
            #[cfg(feature = "postgres")]
            (ReadModels::Postgres(views), Sample::Orders) => Arc::new(block_on(views.project(OrderProjection))?),
            #[cfg(feature = "postgres")]
            (ReadModels::Postgres(views), Sample::Users) => Arc::new(block_on(views.project(UserProjection))?),
        })
    }

    /// All projections of the sample domains, on a store.
    pub fn runners(&self, store: &Opened) -> Result<Vec<(&'static str, Runner)>, Failure> {
        let samples = [(OrderProjection::NAME, Sample::Orders), (UserProjection::NAME, Sample::Users)];
        samples.into_iter().map(|(name, sample)| Ok((name, self.runner(store, sample)?))).collect()
    }

    /// Runs a projection as the command does: an event that fails holds up its own stream only, and a server that is gone is
    /// given a minute to come back.
    fn runner(&self, store: &Opened, sample: Sample) -> Result<Runner, Failure> {
        let runner = Runner::new(store.shared(), self.project(sample)?).on_failure(OnFailure::GoOn);
        Ok(match self {
            ReadModels::Sqlite(_) => runner,
            #[cfg(feature = "postgres")]
            ReadModels::Postgres(_) => {
                let second = Duration::from_secs(1);
                runner.retry_policy(RetryPolicy::default().attempts(80).base_delay(second).max_delay(second))
            }
        })
    }

    /// What queries see of it.
    fn shared(&self) -> Arc<dyn Views> {
        match self {
            ReadModels::Sqlite(views) => Arc::new(views.clone()),
            #[cfg(feature = "postgres")]
            ReadModels::Postgres(views) => Arc::new(views.clone()),
        }
    }
}

/// How recent an answer from the read model must be
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Freshness {
    /// Answer from what the read model has, without bringing it up to date first
    #[arg(long, conflicts_with = "at_least")]
    as_is: bool,

    /// Wait until another process, such as `projections run`, has brought the read model to this position
    #[arg(long, value_name = "POSITION")]
    at_least: Option<u64>,

    /// How long to wait for that, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5, requires = "at_least")]
    within: u64,
}

/// The read model, with the answers of a projection as recent as asked for: by default it has everything that the store has.
pub fn fresh(
    store: &Opened,
    read_models: &ReadModels,
    sample: Sample,
    freshness: Freshness,
) -> Result<Arc<dyn Views>, Failure> {
    let (runner, views) = (read_models.runner(store, sample)?, read_models.shared());
    match freshness.at_least {
        Some(position) => {
            let asked = Consistency::at_least(Position::new(position)).within(Duration::from_secs(freshness.within));
            let name = match sample {
                Sample::Orders => OrderProjection::NAME,
                Sample::Users => UserProjection::NAME,
            };
            block_on(views.wait_until(name, asked))?;
        }
        None if freshness.as_is => {}
        None => catch_up(store, &runner)?,
    }
    let status = block_on(runner.status())?;
    warn(&status);
    Ok(views)
}

/// Everything that the store has, with a progress bar.
pub fn catch_up(store: &Opened, runner: &Runner) -> Result<(), Failure> {
    let runner = watched(store, runner)?;
    block_on(runner.catch_up())?;
    Ok(())
}

/// The same runner, with a progress bar that is full when it has what the store has now.
pub fn watched(store: &Opened, runner: &Runner) -> Result<Runner, Failure> {
    let progress = Progress::new(Unit::Things("events"), Some(store.last_position()?.get()));
    Ok(runner.clone().on_progress(move |reached| progress.set(reached.get())))
}

/// Says on standard error what an answer leaves out.
pub fn warn(status: &ProjectionStatus) {
    let ProjectionStatus { projection, position, lag, paused, failed, tables_changed, .. } = status;
    if *paused && *lag > 0 {
        say(format_args!("factlog: the projection `{projection}` is paused at position {position}, {lag} behind"));
    }
    if *tables_changed {
        say(format_args!(
            "factlog: the tables of `{projection}` are not those that this version makes: see `factlog projections rebuild`"
        ));
    }
    if *failed > 0 {
        let failed = count(*failed, "event");
        say(format_args!("factlog: {failed} took no effect in `{projection}`: see `factlog projections failed`"));
    }
}
