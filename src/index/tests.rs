//! Runs and parts of many shapes, against a plain list of what was put into them.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use proptest::prelude::*;
use tempfile::TempDir;

use super::{
    hash::ListHash,
    matches::Direction,
    merge,
    part::{Indexed, Part},
    run::{INDEX, Run, RunWriter, TIME_BLOCK},
    set::{Found, Index, IndexOptions},
};
use crate::{
    disk::OsDisk,
    version::{Position, Version},
};

const STORE: [u8; 16] = *b"one of the tests";

fn stream(number: u64) -> ListHash {
    ListHash::of_stream(&STORE, &format!("stream-{number}"))
}

fn event_type(number: u64) -> ListHash {
    ListHash::of_type(&STORE, &format!("type-{number}"))
}

fn category(number: u64) -> ListHash {
    ListHash::of_category(&STORE, &format!("category-{number}"))
}

/// Events from position 1 on: the stream, the type and the time of each. A third of the streams is in a category.
fn events(of: impl IntoIterator<Item = (u64, u64, i64)>) -> Vec<Indexed> {
    let mut versions: BTreeMap<u64, u64> = BTreeMap::new();
    let events = (1..).zip(of).map(|(position, (name, kind, time))| {
        let version = versions.entry(name).or_default();
        *version += 1;
        Indexed {
            position: Position::new(position),
            offset: 4096 + position % 1000 * 8,
            version: Version::new(*version),
            time,
            stream: stream(name),
            event_type: event_type(kind),
            category: (name % 3 == 0).then(|| category(name % 2)),
        }
    });
    events.collect()
}

fn run_of(dir: &Path, events: &[Indexed]) -> Arc<Run> {
    let mut part = Part::new(events[0].position);
    events.iter().for_each(|event| part.add(event, 1));
    Arc::new(merge::write_part(&OsDisk, dir, &STORE, &part).unwrap())
}

/// Merges runs as the files that they are.
fn merged(dir: &Path, runs: &[Arc<Run>]) -> Arc<Run> {
    let run = merge::merge(&OsDisk, dir, &STORE, runs).unwrap().unwrap();
    for run in runs {
        std::fs::remove_file(dir.join(Run::name(run.first, run.last))).unwrap();
    }
    Arc::new(run)
}

/// The index of the runs that are in the directory, with the events behind them in memory.
fn index_of(dir: &Path, events: &[Indexed]) -> Index {
    let options = IndexOptions { store: STORE, part_bytes: u64::MAX, writes: true };
    let index = Index::open(Arc::new(OsDisk), dir, options, Position::MAX).unwrap();
    let covered = index.last().get() as usize;
    index.add(events.iter().skip(covered).map(|event| (*event, 1)));
    index
}

/// Positions, and offsets.
type Places = Vec<(u64, u64)>;

fn walk(index: &Index, list: ListHash, until: Position, direction: Direction, seek: Option<Position>) -> Places {
    let [mut matches, mut again] = [(); 2].map(|()| {
        let mut matches = index.matches(list, None, until, direction).unwrap();
        if let Some(position) = seek {
            matches.seek(position).unwrap();
        }
        matches
    });
    let mut found = Vec::new();
    loop {
        let peeked = matches.peek().unwrap();
        let next = matches.next().unwrap();
        assert_eq!(peeked, next);
        match next {
            Some(next) => found.push(next),
            None => break,
        }
    }
    let mut taken = Vec::new();
    for most in (3..).step_by(3).take_while(|most| *most < found.len() + 6) {
        again.take(most, &mut taken).unwrap();
        assert_eq!(taken, found[..most.min(found.len())]);
    }
    let mut places = Vec::new();
    index.locate(&found, &mut places).unwrap();
    for (Found { position, offset }, bytes) in &places {
        let behind = index.offset(position.next()).unwrap().map_or(0, |next| next.saturating_sub(*offset));
        assert!([0, behind].contains(bytes), "{bytes} bytes before the event behind {position}");
    }
    places.iter().map(|(Found { position, offset }, _)| (position.get(), *offset)).collect()
}

