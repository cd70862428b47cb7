//! `factlog projections`: the read models beside a store, and the events that failed in them.

use std::{collections::HashSet, thread};

use clap::{Args, Subcommand, ValueEnum};
use factlog::{
    block_on,
    model::{FailedEvent, FailedId, OnFailure, ProjectionStatus, Runner, Stop},
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    failure::Failure,
    open::{self, Opened},
    output::Output,
    place::Place,
    views::{self, ViewsPlace},
};

/// Run, watch, rebuild and mend the projections into the read model
#[derive(Debug, Args)]
pub struct Projections {
    #[command(flatten)]
    views: ViewsPlace,

    #[command(subcommand)]
    command: ProjectionsCommand,
}

#[derive(Debug, Subcommand)]
enum ProjectionsCommand {
    /// Print where each projection stands: position, lag, rate, state, failed events
    List,
    /// Bring the projections up to date side by side, and keep them so until Ctrl-C
    Run {
        /// Only these
        names: Vec<String>,
        /// End when they are up to date
        #[arg(long)]
        once: bool,
        /// What to do about an event that fails: stop the projection, or go on and park what follows in its stream
        #[arg(long, value_name = "WHAT", value_enum, default_value_t = FailureChoice::GoOn)]
        on_failure: FailureChoice,
    },
    /// Build a projection's tables anew from the first event, while the present ones answer
    Rebuild { name: String },
    /// Let no process take events for a projection, until it is resumed
    Pause { name: String },
    /// Let a paused projection go on
    Resume { name: String },
    /// Print the events that took no effect, one line of JSON each
    Failed {
        /// Only those of this projection
        name: Option<String>,
        /// Those that were resolved, too
        #[arg(long)]
        all: bool,
    },
    /// Try failed events again, each with those parked behind it in its stream
    Retry {
        name: String,
        /// The failed event's `id`; all of them when it is left out
        id: Option<FailedId>,
    },
    /// Declare that a failed event is to have no effect, and go on behind it in its stream
    Resolve {
        name: String,
        /// The failed event's `id`
        id: FailedId,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FailureChoice {
    Stop,
    GoOn,
}

#[derive(Serialize)]
struct StatusLine<'a> {
    projection: &'a str,
    state: &'static str,
    position: u64,
    last_position: u64,
    lag: u64,
    /// Events a second.
    rate: f64,
    failed: u64,
    tables_changed: bool,
}

impl<'a> From<&'a ProjectionStatus> for StatusLine<'a> {
    fn from(status: &'a ProjectionStatus) -> Self {
        let state = match status {
            ProjectionStatus { paused: true, .. } => "paused",
            ProjectionStatus { stopped: true, .. } => "stopped",
            _ => "active",
        };
        StatusLine {
            projection: &status.projection,
            state,
            position: status.position.get(),
            last_position: status.last_position.get(),
            lag: status.lag,
            rate: status.rate.round(),
            failed: status.failed,
            tables_changed: status.tables_changed,
        }
    }
}

#[derive(Serialize)]
struct FailedLine<'a> {
    id: i64,
    projection: &'a str,
    position: u64,
    event_id: String,
    stream: &'a str,
    version: u64,
    event_type: &'a str,
    error_message: &'a str,
    attempts: u32,
    created_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved_at: Option<String>,
    /// As it is stored; left out when it is no JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_data: Option<&'a RawValue>,
}

impl<'a> From<&'a FailedEvent> for FailedLine<'a> {
    fn from(failed: &'a FailedEvent) -> Self {
        FailedLine {
            id: failed.id.get(),
            projection: &failed.projection,
            position: failed.position.get(),
            event_id: failed.event.to_string(),
            stream: failed.stream.as_str(),
            version: failed.version.get(),
            event_type: failed.event_type.as_str(),
            error_message: &failed.error,
            attempts: failed.attempts,
            created_at: failed.created_at.to_string(),
            updated_at: failed.updated_at.to_string(),
            resolved_at: failed.resolved_at.map(|at| at.to_string()),
            event_data: serde_json::from_slice(&failed.data).ok(),
        }
    }
}

#[derive(Serialize)]
struct MendedLine<'a> {
    projection: &'a str,
    /// Events that took effect.
    taken: u64,
    /// Events that still wait.
    failed: u64,
}

