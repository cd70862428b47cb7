//! A disk filled to the last byte: a tmpfs of a few megabytes.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
};

use crate::{
    setting::{can_run, skipped, with_own_mounts},
    support::{Run, command, event, finish},
    worker::{Role, Worker},
};

const NO_SPACE: &str = "failed NoSpace ";

/// A file that takes up all the room that is left, and the store beside it.
struct Disk {
    root: tempfile::TempDir,
}

impl Disk {
    fn made() -> Result<Disk, String> {
        let disk = Disk { root: tempfile::tempdir().unwrap() };
        let root = disk.root.path().to_str().unwrap();
        can_run(&["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", root]).map(|()| disk)
    }

    fn store(&self) -> PathBuf {
        self.root.path().join("store")
    }

    fn filler(&self) -> PathBuf {
        self.root.path().join("filler")
    }

    fn run(&self, arguments: &[&str], input: &str) -> Run {
        finish(&mut command(&self.store(), arguments), input.as_bytes())
    }

    /// Takes up what is left, the last byte too; gives the number of bytes.
    fn fill(&self) -> u64 {
        let mut filler = File::options().create(true).append(true).open(self.filler()).unwrap();
        for size in [64 << 10, 1] {
            while filler.write_all(&vec![b'x'; size]).is_ok() {}
        }
        filler.metadata().unwrap().len()
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

#[test]
fn a_disk_filled_to_the_last_byte_refuses_appends_serves_reads_and_takes_appends_again_when_there_is_room() {
    const NAME: &str = "full_disk::a_disk_filled_to_the_last_byte_refuses_appends_serves_reads_and_takes_appends_again_when_there_is_room";
    with_own_mounts(NAME, || match Disk::made() {
        Ok(disk) => fill_it(&disk),
        Err(why) => skipped(format_args!("no tmpfs of our own: {why}")),
    });
}

fn fill_it(disk: &Disk) {
    let mut worker = Worker::start(&disk.store(), Role::Lines);
    assert_eq!(worker.ask("append 3000"), "stored 1");
    assert_eq!(worker.ask("note"), "noted 1");
    let (mut stored, mut refused, mut filled) = (1, 0, 0);
    for round in 0..4 {
        filled += disk.fill();
        stored = append_until_refused(&mut worker, stored);
        // Again and again, and never half.
        for _ in 0..5 {
            let answer = worker.ask("append 3000");
            assert!(answer.starts_with(NO_SPACE), "round {round}: {answer}");
            refused += 1;
        }
        // A cursor's file is replaced by another one, for which there is no room.
        let noted = worker.ask("note");
        assert!(noted.starts_with(NO_SPACE), "round {round}: {noted}");
        assert_eq!(worker.ask("read"), format!("done {stored}"), "round {round}");
        read_beside(disk, stored);
        // The same process goes on as soon as there is room.
        disk.make_room();
        for _ in 0..20 {
            stored += 1;
            assert_eq!(worker.ask("append 3000"), format!("stored {stored}"), "round {round}");
        }
        assert_eq!(worker.ask("note"), format!("noted {stored}"), "round {round}");
    }
    filled += disk.fill();
    worker.kill();
    refused += restart_while_full(disk, &mut stored);
    say!("{filled} bytes of filling, {stored} events stored, {refused} appends refused");
    assert!(stored > 100 && refused >= 20, "too little to show anything");
}

/// Appends as long as the segment that is written to has room; gives the number of events then.
fn append_until_refused(worker: &mut Worker, mut stored: u64) -> u64 {
    loop {
        let answer = worker.ask("append 3000");
        if !answer.starts_with("stored ") {
            assert!(answer.starts_with(NO_SPACE), "{answer}");
            return stored;
        }
        stored += 1;
        assert_eq!(answer, format!("stored {stored}"));
    }
}

/// Everything that only reads is served on the full disk, by other processes.
fn read_beside(disk: &Disk, stored: u64) {
    let read = disk.run(&["read"], "");
    assert_eq!((read.code, read.lines().len() as u64), (Some(0), stored), "{}", read.stderr);
    for command in ["stats", "streams", "verify"] {
        let run = disk.run(&[command], "");
        assert_eq!(run.code, Some(0), "{command}: {}", run.stderr);
    }
}

/// A store that was killed on a full disk is opened there, and opened again by others.
fn restart_while_full(disk: &Disk, stored: &mut u64) -> usize {
    read_beside(disk, *stored);
    // By the command: an exit code, words, and nothing stored of what needs a new segment.
    let run = disk.run(&["append", "s"], &event(format!("\"{}\"", "x".repeat(700_000))));
    assert_eq!((run.code, run.stdout.len()), (Some(1), 0), "{run:?}");
    assert!(run.stderr.contains("no space left for "), "{}", run.stderr);
    let mut worker = Worker::start(&disk.store(), Role::Lines);
    assert_eq!(worker.ask("read"), format!("done {stored}"));
    *stored = append_until_refused(&mut worker, *stored);
    for _ in 0..5 {
        let answer = worker.ask("append 3000");
        assert!(answer.starts_with(NO_SPACE), "{answer}");
    }
    disk.make_room();
    for _ in 0..20 {
        *stored += 1;
        assert_eq!(worker.ask("append 3000"), format!("stored {stored}"));
    }
    worker.kill();
    let verified = disk.run(&["verify"], "");
    assert_eq!(verified.code, Some(0), "{verified:?}");
    read_beside(disk, *stored);
    6
}

#[test]
fn a_new_store_on_a_full_disk_is_refused_and_can_be_made_when_there_is_room() {
    const NAME: &str = "full_disk::a_new_store_on_a_full_disk_is_refused_and_can_be_made_when_there_is_room";
    with_own_mounts(NAME, || match Disk::made() {
        Ok(disk) => {
            disk.fill();
            let run = disk.run(&["append", "s"], &event(1));
            assert_eq!((run.code, run.stdout.len()), (Some(1), 0), "{run:?}");
            assert!(run.stderr.contains("no space left for "), "{}", run.stderr);
            disk.make_room();
            assert_eq!(disk.run(&["append", "s"], &event(1)).code, Some(0));
            assert_eq!(disk.run(&["verify"], "").code, Some(0));
        }
        Err(why) => skipped(format_args!("no tmpfs of our own: {why}")),
    });
}

#[test]
fn a_repair_that_finds_no_room_leaves_nothing_and_succeeds_when_there_is_some() {
    const NAME: &str = "full_disk::a_repair_that_finds_no_room_leaves_nothing_and_succeeds_when_there_is_some";
    with_own_mounts(NAME, || match Disk::made() {
        Ok(disk) => {
            for at in 0..50 {
                assert_eq!(disk.run(&["append", "s"], &event(at)).code, Some(0));
            }
            let segment = disk.store().join("log/00000000000000000001.seg");
            let mut bytes = fs::read(&segment).unwrap();
            bytes[4096 + 50] ^= 1;
            fs::write(&segment, bytes).unwrap();
            // With room for nothing, for a report, and for a segment but not its copy.
            for room in [0, 16 << 10, 300 << 10] {
                let filled = disk.fill();
                File::options().write(true).open(disk.filler()).unwrap().set_len(filled - room).unwrap();
                let run = disk.run(&["repair"], "");
                assert_eq!(run.code, Some(1), "{room}: {run:?}");
                assert!(run.stderr.contains("no space left for "), "{room}: {}", run.stderr);
                assert!(!disk.store().join("damaged").exists(), "{room}");
                let log = fs::read_dir(disk.store().join("log")).unwrap();
                assert!(log.flatten().all(|file| !file.path().to_str().unwrap().ends_with(".mended")), "{room}");
            }
            disk.make_room();
            assert_eq!(disk.run(&["repair"], "").code, Some(0));
            assert_eq!(disk.run(&["verify"], "").code, Some(0));
        }
        Err(why) => skipped(format_args!("no tmpfs of our own: {why}")),
    });
}

#[test]
fn an_append_that_is_acknowledged_ends_well_also_where_closing_finds_no_room() {
    const NAME: &str = "full_disk::an_append_that_is_acknowledged_ends_well_also_where_closing_finds_no_room";
    with_own_mounts(NAME, || match Disk::made() {
        Ok(disk) => {
            let mut worker = Worker::start(&disk.store(), Role::Lines);
            assert_eq!(worker.ask("append 3000"), "stored 1");
            // There is no mark of a clean close to be taken away first, for which there would be no room either.
            worker.kill();
            disk.fill();
            let run = disk.run(&["append", "s"], &event(1));
            assert_eq!((run.code, run.lines().len()), (Some(0), 1), "{run:?}");
            assert!(run.stderr.contains("everything that was acknowledged is on the disk"), "{}", run.stderr);
            assert!(run.stderr.contains("no space left for "), "{}", run.stderr);
            read_beside(&disk, 2);
            disk.make_room();
            assert_eq!(disk.run(&["append", "s"], &event(1)).code, Some(0));
            assert_eq!(disk.run(&["verify"], "").code, Some(0));
        }
        Err(why) => skipped(format_args!("no tmpfs of our own: {why}")),
    });
}
