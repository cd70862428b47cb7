//! Connections on which nothing happens: how much of the server they take, and that all of it comes back. The server is a process, so
//! that its memory and its descriptors are its own; so is whoever holds the connections, which is this test binary, started again.

use std::{
    io::{BufRead, BufReader, Read, Write, stdin},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    thread,
};

use factlog::{ExpectedVersion, client::Client};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tempfile::TempDir;

use crate::{
    process::{Process, factlog},
    support::{LONG, Raw, event, frame, get, preamble, stream, text, until},
};

/// Where the connections are to go, for the process that holds them.
const SERVER: &str = "IDLE_SERVER";
/// And how many there are to be.
const COUNT: &str = "IDLE_CONNECTIONS";

/// What a server may take with 10,000 idle connections, in kilobytes.
const MOST_MEMORY: u64 = 256 << 10;
/// And what of it would be there without any.
const BASE_MEMORY: u64 = 48 << 10;

/// Fewer descriptors than this come and go by themselves: files of the log, which grows, and the question how many connections there are.
const OF_THE_LOG: usize = 10;

/// As many descriptors for this process, and those that it starts, as it may give itself.
fn take_descriptors(wanted: usize) {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    let most = limit.maximum.unwrap_or(u64::MAX);
    assert!(most >= wanted as u64, "this needs {wanted} descriptors, and the system gives {most}: raise `ulimit -Hn`");
}

/// A server that waits for the slow as long as a test does.
fn serve(directory: &TempDir) -> Process {
    let mut command = factlog();
    command.stderr(Stdio::null()).arg("--store").arg(directory.path().join("store")).arg("serve");
    command.args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    command.args(["--handshake-seconds", "600", "--idle-seconds", "3600"]);
    Process::start(&mut command)
}

impl Process {
    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// The most memory that it has had so far, in kilobytes.
    fn most_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        most.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn connections(&self) -> usize {
        let (_, metrics) = get(self.address("http"), "/metrics");
        metrics.lines().find_map(|line| line.strip_prefix("factlog_connections ")).unwrap().parse().unwrap()
    }
}

/// The process that holds the connections.
struct Holder(Child);

impl Holder {
    /// Comes back when all of them have said hello.
    fn start(address: SocketAddr, count: usize) -> Holder {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "idle::holds_the_connections_of_another_test", "--ignored", "--nocapture"]);
        command.env(SERVER, address.to_string()).env(COUNT, count.to_string());
        let mut holder = Holder(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
        let said = BufReader::new(holder.0.stdout.as_mut().unwrap()).lines().map(Result::unwrap);
        assert!(said.into_iter().any(|line| line.ends_with("all are there")), "it has ended");
        holder
    }

    /// Has each of them ask something, and lets them go.
    fn end(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success(), "not all of them were answered");
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "the other process of the tests beside it, which start it"]
fn holds_the_connections_of_another_test() {
    let Ok(address) = std::env::var(SERVER) else { return };
    let count: usize = std::env::var(COUNT).unwrap().parse().unwrap();
    take_descriptors(count + 100);
    let mut connections: Vec<_> = (0..count)
        .map(|_| {
            let mut raw = Raw(TcpStream::connect(&address).unwrap());
            raw.0.set_read_timeout(Some(LONG)).unwrap();
            raw.send(&[preamble(), frame(1, 1, &text(""))].concat());
            raw.0.read_exact(&mut [0; 16]).unwrap();
            assert_eq!(raw.receive().unwrap().1, 0x8001);
            raw
        })
        .collect();
    println!("all are there");
    stdin().read_to_end(&mut Vec::new()).unwrap();
    connections.iter_mut().for_each(|raw| raw.send(&frame(2, 2, &[])));
    assert!(connections.iter_mut().all(|raw| raw.receive().unwrap().1 == 0x8002));
}

/// Four clients that append and read. What they have stored is there.
fn load(url: &str) {
    thread::scope(|scope| {
        for writer in 0..4 {
            scope.spawn(move || {
                let (client, own) = (Client::connect(url).unwrap(), stream(&format!("writer-{writer}")));
                let before = client.stream_version(&own).unwrap();
                for _ in 0..100 {
                    client.append(&own, ExpectedVersion::Any, vec![event("x")]).unwrap();
                }
                let stored = client.read(&own).inspect(|event| assert!(event.is_ok())).count() as u64;
                assert_eq!(stored, before.get() + 100);
            });
        }
    });
}

fn are_idle_beside_normal_load(count: usize) {
    take_descriptors(count + 1_000);
    let directory = TempDir::new().unwrap();
    let mut server = serve(&directory);
    load(&server.url());
    until("the load is gone", || server.connections() == 0);
    let before = server.descriptors();
    let holder = Holder::start(server.address("listening"), count);
    assert_eq!(server.connections(), count);
    load(&server.url());
    let memory = server.most_memory();
    holder.end();
    until("they are gone", || server.connections() == 0);
    until("no descriptor is left", || server.descriptors() < before + OF_THE_LOG);
    let may = BASE_MEMORY + (MOST_MEMORY - BASE_MEMORY) * count as u64 / 10_000;
    assert!(memory < may, "{memory} kB for {count} connections, of {may} kB");
    println!(
        "{count} idle connections beside normal load: {memory} kB in the server, {before} descriptors before and after"
    );
    assert_eq!(server.kill(Signal::TERM), Some(0));
}

#[test]
fn a_thousand_idle_connections_take_little_memory_hold_nobody_up_and_leave_nothing_behind() {
    are_idle_beside_normal_load(1_000);
}

#[test]
#[ignore = "needs some 11,000 descriptors a process; `.ci/long` runs it"]
fn ten_thousand_idle_connections_take_less_than_256_megabytes_hold_nobody_up_and_leave_nothing_behind() {
    are_idle_beside_normal_load(10_000);
}

#[test]
fn two_thousand_half_open_handshakes_keep_nobody_out_and_leave_nothing_behind() {
    take_descriptors(3_000);
    let directory = TempDir::new().unwrap();
    let mut server = serve(&directory);
    load(&server.url());
    until("the load is gone", || server.connections() == 0);
    let before = server.descriptors();
    let half_open: Vec<_> = (0..2_000)
        .map(|number| {
            let mut socket = TcpStream::connect(server.address("listening")).unwrap();
            socket.write_all(&preamble()[..number % 16]).unwrap();
            socket
        })
        .collect();
    until("all are there", || server.connections() == 2_000);
    load(&server.url());
    drop(half_open);
    until("they are gone", || server.connections() == 0);
    until("no descriptor is left", || server.descriptors() < before + OF_THE_LOG);
    assert_eq!(server.kill(Signal::TERM), Some(0));
}