/// Whether the index answers as the plain list does, at a bound and sought from a position.
fn check(index: &Index, events: &[Indexed], until: Position, from: Position) {
    let mut lists: BTreeMap<ListHash, Places> = BTreeMap::new();
    let mut newest: BTreeMap<ListHash, (Version, Position)> = BTreeMap::new();
    for event in events {
        newest.entry(event.stream).or_default();
        let firsts = (event.version == Version::FIRST).then_some(ListHash::FIRSTS);
        for list in [Some(event.stream), Some(event.event_type), event.category, firsts].into_iter().flatten() {
            let list = lists.entry(list).or_default();
            if event.position <= until {
                list.push((event.position.get(), event.offset));
            }
        }
        if event.position <= until {
            newest.insert(event.stream, (event.version, event.position));
        }
        assert_eq!(index.offset(event.position).unwrap(), Some(event.offset));
        assert_ne!(index.run_holds(event.stream, event.version, event.position).unwrap(), Some(false));
        assert_ne!(index.run_holds(event.stream, event.version.next(), event.position).unwrap(), Some(true));
    }
    for (list, mut places) in lists {
        assert_eq!(walk(index, list, until, Direction::Forwards, None), places);
        let behind = places.iter().copied().filter(|(position, _)| *position >= from.get()).collect::<Vec<_>>();
        assert_eq!(walk(index, list, until, Direction::Forwards, Some(from)), behind);
        places.reverse();
        assert_eq!(walk(index, list, until, Direction::Backwards, None), places);
        places.retain(|(position, _)| *position <= from.get());
        assert_eq!(walk(index, list, until, Direction::Backwards, Some(from)), places);
    }
    for (stream, newest) in newest {
        assert_eq!(index.newest(stream, until).unwrap(), newest);
    }
    assert_eq!(index.newest(stream(u64::MAX), until).unwrap(), (Version::NONE, Position::START));
    assert_eq!(index.offset(Position::new(events.len() as u64 + 1)).unwrap(), None);
}

/// Whether blocks of positions are passed over only where no event is late enough.
fn check_times(index: &Index, events: &[Indexed], time: i64) {
    for event in events {
        if let Some(last) = index.skip_before(event.position, time).unwrap() {
            assert!(last >= event.position && last.get() <= events.len() as u64);
            let passed = event.position.get() as usize - 1..last.get() as usize;
            assert!(events[passed].iter().all(|event| event.time < time), "{} to {last}", event.position);
        }
    }
}

#[test]
fn many_runs_merged_again_and_again_keep_every_event() {
    let dir = TempDir::new().unwrap();
    let all = events((0..4000).map(|number| (number * 7 % 90, number % 5, number as i64 / 300)));
    // Groups of eight, and groups of eight of those, as the thread does it.
    let mut runs: Vec<_> = all.chunks(50).map(|events| run_of(dir.path(), events)).collect();
    assert_eq!(runs.len(), 80);
    while let Some(group) = merge::choose(&runs, &[]) {
        let run = merged(dir.path(), &runs[group.clone()]);
        runs.splice(group, [run]);
    }
    assert!(runs.len() <= 16, "{} runs are left", runs.len());
    assert_eq!(runs.iter().map(|run| run.events()).sum::<u64>(), 4000);
    let index = index_of(dir.path(), &all);
    assert_eq!(index.size().0, runs.len() as u64);
    assert_eq!(index.stream_count(Position::MAX), 90);
    check(&index, &all, Position::MAX, Position::new(2000));
    check_times(&index, &all, 7);
}

#[test]
fn each_list_of_a_run_is_found_whether_there_are_one_two_or_many_and_however_their_hashes_lie() {
    let evenly = |count: u64| (0..count).map(|number| stream(number).key).collect::<Vec<_>>();
    let extremes = vec![0, 1, 2, u64::MAX - 1, u64::MAX];
    let crowded = (0..500).map(|number| u64::MAX / 3 + number).collect();
    let steep = (0..64).map(|bit| 1 << bit).collect();
    for keys in [vec![0], vec![u64::MAX], vec![7, 8], evenly(3), evenly(2000), extremes, crowded, steep] {
        // Two lists of each key.
        let hashes = keys.iter().flat_map(|key| [1, u32::MAX].map(|check| ListHash { key: *key, check }));
        let mut hashes: Vec<_> = hashes.collect();
        hashes.sort();
        for hashes in [&hashes[..], &hashes[..1]] {
            let dir = TempDir::new().unwrap();
            let mut writer = RunWriter::new(Position::FIRST, Position::new(10), 0);
            writer.units(0..10);
            let version = |index: usize| Version::new(index as u64 + 1);
            (0..).zip(hashes).for_each(|(index, hash)| writer.list(*hash, version(index), &[index as u32]));
            let run = writer.finish(&OsDisk, dir.path(), &STORE).unwrap();
            for (index, hash) in hashes.iter().enumerate() {
                let list = run.find(*hash).unwrap().unwrap();
                let mut block = Vec::new();
                run.postings(&list).unwrap().block(0, &mut block).unwrap();
                assert_eq!((list.first_version, &block[..]), (version(index), &[index as u32][..]));
                let absent = [(hash.key, 2), (hash.key ^ 1 << 40, hash.check), (hash.key ^ 3, 7)];
                for (key, check) in absent {
                    let other = ListHash { key, check };
                    assert!(hashes.contains(&other) || run.find(other).unwrap().is_none());
                }
            }
        }
    }
}

