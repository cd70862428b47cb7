//! Appends that are repeated, and appends to several streams at once.

#![allow(clippy::unwrap_used, clippy::panic)]

use factlog::{EventStore, EventType, ExpectedVersion, NewEvent, Position, Store, StreamName, Version};
use tempfile::TempDir;

fn name(text: &str) -> StreamName {
    StreamName::new(text).unwrap()
}

fn event(payload: &str) -> NewEvent {
    NewEvent::new(EventType::new("T").unwrap(), payload.to_owned())
}

fn exact(version: u64) -> ExpectedVersion {
    ExpectedVersion::Exact(Version::new(version))
}

#[test]
fn a_repetition_is_recognised_after_reopening_too() {
    let dir = TempDir::new().unwrap();
    let (one, two) = (event("1"), event("2"));
    let answer = {
        let store = Store::open(dir.path()).unwrap();
        store.append(&name("s"), ExpectedVersion::Any, vec![one.clone()]).unwrap()
    };
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.append(&name("s"), ExpectedVersion::Any, vec![one]).unwrap(), answer);
    store.append(&name("s"), ExpectedVersion::Any, vec![two]).unwrap();
    assert_eq!(store.last_position(), Position::new(2));
}

#[test]
fn appends_that_name_no_version_build_on_each_other_before_they_are_durable() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let pending: Vec<_> = (0..3000)
        .map(|number| store.submit(&name("s"), ExpectedVersion::Any, vec![event(&number.to_string())]).unwrap())
        .collect();
    assert!(pending.iter().zip(1..).all(|(pending, version)| pending.appended().version == Version::new(version)));
    drop(pending);
    store.sync().unwrap();
    assert_eq!(store.last_position().get(), 3000);
}
