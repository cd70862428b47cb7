//! Opening: after a clean close, few events and many; after a kill; and how much memory an open store has of its own.

use std::{
    env, fs,
    fs::File,
    io::Read,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use criterion::Criterion;
use factlog::{Options, Store};

use crate::support::{
    case::{Case, Role, Turn},
    data::{EVENTS_IN_STREAM, grown, segments, used_bytes},
    figure::{Better, Figure, Measured, Target},
    library::{Shelf, fill, order},
    peers::{self, Indexes},
    place::{copy, full, place},
    writers::Writer,
};

const GROUP: &str = "open";
const WATCHED_APPENDS: u64 = 2_000;
const FULL_STREAMS: u64 = 1_000_000;
/// Events of the store that is killed: most of a segment.
const KILLED_EVENTS: u64 = 150_000;
/// In the environment of a child process: what it is to do, and where.
const CHILD: &str = "FACTLOG_BENCH_CHILD";

/// All cases of the group, as far as `wanted`.
pub fn measure(criterion: &mut Criterion, shelf: &Shelf, wanted: &dyn Fn(&str) -> bool, add: &mut dyn FnMut(Figure)) {
    if wanted("1 thousand events") {
        add(few(criterion));
    }
    let count = shelf.events() / 1_000_000;
    if wanted("million events") {
        let name = format!("{count} million events");
        add(clean(criterion, name, &shelf.factlog(), Some(shelf.path())));
    }
    if wanted("RssAnon") {
        add(memory(format!("RssAnon, {count} million events"), &shelf.factlog()));
    }
    if full() && (wanted("10 million events") || wanted("RssAnon")) {
        let place = place();
        let dir = place.path().join("factlog");
        fill(Options::new(), &dir, order(FULL_STREAMS)).close().unwrap();
        let count = FULL_STREAMS * EVENTS_IN_STREAM / 1_000_000;
        add(clean(criterion, format!("{count} million events"), &dir, None));
        add(memory(format!("RssAnon, {count} million events"), &dir));
    }
    if wanted("after a kill") {
        add(killed(criterion));
    }
}

fn timed<T>(open: impl FnOnce() -> T) -> (T, Turn) {
    let begin = Instant::now();
    let opened = open();
    (opened, Turn::new(1, begin.elapsed()))
}

fn few(criterion: &mut Criterion) -> Figure {
    let place = place();
    let dir = place.path().join("factlog");
    fill(Options::new(), &dir, order(100)).close().unwrap();
    for peer in peers::all(place.path(), Indexes::All) {
        crate::support::library::fill_peer(&*peer, 100);
    }
    clean(criterion, "1 thousand events".to_owned(), &dir, Some(place.path()))
}

/// Opens a store that was closed; the peers' lie under `peers`.
fn clean(criterion: &mut Criterion, name: String, dir: &Path, peers: Option<&Path>) -> Figure {
    let open = move |_: Duration| {
        let (store, turn) = timed(|| Store::open(dir).unwrap());
        store.close().unwrap();
        turn
    };
    let mut case =
        Case::time(GROUP, name).target(Target::Below(20.0)).rounds(9, 0).contestant(Role::Factlog, "factlog", open);
    for name in peers::NAMES.into_iter().filter(|_| peers.is_some()) {
        case = case
            .contestant(Role::Peer, name, move |_| timed(|| peers::open(name, peers.unwrap_or(dir), Indexes::All)).1);
    }
    case.run(criterion)
}

/// Opens a store whose process was killed; the limit reads and checks what the segment holds that was being written to. Neither
/// finds it in the page cache: opening drops it from there.
fn killed(criterion: &mut Criterion) -> Figure {
    let place = place();
    let (dead, body) = (place.path().join("dead"), place.path().join("copy"));
    let status = child("append and die", &dead).status().unwrap();
    assert_eq!(status.signal(), Some(6), "the child ended by {status}");
    let fresh = || {
        let _ = fs::remove_dir_all(&body);
        copy(&dead, &body);
        sync(&body);
    };
    let open = |_: Duration| {
        fresh();
        let (store, turn) = timed(|| Store::open(&body).unwrap());
        assert_eq!(store.last_position().get(), KILLED_EVENTS);
        turn
    };
    let bare = |_: Duration| {
        fresh();
        let segment = segments(&body).pop().unwrap();
        let used = used_bytes(&segment);
        timed(|| read_and_check(&segment, used)).1
    };
    let mut case = Case::time(GROUP, "after a kill").target(Target::AtMost(1.5)).rounds(9, 0);
    case = case.contestant(Role::Factlog, "factlog", open).contestant(Role::Limit, "read + CRC", bare);
    case.run(criterion)
}

fn read_and_check(segment: &Path, mut left: u64) -> u32 {
    let mut file = File::open(segment).unwrap();
    file.sync_data().unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    let mut piece = vec![0; 1 << 20];
    let mut hasher = crc32fast::Hasher::new();
    while left > 0 {
        let bytes = left.min(piece.len() as u64) as usize;
        file.read_exact(&mut piece[..bytes]).unwrap();
        hasher.update(&piece[..bytes]);
        left -= bytes as u64;
    }
    hasher.finalize()
}

fn sync(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sync(&path);
        } else {
            File::open(path).unwrap().sync_all().unwrap();
        }
    }
}

/// What a process of its own has of anonymous memory once it has opened the store.
fn memory(case: String, dir: &Path) -> Figure {
    eprintln!("{GROUP}: {case}");
    let output = child("open and say", dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let kib: f64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    let value = kib / 1024.0;
    Figure {
        group: GROUP.to_owned(),
        case,
        unit: "MiB".to_owned(),
        better: Better::Less,
        factlog: Measured::counted("factlog", value, value),
        limit: None,
        peers: Vec::new(),
        target: Target::Below(64.0),
        ahead: 1.0,
        note: String::new(),
    }
}

fn child(task: &str, dir: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.env(CHILD, format!("{task}:{}", dir.display()));
    command
}

/// Lone appends and nothing else, to be watched from outside.
fn append_alone(name: &str, dir: &Path) {
    let mut writer = Writer::new(1);
    if name == "factlog" {
        let store = grown(Options::new(), dir);
        (0..WATCHED_APPENDS).for_each(|_| writer.append(&store));
    } else {
        let peer = peers::open(name, dir, Indexes::Streams);
        (0..WATCHED_APPENDS).for_each(|_| assert_eq!(peer.commit(&[writer.next()]), [Ok(())]));
    }
}

/// Does what a child process is to do, if this is one.
pub fn be_child() -> bool {
    let Ok(task) = env::var(CHILD) else { return false };
    let (task, dir) = task.split_once(':').unwrap();
    if task == "open and say" {
        let _store = Store::open(dir).unwrap();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        println!("{}", line.split_whitespace().nth(1).unwrap());
    } else if let Some(name) = task.strip_prefix("append with ") {
        append_alone(name, Path::new(dir));
    } else {
        let store = grown(Options::new(), Path::new(dir));
        let mut writer = Writer::new(EVENTS_IN_STREAM);
        for _ in 0..KILLED_EVENTS / EVENTS_IN_STREAM {
            writer.append(&store);
        }
        std::process::abort();
    }
    true
}
