//! Bits that flip on the medium, and writes that never reach it or reach it elsewhere: what was acknowledged is read as it was sent, or the damage is named. It never reads as something
//! else, and never as a shorter log, but for the very last commit, of which nothing behind it testifies.

use factlog::{
    Error, Options, Position, ReadAll, RecordedEvent,
    sim::{self, Chance, Fault, FaultKind, Image, SimDisk},
};

use super::{
    check::{DIR, find_appends, read_everything, told, verified},
    ledger::Ledger,
    numbers::Numbers,
    workload::{Do, Run, base},
};

/// No commit of a run has more events.
const LARGEST_COMMIT: usize = 6;

/// What is read of a damaged copy, compared with what the undamaged one holds. So many of the last events may be missing.
fn check_copy(options: &Options, copy: &Image, whole: &[RecordedEvent], may_be_missing: usize) -> Result<(), String> {
    let Ok(store) = sim::open(options, &copy.disk(1), DIR) else { return Ok(()) };
    let mut found = 0;
    for event in store.read_all(ReadAll::after(Position::START)) {
        // Named, where it lies.
        let Ok(event) = event else { return Ok(()) };
        if whole.get(found).is_none_or(|expected| *expected != event) {
            return Err(format!("position {} reads as something else", event.position()));
        }
        found += 1;
    }
    if found + may_be_missing < whole.len() {
        return Err(format!("of {} events {found} are read, and nothing is said of the others", whole.len()));
    }
    Ok(())
}

/// Flips bits of some files, one at a time, and says how many.
pub fn flip_some(ledger: &Ledger, options: &Options, image: &Image, chance: &mut Chance) -> Result<u64, String> {
    let store = told("opening", sim::open(options, &image.disk(1), DIR))?;
    let whole = read_everything(&store)?;
    find_appends(ledger, &whole)?;
    drop(store);
    let files = image.files();
    // Of a relaxed store only what was appended behind a sync testifies.
    let may_be_missing = if ledger.relaxed { whole.len() } else { LARGEST_COMMIT };
    let mut flipped = 0;
    for _ in 0..4 {
        let file = &files[chance.below(files.len() as u64) as usize];
        let mut bytes = image.bytes(file);
        if bytes.is_empty() {
            continue;
        }
        let (at, bit) = (chance.below(bytes.len() as u64) as usize, chance.below(8));
        bytes[at] ^= 1 << bit;
        let said = |error| format!("bit {bit} of byte {at} of {} flipped: {error}", file.display());
        check_copy(options, &image.with_bytes(file, &bytes), &whole, may_be_missing).map_err(said)?;
        flipped += 1;
    }
    Ok(flipped)
}

/// Flips each bit of the records of a small store, or every `stride`-th, one at a time. The store was closed, or its writer killed.
pub fn flip_each(closed: bool, stride: usize) -> Result<u64, String> {
    let history = [Do::Append, Do::Batch, Do::Append];
    let (image, ledger) = base(&history, false, 1)?;
    let mut run = Run::new(image.disk(1), false);
    run.ledger = ledger;
    run.apply(Do::Append)?;
    let store = run.store()?.ok_or("the store does not open")?;
    let whole = read_everything(&store)?;
    drop(store);
    if closed {
        run.close()?;
    }
    let image = run.disk.image();
    let segment = |file: &&std::path::PathBuf| file.extension().is_some_and(|extension| extension == "seg");
    let file = image.files().iter().find(segment).cloned().ok_or("there is no segment")?;
    let bytes = image.bytes(&file);
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    // The last commit was one event, of which nothing testifies after a kill.
    let may_be_missing = usize::from(!closed);
    let mut flipped = 0;
    for bit in (4096 * 8..used * 8).step_by(stride) {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let copy = image.with_bytes(&file, &bytes);
        check_copy(&run.options, &copy, &whole, may_be_missing).map_err(|error| format!("bit {bit}: {error}"))?;
        if closed {
            let store = sim::open(&run.options, &copy.disk(1), DIR);
            if store.is_ok_and(|store| verified(&store).is_ok()) {
                return Err(format!("bit {bit} flipped: nothing names it"));
            }
        }
        flipped += 1;
    }
    Ok(flipped)
}

/// Lets each write in turn go astray, cuts the power at the end, and looks what is left.
pub fn lead_astray(kind: FaultKind) -> Result<Numbers, String> {
    let history =
        [Do::Append, Do::Roll, Do::Batch, Do::Cursor, Do::Pipeline, Do::Snapshot, Do::Roll, Do::Streams, Do::Append];
    let mut numbers = Numbers::default();
    for after in 0.. {
        let mut run = Run::new(SimDisk::new(after), false);
        run.disk.fault(Fault { kind, after, for_ever: false });
        history.iter().try_for_each(|what| run.apply(*what))?;
        if run.disk.struck() == 0 {
            break;
        }
        for seed in 0..4 {
            let image = run.disk.image().after_power_cut(&mut Chance::seeded(seed), &mut numbers.tally);
            check_astray(&run, &image).map_err(|error| format!("{kind:?} of write {after}: {error}"))?;
            numbers.power_cuts += 1;
        }
        numbers.faults += 1;
        numbers.acknowledged += run.ledger.acknowledged();
    }
    Ok(numbers)
}

fn check_astray(run: &Run, image: &Image) -> Result<(), String> {
    let store = match sim::open(&run.options, &image.disk(1), DIR) {
        Ok(store) => store,
        Err(Error::Damaged(_) | Error::NotAStore { .. }) => return Ok(()),
        Err(error) => return Err(format!("opening: {error}")),
    };
    let events: Result<Vec<_>, _> = store.read_all(ReadAll::after(Position::START)).collect();
    // Named, where it lies.
    let Ok(events) = events else { return Ok(()) };
    let there = find_appends(&run.ledger, &events)?;
    // The last commit is one append.
    let missing = (0..run.ledger.appends.len() - 1).find(|append| !there.contains_key(append));
    missing.map_or(Ok(()), |append| Err(format!("append {append} is missing, and nothing says so")))
}
