//! The index files of a store, from outside the crate: whatever happens to them, the store answers as its log says, or
//! says what is damaged.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use factlog::{
    Error, EventType, ExpectedVersion, NewEvent, Options, Position, ReadAll, ReadStream, RecordedEvent, Result, Store,
    StreamName, Timestamp, Version, verify,
};
use tempfile::TempDir;

const STREAMS: u64 = 60;
const TYPES: [&str; 3] = ["Placed", "Paid", "Shipped"];

/// In memory where that is possible: nothing here shows what a sync is for, and there it costs nothing.
fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { TempDir::new().unwrap() }
}

fn open(dir: &Path, segment_kib: u64) -> Store {
    Options::new().first_segment_bytes(segment_kib << 10).segment_bytes(segment_kib << 10).open(dir).unwrap()
}

fn stream(number: u64) -> StreamName {
    StreamName::new(if number.is_multiple_of(3) { format!("s{number}") } else { format!("c{}-{number}", number % 2) })
        .unwrap()
}

/// Appends events to many streams, up to this position.
fn fill(store: &Store, until: u64) {
    while store.last_position().get() < until {
        let number = store.last_position().get() / 7 * 11;
        let event = |at: u64| {
            let event_type = EventType::new(TYPES[(number + at) as usize % TYPES.len()]).unwrap();
            let time = Timestamp::from_micros(((number + at) / 500 % 7) as i64);
            NewEvent::new(event_type, vec![at as u8; 20]).with_timestamp(time)
        };
        store.append(&stream(number % STREAMS), ExpectedVersion::Any, (0..7).map(event).collect()).unwrap();
    }
}

/// Questions, and the answers, each cut off where it is an error.
type Answers = Vec<(String, Vec<String>, Option<Error>)>;

/// Everything that can be asked of the index.
fn answers(store: &Store) -> Answers {
    let mut answers = Vec::new();
    let mut note = |question: String, found: &mut dyn Iterator<Item = Result<String>>| {
        let (mut lines, mut fault) = (Vec::new(), None);
        for line in found {
            match line {
                Ok(line) => lines.push(line),
                Err(error) => fault = Some(error),
            }
        }
        answers.push((question, lines, fault));
    };
    let line = |event: Result<RecordedEvent>| {
        event.map(|event| format!("{} {} {} {}", event.position(), event.stream(), event.version(), event.event_type()))
    };
    for backwards in [false, true] {
        let turned = |read: ReadAll| if backwards { read.backwards() } else { read };
        let all = ReadAll::after(Position::START);
        let mut reads = vec![all.clone(), all.clone().since(Timestamp::from_micros(5)), all.clone().category("c1")];
        for event_type in TYPES {
            let of_type = all.clone().event_type(EventType::new(event_type).unwrap());
            reads.extend([of_type.clone(), of_type.category("c0").since(Timestamp::from_micros(3))]);
        }
        for read in reads.into_iter().map(turned) {
            note(format!("{read:?}"), &mut store.read_all(read).map(line));
        }
        for number in 0..STREAMS + 5 {
            let read = ReadStream::new(&stream(number)).from(Version::new(2));
            let read = if backwards { read.backwards() } else { read };
            note(format!("{read:?}"), &mut store.read_stream(read).map(line));
        }
    }
    for number in 0..STREAMS + 5 {
        let version = store.stream_version(&stream(number)).map(|version| version.to_string());
        note(format!("version of {number}"), &mut [version].into_iter());
    }
    note(
        "streams".to_owned(),
        &mut store.streams().map(|found| found.map(|(name, version)| format!("{name} {version}"))),
    );
    answers
}

fn assert_equal(store: &Store, wanted: &Answers) {
    for ((question, found, fault), (_, wanted, _)) in answers(store).into_iter().zip(wanted) {
        assert!(fault.is_none(), "{question}: {fault:?}");
        assert_eq!(found, *wanted, "{question}");
    }
}

fn runs(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir.join("index")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn copied(dir: &Path) -> TempDir {
    let copy = directory();
    copy_over(dir, copy.path());
    copy
}

/// Puts files in place of those of the same name; others stay.
fn copy_over(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_over(&path, &target);
        } else {
            fs::copy(path, target).unwrap();
        }
    }
}

/// A closed store of several runs, and what it answers.
fn filled(segment_kib: u64, events: u64) -> (TempDir, Answers) {
    let dir = directory();
    let store = open(dir.path(), segment_kib);
    fill(&store, events);
    let wanted = answers(&store);
    store.close().unwrap();
    (dir, wanted)
}

#[test]
fn runs_stay_few_however_many_are_written_and_lose_nothing_by_being_merged() {
    let dir = directory();
    let store = open(dir.path(), 8);
    // Each run is of two segments or three, and of some 60 events.
    fill(&store, 6000);
    assert!(store.stats().segments > 140, "{:?}", store.stats());
    let mut more = 6000;
    while store.stats().index_runs > 24 {
        more += 70;
        fill(&store, more);
        assert!(more < 20_000, "{} runs are left", store.stats().index_runs);
    }
    let wanted = answers(&store);
    assert_eq!(store.verify().unwrap().faults, []);
    store.close().unwrap();
    assert_equal(&open(dir.path(), 8), &wanted);
    // The log alone says the same.
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    assert_equal(&open(dir.path(), 8), &wanted);
}