impl Projections {
    pub fn run(self, place: &Place, out: &mut Output) -> Result<(), Failure> {
        let store = open::for_reading(place)?;
        let known = Known { runners: self.views.open(place)?.runners(&store)?, store };
        match self.command {
            ProjectionsCommand::List => known.all().iter().try_for_each(|runner| status(runner, out)),
            ProjectionsCommand::Run { names, once, on_failure } => known.run(&names, once, on_failure, out),
            ProjectionsCommand::Rebuild { name } => {
                let runner = known.named(&name)?;
                let watched = views::watched(&known.store, &runner)?;
                block_on(watched.rebuild())?;
                drop(watched);
                status(&runner, out)
            }
            ProjectionsCommand::Pause { name } => {
                let runner = known.named(&name)?;
                block_on(runner.pause())?;
                status(&runner, out)
            }
            ProjectionsCommand::Resume { name } => {
                let runner = known.named(&name)?;
                block_on(runner.resume())?;
                status(&runner, out)
            }
            ProjectionsCommand::Failed { name, all } => {
                let runners = name.map_or_else(|| Ok(known.all()), |name| known.named(&name).map(|one| vec![one]))?;
                runners.iter().try_for_each(|runner| failed(runner, all, out))
            }
            ProjectionsCommand::Retry { name, id } => retry(&known.named(&name)?, id, out),
            ProjectionsCommand::Resolve { name, id } => {
                let runner = known.named(&name)?;
                let taken = block_on(runner.resolve(id))?;
                mended(&runner, taken, out)
            }
        }
    }
}

/// The projections of the sample domains, on one store.
struct Known {
    runners: Vec<(&'static str, Runner)>,
    store: Opened,
}

impl Known {
    fn all(&self) -> Vec<Runner> {
        self.runners.iter().map(|(_, runner)| runner.clone()).collect()
    }

    fn named(&self, name: &str) -> Result<Runner, Failure> {
        match self.runners.iter().find(|(known, _)| *known == name) {
            Some((_, runner)) => Ok(runner.clone()),
            None => {
                let names: Vec<&str> = self.runners.iter().map(|(known, _)| *known).collect();
                Err(Failure::BadInput(format!("there is no projection `{name}`, only {}", names.join(", "))))
            }
        }
    }

    fn run(&self, names: &[String], once: bool, choice: FailureChoice, out: &mut Output) -> Result<(), Failure> {
        let on_failure = match choice {
            FailureChoice::Stop => OnFailure::Stop,
            FailureChoice::GoOn => OnFailure::GoOn,
        };
        let runners = match names {
            [] => self.all(),
            names => names.iter().map(|name| self.named(name)).collect::<Result<_, _>>()?,
        };
        let runners: Vec<Runner> = runners.into_iter().map(|runner| runner.on_failure(on_failure)).collect();
        let run = |runner: &Runner| -> Result<(), Failure> {
            views::catch_up(&self.store, runner)?;
            if once { Ok(()) } else { Ok(block_on(runner.run(&Stop::new()))?) }
        };
        // One that fails leaves the others running; its failure is told when they have ended.
        let ended: Vec<Result<(), Failure>> = thread::scope(|scope| {
            let running: Vec<_> = runners.iter().map(|runner| scope.spawn(|| run(runner))).collect();
            let crashed = |_| Err(Failure::Failed("a projection ended early".to_owned()));
            running.into_iter().map(|one| one.join().unwrap_or_else(crashed)).collect()
        });
        for runner in &runners {
            status(runner, out)?;
        }
        ended.into_iter().collect()
    }
}

fn status(runner: &Runner, out: &mut Output) -> Result<(), Failure> {
    out.line(&StatusLine::from(&block_on(runner.status())?))
}

fn failed(runner: &Runner, resolved_too: bool, out: &mut Output) -> Result<(), Failure> {
    let failed = block_on(runner.failed_events(resolved_too))?;
    failed.iter().try_for_each(|failed| out.line(&FailedLine::from(failed)))
}

/// Tries one stream's events again, or those of every stream; a stream that fails again leaves the others their turn.
fn retry(runner: &Runner, id: Option<FailedId>, out: &mut Output) -> Result<(), Failure> {
    let ids = match id {
        Some(id) => vec![id],
        None => {
            // The first of each stream brings those behind it along, and may be a parked one: behind one that was resolved.
            let failed = block_on(runner.failed_events(false))?;
            let mut streams = HashSet::new();
            failed.iter().filter(|failed| streams.insert(&failed.stream)).map(|failed| failed.id).collect()
        }
    };
    let (mut taken, mut last_failure) = (0, Ok(()));
    for id in ids {
        match block_on(runner.retry(id)) {
            Ok(more) => taken += more,
            Err(error) => last_failure = Err(error.into()),
        }
    }
    mended(runner, taken, out)?;
    last_failure
}

fn mended(runner: &Runner, taken: u64, out: &mut Output) -> Result<(), Failure> {
    let status = block_on(runner.status())?;
    out.line(&MendedLine { projection: &status.projection, taken, failed: status.failed })
}
