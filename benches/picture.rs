//! The figures as a picture: a card for each case, with a bar for factlog, its limit and each peer.
//!
//! The colours follow the reader's choice of light or dark; where that is not understood the picture is light.

use std::{fmt::Write, fs, path::Path};

use crate::{
    support::{
        figure::{Better, Figure, Measured, Target},
        peers,
    },
    table::{Kept, kept, number, text as text_of},
};

const WIDTH: usize = 960;
const MARGIN: usize = 24;
const COLUMNS: usize = 2;
const CARD: usize = (WIDTH - (COLUMNS + 1) * MARGIN) / COLUMNS;
const HEAD: usize = 84;
/// From one bar to the next, and how thick one is.
const STEP: usize = 19;
const BAR: usize = 12;
const TITLE: usize = 26;
/// Left of the bars are the names, right of them the values.
const NAMES: usize = 112;
const VALUES: usize = 72;

const STYLE: &str = "
    text { font-family: system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif }
    @media (prefers-color-scheme: dark) {
      .page { fill: #0d1117 } .text { fill: #e6edf3 } .faint { fill: #9198a1 }
      .own { fill: #4493f8 } .limit { fill: #6e7681 } .peer { fill: #41627f }
    }
";

/// Where the table stands in docs/benchmarks.md.
const TABLE: &str = "<!-- table -->";
const TABLE_END: &str = "<!-- end of the table -->";

/// Draws what was measured last.
pub fn draw() {
    let kept = kept();
    assert!(!kept.figures.is_empty(), "nothing was measured yet: `cargo bench` does it");
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").canonicalize().unwrap();
    fs::write(docs.join("figures.svg"), picture(&kept)).unwrap();
    let page = docs.join("benchmarks.md");
    let old = fs::read_to_string(&page).unwrap();
    let (before, rest) = old.split_once(TABLE).unwrap();
    let (_, after) = rest.split_once(TABLE_END).unwrap();
    let new = format!("{before}{TABLE}\n\n{}\n{TABLE_END}{after}", text_of(&kept));
    fs::write(page, new).unwrap();
    println!("drawn to figures.svg, and its table put into benchmarks.md, in {}", docs.display());
}

struct Bar<'a> {
    name: &'a str,
    class: (&'static str, &'static str),
    value: f64,
}

/// The bars of a case: factlog, what it is held against, and each peer as it does best.
fn bars(figure: &Figure) -> Vec<Bar<'_>> {
    let (own, limit, peer) = (("own", "#0969da"), ("limit", "#8c959f"), ("peer", "#b6c6d8"));
    // As long as the ratios say, which were taken within the rounds: the medians of all rounds may be of different moments.
    let value = |of: &Measured| figure.factlog.value / of.ratio;
    let mut bars = vec![Bar { name: "factlog", class: own, value: figure.factlog.value }];
    if let Some(of) = &figure.limit {
        bars.push(Bar { name: &of.name, class: limit, value: value(of) });
    }
    if let Target::Below(bound) = figure.target {
        bars.push(Bar { name: "the bound", class: limit, value: bound });
    }
    for name in peers::NAMES {
        let variants = figure.peers.iter().filter(|measured| measured.name.starts_with(name));
        let best = match figure.better {
            Better::More => variants.min_by(|a, b| a.ratio.total_cmp(&b.ratio)),
            Better::Less => variants.max_by(|a, b| a.ratio.total_cmp(&b.ratio)),
        };
        bars.extend(best.map(|best| Bar { name: &best.name, class: peer, value: value(best) }));
    }
    bars
}

fn picture(kept: &Kept) -> String {
    let figures: Vec<&Figure> = kept.figures.iter().filter(|figure| figure.group != "device").collect();
    let mut cards = String::new();
    let mut heights = [HEAD; COLUMNS];
    // Half of the cards in each column, from top to bottom.
    let mut left: usize = figures.iter().map(|figure| height(figure)).sum::<usize>() / COLUMNS;
    let mut column = 0;
    for figure in figures {
        card(&mut cards, figure, MARGIN + column * (CARD + MARGIN), heights[column]);
        heights[column] += height(figure);
        left = left.saturating_sub(height(figure));
        if left == 0 {
            column = COLUMNS - 1;
        }
    }
    let page = heights.into_iter().max().unwrap_or(HEAD) + MARGIN / 2;
    let said: Vec<&str> = kept
        .machine
        .iter()
        .filter(|(name, _)| ["processor", "kernel", "disk"].contains(&name.as_str()))
        .map(|(_, value)| value.split(" (").next().unwrap_or(value))
        .collect();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{page}\" \
         viewBox=\"0 0 {WIDTH} {page}\" role=\"img\" aria-label=\"The figures of factlog\">\n\
         <style>{STYLE}</style>\n\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{page}\" rx=\"8\" fill=\"#ffffff\"/>\n"
    );
    text(&mut svg, (MARGIN, 38), "start", (20, true, "text"), "factlog, beside the raw limit and other stores");
    let under = format!("256-byte payloads, each append on the disk before it is acknowledged. {}", said.join(", "));
    text(&mut svg, (MARGIN, 60), "start", (12, false, "faint"), &under);
    svg + &cards + "</svg>\n"
}

fn height(figure: &Figure) -> usize {
    TITLE + bars(figure).len() * STEP + MARGIN
}

fn card(svg: &mut String, figure: &Figure, x: usize, y: usize) {
    let better = match figure.better {
        Better::More => "more is better",
        Better::Less => "less is better",
    };
    let title = format!("{}: {}", figure.group, figure.case);
    text(svg, (x, y + 14), "start", (14, true, "text"), &title);
    text(svg, (x + CARD, y + 14), "end", (11, false, "faint"), &format!("{}, {better}", figure.unit));
    let bars = bars(figure);
    let most = bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
    let room = (CARD - NAMES - VALUES) as f64;
    for (at, bar) in bars.iter().enumerate() {
        let top = y + TITLE + at * STEP;
        let own = bar.name == "factlog";
        text(svg, (x + NAMES - 8, top + 10), "end", (11, own, if own { "text" } else { "faint" }), bar.name);
        let long = (room * bar.value / most).max(1.5);
        let (class, fill) = bar.class;
        let _ = writeln!(
            svg,
            "<rect class=\"{class}\" x=\"{}\" y=\"{top}\" width=\"{long:.1}\" height=\"{BAR}\" rx=\"2\" fill=\"{fill}\"/>",
            x + NAMES
        );
        let behind = x + NAMES + long as usize + 6;
        text(svg, (behind, top + 10), "start", (11, own, "text"), &number(bar.value));
    }
}

fn text(
    svg: &mut String,
    (x, y): (usize, usize),
    anchor: &str,
    (size, bold, class): (usize, bool, &str),
    content: &str,
) {
    let weight = if bold { "600" } else { "400" };
    let fill = if class == "text" { "#1f2328" } else { "#59636e" };
    let content = content.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\" font-size=\"{size}\" \
         font-weight=\"{weight}\" font-family=\"sans-serif\" fill=\"{fill}\">{content}</text>"
    );
}
