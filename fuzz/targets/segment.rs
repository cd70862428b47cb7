//! A segment's header, and recovery: a segment of valid batches, damaged, is opened. Either the store opens with a part of what was
//! written, from its beginning and in whole batches, that nothing proves to be too short; or the damage is named.
#![no_main]

use std::fs;

use arbitrary::{Arbitrary, Unstructured};
use factlog::{
    Error, EventType, ExpectedVersion, NewEvent, Options, Position, ReadAll, RecordedEvent, StreamName, fuzzing, verify,
};
use factlog_fuzz::{
    files::{self, PAGE, Segment},
    ground,
};

const SEGMENT_BYTES: usize = 4 * PAGE;

#[derive(Arbitrary, Debug)]
struct Script {
    batches: Vec<(Vec<u8>, Option<u8>)>,
    durable: u8,
    clean: bool,
    damage: Vec<Damage>,
}

#[derive(Arbitrary, Debug)]
enum Damage {
    Flip {
        at: u16,
        mask: u8,
    },
    Fill {
        at: u16,
        len: u16,
        with: u8,
    },
    /// What lies at one place, at another one too.
    Copy {
        from: u16,
        to: u16,
        len: u16,
    },
}

impl Damage {
    fn to(&self, records: &mut [u8]) {
        let size = records.len();
        let at = |at: u16| usize::from(at) % size;
        match *self {
            Damage::Flip { at: place, mask } => records[at(place)] ^= mask,
            Damage::Fill { at: place, len, with } => {
                let end = (at(place) + usize::from(len)).min(size);
                records[at(place)..end].fill(with);
            }
            Damage::Copy { from, to, len } => {
                let len = usize::from(len).min(size - at(from).max(at(to)));
                records.copy_within(at(from)..at(from) + len, at(to));
            }
        }
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzzing::segment_header(bytes);
    fuzzing::segment_header(&files::sealed(bytes));
    if let Ok(script) = Script::arbitrary(&mut Unstructured::new(bytes)) {
        recover(&script);
    }
});

fn recover(script: &Script) {
    let mut segment = Segment::new(SEGMENT_BYTES);
    for (lengths, lag) in script.batches.iter().take(40) {
        let payloads: Vec<Vec<u8>> = lengths.iter().take(5).map(|len| vec![*len; (*len).into()]).collect();
        segment.push(&payloads, *lag);
    }
    let written = segment.records.len();
    let mut durable = if script.clean { written } else { usize::from(script.durable) % (written + 1) };
    // Batches are synced whole.
    while durable > 0 && !segment.records[durable - 1].ends_batch {
        durable -= 1;
    }
    let mut damaged = segment.bytes.clone();
    script.damage.iter().take(4).for_each(|damage| damage.to(&mut damaged[PAGE..]));

    let dir = ground::place();
    fs::create_dir(dir.path().join("log")).unwrap();
    fs::write(dir.path().join("MANIFEST"), segment.manifest(durable, script.clean)).unwrap();
    fs::write(dir.path().join("log/00000000000000000001.seg"), &damaged).unwrap();

    let verified = verify(dir.path(), &mut |_| {}).unwrap();
    let store = match Options::new().create(false).segment_bytes(SEGMENT_BYTES as u64).open(dir.path()) {
        Ok(store) => store,
        Err(Error::Damaged(damage)) => {
            assert!(damaged != segment.bytes, "damaged, and nothing was: {damage}");
            assert!(!verified.faults.is_empty(), "verify does not find it: {damage}");
            return;
        }
        Err(other) => panic!("{other}"),
    };
    // What lies far behind the end of a store that was closed is not looked at, and not read.
    assert!(verified.faults.is_empty() || script.clean, "opening does not find it: {:?}", verified.faults);
    let events: Vec<RecordedEvent> = store.read_all(ReadAll::after(Position::START)).map(Result::unwrap).collect();
    check(&segment, &damaged, &events, durable);
    if script.clean {
        return assert!(!verified.faults.is_empty() || damaged == segment.bytes, "verify does not find it");
    }
    let lost = written - events.len();
    assert!(
        lost == 0 || store.dropped_bytes() > 0 || rest_is_zero(&segment, &damaged, events.len()),
        "nothing is said"
    );

    // It goes on from there.
    let more = NewEvent::new(EventType::new("T").unwrap(), "more");
    store.append(&StreamName::new("s").unwrap(), ExpectedVersion::Any, vec![more]).unwrap();
    store.close().unwrap();
    assert_eq!(verify(dir.path(), &mut |_| {}).unwrap().faults, []);
    let store = Options::new().read_only(true).open(dir.path()).unwrap();
    assert_eq!(store.read_all(ReadAll::after(Position::START)).map(Result::unwrap).count(), events.len() + 1);
}

fn check(segment: &Segment, damaged: &[u8], events: &[RecordedEvent], durable: usize) {
    let recovered = events.len();
    assert!(recovered <= segment.records.len(), "more than was written");
    assert!(recovered >= durable, "what the manifest says to be durable is gone");
    assert!(recovered == 0 || segment.records[recovered - 1].ends_batch, "a part of a batch");
    for (event, record) in events.iter().zip(&segment.records) {
        let payload = &segment.bytes[record.offset + 74..record.end];
        assert!(payload.starts_with(&event.payload()), "another event");
    }
    for record in segment.records.iter().filter(|record| same(segment, damaged, record.offset, record.end)) {
        assert!(recovered as u64 >= record.testifies, "a valid record says that more was durable");
    }
    let untouched = segment.records.iter().position(|record| !same(segment, damaged, record.offset, record.end));
    let whole = untouched.unwrap_or(segment.records.len());
    let batches = segment.records[..whole].iter().rposition(|record| record.ends_batch).map_or(0, |last| last + 1);
    assert!(recovered >= batches, "whole batches before the first damage are gone");
}

fn same(segment: &Segment, damaged: &[u8], from: usize, to: usize) -> bool {
    segment.bytes[from..to] == damaged[from..to]
}

/// Whether nothing is left that could be said to have been dropped.
fn rest_is_zero(segment: &Segment, damaged: &[u8], recovered: usize) -> bool {
    let from = recovered.checked_sub(1).map_or(PAGE, |last| segment.records[last].end);
    damaged[from..].iter().all(|byte| *byte == 0)
}
