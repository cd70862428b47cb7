//! What one commit asks of the device: one write of data, one flush, and no read.
//!
//! The counters of the device count what everybody does, so as much idle time is measured before and after and its
//! mean subtracted. On a device that others use heavily the figure says nothing.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use factlog::{Options, Store};

use crate::support::{
    bare::BareLoop,
    data::{grown, record_bytes},
    figure::{Better, Figure, Measured, Target, median},
    place::place,
    writers::Writer,
};

const COMMITS: u32 = 500;
const ROUNDS: usize = 9;

/// Requests for each commit.
#[derive(Clone, Copy, Debug, Default)]
struct Requests {
    reads: f64,
    writes: f64,
    flushes: f64,
}

impl Requests {
    fn all(&self) -> f64 {
        self.reads + self.writes + self.flushes
    }
}

/// `None` where the device has no counters to be found.
pub fn commit() -> Option<Figure> {
    eprintln!("device: requests of a commit");
    let place = place();
    let stat = stat_of(place.path())?;
    let store: Store = grown(Options::new(), &place.path().join("factlog"));
    let mut writer = Writer::new(1);
    let mut bare = BareLoop::new(place.path(), factlog::limits::SEGMENT_BYTES);
    let bytes = vec![7; record_bytes()];
    // The first one begins a segment.
    writer.append(&store);
    let (mut own, mut limit) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        own.push(requests(&stat, || writer.append(&store)));
        limit.push(requests(&stat, || {
            bare.add(&bytes);
            bare.commit();
        }));
    }
    let (own, limit) = (middle(&own), middle(&limit));
    let Requests { reads, writes, flushes } = own;
    Some(Figure {
        group: "device".to_owned(),
        case: "requests of a commit".to_owned(),
        unit: "requests".to_owned(),
        better: Better::Less,
        factlog: Measured::counted("factlog", own.all(), own.all()),
        limit: Some(Measured::counted("bare loop", limit.all(), own.all())),
        peers: Vec::new(),
        target: Target::Below(2.1),
        ahead: 1.0,
        note: format!("{writes:.2} writes, {flushes:.2} flushes, {reads:.2} reads"),
    })
}

fn middle(rounds: &[Requests]) -> Requests {
    let of = |part: fn(&Requests) -> f64| median(&mut rounds.iter().map(part).collect::<Vec<_>>());
    Requests {
        reads: of(|requests| requests.reads),
        writes: of(|requests| requests.writes),
        flushes: of(|requests| requests.flushes),
    }
}

/// The counters of the device that a directory lies on.
fn stat_of(dir: &Path) -> Option<PathBuf> {
    let device = rustix::fs::major(fs::metadata(dir).ok()?.dev());
    let minor = rustix::fs::minor(fs::metadata(dir).ok()?.dev());
    let path = PathBuf::from(format!("/sys/dev/block/{device}:{minor}/stat"));
    // Reads, writes and flushes: a kernel before 5.5 does not count the last.
    let enough = fs::read_to_string(&path).is_ok_and(|text| text.split_whitespace().count() >= 17);
    enough.then_some(path)
}

fn counters(stat: &Path) -> [f64; 3] {
    let text = fs::read_to_string(stat).unwrap();
    let fields: Vec<f64> = text.split_whitespace().map(|field| field.parse().unwrap()).collect();
    let [reads, writes, flushes] = [fields[0], fields[4], fields[15]];
    // A flush that carries no data is counted as a write as well.
    [reads, writes - flushes, flushes]
}

fn grown_by(stat: &Path, work: impl FnOnce()) -> [f64; 3] {
    let before = counters(stat);
    work();
    let after = counters(stat);
    std::array::from_fn(|at| after[at] - before[at])
}

fn requests(stat: &Path, mut commit: impl FnMut()) -> Requests {
    let idle = |time: Duration| grown_by(stat, || thread::sleep(time));
    let short = Duration::from_millis(30);
    let before = idle(short);
    let begin = Instant::now();
    let busy = grown_by(stat, || (0..COMMITS).for_each(|_| commit()));
    let length = begin.elapsed().as_secs_f64() / (2.0 * short.as_secs_f64());
    let after = idle(short);
    let [reads, writes, flushes] =
        std::array::from_fn(|at| (busy[at] - (before[at] + after[at]) * length) / f64::from(COMMITS));
    Requests { reads, writes, flushes }
}
