//! `factlog serve` as a process of its own, and the other commands through it.

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
    time::Duration,
};

use factlog::{
    Error, ExpectedVersion, Position, ReadAll, Store, Version,
    client::{Client, ClientOptions},
};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    process::{Process, factlog},
    support::{LONG, event, get, stream},
};

/// Exit code, lines of standard output, and standard error.
fn run(store: &str, arguments: &[&str], input: &str) -> (Option<i32>, Vec<Value>, String) {
    let mut child = factlog().stdin(Stdio::piped()).args(["--store", store]).args(arguments).spawn().unwrap();
    // One that refuses its arguments ends without reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (output.status.code(), lines, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn commands_do_the_same_through_a_server_and_those_on_files_say_that_they_need_a_directory() {
    let directory = TempDir::new().unwrap();
    let store = directory.path().join("store");
    let mut server = Process::on(&store, "127.0.0.1:0");
    let url = server.url();
    let input = "{\"type\":\"T\",\"data\":1}\n{\"type\":\"U\",\"data\":{\"a\":2}}\n";
    let (code, lines, _) = run(&url, &["append", "order-1", "--expect", "none"], input);
    assert_eq!((code, lines[0]["version"].as_u64()), (Some(0), Some(2)));
    assert_eq!(run(&url, &["append", "order-1", "--expect", "none"], input).0, Some(3), "a conflict");
    assert_eq!(run(&url, &["append", "order-2", "--each"], input).1.len(), 2);
    assert_eq!(run(&url, &["append", "$own"], input).0, Some(2));
    for arguments in [
        &["read"][..],
        &["read", "order-1"],
        &["read", "order-1", "--from", "2"],
        &["read", "--type", "U", "--backwards"],
        &["read", "--category", "order", "--after", "1", "--limit", "2"],
        &["streams"],
        &["streams", "--prefix", "order-2"],
        &["export"],
        &["orders", "history", "7"],
    ] {
        let (code, through, said) = run(&url, arguments, "");
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
        // Beside the server, from the files.
        assert_eq!(through, run(store.to_str().unwrap(), arguments, "").1, "{arguments:?}");
    }
    assert_eq!(run(&url, &["read", "--follow", "--limit", "4"], "").1.len(), 4);
    assert_eq!(run(&url, &["stats"], "").1[0]["events"], 4);
    let (code, _, said) = run(&url, &["verify"], "");
    assert!(code == Some(2) && said.contains("give it their directory"), "{said}");
    let (code, _, said) = run(&url, &["serve"], "");
    assert!(code == Some(2) && said.contains("give it their directory"), "{said}");

    // Out of one server and into another.
    let other = Process::on(&directory.path().join("other"), "127.0.0.1:0");
    let exported = directory.path().join("lines");
    let exported = exported.to_str().unwrap();
    assert_eq!(run(&url, &["export", exported], "").0, Some(0));
    let (code, _, said) = run(&other.url(), &["import", exported], "");
    assert_eq!((code, said.as_str()), (Some(0), "imported 4 events\n"));
    assert_eq!(run(&other.url(), &["read"], "").1, run(&url, &["read"], "").1);

    assert_eq!(server.kill(Signal::TERM), Some(0));
    let (code, _, said) = run(&url, &["read"], "");
    assert!(code == Some(1) && said.contains("not available"), "{code:?} {said}");
    assert_eq!(run(store.to_str().unwrap(), &["verify"], "").0, Some(0));
}

