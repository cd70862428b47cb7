//! Every single system call that writes, syncs, renames, removes or takes up room: made to fail, once, and made the last
//! one before a kill.
//!
//! The first, then the second, then the third of each kind, and so on until a run is left undisturbed. `strace` counts
//! for each thread by itself, so one run may be disturbed in several threads.

use std::fs;

use crate::{
    format,
    setting::long,
    support::Factlog,
    torn_tails::killed,
    trace::{CALLS, Call, can_trace, check_order, input, marker, traced},
};

/// What the command does while it is disturbed, and where it begins.
struct Workload {
    what: &'static str,
    /// Events that are there already.
    behind: usize,
    before: Option<Files>,
    events: usize,
    bytes: usize,
}

type Files = std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>;

impl Workload {
    /// Enough bytes for a second segment.
    fn sizes() -> (usize, usize) {
        if long() { (12, 40_000) } else { (4, 90_000) }
    }

    /// A store is made, gets a second segment, and is closed.
    fn new_store() -> Workload {
        let (events, bytes) = Workload::sizes();
        Workload { what: "a new store", behind: 0, before: None, events, bytes }
    }

    /// A store whose writer was killed in the middle of an append is opened, gets more segments, and is closed.
    fn killed_store() -> Workload {
        let (events, bytes) = Workload::sizes();
        let behind = 3;
        let factlog = killed(behind as u64, |position| format!("\"{}\"", marker(position as usize)));
        let segment = format::segments(&factlog.store()).pop().unwrap();
        let (first, last) = (segment.records[0], segment.records[behind - 1]);
        let mut bytes_of = fs::read(&segment.path).unwrap();
        // The beginning of a record, and then nothing.
        let (from, to) = (first.offset as usize, last.end().next_multiple_of(8) as usize);
        bytes_of.copy_within(from..from + 60, to);
        fs::write(&segment.path, bytes_of).unwrap();
        let before = Some(format::contents(&factlog.store()));
        Workload { what: "a killed store", behind, before, events, bytes }
    }

    fn input(&self) -> String {
        input(self.behind, self.events, self.bytes)
    }
}

/// What was seen of all runs.
#[derive(Debug, Default)]
struct Seen {
    disturbed: usize,
    acknowledged: usize,
    failed_commits: usize,
    in_flight: usize,
}

#[test]
fn an_input_output_error_of_any_call_loses_and_invents_nothing() {
    disturb("error=EIO");
}

#[test]
fn a_full_disk_at_any_call_loses_and_invents_nothing() {
    disturb("error=ENOSPC");
}

#[test]
fn a_kill_at_any_call_loses_and_invents_nothing() {
    disturb("signal=KILL");
}

fn disturb(how: &str) {
    if !can_trace() {
        return;
    }
    for workload in [Workload::new_store(), Workload::killed_store()] {
        let mut seen = Seen::default();
        for call in CALLS {
            // No call of this kind is made after so many: the loop ends long before.
            let undisturbed = (1..1000).find(|when| !disturbed_run(&workload, call, how, *when, &mut seen));
            assert!(undisturbed.is_some(), "{call} is disturbed for ever");
        }
        let Seen { disturbed, acknowledged, failed_commits, in_flight } = seen;
        say!(
            "{how}, {}: {disturbed} runs disturbed, {failed_commits} of them in a commit, {acknowledged} appends acknowledged, \
             {in_flight} not acknowledged and stored",
            workload.what
        );
        assert!(disturbed > 20 && acknowledged > disturbed, "too little to show anything");
        assert!(how.starts_with("signal") || failed_commits >= workload.events, "only {failed_commits} commits failed");
    }
}

/// Does it with the call of that number disturbed, and looks at what is left; whether anything was disturbed.
fn disturbed_run(workload: &Workload, call: &str, how: &str, when: usize, seen: &mut Seen) -> bool {
    let what = format!("{}, {call} number {when}, {how}", workload.what);
    let factlog = Factlog::new();
    if let Some(before) = &workload.before {
        format::restore(&factlog.store(), before);
    }
    let (run, calls) = traced(&factlog, &["-e", &format!("inject={call}:{how}:when={when}")], &workload.input());
    let acknowledged = check_order(&calls, workload.behind).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
    let killed = run.code.is_none();
    let disturbed = killed || calls.iter().any(|call| call.injected);
    // A kill can come between the write of an acknowledgement and the note that it was written.
    assert!(run.lines().len() == acknowledged || killed, "{what}: {}", run.stderr);
    let acknowledged = run.lines().len();
    if !disturbed {
        assert_eq!((run.code, acknowledged), (Some(0), workload.events), "{what}: {}", run.stderr);
    } else if !killed {
        seen.failed_commits += usize::from(check_failure(&calls, run.code, &what));
        // What is done beside the commits may be done again, or is not needed. Whatever else fails, is said.
        let all_well = run.code == Some(0) && acknowledged == workload.events;
        assert!(all_well || run.code == Some(1) && run.stderr.contains("factlog: "), "{what}: {run:?}");
    }
    let stored = check_left(&factlog, workload, acknowledged, &what);
    seen.disturbed += usize::from(disturbed);
    seen.acknowledged += acknowledged;
    seen.in_flight += stored - acknowledged;
    disturbed
}

/// Once the write or the sync of a commit has failed, nothing is acknowledged any more; whether one has.
fn check_failure(calls: &[Call], code: Option<i32>, what: &str) -> bool {
    let of_commit = |at: &usize| {
        ["pwrite64", "fdatasync"].contains(&calls[*at].name.as_str())
            && calls[..=*at].iter().any(|call| call.writes_event() && call.on == calls[*at].on)
    };
    let failure = (0..calls.len()).find(|at| calls[*at].injected && of_commit(at));
    if let Some(failure) = failure {
        let late = calls[failure..].iter().find_map(Call::acknowledges);
        assert_eq!((code, late), (Some(1), None), "{what}");
    }
    failure.is_some()
}

/// What is left opens, is whole, holds what was acknowledged and no more than the next append besides, and takes more; gives the
/// number of appends that it holds.
fn check_left(factlog: &Factlog, workload: &Workload, acknowledged: usize, what: &str) -> usize {
    let made = factlog.store().join("MANIFEST").exists();
    assert!(made || acknowledged == 0, "{what}: the store is gone");
    let mut stored = 0;
    if made {
        let verified = factlog.run(&["verify"], "");
        assert_eq!(verified.code, Some(0), "{what}: {verified:?}");
        let events = factlog.lines(&["read"], "");
        assert!(events.iter().zip(1..).all(|(line, position)| line.contains(&marker(position))), "{what}");
        stored = events.len().checked_sub(workload.behind).unwrap_or_else(|| panic!("{what}: old events are gone"));
        assert!((acknowledged..=acknowledged + 1).contains(&stored), "{what}: {stored} of {acknowledged} events");
    }
    let next = workload.behind + stored;
    let appended = factlog.run(&["append", "s", "--expect", &next.to_string()], input(next, 1, 10));
    assert_eq!(appended.code, Some(0), "{what}: appending afterwards: {appended:?}");
    // What was left of a segment that was about to be begun is behind the log's end no longer.
    let verified = factlog.run(&["verify"], "");
    assert_eq!(verified.code, Some(0), "{what}: after another append: {verified:?}");
    assert_eq!(factlog.lines(&["read"], "").len(), next + 1, "{what}: after another append");
    stored
}
