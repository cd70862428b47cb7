//! What is no file where a file of the store belongs, and no directory where one of its directories does.

use std::{fs, os::unix::fs::symlink, path::Path};

use factlog::{RepairMode, repair};

use super::{
    check::{faults, reads_as_written, repairs},
    sample::{Left, Sample, files},
};

#[test]
fn a_directory_in_place_of_any_file_is_named_and_set_aside_with_all_that_is_in_it() {
    let sample = Sample::new(Left::Closed, 21);
    for (file, bytes) in &sample.files {
        let (copy, what) = (sample.copy(), format!("a directory in place of {}", file.display()));
        fs::remove_file(copy.path().join(file)).unwrap();
        fs::create_dir(copy.path().join(file)).unwrap();
        fs::write(copy.path().join(file).join("inside"), bytes).unwrap();
        is_named(copy.path(), file, &what);
        if file != Path::new("LOCK") {
            reads_as_written(&sample, copy.path(), &what);
        }
        let report = repairs(&sample, copy.path(), &sample.events_in(file, 0..bytes.len()), &what);
        let aside = copy.path().join(report.directory.unwrap()).join(file).join("inside");
        assert_eq!(&fs::read(aside).unwrap(), bytes, "{what}");
    }
    assert!(sample.files.len() >= 12);
}

#[test]
fn a_link_that_leads_nowhere_in_place_of_any_file_is_named_and_set_aside() {
    let sample = Sample::new(Left::Closed, 22);
    for (file, bytes) in &sample.files {
        let (copy, what) = (sample.copy(), format!("a link in place of {}", file.display()));
        fs::remove_file(copy.path().join(file)).unwrap();
        symlink("/nonexistent/place", copy.path().join(file)).unwrap();
        is_named(copy.path(), file, &what);
        let report = repairs(&sample, copy.path(), &sample.events_in(file, 0..bytes.len()), &what);
        let aside = copy.path().join(report.directory.unwrap()).join(file);
        assert!(fs::symlink_metadata(aside).unwrap().is_symlink(), "{what}");
    }
}

#[test]
fn a_file_in_place_of_a_directory_is_named_and_set_aside() {
    let sample = Sample::new(Left::Closed, 23);
    for place in ["log", "index", "snapshots", "cursors"] {
        let (copy, what) = (sample.copy(), format!("a file in place of {place}"));
        fs::remove_dir_all(copy.path().join(place)).unwrap();
        fs::write(copy.path().join(place), "a file").unwrap();
        is_named(copy.path(), Path::new(place), &what);
        let all: Vec<u64> = (1..=sample.events.len() as u64).collect();
        let report = repairs(&sample, copy.path(), if place == "log" { &all } else { &[] }, &what);
        assert_eq!(fs::read(copy.path().join(report.directory.unwrap()).join(place)).unwrap(), b"a file", "{what}");
    }
}

#[test]
fn a_lock_file_that_holds_something_else_is_named_by_the_repair_that_overwrites_it_and_kept() {
    let sample = Sample::new(Left::Closed, 24);
    for content in [&b"not a process"[..], &[b'x'; 3000]] {
        let copy = sample.copy();
        fs::write(copy.path().join("LOCK"), content).unwrap();
        let report = repair(copy.path(), RepairMode::Repair, &mut |_| {}).unwrap();
        assert_eq!(report.faults.len(), 1, "{report:?}");
        assert_eq!(report.faults[0].place.file, Path::new("LOCK"));
        assert_eq!(report.set_aside, [Path::new("LOCK")]);
        assert_eq!(fs::read(copy.path().join(report.directory.unwrap()).join("LOCK")).unwrap(), content);
        assert_eq!(faults(copy.path()), Vec::<String>::new());
    }
}

fn is_named(dir: &Path, file: &Path, what: &str) {
    let (named, name) = (faults(dir), file.display().to_string());
    assert!(named.iter().any(|fault| fault.contains(&name)), "{what}: `verify` names {named:?}");
    let report = repair(dir, RepairMode::DryRun, &mut |_| {}).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(report.faults.iter().any(|damage| damage.place.file == file), "{what}: {report:?}");
    assert!(files(dir).keys().all(|path| !path.starts_with("damaged")), "{what}");
}
