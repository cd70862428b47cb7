//! Showing how two values differ.

use serde::Serialize;
use similar::{ChangeTag, TextDiff};

/// As JSON, with a line for each part.
pub fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("events can be written as JSON")
}

/// The lines of both texts: `-` for those only expected, `+` for those only found.
pub fn difference(expected: &str, found: &str) -> String {
    let diff = TextDiff::from_lines(expected, found);
    let lines = diff.iter_all_changes().map(|change| {
        let sign = match change.tag() {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => ' ',
        };
        format!("{sign} {}", change.value().trim_end_matches('\n'))
    });
    lines.collect::<Vec<_>>().join("\n")
}