/// Opens a store of which one run is damaged; `None` when that is refused, and it must name the run then.
fn opened(dir: &Path, run: &Path) -> Option<Store> {
    match Options::new().open(dir) {
        Ok(store) => Some(store),
        Err(Error::Damaged(damage)) => {
            assert_eq!(dir.join(&damage.place.file), run, "{damage}");
            None
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_damaged_byte_of_a_run_never_changes_an_answer_and_verify_finds_it() {
    let (dir, wanted) = filled(128, 2500);
    let run = runs(dir.path())[0].clone();
    let whole = fs::read(&run).unwrap();
    assert!(whole.len() > 5 * 4096, "only {} bytes", whole.len());
    let (mut refused, mut rebuilt) = (0, 0);
    for at in (0..whole.len()).step_by(1021).chain([whole.len() - 1]) {
        let copy = copied(dir.path());
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        let path = copy.path().join("index").join(run.file_name().unwrap());
        fs::write(&path, &damaged).unwrap();
        let faults = verify(copy.path(), &mut |_| {}).unwrap().faults;
        // The run, and nothing else.
        let places: Vec<_> = faults.iter().map(|fault| copy.path().join(&fault.place.file)).collect();
        assert_eq!(places, std::slice::from_ref(&path), "byte {at}: {faults:?}");

        let Some(store) = opened(copy.path(), &path) else {
            refused += 1;
            continue;
        };
        let mut faults = 0;
        for ((question, found, fault), (_, wanted, _)) in answers(&store).into_iter().zip(&wanted) {
            match fault {
                None => assert_eq!(found, *wanted, "byte {at}: {question}"),
                Some(Error::Damaged(damage)) => {
                    assert_eq!(copy.path().join(&damage.place.file), path, "byte {at}: {damage}");
                    assert!(wanted.starts_with(&found), "byte {at}: {question}");
                    faults += 1;
                }
                Some(other) => panic!("{other}"),
            }
        }
        if faults > 0 {
            refused += 1
        } else {
            rebuilt += 1
        }
        drop(store);
        fs::remove_dir_all(copy.path().join("index")).unwrap();
        assert_equal(&open(copy.path(), 128), &wanted);
    }
    assert!(refused > 0 && rebuilt > 0, "{refused} {rebuilt}");
}

#[test]
fn runs_that_are_deleted_cut_swapped_or_of_another_store_are_made_anew_and_equal() {
    let (dir, wanted) = filled(8, 1500);
    let (other, _) = filled(8, 1500);
    let count = runs(dir.path()).len();
    assert!(count >= 3);
    let spoil = |spoil: &dyn Fn(&[PathBuf])| {
        let copy = copied(dir.path());
        spoil(&runs(copy.path()));
        assert_equal(&open(copy.path(), 8), &wanted);
        // Opened a second time, with what the first time has left.
        let store = open(copy.path(), 8);
        assert_equal(&store, &wanted);
        fill(&store, 2500);
        store.close().unwrap();
        assert_eq!(verify(copy.path(), &mut |_| {}).unwrap().faults, []);
    };
    let foreign = runs(other.path());
    let put = |from: &Path, to: &Path| {
        fs::copy(from, to).unwrap();
    };
    for at in [0, 1, count - 1] {
        spoil(&|runs| fs::remove_file(&runs[at]).unwrap());
        spoil(&|runs| fs::write(&runs[at], "").unwrap());
        spoil(&|runs| put(&runs[(at + 1) % count], &runs[at]));
        spoil(&|runs| put(&foreign[0], &runs[at]));
    }
    spoil(&|runs| {
        runs.iter().for_each(|run| fs::remove_file(run).unwrap());
        let index = runs[0].parent().unwrap();
        foreign.iter().for_each(|run| put(run, &index.join(run.file_name().unwrap())));
    });
}

#[test]
fn runs_of_an_older_state_of_the_store_are_taken_up_and_the_rest_is_made_anew() {
    let dir = directory();
    let store = open(dir.path(), 8);
    fill(&store, 700);
    store.close().unwrap();
    let older = copied(dir.path());
    let store = open(dir.path(), 8);
    fill(&store, 3000);
    let wanted = answers(&store);
    store.close().unwrap();
    // In place of the newer runs, and beside them.
    for beside in [false, true] {
        let copy = copied(dir.path());
        if !beside {
            fs::remove_dir_all(copy.path().join("index")).unwrap();
            fs::create_dir(copy.path().join("index")).unwrap();
        }
        copy_over(&older.path().join("index"), &copy.path().join("index"));
        assert_eq!(verify(copy.path(), &mut |_| {}).unwrap().faults, []);
        assert_equal(&open(copy.path(), 8), &wanted);
    }
}

#[test]
fn a_backup_of_the_log_put_in_place_goes_another_way_and_the_runs_of_the_lost_events_do_not_mislead_it() {
    let dir = directory();
    let store = open(dir.path(), 64);
    fill(&store, 700);
    store.close().unwrap();
    let backup = copied(dir.path());
    let store = open(dir.path(), 64);
    fill(&store, 1600);
    store.close().unwrap();
    fs::remove_dir_all(dir.path().join("log")).unwrap();
    fs::create_dir(dir.path().join("log")).unwrap();
    copy_over(&backup.path().join("log"), &dir.path().join("log"));
    fs::copy(backup.path().join("MANIFEST"), dir.path().join("MANIFEST")).unwrap();
    // Other events at the same positions, closed before the index has any reason to write.
    let store = open(dir.path(), 4096);
    let other = StreamName::new("other").unwrap();
    for _ in 0..100 {
        let events = (0..10).map(|_| NewEvent::new(EventType::new("Other").unwrap(), vec![1; 20])).collect();
        store.append(&other, ExpectedVersion::Any, events).unwrap();
    }
    let wanted = answers(&store);
    store.close().unwrap();
    let store = open(dir.path(), 4096);
    assert_equal(&store, &wanted);
    assert_eq!(store.stream_version(&other).unwrap(), Version::new(1000));
    assert_eq!(store.read_stream(&other).filter_map(Result::ok).count(), 1000);
    assert_eq!(store.verify().unwrap().faults, []);
}
