//! Servers whose disk is full.

use std::{fs, time::Duration};

use factlog::{Action, Error, EventStore, ExpectedVersion, block_on};

use crate::{
    disk::Disk,
    nats::{Nats, USUAL},
    support::{append, event, events, stream},
};

#[test]
fn a_full_disk_is_named_loses_nothing_that_was_acknowledged_and_appends_go_on_when_there_is_room() {
    let Some(disk) = Disk::new("48m") else { return };
    let mut nats = Nats::within(disk.path().join("servers"), 1, USUAL);
    let hasty = nats.options("small").request_time(Duration::from_secs(4)).connect().unwrap();
    append(&hasty, "a-1", "before").unwrap();
    disk.fill_but(8 << 20);
    let mut stored = 0;
    let (error, doubtful) = loop {
        let sent = event(vec![7; 100 << 10]);
        match block_on(hasty.append(&stream("large-1"), ExpectedVersion::Any, vec![sent.clone()])) {
            Ok(_) => stored += 1,
            Err(error) => break (error, sent),
        }
    };
    assert!(matches!(error, Error::OutcomeUnknown { .. }) && error.action() == Action::Reopen, "{error}");
    assert!(
        error.to_string().contains("no space left on device. Make room on its disk, and start it again"),
        "{error}"
    );
    assert!(stored > 0);
    assert_eq!((events(&hasty, "large-1").len(), events(&hasty, "a-1").len()), (stored, 1));
    disk.make_room();
    nats.nodes[0].kill();
    nats.restart();
    let store = nats.open("small");
    block_on(store.append(&stream("large-1"), ExpectedVersion::Any, vec![doubtful])).unwrap();
    assert_eq!((events(&store, "large-1").len(), events(&store, "a-1").len()), (stored + 1, 1));
    append(&hasty, "a-1", "after").unwrap();
}

#[test]
fn a_full_disk_of_one_server_of_three_holds_up_nobody() {
    let place = tempfile::tempdir().unwrap().keep();
    let mut disks = Vec::new();
    for node in 0..3 {
        let place = place.join(format!("n{node}"));
        fs::create_dir(&place).unwrap();
        let Some(disk) = Disk::at(&place, "64m") else { return };
        disks.push(disk);
    }
    let mut nats = Nats::within(place, 3, USUAL);
    let store = nats.open("third");
    append(&store, "large-1", "before").unwrap();
    let leader = nats.leader("third");
    disks[leader].fill_but(2 << 20);
    for _ in 0..80 {
        append(&store, "large-1", &"x".repeat(100 << 10)).unwrap();
    }
    disks[leader].make_room();
    nats.nodes[leader].kill();
    nats.restart();
    append(&store, "large-1", "after").unwrap();
    assert_eq!(events(&store, "large-1").len(), 82);
}
