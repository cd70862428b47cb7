//! An application that embeds the store, as a process of its own: this test binary, started again. It says on standard
//! output what it is about to do and what it was told, one line each, so that whoever reads it knows more than the store does.
//!
//! ```text
//!   sent RUN WRITER NUMBER COUNT               an append is about to be made: COUNT events
//!   stored RUN WRITER NUMBER COUNT POSITION    it was acknowledged, its last event at this position
//!   given POSITION DATA                        the subscriber was given this event
//!   noting POSITION, noted POSITION            it is about to acknowledge it; it has
//!   failed WHY                                 an operation failed, and this thread has ended
//! ```

use std::{
    env,
    io::{BufRead, BufReader, Write, stdin, stdout},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use factlog::{
    CursorName, Durability, Error, EventType, ExpectedVersion, NewEvent, Options, Position, ReadAll, Store, StreamName,
    Subscribe,
};

/// The cursor of the subscriber.
pub const CURSOR: &str = "watcher";

const STORE: &str = "OUTSIDE_WORKER_STORE";
const ROLE: &str = "OUTSIDE_WORKER_ROLE";

/// What a worker does.
#[derive(Clone, Copy, Debug)]
pub enum Role {
    /// So many threads append, and one subscribes and acknowledges, until the process is ended.
    Crowd { run: usize, writers: usize },
    /// The same in a store that acknowledges before it syncs.
    Hasty { run: usize, writers: usize },
    /// Does what each line of its input says.
    Lines,
}

/// Events of an append: who appended them, and the place of each in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    pub run: usize,
    pub writer: usize,
    pub number: usize,
    pub count: usize,
}

impl Name {
    /// The payload of the event at this place in the append, which nobody else appends.
    pub fn data(self, place: usize) -> String {
        let Name { run, writer, number, count } = self;
        let padding = "x".repeat((run * 31 + writer * 17 + number * 13 + place) % 37 * ((number % 5) * 12 + 1));
        format!(r#"{{"name":[{run},{writer},{number},{count}],"place":{place},"x":"{padding}"}}"#)
    }

    /// The stream that it was appended to: one of the writer's own, or one that all share.
    pub fn stream(self) -> String {
        if self.number.is_multiple_of(4) { "shared".to_owned() } else { format!("own-{}", self.writer) }
    }
}

/// A worker that was started.
pub struct Worker {
    pub child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Worker {
    pub fn start(store: &Path, role: Role) -> Worker {
        let role = match role {
            Role::Crowd { run, writers } => format!("crowd {run} {writers}"),
            Role::Hasty { run, writers } => format!("hasty {run} {writers}"),
            Role::Lines => "lines".to_owned(),
        };
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "worker::works", "--nocapture"]).env(STORE, store).env(ROLE, role);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Worker { child, input, output }
    }

