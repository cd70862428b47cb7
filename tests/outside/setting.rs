//! What the tests here need of the machine, how long they go on, and what they draw by lot.

use std::{
    env,
    io::{self, Write},
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::support::finish;

/// Whether this is the long run: `OUTSIDE_LONG` is set.
pub fn long() -> bool {
    env::var_os("OUTSIDE_LONG").is_some()
}

/// How many times something is done, usually and in the long run.
pub fn cycles(usual: usize, long_run: usize) -> usize {
    if long() { long_run } else { usual }
}

/// Numbers that look random (xorshift64*), all from one seed.
pub struct Random(u64);

impl Random {
    /// From the seed given as `OUTSIDE_SEED`, or from a new one; printed, so that it can be given.
    pub fn seeded() -> Random {
        let seed = match env::var("OUTSIDE_SEED") {
            Ok(seed) => seed.parse().unwrap(),
            Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 | 1,
        };
        say!("OUTSIDE_SEED={seed}");
        Random(seed)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) % end
    }

    /// Another source of such numbers, to be used elsewhere.
    pub fn other(&mut self) -> Random {
        Random(self.below(u64::from(u32::MAX)) | 1)
    }
}

/// Writes a line where it is seen: printing macros are captured, and shown of tests that fail only.
pub fn say(words: std::fmt::Arguments<'_>) {
    io::stdout().write_all(format!("{words}\n").as_bytes()).unwrap();
}

/// Says that a test, or a part of one, cannot be done here.
pub fn skipped(why: impl std::fmt::Display) {
    say!("skipped: {why}");
}

/// Whether a command can be run here, and succeeds; its complaint if not.
pub fn can_run(command: &[&str]) -> Result<(), String> {
    let mut probe = Command::new(command[0]);
    match probe.args(&command[1..]).stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("`{}`: {}", command.join(" "), String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("`{}`: {error}", command.join(" "))),
    }
}

/// Runs a command that must succeed.
pub fn must_run(command: &[&str]) {
    can_run(command).unwrap();
}

/// Does `body` where mounts can be made that nobody else sees, and that are gone when it ends, however it ends: in
/// another process of this test binary, which runs the test of this name, and only it, in a mount namespace of its own. As somebody
/// else than root, in a user namespace as well.
pub fn with_own_mounts(test: &str, body: impl FnOnce()) {
    const INSIDE: &str = "OUTSIDE_OWN_MOUNTS";
    if env::var_os(INSIDE).is_some() {
        return body();
    }
    let namespaces = if rustix::process::getuid().is_root() { "-m" } else { "-rm" };
    if let Err(why) = can_run(&["unshare", namespaces, "true"]) {
        return skipped(format_args!("no namespace for mounts: {why}"));
    }
    let mut inside = Command::new("unshare");
    inside.arg(namespaces).arg(env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
    let run = finish(&mut inside, b"");
    let lines = run.lines();
    for line in
        lines.iter().filter(|line| !line.is_empty() && !line.starts_with("running ") && !line.starts_with("test "))
    {
        say!("{line}");
    }
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(lines.iter().any(|line| line.contains(" 1 passed")), "no test is called {test}");
}
