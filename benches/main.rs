//! The figures of factlog, each beside the limit of the machine and beside other stores that do the same work.
//!
//! ```text
//! cargo bench                  all of them, then one table
//! cargo bench -- append        those whose group or case has this in its name
//! cargo bench --features engines -- engines    on other engines, which must be installed
//! cargo bench -- --picture     draws docs/figures.svg of what was measured last
//! ```
//!
//! `FACTLOG_BENCH_FULL=1` opens ten million events as well, `FACTLOG_BENCH_DIR` says on which disk to measure.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a figure that cannot be taken is not there"
)]

mod append;
mod device;
mod disk;
#[cfg(feature = "engines")]
mod engines;
mod import;
mod machine;
mod model;
mod open;
mod picture;
mod projection;
mod read;
mod server;
mod snapshot;
mod subscribe;
mod support;
mod table;

use std::time::Duration;

use criterion::Criterion;

use support::{case::Run, figure::Figure, library::Library};

fn main() {
    if open::be_child() {
        return;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--picture") {
        picture::draw();
        return;
    }
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500))
        .configure_from_args();
    let filter = arguments.into_iter().find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let figures = measure(&mut criterion, &|group, case| format!("{group}/{case}").contains(&filter));
    table::show(&figures);
}

fn measure(criterion: &mut Criterion, wanted: &dyn Fn(&str, &str) -> bool) -> Vec<Figure> {
    let mut figures = Figures::default();
    if wanted("device", "requests of a commit") {
        match device::commit() {
            Some(figure) => figures.add(figure),
            None => eprintln!("device: skipped, its counters cannot be found"),
        }
    }
    let groups: [(&str, &[(&str, Run)]); 7] = [
        ("append", &append::CASES),
        ("import", &import::CASES),
        ("subscribe", &subscribe::CASES),
        ("snapshot", &snapshot::CASES),
        ("projection", &projection::CASES),
        ("model", &model::CASES),
        ("server", &server::CASES),
    ];
    for (group, cases) in groups {
        for (case, run) in cases {
            if wanted(group, case) {
                figures.add(run(criterion));
            }
        }
    }
    #[cfg(feature = "engines")]
    engines::measure(criterion, &|case| wanted("engines", case), &mut |figure| figures.add(figure));
    let in_library = ["read", "open", "disk"];
    let opening = ["1 thousand events", "million events", "RssAnon", "after a kill"];
    let cases = read::CASES.map(|(case, _)| case).into_iter().chain(opening).chain(["use"]);
    if !cases.clone().any(|case| in_library.into_iter().any(|group| wanted(group, case))) {
        return figures.0;
    }
    let library = Library::new();
    for (case, run) in read::CASES {
        if wanted("read", case) {
            figures.add(run(criterion, &library));
        }
    }
    let shelf = library.close();
    open::measure(criterion, &shelf, &|case| wanted("open", case), &mut |figure| figures.add(figure));
    if wanted("disk", "use") {
        figures.add(disk::use_of(&shelf));
    }
    figures.0
}

/// Those of this run; each is kept at once, whatever becomes of the run.
#[derive(Default)]
struct Figures(Vec<Figure>);

impl Figures {
    fn add(&mut self, figure: Figure) {
        table::keep(&figure);
        self.0.push(figure);
    }
}
