//! `factlog verify`: every byte of a store read and checked.

use clap::Args;
use factlog::{Damage, Error};
use serde::Serialize;

use super::{
    failure::Failure,
    output::{Output, count},
    place::Place,
    progress::{Progress, Unit},
};

/// Read every byte of the store and print each fault, one line of JSON each; without faults, a summary
#[derive(Debug, Args)]
pub struct Verify {}

#[derive(Serialize)]
struct Fault<'a> {
    segment: String,
    offset: u64,
    position: u64,
    fault: &'a str,
}

#[derive(Serialize)]
struct Summary {
    segments: u64,
    events: u64,
    lost: u64,
    bytes: u64,
    torn_bytes: u64,
    snapshots: u64,
    cursors: u64,
    faults: usize,
}

impl Verify {
    pub fn run(self, store: &Place, out: &mut Output) -> Result<(), Failure> {
        let mut progress = None;
        let verified = factlog::verify(store.directory("verify")?, &mut |so_far| {
            progress.get_or_insert_with(|| Progress::new(Unit::Bytes, Some(so_far.total_bytes))).set(so_far.bytes);
        });
        drop(progress);
        let (verified, faults) = match verified {
            Ok(verified) => {
                let faults = verified.faults.clone();
                (Some(verified), faults)
            }
            // Damage that leaves nothing to go on from.
            Err(Error::Damaged(damage)) => (None, vec![*damage]),
            Err(error) => return Err(error.into()),
        };
        for fault in &faults {
            out.line(&line(fault))?;
        }
        match verified {
            Some(verified) if faults.is_empty() => out.line(&Summary {
                segments: verified.segments,
                events: verified.events,
                lost: verified.lost,
                bytes: verified.bytes,
                torn_bytes: verified.torn_bytes,
                snapshots: verified.snapshots,
                cursors: verified.cursors,
                faults: 0,
            }),
            _ => Err(Failure::Damaged(format!("damaged store: {} found", count(faults.len() as u64, "fault")))),
        }
    }
}

fn line(fault: &Damage) -> Fault<'_> {
    Fault {
        segment: fault.place.file.display().to_string(),
        offset: fault.place.offset,
        position: fault.place.position.get(),
        fault: &fault.fault,
    }
}