#[test]
fn settings_are_taken_from_arguments_then_the_environment_then_the_file() {
    let directory = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let tokens = file("tokens", "[[token]]\nname = \"shop\"\nsecret = \"0123456789abcdef\"\nrole = \"append\"\n");
    let store = directory.path().join("of-the-file");
    let config = file(
        "config",
        &format!(
            "store = {store:?}\nlisten = \"127.0.0.9:1\"\nhttp = \"127.0.0.1:0\"\ntokens = {tokens:?}\nlog = \"json\"\nconnections = 1\n"
        ),
    );
    let mut command = factlog();
    command.args(["serve", "--config", &config, "--connections", "7"]);
    command.env("FACTLOG_LISTEN", "127.0.0.1:0").env("FACTLOG_CONNECTIONS", "1");
    let mut server = Process::start(&mut command);
    assert!(server.address("listening").ip().to_string() == "127.0.0.1" && store.exists());
    assert_eq!(get(server.address("http"), "/ready").0, 200);
    assert!(matches!(Client::connect(&server.url()), Err(Error::Unauthorized { .. })));
    let options = || ClientOptions::new(&server.url()).unwrap().token("0123456789abcdef");
    let clients: Vec<_> = (0..3).map(|_| options().connect().unwrap()).collect();
    clients[2].append(&stream("a"), ExpectedVersion::Any, vec![event("secret-payload")]).unwrap();
    let url = server.url();
    let mut with_token = factlog();
    with_token.args(["--store", &url, "read"]).env("FACTLOG_TOKEN", "0123456789abcdef");
    assert!(with_token.output().unwrap().status.success());
    assert_eq!(run(&url, &["read"], "").0, Some(1), "without a token");
    drop(clients);
    assert_eq!(server.kill(Signal::INT), Some(0));
    let mut log = String::new();
    server.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(!log.contains("0123456789abcdef") && !log.contains("secret-payload"), "{log}");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let messages: Vec<_> = lines.iter().filter_map(|line| line["fields"]["message"].as_str()).collect();
    for message in ["serving", "opened", "refused", "closed", "shut down"] {
        assert!(messages.contains(&message), "no `{message}` in {messages:?}");
    }
}

/// Whether a process does something with a signal: `SigCgt` of what it catches, `SigIgn` of what it ignores.
fn has_signal(process: &Process, set: &str, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix(set)).unwrap().trim_start_matches(':').trim();
    u64::from_str_radix(mask, 16).unwrap() >> (signal.as_raw() - 1) & 1 == 1
}

#[test]
fn each_signal_that_ends_a_server_lets_it_finish_what_it_has() {
    let directory = TempDir::new().unwrap();
    let store = directory.path().join("store");
    for (number, signal) in [Signal::TERM, Signal::INT, Signal::HUP].into_iter().enumerate() {
        // Whoever runs the tests may have been started to outlive its terminal.
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_factlog"), "--store"]).arg(&store);
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut server = Process::start(&mut command);
        assert!(has_signal(&server, "SigCgt", signal), "{signal:?}");
        let client = Client::connect(&server.url()).unwrap();
        client.append(&stream("a"), Version::new(number as u64).into(), vec![event("x")]).unwrap();
        assert_eq!(server.kill(signal), Some(0), "{signal:?}");
        let mut log = String::new();
        server.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        assert!(log.contains("shut down"), "{signal:?}: {log}");
    }
}

#[test]
fn a_server_that_was_started_to_outlive_its_terminal_does() {
    let directory = TempDir::new().unwrap();
    let mut command = Command::new("sh");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let serve = "trap '' HUP; exec \"$0\" --store \"$1\" serve --listen 127.0.0.1:0";
    command.args(["-c", serve, env!("CARGO_BIN_EXE_factlog")]).arg(directory.path().join("store"));
    let mut server = Process::start(&mut command);
    assert!(has_signal(&server, "SigIgn", Signal::HUP));
    assert_eq!(server.kill(Signal::TERM), Some(0));
}

#[test]
fn a_port_in_use_is_named_and_leaves_no_new_store() {
    let directory = TempDir::new().unwrap();
    let store = directory.path().join("store");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for arguments in [["--listen", &address, "--http", "127.0.0.1:0"], ["--listen", "127.0.0.1:0", "--http", &address]]
    {
        let (code, _, said) = run(store.to_str().unwrap(), &[&["serve"][..], &arguments].concat(), "");
        assert!(code == Some(1) && said.contains(&address), "{arguments:?}: {code:?} {said}");
        assert!(!store.exists(), "{arguments:?}");
    }
}

#[test]
fn clients_leave_the_store_the_descriptors_that_it_needs() {
    let directory = TempDir::new().unwrap();
    let mut command = Command::new("sh");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let serve = "ulimit -n 64; exec \"$0\" --store \"$1\" serve --listen 127.0.0.1:0";
    command.args(["-c", serve, env!("CARGO_BIN_EXE_factlog")]).arg(directory.path().join("store"));
    let mut server = Process::start(&mut command);
    let mut clients = Vec::new();
    let refused = loop {
        assert!(clients.len() < 100);
        match Client::connect(&server.url()) {
            Ok(client) => clients.push(client),
            Err(error) => break error.to_string(),
        }
    };
    assert!(refused.contains("as many connections as it may have"), "{refused}");
    assert!(clients.len() >= 16);
    // The first append makes a segment, and the manifest anew.
    clients[0].append(&stream("a"), ExpectedVersion::Any, vec![event("x")]).unwrap();
    assert_eq!(server.kill(Signal::TERM), Some(0));
}

