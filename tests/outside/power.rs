//! The power is cut: an ext4 of its own is told to write nothing more, in the middle of appends, and is mounted anew.
//!
//! What was synced is there then, and what was not is gone, in part or whole; unlike after a kill, where the kernel
//! keeps what was written.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::ioctl::{Setter, ioctl, opcode};

use crate::{
    ledger::Ledger,
    setting::{Random, can_run, cycles, must_run, skipped, with_own_mounts},
    worker::{Role, Worker},
};

/// A file system that is a file of another one.
struct Loop {
    dir: tempfile::TempDir,
}

impl Loop {
    fn made() -> Result<Loop, String> {
        let dir = tempfile::tempdir().unwrap();
        let disk = Loop { dir };
        File::create(disk.image()).unwrap().set_len(512 << 20).unwrap();
        fs::create_dir(disk.root()).unwrap();
        // Without lazy initialisation nothing but the store writes to it.
        let options = "lazy_itable_init=0,lazy_journal_init=0";
        can_run(&["mkfs.ext4", "-q", "-F", "-E", options, disk.image().to_str().unwrap()])?;
        disk.mount()?;
        Ok(disk)
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn store(&self) -> PathBuf {
        self.root().join("store")
    }

    fn mount(&self) -> Result<(), String> {
        can_run(&["mount", "-o", "loop", self.image().to_str().unwrap(), self.root().to_str().unwrap()])
    }

    fn unmount(&self) {
        must_run(&["umount", self.root().to_str().unwrap()]);
    }
}

/// Lets nothing more reach the disk, not even the journal.
fn cut_power(root: &Path) -> rustix::io::Result<()> {
    const SHUTDOWN: rustix::ioctl::Opcode = opcode::read::<u32>(b'X', 125);
    const WITHOUT_THE_JOURNAL: u32 = 2;
    let root = File::open(root).unwrap();
    #[allow(unsafe_code)]
    // SAFETY: this operation reads one u32 through the pointer that it is given.
    unsafe {
        ioctl(root, Setter::<SHUTDOWN, u32>::new(WITHOUT_THE_JOURNAL))
    }
}

#[test]
fn every_acknowledged_event_survives_a_power_cut() {
    with_own_mounts("power::every_acknowledged_event_survives_a_power_cut", || match Loop::made() {
        Ok(disk) => cut_again_and_again(&disk),
        Err(why) => skipped(format_args!("no ext4 of our own: {why}")),
    });
}

/// Cuts of one store. All of it is read after each, so the long run takes more stores and not more cuts of each.
const CUTS: usize = 10;

fn cut_again_and_again(disk: &Loop) {
    let stores = cycles(1, 10);
    let mut random = Random::seeded();
    let (mut acknowledged, mut events, mut lost, mut slowest) = (0, 0, 0, Duration::ZERO);
    for _ in 0..stores {
        let mut ledger = Ledger::default();
        let mut left = 0;
        for run in 0..CUTS {
            if let Err(why) = cut_under(disk, Role::Crowd { run, writers: 1 + run % 4 }, &mut random, &mut ledger) {
                return skipped(why);
            }
            let sent = ledger.sent();
            let started = Instant::now();
            disk.mount().unwrap();
            left = ledger.check(&disk.store(), &format!("cut {run}"));
            slowest = slowest.max(started.elapsed());
            lost += sent - ledger.sent();
        }
        acknowledged += ledger.acknowledged();
        events += left;
        fs::remove_dir_all(disk.store()).unwrap();
    }
    disk.unmount();
    let cuts = stores * CUTS;
    say!(
        "{cuts} power cuts, {acknowledged} appends acknowledged, {events} events, {lost} appends that were not \
         acknowledged were lost, mounted and checked in {slowest:?} at most"
    );
    assert!(acknowledged > cuts * 20 && lost > 0, "too little to show anything");
}

/// Starts a worker, cuts the power under it at some moment, and unmounts what is left. The error says why that cannot be done.
fn cut_under(disk: &Loop, role: Role, random: &mut Random, ledger: &mut Ledger) -> Result<(), String> {
    let mut worker = Worker::start(&disk.store(), role);
    for _ in 0..random.below(600) {
        ledger.take(&worker.line().expect("the worker ended by itself"));
    }
    let (started, spin) = (Instant::now(), Duration::from_nanos(random.below(3_000_000)));
    while started.elapsed() < spin {
        std::hint::spin_loop();
    }
    let cut = cut_power(&disk.root());
    // Whoever appends now is told so; what was acknowledged shortly before may still be on its way here.
    while cut.is_ok() && ledger.failures.is_empty() {
        ledger.take(&worker.line().expect("the worker ended by itself"));
    }
    worker.kill();
    while let Some(line) = worker.line() {
        ledger.take(&line);
    }
    for failure in ledger.failures.drain(..) {
        let typed = ["OutcomeUnknown ", "Io "].iter().any(|kind| failure.starts_with(kind));
        assert!(typed, "{failure}");
    }
    disk.unmount();
    cut.map_err(|error| format!("the power cannot be cut: {error}"))
}

/// So often at most the power is cut until something is lost.
const HASTY_CUTS: usize = 20;

/// A store that acknowledges before it syncs would not pass: the cut is a real one.
#[test]
fn a_power_cut_takes_what_was_acknowledged_before_it_was_synced() {
    with_own_mounts("power::a_power_cut_takes_what_was_acknowledged_before_it_was_synced", || {
        let mut random = Random::seeded();
        let cut = Loop::made().and_then(|disk| {
            // A sync for another reason, such as the next segment's, may have come just before the cut.
            for _ in 0..HASTY_CUTS {
                let mut ledger = Ledger::default();
                cut_under(&disk, Role::Hasty { run: 0, writers: 4 }, &mut random, &mut ledger)?;
                disk.mount()?;
                let lost = ledger.lost(&disk.store());
                fs::remove_dir_all(disk.store()).unwrap();
                say!("{lost} of {} appends lost that were acknowledged before they were synced", ledger.acknowledged());
                if lost > 0 {
                    disk.unmount();
                    return Ok(());
                }
            }
            panic!("nothing was lost in {HASTY_CUTS} cuts");
        });
        if let Err(why) = cut {
            skipped(format_args!("no ext4 of our own: {why}"));
        }
    });
}
