//! Crashes and faults that once left a store which did not open, or lost what it had acknowledged.

use std::{path::Path, sync::Arc};

use super::{Options, Store};
use crate::{
    disk::sim::{Chance, Fault, FaultKind, Image, SimDisk, Tally},
    error::{Action, Result},
    event::{EventType, NewEvent, StreamName},
    event_store::Appended,
    version::ExpectedVersion,
};

const DIR: &str = "/store";

fn open(disk: &SimDisk) -> Result<Store> {
    let options = Options::new().first_segment_bytes(8 << 10).segment_bytes(8 << 10);
    options.open_on(Arc::new(disk.clone()), Path::new(DIR))
}

/// Of a page of records, 3600 bytes leave room for a small append, and none for another such.
fn append(store: &Store, bytes: usize) -> Result<Appended> {
    let event = NewEvent::new(EventType::new("Happened").unwrap(), vec![7; bytes]);
    store.append(&StreamName::new("s-1").unwrap(), ExpectedVersion::Any, vec![event])
}

/// The store has so many events, after a power cut as well as before, and each byte is as it should be.
fn holds(image: &Image, events: usize) {
    for seed in 0..20 {
        let image = image.after_power_cut(&mut Chance::seeded(seed), &mut Tally::default());
        let store = open(&image.disk(seed)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(store.stats().events as usize, events);
        assert_eq!(store.verify().unwrap().faults, []);
    }
}

/// What a kill leaves at each moment of `body`.
fn kills(disk: &SimDisk, body: impl FnOnce()) -> Vec<Image> {
    disk.keep_moments();
    body();
    disk.moments().into_iter().map(|moment| moment.image).collect()
}

/// What a kill leaves at each moment of the append that begins the second segment.
fn kills_at_a_new_segment() -> Vec<SimDisk> {
    let disk = SimDisk::new(1);
    let store = open(&disk).unwrap();
    append(&store, 3600).unwrap();
    kills(&disk, || assert!(append(&store, 3600).is_ok())).iter().map(|image| image.disk(2)).collect()
}

#[test]
fn a_lock_file_torn_while_the_store_was_made_does_not_keep_it_from_opening() {
    for torn in [&[0; 2][..], b"\x001", &[0xa5; 5], b"4194304\n"] {
        let disk = SimDisk::new(1);
        let made = kills(&disk, || drop(open(&disk).unwrap()));
        let locked = made.iter().find(|image| image.files() == [Path::new("/store/LOCK")]).unwrap();
        let image = locked.with_bytes(Path::new("/store/LOCK"), torn);
        append(&open(&image.disk(1)).unwrap(), 1).unwrap();
    }
}

#[test]
fn wherever_the_making_of_a_store_is_killed_what_is_then_acknowledged_survives_a_power_cut() {
    let disk = SimDisk::new(1);
    for image in kills(&disk, || drop(open(&disk).unwrap())) {
        let disk = image.disk(2);
        append(&open(&disk).unwrap(), 1).unwrap();
        holds(&disk.image(), 1);
    }
}

#[test]
fn wherever_the_beginning_of_a_segment_is_killed_what_is_then_acknowledged_survives_a_power_cut() {
    for disk in kills_at_a_new_segment() {
        let store = open(&disk).unwrap();
        let before = store.stats().events as usize;
        append(&store, 1).unwrap();
        holds(&disk.image(), before + 1);
    }
}

#[test]
fn a_segment_that_was_about_to_be_begun_is_no_damage_when_the_old_one_takes_another_append() {
    for disk in kills_at_a_new_segment() {
        let store = open(&disk).unwrap();
        append(&store, 1).unwrap();
        store.close().unwrap();
        let store = open(&disk).unwrap();
        let segments =
            disk.image().files().iter().filter(|file| file.extension().is_some_and(|ext| ext == "seg")).count();
        assert_eq!((store.verify().unwrap().faults, store.stats().segments as usize), (vec![], segments));
    }
}

#[test]
fn whichever_step_of_beginning_a_segment_fails_what_is_acknowledged_later_is_kept() {
    for after in 0.. {
        let disk = SimDisk::new(1);
        let store = open(&disk).unwrap();
        append(&store, 3600).unwrap();
        disk.fault(Fault { kind: FaultKind::Io, after, for_ever: false });
        let began = append(&store, 3600).is_ok();
        if disk.struck() == 0 {
            assert!(after > 10, "a segment is begun in many steps");
            break;
        }
        disk.end_faults();
        // Where the manifest may be the new one or the old, this is refused.
        let later = append(&store, 1);
        assert!(
            later.as_ref().is_ok_and(|_| true) || later.as_ref().is_err_and(|error| error.action() == Action::Reopen)
        );
        let events = 1 + usize::from(began) + usize::from(later.is_ok());
        let store =
            open(&disk.image().disk(2)).unwrap_or_else(|error| panic!("after operation {after} had failed: {error}"));
        assert!(store.stats().events as usize >= events);
        assert_eq!(store.verify().unwrap().faults, []);
    }
}
