//! What the tables of the guide name is there: items of the crate, files, and tests.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::{
    fs,
    path::{Path, PathBuf},
};

const CLASSES: &str = "## Every class and its counterpart";
const ABSENT: &str = "## What is deliberately absent";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn guide() -> String {
    fs::read_to_string(root().join("docs/guide.md")).unwrap()
}

/// The text of a file, or of all Rust files in a directory.
fn texts(path: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(path) else { return fs::read_to_string(path).into_iter().collect() };
    let inside: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    let sources = inside.iter().filter(|path| path.is_dir() || path.extension().is_some_and(|end| end == "rs"));
    sources.flat_map(|path| texts(path)).collect()
}

/// Whether a text has this as a word of its own.
fn has_word(text: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(part_of_word) && !text[at + word.len()..].starts_with(part_of_word))
}

/// Whether the crate exports `room::Item`, and the item has the member.
fn exists(path: &str) -> bool {
    let src = root().join("src");
    let (room, inside) = match path.split_once("::") {
        Some((room, inside)) if room.starts_with(char::is_lowercase) => (src.join(room), inside),
        _ => (src.clone(), path),
    };
    let (item, member) = inside.split_once("::").map_or((inside, None), |(item, member)| (item, Some(member)));
    let door = if room == src { src.join("lib.rs") } else { room.join("mod.rs") };
    let door = fs::read_to_string(door).unwrap_or_default();
    let exported = door.split("pub ").skip(1).any(|rest| has_word(rest.split(';').next().unwrap_or(""), item));
    let declares = |text: &String| {
        ["struct", "enum", "trait"].iter().any(|kind| has_word(text, &format!("{kind} {item}")))
            || has_word(text, &format!("impl {item}"))
            || has_word(text, &format!("impl<A: Aggregate> {item}"))
    };
    let has = |text: &String, member: &str| {
        has_word(text, &format!("fn {member}"))
            || text.contains(&format!("pub {member}: "))
            || text
                .lines()
                .any(|line| line.trim().strip_prefix(member).is_some_and(|rest| rest.starts_with([' ', ',', '('])))
    };
    exported && member.is_none_or(|member| texts(&room).iter().any(|text| declares(text) && has(text, member)))
}

/// Whether a file, or what it runs, has this test.
fn has_test(file: &str, test: &str) -> bool {
    let place = if file == "tests/conformance.rs" { "src/testing/conformance" } else { file };
    texts(&root().join(place)).iter().any(|text| has_word(text, &format!("fn {test}")))
}

/// What stands between backticks.
fn named(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn is_file(name: &str) -> bool {
    ["src/", "tests/"].iter().any(|start| name.starts_with(start))
}

fn is_test(name: &str) -> bool {
    name.matches('_').count() > 2 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The tests that the tables name, each with its file, and the files.
fn named_tests(guide: &str) -> (Vec<(String, String)>, Vec<String>) {
    let (mut tests, mut files) = (Vec::new(), Vec::new());
    let mut file = String::new();
    for line in guide.lines() {
        if !line.starts_with('|') {
            file.clear();
            continue;
        }
        for name in named(line) {
            if is_file(name) {
                file = name.to_owned();
                files.push(file.clone());
            } else if is_test(name) {
                tests.push((file.clone(), name.to_owned()));
            }
        }
    }
    (tests, files)
}

/// The rows behind a heading: what stands there, and the counterpart.
fn rows<'a>(guide: &'a str, heading: &str) -> Vec<(&'a str, &'a str)> {
    let section = guide.split(heading).last().unwrap();
    let lines = section.lines().skip(1).take_while(|line| !line.starts_with('#')).filter(|line| line.starts_with('|'));
    let cells = lines.skip(2).map(|line| line.trim_matches('|').split_once('|').unwrap());
    cells.map(|(left, right)| (left.trim(), right.trim())).filter(|(_, right)| !right.is_empty()).collect()
}

#[test]
fn every_test_and_file_that_the_guide_names_is_there() {
    let (tests, files) = named_tests(&guide());
    assert!(tests.len() > 60, "found only {} tests", tests.len());
    let missing: Vec<_> = tests.iter().filter(|(file, test)| !has_test(file, test)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    let missing: Vec<_> = files.iter().filter(|file| !root().join(file).exists()).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_counterpart_in_the_table_of_classes_is_in_the_crate_or_said_to_be_absent() {
    let guide = guide();
    let classes = rows(&guide, CLASSES);
    assert!(classes.len() > 70, "found only {} rows", classes.len());
    let is_path = |name: &&str| !is_file(name) && !name.contains([' ', '.']) && !name.starts_with(char::is_numeric);
    let mut missing = Vec::new();
    for (course, here) in classes.into_iter().chain(rows(&guide, ABSENT)) {
        let said = here.starts_with("absent") || rows(&guide, ABSENT).contains(&(course, here));
        let paths: Vec<&str> = named(here).filter(is_path).collect();
        if paths.is_empty() && !said && !named(here).any(is_file) {
            missing.push(format!("{course}: no counterpart"));
        }
        missing.extend(paths.into_iter().filter(|path| !exists(path)).map(|path| format!("{course}: `{path}`")));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn what_is_not_there_is_found_out() {
    for there in ["EventStore::append", "save_state", "orders::OrderStatus::Paid", "model::Pagination::total_pages"] {
        assert!(exists(there), "{there}");
    }
    for missing in
        ["EventStore::lose", "save_nothing", "orders::OrderStatus::Lost", "nowhere::Order", "model::Appending"]
    {
        assert!(!exists(missing), "{missing}");
    }
    assert!(has_test("tests/guide.rs", "what_is_not_there_is_found_out"));
    assert!(!has_test("tests/guide.rs", "what_is_not_there_is_foun"));
    let (tests, files) =
        named_tests("| a | `tests/a.rs` `one_two_three_four` |\n\n| b | `user_view` `five_six_seven_eight` |");
    assert_eq!(files, ["tests/a.rs"]);
    assert_eq!(tests.iter().map(|(file, _)| file.as_str()).collect::<Vec<_>>(), ["tests/a.rs", ""]);
}