#[test]
fn the_times_of_blocks_hold_at_their_boundaries_in_parts_and_in_merged_runs() {
    let block = TIME_BLOCK as usize;
    // One late event, at each place around the boundaries of blocks; runs that begin and end there too.
    for late in [1, block - 2, block - 1, block, block + 1, 2 * block - 1, 2 * block] {
        for cuts in [[block - 2, block - 1], [block - 1, block], [block, block + 1], [10, 2 * block - 1]] {
            let dir = TempDir::new().unwrap();
            let all = events((1..=3 * block).map(|position| (1, 1, if position == late { 10 } else { 5 })));
            let pieces = [&all[..cuts[0]], &all[cuts[0]..cuts[1]], &all[cuts[1]..2 * block + 7]];
            let runs = pieces.map(|piece| run_of(dir.path(), piece));
            check_times(&index_of(dir.path(), &all), &all, 10);
            merged(dir.path(), &runs);
            let index = index_of(dir.path(), &all);
            check_times(&index, &all, 10);
            // And a block is passed over as a whole where it can be.
            let other = if late < block { Position::new(block as u64) } else { Position::FIRST };
            assert_eq!(index.skip_before(other, 10).unwrap(), Some(index.block_end(other)), "{late} {cuts:?}");
            assert_eq!(index.skip_before(Position::new(late as u64), 10).unwrap(), None, "{late} {cuts:?}");
        }
    }
}

#[test]
fn a_list_longer_than_a_block_of_postings_is_walked_in_both_directions_and_from_any_place() {
    for count in [127, 128, 129, 256, 257, 700] {
        let dir = TempDir::new().unwrap();
        // Every second event is of one type; more of both are in memory.
        let all = events((0..count * 2 + 60).map(|number| (number % 4, number % 2, 0)));
        run_of(dir.path(), &all[..count as usize * 2]);
        let index = index_of(dir.path(), &all);
        for from in [1, 2, 127, 128, 255, 256, 257, 258, 511, 513, 2 * count, 2 * count + 1, 2 * count + 61] {
            check(&index, &all, Position::MAX, Position::new(from));
            check(&index, &all, Position::new(from), Position::new(from / 2));
        }
    }
}

#[test]
fn a_run_that_is_cut_short_anywhere_or_has_another_name_or_store_is_as_good_as_missing() {
    let dir = TempDir::new().unwrap();
    let all = events((0..300).map(|number| (number % 40, number % 3, 0)));
    let run = run_of(dir.path(), &all);
    let path = dir.path().join(Run::name(run.first, run.last));
    let whole = std::fs::read(&path).unwrap();
    let covered = || index_of(dir.path(), &[]).last().get();
    assert_eq!(covered(), 300);
    for len in (0..whole.len()).rev().step_by(61).chain([4095, 4096, 4097, whole.len() - 1]) {
        std::fs::write(&path, &whole[..len]).unwrap();
        assert_eq!(covered(), 0, "cut at {len}");
    }
    let other = dir.path().join(Run::name(Position::FIRST, Position::new(299)));
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&other, &whole).unwrap();
    assert_eq!(covered(), 0);
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(covered(), 300);
    let options = IndexOptions { store: [7; 16], part_bytes: u64::MAX, writes: true };
    let foreign = Index::open(Arc::new(OsDisk), dir.path(), options, Position::MAX).unwrap();
    assert_eq!(foreign.last(), Position::START);
    assert_eq!(std::fs::read_dir(dir.path().join(INDEX)).unwrap().count(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn however_events_are_cut_into_runs_and_merged_every_question_has_the_same_answer(
        of in prop::collection::vec((0..25u64, 0..4u64, 0..50i64), 2..900),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        merges in prop::collection::vec((any::<prop::sample::Index>(), 2..6usize), 0..6),
        until in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(),
        time in 0..50i64,
    ) {
        let dir = TempDir::new().unwrap();
        let all = events(of);
        let cuts: std::collections::BTreeSet<_> = cuts.iter().map(|cut| cut.index(all.len())).collect();
        let mut runs = Vec::new();
        let mut start = 0;
        // What is behind the last cut stays in memory.
        for cut in cuts.into_iter().filter(|cut| *cut > 0) {
            runs.push(run_of(dir.path(), &all[start..cut]));
            start = cut;
        }
        for (first, count) in merges {
            if runs.len() >= 2 {
                let first = first.index(runs.len() - 1);
                let group = first..(first + count).min(runs.len());
                let run = merged(dir.path(), &runs[group.clone()]);
                runs.splice(group, [run]);
            }
        }
        let index = index_of(dir.path(), &all);
        let until = Position::new(until.index(all.len() + 2) as u64);
        check(&index, &all, until, Position::new(from.index(all.len() + 2) as u64));
        check(&index, &all, Position::MAX, Position::new(from.index(all.len() + 2) as u64));
        check_times(&index, &all, time);
    }
}
