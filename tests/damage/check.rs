//! What must be true of a store that was damaged, before and after it is repaired.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use factlog::{
    Error, EventType, ExpectedVersion, Lost, NewEvent, Options, Position, ReadAll, RepairMode, RepairReport, Store,
    Version, repair, verify,
};

use super::sample::{Left, STREAMS, Sample, files, line, options, stream};

/// Faults that `verify` names.
/// They are looked for where nothing may be changed.
pub fn faults(dir: &Path) -> Vec<String> {
    match verify(dir, &mut |_| {}) {
        Ok(verified) => verified.faults.iter().map(ToString::to_string).collect(),
        Err(Error::NotAStore { reason, .. }) => vec![reason],
        Err(error) => panic!("{error}"),
    }
}

/// Whether everything that is read is as it was written; whatever is not, is an error that the store names. Panics when
/// something else is given out.
pub fn reads_as_written(sample: &Sample, dir: &Path, what: &str) -> bool {
    let store = match Options::new().read_only(true).open(dir) {
        Ok(store) => store,
        Err(Error::Damaged(_) | Error::NotAStore { .. }) => return false,
        Err(error) => panic!("{what}: {error}"),
    };
    let mut named = false;
    let mut wanted = sample.events.iter();
    for event in store.read_all(ReadAll::after(Position::START)) {
        match event {
            Ok(event) => assert_eq!(Some(&line(&event)), wanted.next(), "{what}"),
            Err(Error::Damaged(_)) => named = true,
            Err(error) => panic!("{what}: {error}"),
        }
    }
    let missing = wanted.count() as u64;
    if missing > 0 && !named {
        // One disk cannot tell damage to the last batch from an append that was never acknowledged.
        let may_miss = sample.left == Left::Killed && missing <= sample.events.len() as u64 + 1 - sample.last_batch;
        assert!(may_miss && store.dropped_bytes() > 0, "{what}: {missing} events are missing and nothing says so");
        return false;
    }
    for number in 0..STREAMS {
        let name = format!(" {} ", stream(number));
        let mut wanted = sample.events.iter().filter(|line| line.contains(&name));
        for event in store.read_stream(&stream(number)) {
            match event {
                Ok(event) => assert_eq!(Some(&line(&event)), wanted.next(), "{what}"),
                Err(Error::Damaged(_)) => named = true,
                Err(error) => panic!("{what}: {error}"),
            }
        }
        assert!(named || wanted.next().is_none(), "{what}: stream {number} is shorter and nothing says so");
    }
    named |= beside_differs(sample, &store, what);
    !named
}

/// Whether a cursor or a snapshot is named as damaged. What is given out is what was saved, now or earlier.
fn beside_differs(sample: &Sample, store: &Store, what: &str) -> bool {
    let mut named = false;
    for (name, position) in &sample.cursors {
        match store.cursor(name) {
            // One that is missing or older repeats work.
            Ok(cursor) => assert!(cursor.position() <= *position, "{what}: {name} is ahead"),
            Err(Error::Damaged(_)) => named = true,
            Err(error) => panic!("{what}: {error}"),
        }
    }
    match store.load_snapshot(&stream(2), Version::MAX) {
        Ok(loaded) => {
            named |= !loaded.skipped.is_empty();
            let state = loaded.snapshot.map(|snapshot| snapshot.state);
            assert!(state.is_none_or(|state| state == b"{\"sum\":1}"[..]), "{what}");
        }
        Err(Error::Damaged(_)) => named = true,
        Err(error) => panic!("{what}: {error}"),
    }
    named
}

