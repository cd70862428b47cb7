//! Copies and imports that are killed, and whose servers are.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::Child,
    thread,
};

use factlog::{Options, Position, Store, client::Client};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    copied, exported, filled,
    process::{Process, factlog},
    text,
};

/// Enough events that a copy takes a while.
pub const MANY: u64 = 60_000;

pub fn begun(arguments: &[&str]) -> Child {
    factlog().args(arguments).spawn().unwrap()
}

/// What a process that has ended wrote to standard error.
pub fn said(child: &mut Child) -> String {
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    said
}

fn kill(child: &mut Child) {
    kill_process(Pid::from_child(child), Signal::KILL).unwrap();
    child.wait().unwrap();
}

/// Looks again and again until it is so, or the process has ended. Whether it is so.
pub fn seen(child: &mut Child, is_so: impl Fn() -> bool) -> bool {
    loop {
        if is_so() {
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        thread::yield_now();
    }
}

/// The last position of a store that another process may be writing.
fn last(store: &Path) -> Position {
    Options::new().read_only(true).open(store).map_or(Position::START, |store| store.last_position())
}

#[test]
fn a_copy_into_a_directory_that_is_killed_goes_on_where_it_stood() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    filled(&from, MANY);
    drop(Store::open(&to).unwrap());
    // It follows what the copy writes.
    let watching = Options::new().read_only(true).open(&to).unwrap();
    for round in 1..=5 {
        let before = watching.last_position();
        let mut copying = begun(&["copy", "--from", text(&from), "--to", text(&to)]);
        assert!(seen(&mut copying, || watching.last_position() > before), "round {round}: it was not killed");
        kill(&mut copying);
    }
    assert!(watching.last_position() < last(&from), "all was copied: this shows nothing");
    copied(text(&from), text(&to));
    assert!(exported(text(&to)) == exported(text(&from)));
}

#[test]
fn a_copy_goes_on_when_it_and_its_servers_are_killed_and_started_again() {
    let directory = tempfile::tempdir().unwrap();
    let [from, to] = ["from", "to"].map(|name| directory.path().join(name));
    filled(&from, MANY);
    let (mut source, mut target) = (Process::on(&from, "127.0.0.1:0"), Process::on(&to, "127.0.0.1:0"));
    let urls = (source.url(), target.url());
    let arguments = ["copy", "--from", &urls.0, "--to", &urls.1];
    let mut copying = begun(&arguments);
    let mut kills = 0;
    while seen(&mut copying, || last(&to).get() > (kills + 1) * 8000) {
        match kills % 3 {
            0 => {
                target.kill(Signal::KILL);
                target = Process::on(&to, urls.1.trim_start_matches("tcp://"));
            }
            1 => {
                source.kill(Signal::KILL);
                source = Process::on(&from, urls.0.trim_start_matches("tcp://"));
            }
            _ => {
                kill(&mut copying);
                copying = begun(&arguments);
            }
        }
        kills += 1;
    }
    assert_eq!(copying.wait().unwrap().code(), Some(0), "{}", said(&mut copying));
    assert!(kills >= 3, "{kills} kills: this shows nothing");
    drop((source, target));
    assert!(exported(text(&to)) == exported(text(&from)));
}

#[test]
fn an_import_goes_on_when_its_server_is_killed_and_started_again() {
    let directory = tempfile::tempdir().unwrap();
    let [from, to] = ["from", "to"].map(|name| directory.path().join(name));
    filled(&from, MANY / 3);
    let lines = exported(text(&from));
    let file = directory.path().join("lines");
    std::fs::File::create(&file).unwrap().write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
    let mut server = Process::on(&to, "127.0.0.1:0");
    let url = server.url();
    let mut importing = begun(&["--store", &url, "import", text(&file)]);
    let mut kills = 0;
    while seen(&mut importing, || last(&to).get() > (kills + 1) * 5000) {
        server.kill(Signal::KILL);
        server = Process::on(&to, url.trim_start_matches("tcp://"));
        kills += 1;
    }
    assert_eq!(importing.wait().unwrap().code(), Some(0));
    assert!(kills >= 2, "{kills} kills: this shows nothing");
    drop(server);
    assert!(exported(text(&to)) == lines);
}

#[test]
fn a_copy_waits_for_a_server_that_is_not_there_yet() {
    let directory = tempfile::tempdir().unwrap();
    let [from, to] = ["from", "to"].map(|name| directory.path().join(name));
    filled(&from, 10);
    // A port that was free a moment ago.
    let mut server = Process::on(&to, "127.0.0.1:0");
    let url = server.url();
    server.kill(Signal::TERM);
    let mut copying = begun(&["copy", "--from", text(&from), "--to", &url]);
    let mut said = String::new();
    BufReader::new(copying.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert!(said.contains("is not available") && said.contains("trying again for 60 s"), "{said}");
    let _server = Process::on(&to, url.trim_start_matches("tcp://"));
    assert_eq!(copying.wait().unwrap().code(), Some(0));
    assert_eq!(Client::connect(&url).unwrap().last_position().unwrap(), last(&from));
}