    /// The next line that is the worker's; `None` at the end, also when that is in the middle of a line.
    pub fn line(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            self.output.read_line(&mut line).unwrap();
            let line = line.strip_suffix('\n')?;
            let word = line.split(' ').next().unwrap_or_default();
            if ["sent", "stored", "given", "noting", "noted", "failed", "done"].contains(&word) {
                return Some(line.to_owned());
            }
        }
    }

    /// Asks a worker by lines, and gives its answer.
    pub fn ask(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").unwrap();
        self.line().expect("the worker has ended")
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn say(line: std::fmt::Arguments<'_>) {
    // In one write, so that the lines of several threads do not mix.
    stdout().lock().write_all(format!("{line}\n").as_bytes()).unwrap();
}

#[test]
#[ignore = "other tests start it as a process of its own"]
fn works() {
    let Some(store) = env::var_os(STORE) else { return };
    let role = env::var(ROLE).unwrap();
    // The name of the test stands in the line that was begun.
    println!();
    // Small segments, so that many are begun and runs are written and merged.
    let options = Options::new().first_segment_bytes(32 << 10).segment_bytes(256 << 10);
    let words: Vec<&str> = role.split(' ').collect();
    let durability = if words[0] == "hasty" { Durability::OnDemand } else { Durability::Always };
    let store = match options.durability(durability).open(Path::new(&store)) {
        Ok(store) => store,
        Err(error) => return say(format_args!("failed {}", told(&error))),
    };
    match words[..] {
        [_, run, writers] => crowd(&store, run.parse().unwrap(), writers.parse().unwrap()),
        _ => by_lines(&store),
    }
}

/// What an error says, beginning with what kind it is.
fn told(error: &Error) -> String {
    let kind = format!("{error:?}");
    format!("{} {error}", kind.split([' ', '(', '{']).next().unwrap_or_default())
}

fn event(data: String) -> NewEvent {
    NewEvent::new(EventType::new("Noted").unwrap(), data)
}

fn crowd(store: &Store, run: usize, writers: usize) {
    std::thread::scope(|scope| {
        for writer in 0..writers {
            scope.spawn(move || {
                if let Err(error) = write(store, run, writer) {
                    say(format_args!("failed {}", told(&error)));
                }
            });
        }
        if let Err(error) = subscribe(store) {
            say(format_args!("failed {}", told(&error)));
        }
    });
}

fn write(store: &Store, run: usize, writer: usize) -> factlog::Result<()> {
    for number in 1.. {
        let name = Name { run, writer, number, count: if number.is_multiple_of(3) { 3 } else { 1 } };
        let Name { count, .. } = name;
        let stream = StreamName::new(name.stream())?;
        let events = (0..count).map(|place| event(name.data(place))).collect();
        // Nobody else writes to the writer's own stream.
        let expected = match name.stream().as_str() {
            "shared" => ExpectedVersion::Any,
            _ => store.stream_version(&stream)?.into(),
        };
        say(format_args!("sent {run} {writer} {number} {count}"));
        let appended = store.append(&stream, expected, events)?;
        say(format_args!("stored {run} {writer} {number} {count} {}", appended.position));
    }
    Ok(())
}

fn subscribe(store: &Store) -> factlog::Result<()> {
    let mut subscription = store.subscribe(Subscribe::new().cursor(CursorName::new(CURSOR)?))?;
    for turn in 1.. {
        let event = subscription.next()?;
        say(format_args!("given {} {}", event.position(), String::from_utf8_lossy(&event.payload())));
        // Acknowledging takes two syncs: not each event, so that the subscriber is not always far behind.
        if turn % 5 == 0 {
            say(format_args!("noting {}", event.position()));
            subscription.acknowledge(event.position())?;
            say(format_args!("noted {}", event.position()));
        }
    }
    Ok(())
}

/// Does what each line says, and answers it with one.
///
/// ```text
///   append BYTES    ->  stored POSITION, or failed WHY
///   note            ->  noted POSITION, or failed WHY: the cursor, to the last event
///   read            ->  done EVENTS, or failed WHY
/// ```
fn by_lines(store: &Store) {
    let stream = StreamName::new("s").unwrap();
    for line in stdin().lock().lines() {
        let line = line.unwrap();
        let answer = match line.split_once(' ') {
            Some((_, bytes)) => {
                let events = vec![event(format!("\"{}\"", "x".repeat(bytes.parse().unwrap())))];
                let appended = store.append(&stream, ExpectedVersion::Any, events);
                appended.map(|appended| format!("stored {}", appended.position))
            }
            None if line == "note" => {
                let last = store.last_position();
                store.save_cursor(&CursorName::new(CURSOR).unwrap(), last).map(|()| format!("noted {last}"))
            }
            None => {
                let events: factlog::Result<Vec<_>> = store.read_all(ReadAll::after(Position::START)).collect();
                events.map(|events| format!("done {}", events.len()))
            }
        };
        match answer {
            Ok(answer) => say(format_args!("{answer}")),
            Err(error) => say(format_args!("failed {}", told(&error))),
        }
    }
}