#[test]
fn a_server_whose_log_nobody_reads_any_more_goes_on() {
    let directory = TempDir::new().unwrap();
    let mut command = factlog();
    command.arg("--store").arg(directory.path().join("store")).args(["serve", "--listen", "127.0.0.1:0"]);
    let mut server = Process::start(&mut command);
    drop(server.child.stderr.take());
    for _ in 0..3 {
        let client = Client::connect(&server.url()).unwrap();
        client.append(&stream("a"), ExpectedVersion::Any, vec![event("x")]).unwrap();
    }
    assert_eq!(server.kill(Signal::TERM), Some(0));
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_served() {
    let directory = TempDir::new().unwrap();
    let store = directory.path().join("store");
    let store = store.to_str().unwrap();
    for (arguments, reason) in [
        (&["serve", "--listen", "0.0.0.0:0"][..], "can be reached from other machines"),
        (&["serve", "--listen", "127.0.0.1:0", "--tls-cert", "/none"], "TLS takes both"),
        (&["serve", "--tokens", "/none"], "cannot read /none"),
        (&["serve", "--config", "/none"], "cannot read /none"),
    ] {
        let (code, _, said) = run(store, arguments, "");
        assert!(code == Some(2) && said.contains(reason), "{arguments:?}: {code:?} {said}");
    }
}

/// Clients that append, each to a stream of its own, and remember what was acknowledged.
fn ledger(url: &str, writer: usize, until: &std::sync::atomic::AtomicBool) -> u64 {
    use std::sync::atomic::Ordering;

    let pauses = (Duration::from_millis(1), Duration::from_millis(50));
    let client = ClientOptions::new(url).unwrap().pauses(pauses.0, pauses.1).request_time(LONG).connect().unwrap();
    let own = stream(&format!("writer-{writer}"));
    let mut acknowledged = 0;
    while !until.load(Ordering::Relaxed) {
        // Whether the version is expected or not, an append that was sent twice is stored once.
        let expected = if writer.is_multiple_of(2) { Version::new(acknowledged).into() } else { ExpectedVersion::Any };
        let appended = client.append(&own, expected, vec![event(acknowledged.to_string())]).unwrap();
        acknowledged += 1;
        assert_eq!(appended.version, Version::new(acknowledged));
    }
    acknowledged
}

#[test]
fn a_server_that_is_killed_under_load_loses_nothing_acknowledged_and_stores_nothing_twice() {
    let kills: usize = std::env::var("SERVER_KILLS").map_or(10, |kills| kills.parse().unwrap());
    let directory = TempDir::new().unwrap();
    let store = directory.path().join("store");
    let mut server = Process::on(&store, "127.0.0.1:0");
    let (url, address) = (server.url(), server.address("listening").to_string());
    let over = std::sync::atomic::AtomicBool::new(false);
    let acknowledged: Vec<u64> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                scope.spawn({
                    let (url, over) = (&url, &over);
                    move || ledger(url, writer, over)
                })
            })
            .collect();
        let watching = Client::connect(&url).unwrap();
        let mut seen = Position::START;
        for _ in 0..kills {
            // Some more must have got through since the last time.
            let enough = Position::new(seen.get() + 50);
            crate::support::until("appends go on", || watching.last_position().is_ok_and(|last| last > enough));
            seen = watching.last_position().unwrap();
            server.kill(Signal::KILL);
            server = Process::on(&store, &address);
        }
        crate::support::until("appends go on", || watching.last_position().is_ok_and(|last| last > seen));
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(server.kill(Signal::TERM), Some(0));
    let opened = Store::open(&store).unwrap();
    for (writer, acknowledged) in acknowledged.iter().enumerate() {
        let payloads: Vec<_> =
            opened.read_stream(&stream(&format!("writer-{writer}"))).map(|event| event.unwrap().payload()).collect();
        let expected: Vec<_> = (0..*acknowledged).map(|number| number.to_string()).collect();
        assert_eq!(payloads, expected, "writer {writer}");
    }
    let total: u64 = acknowledged.iter().sum();
    assert_eq!(opened.read_all(ReadAll::after(Position::START)).count() as u64, total);
    println!("{kills} kills, {total} acknowledged appends, all there and none twice");
}
