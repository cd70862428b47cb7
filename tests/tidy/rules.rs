//! The rules of the house. The table of rooms is their documentation.

use super::source::{Source, closing, line_of, paths};

/// What every room above the ground floor may import.
const GROUND: &[&str] = &["codec", "error", "event", "limits", "sync", "version"];

/// Each room, and the rooms that it may import. A room is a folder or a file at the top of `src`.
pub const ROOMS: &[(&str, &[&[&str]])] = &[
    // Plain values.
    ("limits", &[]),
    ("version", &[]),
    // What threads meet in.
    ("sync", &[]),
    ("codec", &[&["limits"]]),
    ("event", &[&["limits", "version"]]),
    ("error", &[&["event", "version"]]),
    // Bytes in bounds; the contract of a store.
    ("layout", &[GROUND]),
    ("event_store", &[GROUND]),
    // The one place that touches the file system, the clock and the starting of threads.
    ("disk", &[GROUND, &["layout"]]),
    // Segments of opaque records: the log does not know what an event is.
    ("log", &[&["error", "limits", "sync", "version", "layout", "disk"]]),
    ("index", &[GROUND, &["layout", "disk"]]),
    // Where log and index meet events.
    ("store", &[GROUND, &["layout", "event_store", "disk", "log", "index"]]),
    // A thread for what is reached over a network.
    ("runtime", &[]),
    // A PostgreSQL server, for what keeps events there and for what keeps read models there.
    ("postgres", &[GROUND]),
    // Event sourcing for applications, over the contract.
    ("model", &[GROUND, &["event_store", "runtime", "postgres"]]),
    // What tests of applications and of other stores need.
    ("testing", &[GROUND, &["event_store", "model"]]),
    // The sample domains, written with what an application has.
    ("orders", &[GROUND, &["event_store", "model"]]),
    ("users", &[GROUND, &["event_store", "model"]]),
    // The bytes on the wire: no sockets.
    ("protocol", &[GROUND, &["event_store"]]),
    // The same contract over engines that run elsewhere.
    ("backend", &[GROUND, &["layout", "event_store", "runtime", "postgres"]]),
    // Both ends of the wire. They meet nowhere else.
    ("server", &[GROUND, &["event_store", "store", "protocol"]]),
    ("client", &[GROUND, &["event_store", "protocol", "runtime"]]),
    // The doors of the decoders and of the server, for fuzzing.
    ("fuzzing", &[&["log", "index", "store", "protocol", "server"]]),
    // The command, another crate: it has what the library exports.
    ("cli", &[]),
];

/// Paths that only some files may name.
const RESERVED: &[(&str, &[&str])] = &[
    // The command's own input and output are no files of a store.
    ("std::fs", &["src/disk/os.rs", "src/cli/files.rs"]),
    ("rustix::fs", &["src/disk/os.rs"]),
    ("std::thread::spawn", &["src/disk/os.rs"]),
    // The timer is no part of the engine: an application that waits another way gives its own.
    ("std::thread::Builder", &["src/disk/os.rs", "src/model/timer.rs"]),
    // Runtimes start threads: what is reached over a network has one of its own, and the command makes the one that the server runs on.
    // The server asks what kind of runtime it is on.
    ("tokio::runtime", &["src/runtime.rs", "src/cli/serve.rs", "src/server/alone.rs"]),
    // The server's reads may wait for the disk: they are made on threads of the runtime that are there for that.
    ("tokio::task::spawn_blocking", &["src/server/session.rs", "src/server/http.rs"]),
    ("tokio::fs", &[]),
    // The command's threads call the store from outside, as an application's do.
    ("std::thread::scope", &["src/disk/os.rs", "src/cli/", "src/testing/"]),
];

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;

/// All rules broken by one file of Rust.
pub fn broken_by(source: &Source) -> Vec<String> {
    let mut broken = imports(source);
    broken.extend(reserved(source));
    broken.extend(sizes(source));
    broken.extend(unwraps(source));
    broken.extend(leftovers(&source.path, &source.text));
    broken
}

