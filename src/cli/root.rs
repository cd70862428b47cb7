//! The arguments of the command as a whole, and the way from them to an exit code.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

use clap::{Parser, Subcommand};

use super::{
    append::Append,
    backup::Backup,
    demo::Demo,
    export::Export,
    failure::Failure,
    import::Import,
    orders::Orders,
    output::{Output, say},
    projections::Projections,
    read::Read,
    repair::Repair,
    stats::Stats,
    streams::Streams,
    verify::Verify,
};

/// The exit code of a process that Ctrl-C ended: 128 and the number of the signal.
const INTERRUPTED: i32 = 130;

const EXIT_CODES: &str = "\
Exit codes:
  0    done; also when the reader of the output went away
  1    failed, not found, or refused by a rule of the domain
  2    bad input or usage
  3    wrong expected version
  4    damaged store
  5    store in use
  130  interrupted by Ctrl-C";

/// An append-only event store.
#[derive(Debug, Parser)]
#[command(name = "factlog", version, about, after_help = EXIT_CODES, arg_required_else_help = true)]
struct Arguments {
    /// The store's directory
    #[arg(long, value_name = "DIR", global = true, default_value = "./factlog-data")]
    store: PathBuf,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Append(Append),
    Read(Read),
    Streams(Streams),
    Stats(Stats),
    Verify(Verify),
    Repair(Repair),
    Backup(Backup),
    Import(Import),
    Export(Export),
    Orders(Orders),
    Projections(Projections),
    Demo(Demo),
}

impl Command {
    fn run(self, store: &Path, out: &mut Output) -> Result<(), Failure> {
        match self {
            Command::Append(command) => command.run(store, out),
            Command::Read(command) => command.run(store, out),
            Command::Streams(command) => command.run(store, out),
            Command::Stats(command) => command.run(store, out),
            Command::Verify(command) => command.run(store, out),
            Command::Repair(command) => command.run(store, out),
            Command::Backup(command) => command.run(store, out),
            Command::Import(command) => command.run(store),
            Command::Export(command) => command.run(store, out),
            Command::Orders(command) => command.run(store, out),
            Command::Projections(command) => command.run(store, out),
            Command::Demo(command) => command.run(out),
        }
    }
}

/// Does what the arguments of the process say.
pub fn run() -> ExitCode {
    if let Err(error) = end_at_ctrl_c() {
        return end(&Failure::Failed(format!("cannot listen for Ctrl-C: {error}")));
    }
    // On arguments that make no sense this prints what is wrong with them and ends with exit code 2.
    let arguments = Arguments::parse();
    let mut out = Output::stdout();
    let done = arguments.command.run(&arguments.store, &mut out);
    // What was found before a failure is printed before the failure is.
    let flushed = out.flush();
    match done.and(flushed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => end(&failure),
    }
}

/// Lets Ctrl-C end the process at once. What was acknowledged before stands, as it would after any other kill, and
/// the next opening deals with what was being written.
fn end_at_ctrl_c() -> io::Result<()> {
    let always = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_shutdown(signal_hook::consts::SIGINT, INTERRUPTED, always)?;
    // A file beyond the limit of the shell (`ulimit -f`) is an error to be reported, not the end of the process.
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false))).map(drop)
}

fn end(failure: &Failure) -> ExitCode {
    if let Some(message) = failure.message() {
        say(format_args!("factlog: {message}"));
    }
    ExitCode::from(failure.exit_code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_of_the_arguments_has_no_contradiction() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
