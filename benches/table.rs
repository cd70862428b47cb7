//! The figures as a table: at the end of the run, and kept under `target/figures`.

use std::{fs, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    machine,
    support::{
        figure::{Figure, Measured, Target},
        place::place,
    },
};

/// What a run leaves behind.
#[derive(Default, Serialize, Deserialize)]
pub struct Kept {
    pub machine: Vec<(String, String)>,
    pub figures: Vec<Figure>,
}

/// The table of all that was measured last, and with what.
pub fn text(kept: &Kept) -> String {
    let machine: String = kept.machine.iter().map(|(name, value)| format!("- {name}: {value}\n")).collect();
    format!("{machine}\n{}", aligned(&rows(&kept.figures)))
}

/// Prints the table of this run.
pub fn show(figures: &[Figure]) {
    let machine = machine::description(place().path());
    println!("\n{}", machine.iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>());
    println!("{}", aligned(&rows(figures)));
    println!("kept as figures.json and figures.md in {}", directory().display());
}

fn directory() -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    target.parent().unwrap_or(&target).join("figures")
}

/// What was measured last.
pub fn kept() -> Kept {
    let text = fs::read_to_string(directory().join("figures.json")).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Keeps a figure, in place of the one of the same case.
pub fn keep(figure: &Figure) {
    let mut kept = Kept { machine: machine::description(place().path()), ..kept() };
    match kept.figures.iter_mut().find(|old| old.group == figure.group && old.case == figure.case) {
        Some(old) => *old = figure.clone(),
        // Behind the last one of its group.
        None => {
            let last = kept.figures.iter().rposition(|old| old.group == figure.group);
            kept.figures.insert(last.map_or(kept.figures.len(), |last| last + 1), figure.clone());
        }
    }
    fs::create_dir_all(directory()).unwrap();
    fs::write(directory().join("figures.json"), serde_json::to_string_pretty(&kept).unwrap()).unwrap();
    fs::write(directory().join("figures.md"), aligned(&rows(&kept.figures))).unwrap();
}

const HEAD: [&str; 9] =
    ["case", "factlog", "unit", "raw limit", "ratio", "target", "best peer", "times its figure", "note"];

fn rows(figures: &[Figure]) -> Vec<[String; 9]> {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(figures.iter().map(row));
    rows
}

fn row(figure: &Figure) -> [String; 9] {
    let measured = |of: &Measured| format!("{} ({})", number(of.value), of.name);
    let best = figure.best_peer();
    let ahead = best.map_or_else(String::new, |peer| {
        let times = figure.ahead_of(peer);
        let missed = if times < figure.ahead { " MISSED" } else { "" };
        format!("{times:.2}, at least {}{missed}", figure.ahead)
    });
    [
        format!("{}: {}", figure.group, figure.case),
        number(figure.factlog.value),
        figure.unit.clone(),
        figure.limit.as_ref().map_or_else(String::new, measured),
        figure.limit.as_ref().map_or_else(String::new, ratio),
        target(figure),
        best.map_or_else(String::new, measured),
        ahead,
        figure.note.clone(),
    ]
}

fn ratio(limit: &Measured) -> String {
    let (lower, upper) = limit.quartiles;
    if lower < upper { format!("{:.2} ({lower:.2}-{upper:.2})", limit.ratio) } else { format!("{:.2}", limit.ratio) }
}

fn target(figure: &Figure) -> String {
    let text = match figure.target {
        Target::None => return String::new(),
        Target::AtLeast(ratio) => format!("at least {ratio}"),
        Target::AtMost(ratio) => format!("at most {ratio}"),
        Target::Below(bound) => format!("under {bound} {}", figure.unit),
    };
    if figure.reached() == Some(false) { format!("{text} MISSED") } else { text }
}

/// With three digits that mean something.
pub fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => {
            let digits = format!("{value:.0}");
            let mut text = String::new();
            for (at, digit) in digits.chars().enumerate() {
                if at > 0 && (digits.len() - at).is_multiple_of(3) {
                    text.push(',');
                }
                text.push(digit);
            }
            text
        }
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// As a table of Markdown, its columns aligned.
fn aligned(rows: &[[String; 9]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 9] = std::array::from_fn(width);
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!(" {cell:width$} "));
        text.push_str(&format!("|{}|\n", cells.collect::<Vec<_>>().join("|")));
        if at == 0 {
            let lines = widths.map(|width| "-".repeat(width + 2));
            text.push_str(&format!("|{}|\n", lines.join("|")));
        }
    }
    text
}