/// Imports go down only.
fn imports(source: &Source) -> Vec<String> {
    let Source { path, .. } = source;
    let Some(room) = room(path) else { return Vec::new() };
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![format!("{path}: the room `{room}` is not in the table of rooms")];
    };
    if source.is_test() {
        return Vec::new();
    }
    let code = source.code_without_tests();
    let mut broken = Vec::new();
    for (at, named) in paths(&code, "crate") {
        let other = named.split("::").nth(1).unwrap_or_default();
        if other != room && !allowed.iter().any(|names| names.contains(&other)) {
            broken.push(format!("{path}:{}: the room `{room}` may not name `{named}`", line_of(&code, at)));
        }
    }
    let escape = if path.matches('/').count() == 1 { "super::" } else { "super::super::" };
    if let Some(at) = code.find(escape) {
        broken.push(format!("{path}:{}: `{escape}` may lead out of the room", line_of(&code, at)));
    }
    broken
}

/// The room of a file; `lib.rs` and `main.rs` are doors.
fn room(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    let name = inside.split('/').next()?;
    let name = name.strip_suffix(".rs").unwrap_or(name);
    (!matches!(name, "lib" | "main")).then_some(name)
}

/// Files, threads and the like are reached through their one place.
fn reserved(source: &Source) -> Vec<String> {
    if source.is_test() {
        return Vec::new();
    }
    let code = source.code_without_tests();
    let mut named = [paths(&code, "std"), paths(&code, "rustix"), paths(&code, "tokio")].concat();
    // What was imported as `thread` is named without `std`.
    named.extend(paths(&code, "thread").into_iter().map(|(at, path)| (at, format!("std::{path}"))));
    let mut broken = Vec::new();
    for (at, path) in named {
        for (reserved, files) in RESERVED {
            let names_it = path.strip_prefix(reserved).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
            if names_it && !files.iter().any(|file| source.path.starts_with(file)) {
                let line = line_of(&code, at);
                broken.push(format!("{}:{line}: only {} may name `{reserved}`", source.path, files.join(" and ")));
            }
        }
    }
    broken
}

/// A file is read in one sitting, a function fits a screen.
fn sizes(source: &Source) -> Vec<String> {
    let Source { path, code, .. } = source;
    let mut broken = Vec::new();
    let lines = source.lines_without_tests();
    if lines > FILE_LINES && !source.is_test() {
        broken.push(format!("{path}: {lines} lines without tests, {FILE_LINES} at most"));
    }
    for (at, _) in code.match_indices("fn ") {
        if at > 0 && !matches!(code.as_bytes()[at - 1], b' ' | b'\n' | b'(') {
            continue;
        }
        let Some(open) = code[at..].find(['{', ';']).map(|end| at + end) else { continue };
        if code.as_bytes()[open] == b';' {
            continue;
        }
        let (first, last) = (line_of(code, at), line_of(code, closing(code, open)));
        let lines = last - first + 1;
        if lines > FUNCTION_LINES {
            broken.push(format!("{path}:{first}: a function of {lines} lines, {FUNCTION_LINES} at most"));
        }
    }
    broken
}

/// Errors are returned.
fn unwraps(source: &Source) -> Vec<String> {
    if source.is_test() {
        return Vec::new();
    }
    let code = source.code_without_tests();
    let places = code.match_indices(".unwrap()");
    places.map(|(at, _)| format!("{}:{}: `unwrap()` outside of tests", source.path, line_of(&code, at))).collect()
}

/// Nothing is left undone, and the text never points outside of the project.
pub fn leftovers(path: &str, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    for word in [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("../", "shared"),
        concat!("\n<<<<", "<<< "),
    ] {
        for (at, _) in text.match_indices(word) {
            broken.push(format!("{path}:{}: `{word}`", line_of(text, at)));
        }
    }
    broken
}
