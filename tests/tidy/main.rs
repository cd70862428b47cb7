//! The house keeps itself tidy: rooms, sizes, and what no file may contain. The rules are in `rules`, and each of them
//! is shown here to catch what it is for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

mod rules;
mod source;

use std::{fs, path::Path};

use rules::{broken_by, leftovers};
use source::Source;

/// All files of text in the project, by their paths relative to its directory.
fn files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut left = vec![root.to_path_buf()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if !name.starts_with('.') && !matches!(name, "target" | "factlog-data") {
                    left.push(path);
                }
            } else if let Ok(text) = fs::read_to_string(&path) {
                let relative = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.push((relative, text));
            }
        }
    }
    found
}

#[test]
fn the_house_is_tidy() {
    let mut sources = 0;
    let mut broken = Vec::new();
    for (path, text) in files() {
        if path.ends_with(".rs") {
            sources += 1;
            broken.extend(broken_by(&Source::new(&path, &text)));
        } else {
            broken.extend(leftovers(&path, &text));
        }
    }
    assert!(sources > 10, "found only {sources} sources: the wrong directory?");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_table_of_rooms_has_no_circle() {
    // Each room stands behind those that it imports.
    let mut seen = Vec::new();
    for (room, _) in rules::ROOMS {
        assert!(!seen.contains(room), "{room} stands there twice");
        seen.push(room);
    }
    for (at, (room, allowed)) in rules::ROOMS.iter().enumerate() {
        for other in allowed.iter().flat_map(|names| names.iter()) {
            let place = rules::ROOMS.iter().position(|(name, _)| name == other);
            assert!(place.is_some_and(|place| place < at), "{room} imports {other}, which does not stand before it");
        }
    }
}

/// What the rules say of one file.
fn said(path: &str, text: &str) -> String {
    broken_by(&Source::new(path, text)).join("\n")
}

#[test]
fn an_import_of_a_higher_or_a_sibling_room_is_found() {
    assert_eq!(said("src/store/a.rs", "use crate::{log::Log, event::NewEvent};\n"), "");
    assert_eq!(said("src/log/a.rs", "//! See [`crate::store`].\nuse crate::log::b;\n"), "");
    for (path, text) in [
        ("src/log/a.rs", "use std::io;\nuse crate::store::Store;\n"),
        ("src/log/a.rs", "\nuse crate::{\n    disk::Disk,\n    index::{Index, Other},\n};\n"),
        ("src/log/a.rs", "\nfn f() -> crate::event::NewEvent {}\n"),
        ("src/limits.rs", "\nuse crate::version::Version;\n"),
        ("src/model/a.rs", "\nuse crate::Store;\n"),
        ("src/orders/a.rs", "\nuse super::super::store;\n"),
        ("src/event.rs", "\nuse super::store;\n"),
    ] {
        assert!(said(path, text).starts_with(&format!("{path}:2: ")), "{path} {text}: {}", said(path, text));
    }
    assert!(said("src/attic/a.rs", "").contains("not in the table of rooms"));
    assert_eq!(said("src/log/a.rs", "#[cfg(test)]\nmod tests {\n    use crate::store::Store;\n}\n"), "");
}

#[test]
fn a_file_system_or_thread_reached_past_its_place_is_found() {
    let code = "use std::{fs::File, io};\nfn f() { std::thread::spawn(g); }\n";
    assert_eq!(said("src/disk/os.rs", code), "");
    assert_eq!(said("src/log/a.rs", code).lines().count(), 2);
    for code in
        ["use std::fs;", "let x = std::fs::read(y);", "use std::thread;\nthread::spawn(f);", "use rustix::fs::x;"]
    {
        assert_eq!(said("src/store/a.rs", code).lines().count(), 1, "{code}");
    }
    assert_eq!(
        said("src/store/a.rs", "// std::fs::read\nlet x = \"std::fs\"; use std::thread::park; use std::fsx;"),
        ""
    );
    assert_eq!(said("tests/a.rs", code), "");
    for code in ["use tokio::{net::TcpStream, runtime::Builder};", "tokio::task::spawn_blocking(f);", "use tokio::fs;"]
    {
        assert_eq!(said("src/client/a.rs", code).lines().count(), 1, "{code}");
    }
    assert_eq!(said("src/runtime.rs", "use tokio::runtime::Builder;"), "");
}

#[test]
fn a_file_or_function_that_is_too_long_is_found() {
    let long = |lines: usize| format!("fn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2));
    assert_eq!(said("src/log/a.rs", &long(70)), "");
    assert!(said("src/log/a.rs", &long(71)).contains("src/log/a.rs:1: a function of 71 lines"));
    assert!(said("tests/a.rs", &long(71)).contains("a function of 71 lines"));
    assert_eq!(said("src/log/a.rs", &"// Text.\n".repeat(500)), "");
    assert!(said("src/log/a.rs", &"// Text.\n".repeat(501)).contains("501 lines"));
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    use a;\n".repeat(500));
    assert_eq!(said("src/log/a.rs", &tests), "");
}

#[test]
fn an_unwrap_and_a_leftover_are_found() {
    assert!(said("src/log/a.rs", "\nfn f() { g().unwrap(); }\n").starts_with("src/log/a.rs:2: "));
    assert_eq!(
        said("src/log/a.rs", "fn f() { g().unwrap_or(1); }\n#[cfg(test)]\nmod tests { fn f() { g().unwrap(); } }"),
        ""
    );
    for leftover in [concat!("// TO", "DO"), concat!("// ../", "shared/x"), concat!("x\n<<<<", "<<< a")] {
        assert!(!said("src/log/a.rs", leftover).is_empty());
        assert!(!leftovers("README.md", leftover).is_empty());
    }
}
