//! What the system refuses: files beyond a limit, more open files, a place that cannot be written; and what the store
//! refuses: a second writer.

use std::{
    io::{BufRead, BufReader, Write},
    process::Command,
};

use crate::{
    format,
    setting::{can_run, must_run, skipped, with_own_mounts},
    support::{Factlog, Run, event, finish},
};

/// Runs the command under a limit of the shell, as `ulimit` is given it.
fn limited(factlog: &Factlog, limit: &str, arguments: &[&str], input: &str) -> Run {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("ulimit {limit} && exec \"$@\"")).arg("sh").arg(env!("CARGO_BIN_EXE_factlog"));
    shell.arg("--store").arg(factlog.store()).args(arguments);
    finish(&mut shell, input.as_bytes())
}

/// Enough for a second segment.
fn input() -> String {
    (1..=12).map(|number| event(format!("\"{number} {}\"", "x".repeat(40_000)))).collect()
}

/// Runs an append under a limit that is a little higher each time, until one is done; gives how many were refused.
fn until_it_is_enough(limits: impl Iterator<Item = String>, started: &Factlog) -> usize {
    let before = format::contents(&started.store());
    let events = started.lines(&["read"], "").len();
    for (refused, limit) in limits.enumerate() {
        format::restore(&started.store(), &before);
        let run = limited(started, &limit, &["append", "s", "--each"], &input());
        let acknowledged = run.lines().len();
        if run.code == Some(0) {
            assert_eq!(acknowledged, 12, "ulimit {limit}");
            return refused;
        }
        // An exit code: no signal has ended it.
        assert_eq!(run.code, Some(1), "ulimit {limit}: {run:?}");
        assert!(run.stderr.contains("factlog: "), "ulimit {limit}: {run:?}");
        let stored = started.lines(&["read"], "").len() - events;
        assert!((acknowledged..=acknowledged + 1).contains(&stored), "ulimit {limit}: {acknowledged}, {stored}");
        assert_eq!(started.run(&["verify"], "").code, Some(0), "ulimit {limit}");
        assert_eq!(started.run(&["append", "s"], event(0)).code, Some(0), "ulimit {limit}: appending afterwards");
    }
    panic!("no limit was enough");
}

/// A store with an event in it.
fn started() -> Factlog {
    let factlog = Factlog::new();
    factlog.lines(&["append", "s"], event(0));
    factlog
}

#[test]
fn a_limit_of_the_size_of_files_is_an_error_and_not_the_end_of_the_process() {
    let blocks = [1, 2, 8, 16, 64, 256, 511, 512, 513, 640, 768, 1023, 1024, 1025, 4096, 65536];
    let refused = until_it_is_enough(blocks.iter().map(|blocks| format!("-f {blocks}")), &started());
    say!("{refused} limits of the size of files were too low");
    assert!(refused > 3, "only {refused} limits were too low");
}

#[test]
fn too_few_open_files_are_an_error_that_harms_nothing() {
    // With fewer the program cannot even be loaded.
    let refused = until_it_is_enough((4..64).map(|files| format!("-n {files}")), &started());
    say!("{refused} limits of open files were too low");
    assert!(refused >= 2, "only {refused} limits were too low");
}

#[test]
fn a_store_on_a_medium_that_cannot_be_written_is_read_and_not_written() {
    const NAME: &str = "refusals::a_store_on_a_medium_that_cannot_be_written_is_read_and_not_written";
    with_own_mounts(NAME, || {
        let factlog = started();
        let store = factlog.store();
        let path = store.to_str().unwrap();
        if let Err(why) = can_run(&["mount", "--bind", path, path]) {
            return skipped(format_args!("no mount of our own: {why}"));
        }
        must_run(&["mount", "-o", "remount,ro,bind", path]);
        cannot_be_written(&factlog, |_| {});
    });
}

/// Root may write wherever the file system can be written, so it gives its rights away for this.
#[test]
fn a_store_in_a_directory_of_somebody_else_is_read_and_not_written() {
    const NOBODY: &str = "65534";
    let factlog = started();
    if !rustix::process::getuid().is_root() {
        let mode = |mode| must_run(&["chmod", "-R", mode, factlog.store().to_str().unwrap()]);
        mode("a-w");
        cannot_be_written(&factlog, |_| {});
        return mode("u+w");
    }
    let drop = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"];
    must_run(&["chmod", "-R", "a+rX", factlog.file("").to_str().unwrap()]);
    let as_nobody = [&drop[..], &[env!("CARGO_BIN_EXE_factlog"), "--version"]].concat();
    if let Err(why) = can_run(&as_nobody) {
        return skipped(format_args!("the command cannot be run as somebody else: {why}"));
    }
    cannot_be_written(&factlog, |command| {
        let mut other = Command::new(drop[0]);
        other.args(&drop[1..]).arg(command.get_program()).args(command.get_args());
        *command = other;
    });
}

/// Reads are served, appends are refused as what they are, and nothing changes.
fn cannot_be_written(factlog: &Factlog, other: impl Fn(&mut Command)) {
    let before = format::contents(&factlog.store());
    let run = |arguments: &[&str], input: &str| {
        let mut command = factlog.command(arguments);
        other(&mut command);
        finish(&mut command, input.as_bytes())
    };
    for command in ["read", "stats", "streams", "verify"] {
        let run = run(&[command], "");
        assert_eq!((run.code, run.lines().len()), (Some(0), 1), "{command}: {run:?}");
    }
    let run = run(&["append", "s"], &event(1));
    assert_eq!((run.code, run.stdout.len()), (Some(2), 0), "{run:?}");
    assert!(run.stderr.contains("cannot write in "), "{}", run.stderr);
    assert!(before == format::contents(&factlog.store()), "files have changed");
}

#[test]
fn of_two_processes_on_one_directory_one_writes_both_read_and_a_kill_frees_it() {
    let factlog = Factlog::new();
    let mut stored = 0;
    for turn in 0..10 {
        let mut writer = factlog.spawn(&["append", "s", "--each"]);
        let mut stdin = writer.stdin.take().unwrap();
        let mut stdout = BufReader::new(writer.stdout.take().unwrap());
        for _ in 0..3 {
            append_one(&mut stdin, &mut stdout);
            stored += 1;
        }
        for command in [&["append", "s"][..], &["append", "s", "--each"]] {
            let second = factlog.run(command, event(0));
            assert_eq!((second.code, second.stdout.len()), (Some(5), 0), "turn {turn}: {command:?}: {second:?}");
            let holder = format!("in use by process {}", writer.id());
            assert!(second.stderr.contains(&holder), "turn {turn}: {}", second.stderr);
        }
        assert_eq!(factlog.lines(&["read"], "").len(), stored, "turn {turn}: beside the writer");
        append_one(&mut stdin, &mut stdout);
        stored += 1;
        // The next writer needs no more than that this one is gone.
        writer.kill().unwrap();
        writer.wait().unwrap();
        assert_eq!(factlog.lines(&["read"], "").len(), stored, "turn {turn}: after the kill");
    }
    assert_eq!(factlog.run(&["verify"], "").code, Some(0));
    say!("10 writers killed, 20 others refused, {stored} events");
}

fn append_one(stdin: &mut impl Write, stdout: &mut impl BufRead) {
    stdin.write_all(event(1).as_bytes()).unwrap();
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert!(line.contains("position"), "{line}");
}