/// Repairs a damaged copy and checks all that a repair promises. At most these events may be lost.
pub fn repairs(sample: &Sample, dir: &Path, may_lose: &[u64], what: &str) -> RepairReport {
    let before = files(dir);
    let preview = repair(dir, RepairMode::DryRun, &mut |_| {}).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(before, files(dir), "{what}: a dry run changes nothing");
    let report = repair(dir, RepairMode::Repair, &mut |_| {}).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!((&preview.lost, &preview.versions), (&report.lost, &report.versions), "{what}");
    assert_eq!(preview.set_aside, report.set_aside, "{what}");
    nothing_is_deleted(&before, dir, &report, what);

    let mut lost = BTreeSet::new();
    for range in &report.lost {
        let Lost::Positions { first, last } = range else { panic!("{what}: {range}") };
        lost.extend(first.get()..=last.get());
    }
    let extra: Vec<_> = lost.iter().filter(|position| !may_lose.contains(position)).collect();
    assert!(extra.is_empty(), "{what}: {extra:?} could have been kept; {}", report.to_json_lines());

    assert_eq!(faults(dir), Vec::<String>::new(), "{what}");
    let store = options().create(false).open(dir).unwrap_or_else(|error| panic!("{what}: {error}"));
    all_is_accounted_for(sample, &store, &lost, what);
    let last = store.last_position();
    let event = NewEvent::new(EventType::new("After").unwrap(), "{}");
    let appended = store.append(&stream(1), ExpectedVersion::Any, vec![event]).unwrap();
    assert_eq!(appended.position, last.next(), "{what}");
    store.close().unwrap();
    assert_eq!(faults(dir), Vec::<String>::new(), "{what}");
    report
}

/// Every event is there or lost, by position and by version.
fn all_is_accounted_for(sample: &Sample, store: &Store, lost: &BTreeSet<u64>, what: &str) {
    let mut next = 1;
    for event in store.read_all(ReadAll::after(Position::START)) {
        match event {
            Ok(event) => {
                assert_eq!(Some(&line(&event)), sample.events.get(next as usize - 1), "{what}");
                next += 1;
            }
            Err(Error::Lost(Lost::Positions { first, last })) => {
                assert!((first.get()..=last.get()).all(|position| lost.contains(&position)), "{what}");
                assert_eq!(first.get(), next, "{what}");
                next = last.get() + 1;
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }
    let end = sample.events.len() as u64;
    let dropped = sample.left == Left::Killed && next == sample.last_batch;
    // With the manifest, what told that the last events were there may be gone as well.
    let forgotten = what.contains(';') && what.contains("MANIFEST");
    assert!(next > end || dropped || forgotten, "{what}: the log ends before position {next}, and {end} were there");
    for (name, wanted) in sample.versions() {
        let mut next = Version::FIRST;
        for event in store.read_stream(&name) {
            let version = match event {
                Ok(event) => event.version(),
                Err(Error::Lost(Lost::Version { version, .. })) => version,
                Err(error) => panic!("{what}: {error}"),
            };
            assert_eq!(version, next, "{what}: `{name}`");
            next = version.next();
        }
        assert_eq!(store.stream_version(&name).unwrap().next(), next, "{what}");
        // Without the index nobody knows of what is lost behind a stream's last event.
        assert!(next <= wanted.next(), "{what}: `{name}` has version {next}, {wanted} were there");
    }
    let lost_by_all = |read: ReadAll| store.read_all(read).filter(Result::is_err).count() > 0;
    let by_type = ReadAll::after(Position::START).event_type(EventType::new("Paid").unwrap());
    let by_category = ReadAll::after(Position::START).category("c1");
    for read in [by_type.clone(), by_category.clone(), by_type.backwards(), by_category.backwards()] {
        assert_eq!(lost_by_all(read), !lost.is_empty(), "{what}: whatever is lost may have been asked for");
    }
}

/// What was in a file before is in it now, or set aside, or a file that is no longer needed was moved.
fn nothing_is_deleted(before: &BTreeMap<PathBuf, Vec<u8>>, dir: &Path, report: &RepairReport, what: &str) {
    let after = files(dir);
    for (path, bytes) in before {
        // Whose lock it is, how far the log is published, and the mark of a clean close change with every opening.
        let living = ["LOCK", "POSITION", "MANIFEST"].iter().any(|name| path == Path::new(name));
        let aside = report.directory.as_ref().and_then(|aside| after.get(&aside.join(path)));
        let kept = after.get(path) == Some(bytes) || aside == Some(bytes);
        assert!(kept || living || path.starts_with("index"), "{what}: {} is gone", path.display());
    }
}
