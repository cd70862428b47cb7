//! A PostgreSQL server of this process's own: on a free port of the loopback, in a temporary directory. One is shared by the tests
//! of a binary, each of which has a database to itself.
//!
//! ```text
//!   this process --- spawns --> postgres           may be killed and started again on the same data
//!        '--------- a pipe --> keeper (a shell)    its end is the end of this process, whatever ended it:
//!                                                  it stops that postgres by its process id and removes the directory
//! ```

#![allow(dead_code, reason = "every test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

use std::{
    fs,
    io::Write,
    net::TcpListener,
    os::unix::{
        fs::chown,
        process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// The one role of the server, which may do everything.
pub const USER: &str = "factlog";
pub const PASSWORD: &str = "open-sesame";

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// Reads process ids, and at the end of input stops the process of the last one and removes the directory.
const KEEPER: &str = r#"
while read -r line; do pid=$line; done
kill -QUIT "$pid" 2>/dev/null
for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.05; done
rm -rf "$1"
"#;

/// A running server.
pub struct Postgres {
    place: PathBuf,
    port: u16,
    programs: PathBuf,
    /// The user and the group that it runs as, when this process is root's: it refuses to.
    other: Option<(u32, u32)>,
    running: Mutex<Option<Child>>,
    keeper: Mutex<Child>,
    databases: AtomicU32,
}

impl Postgres {
    /// The server that the tests of this binary share.
    pub fn shared() -> &'static Postgres {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Postgres::new)
    }

    /// A server of a test's own, that may be killed.
    pub fn new() -> Postgres {
        // The keeper removes it.
        Postgres::within(tempfile::tempdir().unwrap().keep())
    }

    /// The same with its data in this directory, which is removed at the end.
    pub fn within(place: PathBuf) -> Postgres {
        let (programs, other) = (programs(), other_user());
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(&place)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What is pressed on the keyboard is for the tests.
            .process_group(0)
            .spawn()
            .unwrap();
        let (running, keeper, databases) = (Mutex::default(), Mutex::new(keeper), AtomicU32::new(0));
        let mut postgres = Postgres { place, port: 0, programs, other, running, keeper, databases };
        postgres.give(&postgres.place);
        let password = postgres.place.join("password");
        fs::write(&password, PASSWORD).unwrap();
        let mut initdb = postgres.command("initdb");
        initdb.args(["--no-sync", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--username", USER]);
        let made = initdb.arg("--pwfile").arg(password).arg("-D").arg(postgres.data()).output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        // The port may be taken by another before the server has it: then there is another one.
        while !postgres.started_at(free_port()) {}
        postgres
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        if let Some((user, group)) = self.other {
            command.uid(user).gid(group);
        }
        command.current_dir(&self.place).env("LC_ALL", "C").env("HOME", &self.place).stdin(Stdio::null());
        command
    }

    fn data(&self) -> PathBuf {
        self.place.join("data")
    }

    fn started_at(&mut self, port: u16) -> bool {
        self.port = port;
        self.try_start().is_ok()
    }

    /// Starts it, and waits until it takes connections.
    fn try_start(&self) -> Result<(), String> {
        let log = fs::File::options().create(true).append(true).open(self.place.join("log")).unwrap();
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).args(["-h", "127.0.0.1", "-k", "", "-p", &self.port.to_string()]);
        // The rest is as it comes, `fsync` above all.
        command.args(["-c", "max_connections=200"]).process_group(0);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let mut child = command.spawn().unwrap();
        writeln!(self.keeper.lock().unwrap().stdin.as_mut().unwrap(), "{}", child.id()).unwrap();
        let (begun, id) = (Instant::now(), child.id().to_string());
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return Err(format!("postgres ended with {status}: {}", self.log()));
            }
            let lock = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
            let lines: Vec<&str> = lock.lines().map(str::trim).collect();
            if lines.first() == Some(&&*id) && lines.get(7) == Some(&"ready") {
                break;
            }
            assert!(begun.elapsed() < LONG, "postgres does not start: {}", self.log());
            thread::sleep(Duration::from_millis(2));
        }
        *self.running.lock().unwrap() = Some(child);
        Ok(())
    }

    /// What the server wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(self.place.join("log")).unwrap_or_default()
    }

    /// Kills it, as `kill -9` does. Its other processes end when they see it.
    pub fn kill(&self) {
        let mut child = self.running.lock().unwrap().take().expect("a server that runs");
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(9));
    }

    /// The same, also of one that has ended by itself.
    pub fn end(&self) {
        let mut child = self.running.lock().unwrap().take().expect("a server that was started");
        let _ = child.kill();
        child.wait().unwrap();
    }

    /// Starts it again on the same data and the same port.
    pub fn start(&self) {
        let begun = Instant::now();
        // While a process of the one before is still there, it refuses to start.
        while let Err(reason) = self.try_start() {
            assert!(begun.elapsed() < LONG, "{reason}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Gives a directory to whom the server runs as.
    pub fn give(&self, directory: &Path) {
        if let Some((user, group)) = self.other {
            chown(directory, Some(user), Some(group)).unwrap();
        }
    }

    /// Its directory.
    pub fn place(&self) -> PathBuf {
        self.place.clone()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of a database.
    pub fn address(&self, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// The address of a new database.
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.execute("postgres", &format!("CREATE DATABASE {name}"));
        self.address(&name)
    }

    /// Runs statements in a database, and gives the lines that they answer with.
    pub fn execute(&self, database: &str, sql: &str) -> Vec<String> {
        let ran = self
            .command("psql")
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, &self.address(database)])
            .output()
            .unwrap();
        assert!(ran.status.success(), "{sql}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let keeper = self.keeper.get_mut().unwrap();
        drop(keeper.stdin.take());
        if let Some(mut child) = self.running.get_mut().unwrap().take() {
            let _ = child.wait();
        }
        let _ = keeper.wait();
    }
}

/// Where the programs of PostgreSQL are.
fn programs() -> PathBuf {
    let found = |place: &Path| ["initdb", "postgres", "psql"].iter().all(|name| place.join(name).is_file());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let mut debian: Vec<PathBuf> = debian.map(|version| version.path().join("bin")).collect();
    debian.sort();
    let places = std::env::split_paths(&path).chain(debian.into_iter().rev());
    places.into_iter().find(|place| found(place)).unwrap_or_else(|| {
        panic!(
            "the tests with the feature `postgres` need the programs `initdb`, `postgres` and `psql`, in PATH or in \
             /usr/lib/postgresql/*/bin: install PostgreSQL 13 or later (Debian: apt-get install postgresql)"
        )
    })
}

/// User and group to run the server as, when this is root's process.
fn other_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let id_of = |name: &str| {
        let fields: Vec<&str> =
            users.lines().map(|line| line.split(':').collect()).find(|of: &Vec<_>| of[0] == name)?;
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    Some(
        id_of("postgres")
            .or_else(|| id_of("nobody"))
            .expect("root cannot run PostgreSQL, and there is no user `nobody`"),
    )
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
