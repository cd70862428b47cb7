//! Every workload of a few operations, with a crash at each operation of the disk, and each combination of the unsynced writes
//! kept and lost up to a bound; beyond it, and for torn sectors and the like, some that chance chooses.

use std::{
    collections::HashSet,
    sync::Mutex,
    time::{Duration, Instant},
};

use factlog::sim::{Chance, Image, Moment};

use super::{
    check::Expected,
    ledger::{Crash, Ledger},
    numbers::Numbers,
    workload::{Do, Run, base, chance_of},
};

/// Combinations tried one after the other, of one moment.
const COMBINATIONS: usize = 16;
/// Others, at the level of sectors.
const SAMPLES: usize = 4;

/// What the workloads begin with.
pub struct Begin {
    pub name: &'static str,
    history: Vec<Do>,
    relaxed: bool,
}

impl Begin {
    pub fn all() -> Vec<Begin> {
        // Segments, seven runs of the index, and a part that becomes the eighth: then they are merged.
        let full: Vec<Do> = [vec![Do::Roll; 24], vec![Do::Cursor, Do::Snapshot, Do::Append]].concat();
        let begin = |name, history: &[Do], relaxed| Begin { name, history: history.to_vec(), relaxed };
        vec![
            begin("nothing", &[], false),
            begin("a store", &[Do::Append, Do::Batch, Do::Cursor, Do::Snapshot], false),
            begin("a store with runs", &full, false),
            begin("a relaxed store", &[Do::Append, Do::Batch], true),
        ]
    }
}

/// What was checked already.
type Seen = Mutex<HashSet<(u64, u64)>>;

/// Checks all that a crash at this moment can leave.
fn check_moment(
    moment: &Moment,
    run: &Run,
    ledger: &Ledger,
    chance: &mut Chance,
    seen: &Seen,
    numbers: &mut Numbers,
) -> Result<(), String> {
    let mark = moment.mark;
    let mut check = |image: &Image, crash: Crash, chance: &mut Chance| {
        let expectation = ledger.expectation(mark, crash);
        if !seen.lock().unwrap().insert((image.fingerprint(), expectation)) {
            return Ok(());
        }
        numbers.recoveries += 1;
        let expected = Expected { ledger, mark, crash };
        let said = |error| format!("{crash:?} before operation {} `{}`: {error}", moment.operation, moment.before);
        expected.check(&run.options, image, chance).map(|_| ()).map_err(said)
    };
    // A kill leaves everything, and what was not synced then may still be lost later.
    check(&moment.image, Crash::Kill, chance)?;
    numbers.kills += 1;
    let mut turns = Chance::every();
    for _ in 0..COMBINATIONS {
        let image = moment.image.after_power_cut(&mut turns, &mut numbers.tally);
        check(&image, Crash::PowerCut, chance)?;
        numbers.power_cuts += 1;
        if !turns.next_turn() {
            break;
        }
    }
    if moment.image.pending() > 0 {
        for _ in 0..SAMPLES {
            let image = moment.image.after_power_cut(chance, &mut numbers.tally);
            check(&image, Crash::PowerCut, chance)?;
            numbers.power_cuts += 1;
        }
    }
    Ok(())
}

/// Does the workload, and checks a crash at each operation of the disk during its last part: those before are those of a
/// shorter workload.
fn check_workload(
    begin: &Begin,
    (image, ledger): &(Image, Ledger),
    workload: &[Do],
    seen: &Seen,
) -> Result<Numbers, String> {
    let mut chance = chance_of(&(begin.name, workload));
    let mut run = Run::new(image.disk(chance.below(1 << 40)), begin.relaxed);
    run.ledger = ledger.clone();
    let mut numbers = Numbers { workloads: 1, ..Numbers::default() };
    if workload.len() == 1 {
        // Opening, too.
        run.disk.keep_moments();
    }
    run.store()?;
    let Some((last, before)) = workload.split_last() else { return Ok(numbers) };
    before.iter().try_for_each(|what| run.apply(*what))?;
    if !before.is_empty() {
        run.mark();
        run.disk.keep_moments();
    }
    // A kill goes on with another disk.
    let disk = run.disk.clone();
    run.apply(*last)?;
    run.read_back()?;
    let mut moments = disk.moments();
    if *last == Do::Kill {
        moments.extend(run.disk.moments());
    }
    for moment in moments {
        check_moment(&moment, &run, &run.ledger.clone(), &mut chance, seen, &mut numbers)?;
    }
    if let Some(violation) = run.disk.violations().first() {
        return Err(violation.clone());
    }
    numbers.acknowledged += run.ledger.acknowledged() - ledger.acknowledged();
    Ok(numbers)
}

/// The workload of this number among those of this length.
fn workload(number: u64, length: u32) -> Vec<Do> {
    let all = Do::ALL.len() as u64;
    (0..length).map(|place| Do::ALL[(number / all.pow(place) % all) as usize]).collect()
}

/// One workload, each crash in its last operation.
pub fn check_one(begin: &Begin, workload: &[Do]) -> Result<Numbers, String> {
    check_workload(begin, &base(&begin.history, begin.relaxed, 1)?, workload, &Seen::default())
}

/// All workloads of up to `whole` operations, and longer ones of up to four as chance chooses until the time is up.
pub fn check_all(begins: &[Begin], whole: u32, time: Duration, seed: u64) -> Result<Numbers, String> {
    let started = Instant::now();
    let mut numbers = Numbers::default();
    let all = Do::ALL.len() as u64;
    let mut chance = Chance::seeded(seed);
    let said = |begin: &Begin, workload: &[Do], error| format!("beginning with {}, {workload:?}: {error}", begin.name);
    let mut bases = Vec::new();
    for begin in begins {
        bases.push(base(&begin.history, begin.relaxed, 1).map_err(|error| said(begin, &begin.history, error))?);
    }
    let seen = Seen::default();
    let mut check = |begin: usize, workload: &[Do]| {
        let checked = check_workload(&begins[begin], &bases[begin], workload, &seen);
        numbers.add(checked.map_err(|error| said(&begins[begin], workload, error))?);
        Ok::<_, String>(())
    };
    for begin in 0..begins.len() {
        for length in 1..=whole {
            for number in 0..all.pow(length) {
                check(begin, &workload(number, length))?;
            }
        }
    }
    while started.elapsed() < time {
        let length = whole as u64 + 1 + chance.below(2);
        let (begin, number) = (chance.below(begins.len() as u64), chance.below(all.pow(length as u32)));
        check(begin as usize, &workload(number, length as u32))?;
    }
    Ok(numbers)
}
