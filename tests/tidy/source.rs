//! Rust source, read just well enough for the rules: comments and texts blanked, tests set apart, paths written out.

use std::ops::Range;

/// A file of the crate.
pub struct Source {
    /// Relative to the crate's directory, with `/` between the parts.
    pub path: String,
    /// The whole text.
    pub text: String,
    /// The text with comments, strings and characters blanked out; line breaks are kept.
    pub code: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned(), code: blanked(text) }
    }

    /// Whether the file holds nothing but tests.
    pub fn is_test(&self) -> bool {
        !self.path.starts_with("src/") || self.path.ends_with("tests.rs") || self.path.contains("_tests/")
    }

    /// The code with everything under `#[cfg(test)]` blanked out as well.
    pub fn code_without_tests(&self) -> String {
        let mut code = self.code.clone().into_bytes();
        let mut from = 0;
        while let Some(at) = self.code[from..].find("#[cfg(test)]").map(|at| from + at) {
            let item = at + "#[cfg(test)]".len();
            let end = match self.code[item..].find(['{', ';']).map(|end| item + end) {
                Some(open) if self.code.as_bytes()[open] == b'{' => closing(&self.code, open),
                Some(semicolon) => semicolon,
                None => self.code.len() - 1,
            };
            blank(&mut code, at..end + 1);
            from = end + 1;
        }
        String::from_utf8(code).unwrap()
    }

    /// How many lines the file has, its tests left out.
    pub fn lines_without_tests(&self) -> usize {
        let kept = self.code_without_tests();
        let tests = self.code.lines().zip(kept.lines()).filter(|(all, kept)| all != kept).count();
        self.text.lines().count() - tests
    }
}

/// The number of the line, from 1, in which a byte lies.
pub fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count()
}

/// Where the brace that opens at `open` closes.
pub fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    code.len() - 1
}

fn blank(code: &mut [u8], range: Range<usize>) {
    for byte in &mut code[range] {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

/// Blanks comments, strings and characters, byte for byte, so that places stay where they are.
fn blanked(text: &str) -> String {
    let mut code = text.as_bytes().to_vec();
    let mut at = 0;
    while at < text.len() {
        let end = at + skipped(&text[at..], at > 0 && is_word(text.as_bytes()[at - 1]));
        if end > at {
            blank(&mut code, at..end);
            at = end;
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    String::from_utf8(code).unwrap()
}

/// How many bytes of a comment, string or character stand at the beginning of `rest`.
fn skipped(rest: &str, inside_word: bool) -> usize {
    let until = |from: usize, end: &str| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return until(2, "*/");
    }
    if !inside_word {
        let raw = rest.strip_prefix('b').unwrap_or(rest);
        if let Some(raw) = raw.strip_prefix('r') {
            let hashes = raw.len() - raw.trim_start_matches('#').len();
            if raw[hashes..].starts_with('"') {
                let open = rest.len() - raw.len() + hashes + 1;
                return until(open, &format!("\"{}", "#".repeat(hashes)));
            }
        }
    }
    match rest.as_bytes() {
        [b'"', ..] => quoted(rest, '"'),
        [b'\'', b'\\', ..] => quoted(rest, '\''),
        // A character, and not a lifetime: its quote is closed behind one character.
        [b'\'', ..] => match rest[1..].chars().next() {
            Some(c) if rest[1 + c.len_utf8()..].starts_with('\'') => c.len_utf8() + 2,
            _ => 0,
        },
        _ => 0,
    }
}

/// The length of the text in quotes at the beginning of `rest`.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Every path that the code names from `root` (such as `crate` or `std`), with the place where it is named; the trees of
/// `use` are written out.
pub fn paths(code: &str, root: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let start = format!("{root}::");
    for (at, _) in code.match_indices(&start) {
        if at > 0 && (is_word(code.as_bytes()[at - 1]) || code.as_bytes()[at - 1] == b':') {
            continue;
        }
        tree(&code[at..], "", &mut |path| found.push((at, path)));
    }
    found
}

/// Visits the paths of a tree such as `a::{b, c::{d, e}}`, and answers how long the tree is.
fn tree(code: &str, prefix: &str, visit: &mut dyn FnMut(String)) -> usize {
    let name = code.bytes().take_while(|byte| is_word(*byte) || *byte == b':').count();
    let path = format!("{prefix}{}", &code[..name]);
    if !code[name..].starts_with('{') || !path.ends_with("::") {
        visit(path);
        return name;
    }
    let mut at = name + 1;
    loop {
        at += code[at..].bytes().take_while(|byte| byte.is_ascii_whitespace() || matches!(byte, b',' | b'*')).count();
        match code.as_bytes().get(at) {
            Some(b'}') => return at + 1,
            Some(byte) if is_word(*byte) => {
                at += tree(&code[at..], &path, visit);
                // What follows a name up to the next one, such as `as Other`.
                at += code[at..].bytes().take_while(|byte| !matches!(byte, b',' | b'}')).count();
            }
            _ => return at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_texts_are_blanked_and_code_is_not() {
        let code = blanked("a // b\n\"c\\\"//\" d r#\"e\"f\"# 'g' '\\'' &'static h /* i\n */ j b\"k\" rest");
        assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "d", "&'static", "h", "j", "b", "rest"]);
        assert_eq!(code.lines().count(), 3);
    }

    #[test]
    fn the_trees_of_use_are_written_out() {
        let paths = |code| paths(code, "crate").into_iter().map(|(_, path)| path).collect::<Vec<_>>();
        assert_eq!(
            paths("use crate::{\n    a::{B, c::D as E},\n    f,\n};\nlet x = crate::g::H; pub(crate) other_crate::i;"),
            ["crate::a::B", "crate::a::c::D", "crate::f", "crate::g::H"]
        );
    }

    #[test]
    fn what_is_under_cfg_test_is_set_apart() {
        let source = Source::new("src/a.rs", "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n");
        assert!(!source.code_without_tests().contains("fn b"));
        assert!(source.code_without_tests().contains("fn c"));
        assert_eq!(source.lines_without_tests(), 2);
        let source = Source::new("src/a.rs", "#[cfg(test)]\nmod tests;\nfn c() {}\n");
        assert!(source.code_without_tests().contains("fn c"));
    }
}
