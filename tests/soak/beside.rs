//! A second process that follows the store without writing: this test binary again, told so by its environment. It prints what
//! it reads, and the first process compares that with what it knows.

use std::{
    env,
    io::{BufRead, BufReader, Write, stdout},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread::{self, JoinHandle},
};

use factlog::{Options, Position, RecordedEvent, Store, Subscribe};

use crate::{
    World,
    batch::{Mark, Rng},
    ledger::{Counts, Done, Ledger},
    readers::Reader,
    subscribers::{loaded, next},
};

const STORE: &str = "SOAK_OTHER_PROCESS";
const SEED: &str = "SOAK_OTHER_SEED";

/// The other process, from here.
pub struct Other {
    child: Child,
    listening: Option<JoinHandle<()>>,
}

impl Other {
    pub fn start(world: &Arc<World>, store: &Path, seed: u64) -> Other {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "other_process", "--nocapture", "--test-threads=1"]);
        command.env(STORE, store).env(SEED, seed.to_string());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let (world, output) = (world.clone(), BufReader::new(child.stdout.take().unwrap()));
        let listening = thread::spawn(move || {
            let mut next = 1;
            for line in output.lines().map(Result::unwrap) {
                if let Some(event) = line.strip_prefix('@') {
                    assert_eq!(world.ledger.observe_line(event), next, "a hole, or a position twice");
                    next += 1;
                    world.counts.add(Done::OtherProcess, 1);
                } else if let Some(reads) = line.strip_prefix('#') {
                    world.counts.add(Done::OtherReads, reads.parse().unwrap());
                }
            }
        });
        Other { child, listening: Some(listening) }
    }

    /// Waits until it has read all.
    pub fn finish(mut self) {
        self.listening.take().unwrap().join().unwrap();
        assert!(self.child.wait().unwrap().success(), "the other process has failed");
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // After a failure it would wait for what does not come any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The work of the other process; nothing in the first one.
pub fn other_process() {
    let Some(store) = env::var_os(STORE) else { return };
    let mut rng = Rng(env::var(SEED).unwrap().parse().unwrap());
    let (ledger, counts) = (Ledger::default(), Counts::default());
    let open = || Options::new().read_only(true).segment_bytes(crate::SEGMENT_BYTES).open(&store).unwrap();
    println!();
    let mut position = Position::START;
    while follow(&open(), &mut position, &ledger, &counts, &mut rng) {}
    println!("#{}", counts.get(Done::Reads));
}

/// Follows for a while. Whether there is more to come.
fn follow(store: &Store, position: &mut Position, ledger: &Ledger, counts: &Counts, rng: &mut Rng) -> bool {
    let mut subscription = store.subscribe(Subscribe::new().after(*position)).unwrap();
    if rng.one_in(4) {
        let faults = store.verify().unwrap().faults;
        assert!(faults.is_empty(), "{faults:?}");
    }
    let mut output = stdout().lock();
    while !rng.one_in(5000) {
        let event = match subscription.try_next().unwrap() {
            Some(event) => event,
            None => {
                output.flush().unwrap();
                next(&mut subscription).unwrap()
            }
        };
        assert_eq!(event.position(), position.next());
        *position = event.position();
        let mark = ledger.observe(&event);
        ledger.seen(*position);
        print(&mut output, &event, &mark);
        if mark.batch.is_last_bell() && mark.index + 1 == mark.batch.len() {
            return false;
        }
        if rng.one_in(200) {
            Reader { store, ledger, counts }.step(rng);
            beside(store, ledger, rng);
        }
    }
    true
}

fn print(output: &mut impl Write, event: &RecordedEvent, mark: &Mark) {
    let (position, version, time) = (event.position(), event.version(), event.timestamp().as_micros());
    let (batch, index, stream) = (mark.batch.number as i64, mark.index, mark.stream());
    writeln!(output, "@{position} {batch} {index} {stream} {version} {time}").unwrap();
}

/// Cursors and snapshots are never ahead of the log.
fn beside(store: &Store, ledger: &Ledger, rng: &mut Rng) {
    for name in store.cursors().unwrap() {
        let position = store.cursor(&name).unwrap().position();
        assert!(position <= store.last_position(), "the cursor {name} is ahead");
    }
    if let Some((_, entry)) = ledger.any(rng) {
        loaded(store, entry.stream, factlog::Version::MAX);
    }
}
