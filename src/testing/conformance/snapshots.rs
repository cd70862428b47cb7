//! Snapshots.

use super::suite::Suite;
use crate::{
    codec::{BincodeCodec, CodecId, JsonCodec},
    error::{Action, Error},
    event::StreamName,
    event_store::{SkipReason, SkippedSnapshot, Snapshot, load_state, save_state},
    version::Version,
};

fn at(version: u64) -> Version {
    Version::new(version)
}

fn snapshot(stream: &StreamName, version: u64, state: &str) -> Snapshot {
    Snapshot::new(stream, at(version), CodecId::JSON, 1, state.to_owned())
}

/// The version and the state of what is found at or below a version.
fn found(suite: &Suite, stream: &StreamName, at_or_below: Version) -> Option<Snapshot> {
    let loaded = suite.wait(suite.store().load_snapshot(stream, at_or_below)).expect("a look for snapshots");
    assert!(loaded.skipped.is_empty(), "{:?}", loaded.skipped);
    loaded.snapshot
}

/// With everything that it had.
pub fn the_newest_snapshot_at_or_below_a_version_comes_back(suite: &Suite) {
    let (stream, other) = (suite.stream("snapshot", "1"), suite.stream("snapshot", "2"));
    suite.grow(&stream, "T", 10);
    suite.grow(&other, "T", 10);
    assert_eq!(found(suite, &stream, Version::MAX), None);
    let (third, tenth) = (snapshot(&stream, 3, "three"), snapshot(&stream, 10, "ten"));
    for saved in [&third, &tenth] {
        suite.wait(suite.store().save_snapshot(saved.clone())).expect("a snapshot");
    }
    for (at_or_below, wanted) in [
        (Version::MAX, Some(&tenth)),
        (at(10), Some(&tenth)),
        (at(9), Some(&third)),
        (at(3), Some(&third)),
        (at(2), None),
        (Version::NONE, None),
    ] {
        assert_eq!(found(suite, &stream, at_or_below).as_ref(), wanted, "{at_or_below}");
    }
    assert_eq!(found(suite, &other, Version::MAX), None);
}

/// A store may forget older ones.
pub fn a_snapshot_replaces_the_one_of_its_version_and_the_newest_is_kept(suite: &Suite) {
    let stream = suite.stream("replaced", "1");
    suite.grow(&stream, "T", 10);
    for version in [2, 4, 6, 8] {
        for state in ["first", "second"] {
            suite.wait(suite.store().save_snapshot(snapshot(&stream, version, state))).expect("a snapshot");
            let newest = found(suite, &stream, Version::MAX).expect("the one that was saved");
            assert_eq!((newest.version, &newest.state[..]), (at(version), state.as_bytes()));
        }
    }
}

/// It would tell of what has not happened.
pub fn a_snapshot_ahead_of_its_stream_or_of_nothing_is_refused(suite: &Suite) {
    let stream = suite.stream("ahead", "1");
    suite.grow(&stream, "T", 3);
    let save = |snapshot| suite.wait(suite.store().save_snapshot(snapshot));
    match save(snapshot(&stream, 4, "x")) {
        Err(Error::SnapshotAhead { stream: of, version, actual }) => {
            assert_eq!((of, version, actual), (stream.clone(), at(4), at(3)));
        }
        other => panic!("{other:?}"),
    }
    let missing = save(snapshot(&suite.stream("ahead", "2"), 1, "x"));
    assert!(matches!(missing, Err(Error::SnapshotAhead { actual, .. }) if actual == Version::NONE), "{missing:?}");
    let of_nothing = save(snapshot(&stream, 0, "x")).expect_err("a snapshot of nothing");
    assert!(matches!(of_nothing, Error::Invalid(_)) && of_nothing.action() == Action::FixInput, "{of_nothing}");
    assert_eq!(found(suite, &stream, Version::MAX), None);
}

/// The one before it is used instead.
pub fn a_typed_state_of_another_codec_or_version_is_skipped_and_reported(suite: &Suite) {
    let stream = suite.stream("typed", "1");
    suite.grow(&stream, "T", 10);
    let state = vec![("sum".to_owned(), 7u64)];
    let newer = vec![("sum".to_owned(), 9u64)];
    suite.wait(save_state(suite.store(), &stream, at(5), &JsonCodec, 1, &state)).expect("a state");
    suite.wait(save_state(suite.store(), &stream, at(9), &BincodeCodec, 2, &newer)).expect("a state");
    let load = |version| {
        suite.wait(load_state::<Vec<(String, u64)>>(suite.store(), &stream, Version::MAX, &JsonCodec, version))
    };
    let loaded = load(1).expect("a look for states");
    assert_eq!(loaded.state, Some((at(5), state)));
    assert!(
        matches!(loaded.skipped[..], [ref one] if one.version == at(9) && matches!(one.reason, SkipReason::Codec { .. }))
    );
    let loaded = load(3).expect("a look for states");
    assert_eq!(loaded.state, None);
    assert!(matches!(loaded.skipped[1].reason, SkipReason::StateVersion { found: 1, expected: 3 }));
    let of_another_type = suite.wait(load_state::<bool>(suite.store(), &stream, at(5), &JsonCodec, 1));
    let skipped = of_another_type.expect("a look for states").skipped;
    assert!(matches!(skipped[..], [SkippedSnapshot { reason: SkipReason::State(_), .. }]), "{skipped:?}");
}
