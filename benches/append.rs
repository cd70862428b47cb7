//! Appending: alone, with others at the same time, in batches, and all to one stream.

use std::{path::Path, sync::Arc, time::Duration};

use criterion::Criterion;
use factlog::{Options, Store, limits::SEGMENT_BYTES};

use crate::support::{
    bare::{BareLoop, LeaderFollower},
    case::{Case, Role, Run, Turn},
    data::{grown, record_bytes},
    figure::{Figure, Target},
    grouped::Grouped,
    peer::Peer,
    peers::{self, Indexes},
    place::place,
    writers::{Contender, Writer, alone, turn},
};

const GROUP: &str = "append";
const BATCH: u64 = 100;
const CONTENDERS: usize = 16;

pub const CASES: [(&str, Run); 6] = [
    ("lone", lone),
    ("4 writers", |criterion| together(criterion, 4, Target::AtLeast(1.0))),
    ("16 writers", |criterion| together(criterion, 16, Target::AtLeast(1.0))),
    ("64 writers", |criterion| together(criterion, 64, Target::AtLeast(1.1))),
    ("batches of 100", batches),
    ("16 writers, one stream", contended),
];

fn bare(dir: &Path) -> BareLoop {
    BareLoop::new(dir, SEGMENT_BYTES)
}

/// One thread, appends of `events` events each.
fn one_thread(
    criterion: &mut Criterion,
    name: &str,
    events: u64,
    target: Target,
    (rounds, milliseconds): (usize, u64),
) -> Figure {
    let place = place();
    let dir = place.path();
    let store = grown(Options::new(), &dir.join("factlog"));
    let (mut writer, mut bare) = (Writer::new(events), bare(dir));
    let bytes = vec![7; record_bytes() * events as usize];
    let unit = if events == 1 { "appends/s" } else { "batches/s" };
    let mut case = Case::rate(GROUP, name, unit)
        .target(target)
        .rounds(rounds, milliseconds)
        .contestant(Role::Factlog, "factlog", |time| alone(time, || writer.append(&store)))
        .contestant(Role::Limit, "bare loop", move |time| {
            alone(time, || {
                bare.add(&bytes);
                bare.commit();
            })
        });
    for peer in peers::all(dir, Indexes::Streams) {
        let mut writer = Writer::new(events);
        case = case.contestant(Role::Peer, peer.name(), move |time| {
            alone(time, || assert_eq!(peer.commit(&[writer.next()]), [Ok(())]))
        });
    }
    case.run(criterion)
}

fn lone(criterion: &mut Criterion) -> Figure {
    one_thread(criterion, "lone", 1, Target::AtLeast(0.95), (60, 25))
}

fn batches(criterion: &mut Criterion) -> Figure {
    one_thread(criterion, "batches of 100", BATCH, Target::AtLeast(0.85), (40, 40))
}

fn writers(count: usize) -> Vec<Writer> {
    (0..count).map(|_| Writer::new(1)).collect()
}

/// Many threads, each with streams of its own.
fn together(criterion: &mut Criterion, count: usize, target: Target) -> Figure {
    let place = place();
    let dir = place.path();
    let store = grown(Options::new(), &dir.join("factlog"));
    let limit = LeaderFollower::new(dir, SEGMENT_BYTES);
    let bytes = vec![7; record_bytes()];
    let mut own = writers(count);
    let mut case = Case::rate(GROUP, format!("{count} writers"), "appends/s")
        .target(target)
        .rounds(25, 60)
        .contestant(Role::Factlog, "factlog", |time| appending(&store, &mut own, time))
        .contestant(Role::Limit, "leader-follower", |time| {
            let work = || {
                limit.append(&bytes);
                0
            };
            turn(vec![work; count], time)
        });
    for (name, work) in peer_turns(dir, count) {
        case = case.contestant(Role::Peer, name, work);
    }
    case.run(criterion)
}

fn appending(store: &Store, writers: &mut [Writer], time: Duration) -> Turn {
    let work = writers.iter_mut().map(|writer| {
        move || {
            writer.append(store);
            0
        }
    });
    turn(work.collect(), time)
}

type PeerTurn = Box<dyn FnMut(Duration) -> Turn>;

/// Each peer, with many threads that append: as it is, and with a thread in front of it that groups the commits.
fn peer_turns(dir: &Path, count: usize) -> Vec<(String, PeerTurn)> {
    let mut turns: Vec<(String, PeerTurn)> = Vec::new();
    for peer in peers::all(dir, Indexes::Streams) {
        let name = peer.name();
        let (direct, grouped) = (peer.clone(), Grouped::new(peer));
        let (mut own, mut own_grouped) = (writers(count), writers(count));
        let plain = move |time| {
            let work = own.iter_mut().map(|writer| direct_work(&direct, writer));
            turn(work.collect(), time)
        };
        let in_group = move |time| {
            let work = own_grouped.iter_mut().map(|writer| {
                let door = grouped.door();
                move || {
                    assert_eq!(door.append(writer.next()), Ok(()));
                    0
                }
            });
            turn(work.collect(), time)
        };
        turns.push((name.to_owned(), Box::new(plain)));
        turns.push((format!("{name}, grouped"), Box::new(in_group)));
    }
    turns
}

fn direct_work<'a>(peer: &'a Arc<dyn Peer>, writer: &'a mut Writer) -> impl FnMut() -> u64 + Send + use<'a> {
    move || {
        assert_eq!(peer.commit(&[writer.next()]), [Ok(())]);
        0
    }
}

/// Many threads that append to the same stream; those that are refused try again.
fn contended(criterion: &mut Criterion) -> Figure {
    let place = place();
    let dir = place.path();
    let store = grown(Options::new(), &dir.join("factlog"));
    let lone = grown(Options::new(), &dir.join("lone"));
    let mut writer = Writer::new(1);
    let mut own: Vec<Contender> = contenders();
    let mut case = Case::rate(GROUP, "16 writers, one stream", "appends/s")
        .target(Target::AtLeast(0.6))
        .rounds(25, 60)
        .contestant(Role::Factlog, "factlog", |time| {
            let work = own.iter_mut().map(|contender| || contender.with_factlog(&store));
            turn(work.collect(), time)
        })
        .contestant(Role::Limit, "factlog, lone", |time| alone(time, || writer.append(&lone)));
    for peer in peers::all(dir, Indexes::Streams) {
        let name = peer.name();
        let grouped = Grouped::new(peer.clone());
        let (mut own, mut own_grouped) = (contenders(), contenders());
        case = case.contestant(Role::Peer, name, move |time| {
            let commit = |append| peer.commit(&[append]).remove(0);
            let work = own.iter_mut().map(|contender| || contender.with_peer(commit));
            turn(work.collect(), time)
        });
        case = case.contestant(Role::Peer, format!("{name}, grouped"), move |time| {
            let work = own_grouped.iter_mut().map(|contender| {
                let door = grouped.door();
                move || contender.with_peer(|append| door.append(append))
            });
            turn(work.collect(), time)
        });
    }
    let figure = case.run(criterion);
    let conflicts = figure.factlog.retries.unwrap_or_default();
    figure.note(format!("{conflicts:.1} conflicts per success"))
}

fn contenders() -> Vec<Contender> {
    (0..CONTENDERS).map(|_| Contender::default()).collect()
}
