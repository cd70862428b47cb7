//! The read model beside a store: which projections there are, and how recent their answers are.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use factlog::{
    Position, block_on,
    model::{Consistency, ModelError, OnFailure, Projection, ProjectionStatus, ReadModel, Runner, SqliteViews},
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

/// The projections of the sample domains, with their tables in this file.
pub fn projections(views: &SqliteViews) -> Result<Vec<Arc<dyn ReadModel>>, Failure> {
    Ok(vec![Arc::new(views.project(OrderProjection)?), Arc::new(views.project(UserProjection)?)])
}

/// The read model's file: the one named, or the one in the store's directory.
pub fn file(named: Option<PathBuf>, place: &Place) -> PathBuf {
    named.unwrap_or_else(|| place.file(VIEWS_FILE))
}

/// Opens the file; what keeps it from being opened names it, and what else can be done.
pub fn open(file: &Path) -> Result<SqliteViews, Failure> {
    SqliteViews::open(file).map_err(|error| match error {
        ModelError::Sqlite(error) => Failure::Failed(format!(
            "cannot open the read model {}: {error}; name a file that can be written with --views FILE",
            file.display()
        )),
        other => other.into(),
    })
}

/// Runs a projection as the command does: an event that fails holds up its own stream only.
pub fn runner(store: &Opened, read_model: Arc<dyn ReadModel>) -> Runner {
    Runner::new(store.shared(), read_model).on_failure(OnFailure::GoOn)
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
    file: &Path,
    projection: impl Projection<rusqlite::Connection> + 'static,
    freshness: Freshness,
) -> Result<SqliteViews, Failure> {
    let views = open(file)?;
    let name = projection.name();
    let runner = runner(store, Arc::new(views.project(projection)?));
    match freshness.at_least {
        Some(position) => {
            let asked = Consistency::at_least(Position::new(position)).within(Duration::from_secs(freshness.within));
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
