//! Long lives, drawn from a seed: operations of all kinds, faults among them, ended by a kill, a power cut or a close, and begun
//! again on what is left. Now and then a copy of what is left is damaged.

use std::time::{Duration, Instant};

use factlog::{
    Durability,
    sim::{Chance, Fault, FaultKind, SimDisk},
};

use super::{
    check::{Expected, There},
    damage,
    ledger::Crash,
    numbers::Numbers,
    workload::{Do, Run},
};

/// Appends in one history: reading all of it after each life must stay cheap.
const MOST_APPENDS: usize = 150;

/// One operation; appends more often than others.
fn draw(chance: &mut Chance) -> Do {
    match chance.below(20) {
        drawn @ 0..11 => Do::ALL[drawn as usize],
        11..14 => Do::Append,
        14 | 15 => Do::Batch,
        16 | 17 => Do::Roll,
        18 => Do::Tasks,
        _ => Do::Pipeline,
    }
}

/// A life of the store, up to its end. What it leaves is found as it must be.
fn live(run: &mut Run, chance: &mut Chance, numbers: &mut Numbers) -> Result<(), String> {
    run.disk.let_clock_jump();
    run.faulty = false;
    if run.ledger.relaxed && chance.one_in(2) {
        run.options = run.options.clone().durability(Durability::Every(Duration::from_millis(3)));
    }
    run.store()?;
    if chance.one_in(3) {
        let kind = FaultKind::ERRORS[chance.below(FaultKind::ERRORS.len() as u64) as usize];
        run.disk.fault(Fault { kind, after: chance.below(60), for_ever: chance.one_in(4) });
        run.faulty = true;
    }
    let ends_by = chance.below(4);
    if ends_by < 2 {
        run.disk.cut_power_at(run.disk.operations() + 1 + chance.below(120));
        run.faulty = true;
    }
    for _ in 0..1 + chance.below(12) {
        let what = draw(chance);
        run.apply(what).map_err(|error| format!("{what:?}: {error}"))?;
        if chance.one_in(4) {
            run.read_back()?;
        }
        if run.disk.cut().is_some() {
            break;
        }
    }
    numbers.faults += run.disk.struck();
    numbers.tally.add(run.disk.tally());
    end(run, ends_by, chance, numbers)
}

/// Ends a life, checks what is left, and goes on with it.
fn end(run: &mut Run, ends_by: u64, chance: &mut Chance, numbers: &mut Numbers) -> Result<(), String> {
    let cut = run.disk.cut();
    let mark = cut.as_ref().map_or(run.ledger.mark(), |moment| moment.mark);
    let failed = run.disk.struck() > 0;
    run.disk.end_faults();
    if let Some(violation) = run.disk.violations().first() {
        return Err(violation.clone());
    }
    let (image, mut crash) = match cut {
        Some(moment) => (moment.image, Crash::PowerCut),
        None if ends_by == 2 => (run.disk.image(), Crash::PowerCut),
        None => (run.disk.image(), Crash::Kill),
    };
    let image = match crash {
        Crash::PowerCut => {
            numbers.power_cuts += 1;
            image.after_power_cut(chance, &mut numbers.tally)
        }
        Crash::Kill => {
            numbers.kills += 1;
            image
        }
    };
    if failed && run.ledger.relaxed {
        // A failed sync has dropped what was not synced.
        crash = Crash::PowerCut;
    }
    numbers.recoveries += 1;
    let expected = Expected { ledger: &run.ledger, mark, crash };
    let there: There = expected.check(&run.options, &image, chance)?;
    if chance.one_in(2) {
        numbers.flipped += damage::flip_some(&run.ledger, &run.options, &image, chance)?;
    }
    run.ledger.forget_behind(mark);
    run.ledger.resolve(&there);
    run.go_on(image.disk(chance.below(1 << 40)));
    Ok(())
}

/// Lives one after the other, of one seed.
fn check_history(seed: u64, numbers: &mut Numbers) -> Result<(), String> {
    let mut chance = Chance::seeded(seed);
    let relaxed = chance.one_in(3);
    let mut run = Run::new(SimDisk::new(seed), relaxed);
    while run.ledger.appends.len() < MOST_APPENDS {
        live(&mut run, &mut chance, numbers)?;
    }
    numbers.acknowledged += run.ledger.acknowledged();
    numbers.workloads += 1;
    Ok(())
}

/// Histories from this seed on, until the time is up.
pub fn check_histories(seed: u64, time: Duration) -> Result<Numbers, String> {
    let started = Instant::now();
    let mut numbers = Numbers::default();
    for seed in seed.. {
        check_history(seed, &mut numbers).map_err(|error| format!("the history of SIM_SEED={seed}: {error}"))?;
        if started.elapsed() > time {
            break;
        }
    }
    Ok(numbers)
}

/// Whether a history ends the same each time.
pub fn repeats(seed: u64) -> bool {
    let fingerprint = || {
        let mut chance = Chance::seeded(seed);
        let mut run = Run::new(SimDisk::new(seed), false);
        for _ in 0..5 {
            live(&mut run, &mut chance, &mut Numbers::default()).unwrap();
        }
        (run.disk.image().fingerprint(), run.ledger.mark())
    };
    fingerprint() == fingerprint()
}
