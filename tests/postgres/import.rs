//! The published orders, imported by the command into a database.

use std::{
    collections::BTreeMap,
    env,
    path::Path,
    process::{Child, Command, Stdio},
};

use factlog::{EventStore, Position, ReadAll, RecordedEvent, Store, block_on};
use serde_json::Value;

use crate::{
    postgres::Postgres,
    support::{Hand, patient},
};

/// Begins an import into a store, by sixteen at once.
fn import(store: &str, tables: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_factlog"))
        .args(["--store", store, "orders", "import", tables, "--jobs", "16"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What an import printed at its end.
fn summary(import: Child) -> Value {
    let output = import.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Each stream with its events. Positions are left out: orders that are imported side by side lie in any order in the log.
fn streams(store: &dyn EventStore) -> BTreeMap<String, Vec<[String; 6]>> {
    let mut streams: BTreeMap<String, Vec<[String; 6]>> = BTreeMap::new();
    let mut read = ReadAll::after(Position::START);
    loop {
        let page = block_on(store.read_all(read.clone())).unwrap();
        let Some(last) = page.last().map(RecordedEvent::position) else { return streams };
        read.after = last;
        for event in page {
            let bytes = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            streams.entry(event.stream_str().to_owned()).or_default().push([
                event.version().to_string(),
                event.id().to_string(),
                event.event_type_str().to_owned(),
                event.timestamp().to_string(),
                bytes(event.payload_slice()),
                bytes(event.metadata_slice()),
            ]);
        }
    }
}

#[test]
fn the_published_orders_are_the_same_in_a_database_whose_server_was_killed_meanwhile_as_in_a_directory() {
    let Ok(tables) = env::var("OLIST_DIR") else {
        eprintln!("skipped: OLIST_DIR does not say where the tables are");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let place: &Path = directory.path();
    let embedded = summary(import(place.join("store").to_str().unwrap(), &tables));

    let server = Postgres::new();
    let address = server.database();
    let store = patient(&address);
    let mut importing = import(&address, &tables);
    for kill in 1..=2 {
        // In the middle of its work, however fast it is.
        let part = embedded["events"].as_i64().unwrap() * kill / 3;
        let hand = Hand::at(&address);
        while hand.number("SELECT count(*) FROM events") < part {
            assert!(importing.try_wait().unwrap().is_none(), "the import ended before the server was killed");
        }
        server.kill();
        server.start();
    }
    let imported = summary(importing);
    assert_eq!((&imported["orders"], &imported["refused"]), (&embedded["orders"], &embedded["refused"]));
    assert_eq!(imported["events"], embedded["events"]);
    let embedded = Store::open(place.join("store")).unwrap();
    assert!(streams(&store) == streams(&embedded), "not the same events");
    embedded.close().unwrap();

    // Again: everything is there.
    drop(store);
    let again = summary(import(&address, &tables));
    assert_eq!(again["events"], 0);
}
