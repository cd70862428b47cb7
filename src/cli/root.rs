//! The arguments of the command as a whole, and the way from them to an exit code.

use std::{
    io,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

use clap::{Parser, Subcommand};

use super::{
    append::Append,
    backup::Backup,
    copy::Copy,
    demo::Demo,
    export::Export,
    failure::Failure,
    import::Import,
    orders::Orders,
    output::{Output, say},
    place::{Access, Place},
    projections::Projections,
    read::Read,
    repair::Repair,
    serve::Serve,
    stats::Stats,
    streams::Streams,
    users::Users,
    verify::Verify,
    warnings,
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
    /// The store: a directory, a server as tcp://HOST:PORT or tls://HOST:PORT, or an engine as postgres://HOST/DATABASE or
    /// nats://HOST:PORT [default: ./factlog-data]
    #[arg(long, value_name = "DIR|URL", global = true, env = "FACTLOG_STORE")]
    store: Option<String>,

    /// A file with the token for a server, or the password for an engine [default: the token in the environment variable FACTLOG_TOKEN]
    #[arg(long, value_name = "FILE", global = true, env = "FACTLOG_TOKEN_FILE")]
    token_file: Option<PathBuf>,

    /// A file with the certificates to trust, in PEM, for a server with TLS [default: those that the system trusts]
    #[arg(long, value_name = "FILE", global = true, env = "FACTLOG_TRUST")]
    trust: Option<PathBuf>,

    /// Work also with a NATS or PostgreSQL server that acknowledges events before they are on its disks, and loses them in a power cut
    #[arg(long, global = true)]
    accept_unsynced: bool,

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
    Copy(Copy),
    Orders(Orders),
    Users(Users),
    Projections(Projections),
    Serve(Box<Serve>),
    Demo(Demo),
}

impl Command {
    fn run(self, store: &Place, access: &Access, out: &mut Output) -> Result<(), Failure> {
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
            Command::Copy(command) => command.run(access, out),
            Command::Orders(command) => command.run(store, out),
            Command::Users(command) => command.run(store, out),
            Command::Projections(command) => command.run(store, out),
            Command::Serve(command) => command.run(store, out),
            Command::Demo(command) => command.run(out),
        }
    }
}

/// Does what the arguments of the process say.
pub fn run() -> ExitCode {
    // On arguments that make no sense this prints what is wrong with them and ends with exit code 2.
    let arguments = Arguments::parse();
    // A server finishes what it has begun.
    let at_once = !matches!(arguments.command, Command::Serve(_));
    if let Err(error) = listen_for_signals(at_once) {
        return end(&Failure::Failed(format!("cannot listen for signals: {error}")));
    }
    // A server has a log of its own.
    if at_once {
        warnings::print();
    }
    let Arguments { store, token_file, trust, accept_unsynced, command } = arguments;
    let mut out = Output::stdout();
    let access = Access { token_file, trust, accept_unsynced };
    let done = command.run(&Place::new(store, access.clone()), &access, &mut out);
    // What was found before a failure is printed before the failure is.
    let flushed = out.flush();
    match done.and(flushed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => end(&failure),
    }
}

/// Lets Ctrl-C end the process at once, if so asked. What was acknowledged before stands, as it would after any other kill, and
/// the next opening deals with what was being written.
fn listen_for_signals(end_at_ctrl_c: bool) -> io::Result<()> {
    let ends = Arc::new(AtomicBool::new(true));
    if end_at_ctrl_c {
        signal_hook::flag::register_conditional_shutdown(signal_hook::consts::SIGINT, INTERRUPTED, ends)?;
    }
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
