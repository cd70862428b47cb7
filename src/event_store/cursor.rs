//! The names of cursors.

use std::{fmt, str::FromStr};

use crate::{event::InvalidInput, limits};

/// The name of a cursor: ASCII letters, digits, `-`, `_` and `.`, of which `.` is not the first, and at most
/// [`limits::CURSOR_NAME_BYTES`] of them. So it can be the name of a file everywhere.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CursorName(String);

impl CursorName {
    /// Checks a text and makes it a cursor's name.
    pub fn new(name: impl Into<String>) -> Result<CursorName, InvalidInput> {
        let (name, what) = (name.into(), "cursor name");
        if name.is_empty() {
            return Err(InvalidInput::Empty { what });
        }
        if name.len() > limits::CURSOR_NAME_BYTES {
            let (found, limit) = (name.len(), limits::CURSOR_NAME_BYTES);
            return Err(InvalidInput::TooLarge { what, unit: "bytes", found, limit });
        }
        let allowed = |at: usize, c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || (c == '.' && at > 0);
        match name.char_indices().find(|(at, character)| !allowed(*at, *character)) {
            Some((at, character)) => Err(InvalidInput::CursorName { character, at }),
            None => Ok(CursorName(name)),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CursorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CursorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for CursorName {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        CursorName::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_name_that_could_lead_out_of_its_directory_or_be_too_long_is_refused() {
        for good in ["a", "orders-view_2.v1", "A..B", &"x".repeat(128)] {
            assert_eq!(CursorName::new(good).unwrap().as_str(), good);
        }
        for bad in ["..", ".hidden", "a/b", "a\\b", "a\0", "a b", "é", "a:b"] {
            let error = CursorName::new(bad).unwrap_err();
            assert!(matches!(error, InvalidInput::CursorName { .. }), "{bad}: {error}");
        }
        assert_eq!(
            CursorName::new("a/b").unwrap_err().to_string(),
            "the cursor name has '/' at byte 1: only ASCII letters, digits, `-`, `_` and, not first, `.` are allowed"
        );
        assert_eq!(CursorName::new("").unwrap_err().to_string(), "the cursor name is empty");
        let long = CursorName::new("x".repeat(129)).unwrap_err().to_string();
        assert_eq!(long, "the cursor name has 129 bytes; at most 128 are allowed");
    }
}
