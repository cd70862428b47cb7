//! The first operation of the disk fails, then the second, the third, and so on until a run is not disturbed any more: once, and
//! from then on for ever, with each kind of error.

use factlog::sim::{Chance, Fault, FaultKind, Image};

use super::{
    check::Expected,
    ledger::{Crash, Ledger},
    numbers::Numbers,
    workload::{Do, Run, base},
};

/// Everything that there is to do, in an order in which each step has something to do.
const WORKLOAD: [Do; 14] = [
    Do::Append,
    Do::Roll,
    Do::Batch,
    Do::Cursor,
    Do::Pipeline,
    Do::Snapshot,
    Do::Tasks,
    Do::Roll,
    Do::Streams,
    Do::Sync,
    Do::Reopen,
    Do::Append,
    Do::Cursor,
    Do::Roll,
];

/// Does the workload with a fault, and checks what is left. Whether it struck.
fn check_fault(
    (image, ledger): &(Image, Ledger),
    fault: Fault,
    workload: &[Do],
    seed: u64,
    numbers: &mut Numbers,
) -> Result<bool, String> {
    let mut chance = Chance::seeded(seed);
    let mut run = Run::new(image.disk(seed), ledger.relaxed);
    run.ledger = ledger.clone();
    run.disk.fault(fault);
    run.faulty = true;
    for what in workload {
        run.apply(*what).map_err(|error| format!("{what:?}: {error}"))?;
        run.read_back().map_err(|error| format!("reading behind {what:?}: {error}"))?;
    }
    let struck = run.disk.struck();
    numbers.workloads += 1;
    numbers.faults += struck;
    numbers.acknowledged += run.ledger.acknowledged() - ledger.acknowledged();
    // The cause is gone, and the store is opened again: without a crash, after a kill, after a power cut.
    run.disk.end_faults();
    let image = run.disk.image();
    let mark = run.ledger.mark();
    let mut check = |image: &Image, crash| {
        numbers.recoveries += 1;
        let expected = Expected { ledger: &run.ledger, mark, crash };
        expected.check(&run.options, image, &mut chance).map_err(|error| format!("then, {crash:?}: {error}"))
    };
    // A sync that failed has dropped what was not synced: with a relaxed store that may be what was acknowledged.
    check(&image, if ledger.relaxed { Crash::PowerCut } else { Crash::Kill })?;
    let mut cut = Chance::seeded(seed);
    for _ in 0..2 {
        check(&image.after_power_cut(&mut cut, &mut numbers.tally), Crash::PowerCut)?;
    }
    numbers.kills += 1;
    numbers.power_cuts += 2;
    numbers.tally.add(run.disk.tally());
    // It goes on where it is, if need be after it was opened again.
    let disk = run.disk.clone();
    run.go_on(disk);
    run.faulty = false;
    run.apply(Do::Append).map_err(|error| format!("when the cause was gone: {error}"))?;
    run.read_back()?;
    Ok(struck > 0)
}

/// Every fault of this kind, until a run is not disturbed. Only every `stride`-th, beginning with one that the seed chooses.
pub fn check_kind(kind: FaultKind, relaxed: bool, stride: u64, seed: u64) -> Result<Numbers, String> {
    let mut numbers = Numbers::default();
    let begins = [base(&[], relaxed, 1)?, base(&[Do::Roll, Do::Append, Do::Cursor], relaxed, 1)?];
    for (begin, for_ever) in [(0, false), (0, true), (1, false), (1, true)] {
        let mut after = seed % stride;
        loop {
            let fault = Fault { kind, after, for_ever };
            let said = |error| format!("{fault:?}, relaxed: {relaxed}, beginning {begin}: {error}");
            if !check_fault(&begins[begin], fault, &WORKLOAD, seed + after, &mut numbers).map_err(said)? {
                break;
            }
            after += stride;
        }
    }
    Ok(numbers)
}
